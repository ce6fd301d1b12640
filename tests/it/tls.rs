//! The whole way under TLS: psql to the proxy, the proxy to its server, with no password written down but the verifier.

use std::process::Stdio;
use std::time::Duration;

use pgbraid::cli::cluster::{Cluster, ClusterOptions, PRIMARY};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::certificates::Certificates;
use crate::support::proxy::Inside;

const PATIENCE: Duration = Duration::from_secs(120);

const HBA: &str = "\
local   all  all                    scram-sha-256
host    all  postgres 127.0.0.1/32  scram-sha-256
hostssl all  all      127.0.0.1/32  scram-sha-256
";

struct Way {
    certificates: Certificates,
    cluster: Cluster,
    proxy: Inside,
}

async fn way() -> Way {
    let certificates = Certificates::make();
    let cluster = Cluster::start(ClusterOptions {
        settings: [("ssl", "on"), ("ssl_cert_file", "s.pem"), ("ssl_key_file", "s.key")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        files: vec![("s.pem".into(), certificates.server.clone()), ("s.key".into(), certificates.server_key.clone())],
        hba: Some(HBA.into()),
        ..ClusterOptions::default()
    })
    .await
    .unwrap();
    for sql in [
        "CREATE ROLE app LOGIN PASSWORD 'only the client knows'",
        "CREATE ROLE pgbraid LOGIN PASSWORD 'service' IN ROLE pg_monitor",
        "CREATE TABLE t (n int, filler text); GRANT ALL ON t TO app",
    ] {
        cluster.execute(PRIMARY, "postgres", sql).await.unwrap();
    }
    let verifier = "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'";
    let verifier = cluster.value(PRIMARY, "postgres", verifier).await.unwrap();
    let file = |name: &str| certificates.path(name).display().to_string();
    let configuration = format!(
        "[server]\nlisten = \"{{listen}}\"\nhttp = \"{{http}}\"\ntls = \"require\"\ntls_cert = \"{}\"\ntls_key = \"{}\"\n\n\
         [users.app]\npassword = \"{verifier}\"\n\n[users.pgbraid]\npassword = \"service\"\n\n\
         [databases.postgres]\nservice_user = \"pgbraid\"\npool_size = 1\n\
         shards.s1 = [\"postgres://localhost:{}/postgres?sslmode=verify-full&sslrootcert={}\"]\n",
        file("server.pem"),
        file("server.key"),
        cluster.port(PRIMARY),
        file("ca.pem"),
    );
    let proxy = Inside::start(&configuration).await;
    Way { certificates, cluster, proxy }
}

impl Way {
    fn psql(&self, sql: &str) -> Command {
        let port = self.proxy.address.rsplit_once(':').unwrap().1;
        let conninfo = format!(
            "host=localhost hostaddr=127.0.0.1 port={port} user=app dbname=postgres sslmode=verify-full \
             channel_binding=require sslrootcert={}",
            self.certificates.path("ca.pem").display()
        );
        let mut command = Command::new("psql");
        command.args(["--no-psqlrc", "--no-password", "--tuples-only", "--no-align", "--command", sql]).arg(conninfo);
        command.env("PGPASSWORD", "only the client knows").env("LC_ALL", "C").kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn says(&self, sql: &str) -> String {
        let output = tokio::time::timeout(PATIENCE, self.psql(sql).output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_passes_under_tls() {
    let way = way().await;
    assert_eq!(way.says("SELECT ssl, current_user FROM pg_stat_ssl WHERE pid = pg_backend_pid()").await, "t|app\n");

    // 30 MB to the client, then from it.
    let filler = "SELECT n, repeat('x', 1000) FROM generate_series(1, 30000) n";
    let rows = way.says(filler).await;
    assert_eq!(rows.lines().count(), 30_000);
    assert!(rows.ends_with("xxx\n"));
    let mut copy = way.psql("COPY t FROM STDIN (DELIMITER '|')").spawn().unwrap();
    let mut input = copy.stdin.take().unwrap();
    input.write_all(rows.as_bytes()).await.unwrap();
    drop(input);
    let output = tokio::time::timeout(PATIENCE, copy.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(way.says("SELECT count(*), sum(n), sum(length(filler)) FROM t").await, "30000|450015000|30000000\n");

    // psql's cancel request comes without TLS; the server's goes with it.
    let sleeper = way.psql("SELECT pg_sleep(600)").spawn().unwrap();
    let active = "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)' AND state = 'active' AND usename = 'app'";
    way.cluster.until(PRIMARY, active).await.unwrap();
    let pid = sleeper.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let output = tokio::time::timeout(PATIENCE, sleeper.wait_with_output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("canceling statement due to user request"), "{said}");
    // The one server connection is as good as before.
    assert_eq!(way.says("SELECT 1").await, "1\n");
}
