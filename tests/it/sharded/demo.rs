//! The demo's shop over several shards: the same rows as on one, each where the map says.

use pgbraid::cli::cluster::{Cluster, ClusterOptions, PRIMARY};
use pgbraid::cli::demo::shop;

use crate::support::proxy::Inside;

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_over_two_shards_has_the_same_rows_and_lies_as_the_first_start_wants() {
    let clusters = [
        Cluster::start(ClusterOptions::default()).await.unwrap(),
        Cluster::start(ClusterOptions::default()).await.unwrap(),
    ];
    shop::load_sharded(&clusters, "service", |_| {}).await.unwrap();
    let sum = async |sql: &str| {
        let mut sum = 0_i64;
        for cluster in &clusters {
            let part: i64 = cluster.value(PRIMARY, shop::DATABASE, sql).await.unwrap().parse().unwrap();
            assert!(part > 0, "{sql}");
            sum += part;
        }
        sum
    };
    assert_eq!(sum("SELECT count(*) FROM orders").await, i64::from(shop::ORDERS));
    assert_eq!(sum("SELECT count(*) FROM order_items").await, 299_988);
    assert_eq!(sum("SELECT count(*) FROM customers").await, 10_000);
    assert_eq!(sum("SELECT count(*) FROM products").await, 2_000);
    assert_eq!(sum("SELECT count(*) FROM countries").await, 72);

    let configuration = format!(
        "[users.app]\npassword = \"app\"\n[users.pgbraid]\npassword = \"service\"\n[databases.shop]\n\
         service_user = \"pgbraid\"\nhome = \"s1\"\nshards.s1 = {}\nshards.s2 = {}\n[databases.shop.tables]\n{}",
        clusters[0].urls_toml(shop::DATABASE),
        clusters[1].urls_toml(shop::DATABASE),
        shop::TABLES
    );
    let proxy = Inside::start(&configuration).await;
    let shop = proxy.running.as_ref().unwrap().shared().sharded("shop").unwrap();
    let view = shop.settled().await.unwrap();
    let found: Vec<String> = view.differences.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(view.placement.tables.len(), 5);
    assert!([0, 1].iter().all(|shard| view.placement.buckets.contains(shard)));
}
