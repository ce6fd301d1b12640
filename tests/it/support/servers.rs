//! Clusters for tests: a shared one with the shop, and fresh ones to break.

use std::sync::OnceLock;

use pgbraid::cli::cluster::{Cluster, ClusterOptions, PRIMARY};
use pgbraid::cli::demo::shop;

use super::proxy::Proxy;
use super::raw::Target;

/// A cluster with the sample shop, the role `app` (password `app`) and the service role `pgbraid`.
#[derive(Debug)]
pub struct Shop {
    pub cluster: Cluster,
    pub service_password: String,
}

/// The cluster that all tests of this process share: a primary and a replica with the shop. Not to be paused, killed or
/// changed for good; a table of a test's own has the test's name. It stops when the process ends.
pub fn shop() -> &'static Shop {
    static SHARED: OnceLock<Shop> = OnceLock::new();
    SHARED.get_or_init(|| start(ClusterOptions { replicas: 1, ..ClusterOptions::default() }))
}

/// A fresh cluster with the shop, which the test may break.
pub fn own_shop(options: ClusterOptions) -> Shop {
    start(options)
}

fn start(options: ClusterOptions) -> Shop {
    // In a thread: the caller may be inside a runtime already.
    let thread = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let cluster = Cluster::start(options).await.unwrap();
            let service_password = "service".to_owned();
            shop::load(&cluster, &service_password, |_| {}).await.unwrap();
            cluster.wait_for_catchup().await.unwrap();
            Shop { cluster, service_password }
        })
    });
    thread.join().expect("the cluster starts")
}

impl Shop {
    /// Server `i` itself, as the application's user.
    pub fn server(&self, i: usize) -> Target {
        Target::new(self.cluster.address(i), shop::APP_USER, shop::APP_PASSWORD, shop::DATABASE)
    }

    /// The primary itself, as the application's user.
    pub fn primary(&self) -> Target {
        self.server(PRIMARY)
    }

    /// The configuration of a proxy in front of these servers: users `app` and `pgbraid`, database `shop`, and the given
    /// lines in `[databases.shop]`.
    pub fn configuration(&self, database_lines: &str) -> String {
        format!(
            "[users.app]\npassword = \"app\"\n\n[users.pgbraid]\npassword = \"{}\"\n\n\
             [databases.shop]\nservice_user = \"pgbraid\"\nshards.s1 = {}\n{database_lines}\n",
            self.service_password,
            self.cluster.urls_toml(shop::DATABASE),
        )
    }

    /// A proxy in front of these servers, with the given lines in `[databases.shop]`.
    pub async fn proxy(&self, database_lines: &str) -> Proxy {
        Proxy::start(&self.configuration(database_lines)).await
    }
}
