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

/// The statement of the README's first minute: what the demo prints is what one PostgreSQL with the whole shop prints.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_over_two_shards_answers_as_one_postgresql() {
    const SQL: &str = "SELECT c.country, count(*), round(avg(o.total),2) FROM orders o JOIN customers c ON \
                       c.id=o.customer_id GROUP BY 1 HAVING count(*)>10 ORDER BY 3 DESC, 1 LIMIT 5";
    let demo = |sql: String| async move {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pgbraid"));
        command.args(["demo", "--shards", "2", "--replicas", "0", "--exec"]).arg(sql).kill_on_drop(true);
        let output = tokio::time::timeout(crate::support::raw::PATIENCE * 4, command.output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = demo(SQL.to_owned()).await;
    let plain = crate::support::servers::shop().primary();
    let (host, port) = plain.address.rsplit_once(':').unwrap();
    let mut psql = tokio::process::Command::new(pgbraid::cli::cluster::Binaries::find().unwrap().program("psql"));
    psql.args(["-X", "-P", "pager=off", "-h", host, "-p", port, "-U", &plain.user, "-d", &plain.database, "-c", SQL]);
    let output = psql.env("PGPASSWORD", &plain.password).output().await.unwrap();
    let wanted = String::from_utf8(output.stdout).unwrap();
    assert!(wanted.contains("(5 rows)"), "{wanted}");
    assert!(printed.contains(&wanted), "the demo:\n{printed}\none PostgreSQL:\n{wanted}");
    let explained = demo(format!("EXPLAIN {SQL}")).await;
    for part in
        ["Scatter over s1, s2, the rest on one server", "Rest: ", "Input 1: ", "On s1, Input 1:", "On s2, Input 1:"]
    {
        assert!(explained.contains(part), "{part}\n{explained}");
    }
}
