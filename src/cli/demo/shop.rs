//! The sample shop: its roles, its database and its rows, the same at every load.

use std::cell::{Cell, RefCell};

use crate::cli::cluster::{Cluster, PRIMARY, text};
use crate::cli::failure::Failure;
use crate::topology::rendezvous;

/// The shop's database.
pub const DATABASE: &str = "shop";

/// The application's role, which owns the shop.
pub const APP_USER: &str = "app";

/// The application's password. The servers and the proxy listen on this machine only, and the data is a sample.
pub const APP_PASSWORD: &str = "app";

/// The role of the proxy itself.
pub const SERVICE_USER: &str = "pgbraid";

/// How many orders the shop has.
pub const ORDERS: u32 = 120_000;

/// Orders loaded in one step of the progress bar.
const CHUNK: u32 = 10_000;

/// What the database's comment says once all rows are in.
const COMPLETE: &str = "pgbraid sample shop 2";

const SCHEMA: &str = include_str!("schema.sql");
const BASE: &str = include_str!("base.sql");
const CHUNK_SQL: &str = include_str!("orders.sql");
const FINISH: &str = include_str!("finish.sql");
const SHARDED_SCHEMA: &str = include_str!("sharded_schema.sql");
const SHARDED_CHUNK: &str = include_str!("sharded_orders.sql");
const SHARDED_FINISH: &str = include_str!("sharded_finish.sql");

/// The tables' placement, for the configuration of a shop with several shards.
pub const TABLES: &str = "\
customers   = { key = \"id\" }
orders      = { key = \"customer_id\", with = \"customers\" }
order_items = { key = \"customer_id\", with = \"customers\" }
countries   = { reference = true }
products    = { reference = true }
";

/// Buckets of a shop with several shards: the configuration's default.
pub const BUCKETS: usize = 4096;

/// Makes the roles and the shop, unless an earlier start has. `progress` is told the share that is done, from 0 to 1.
///
/// # Errors
/// The server's.
pub async fn load(cluster: &Cluster, service_password: &str, progress: impl FnMut(f64)) -> Result<(), Failure> {
    fill(cluster, service_password, COMPLETE, &steps(), progress).await
}

/// The names of so many shards, as the configuration has them.
pub fn shard_names(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("s{number}")).collect()
}

/// The same over several shards, `s1`, `s2`, …: each gets the rows that belong on it, and the reference tables whole.
///
/// # Errors
/// A server's.
pub async fn load_sharded(
    clusters: &[Cluster],
    service_password: &str,
    mut progress: impl FnMut(f64),
) -> Result<(), Failure> {
    let weights: Vec<(String, f64)> = shard_names(clusters.len()).into_iter().map(|name| (name, 1.0)).collect();
    // What the proxy's first start wants, and finds to be so.
    let map = rendezvous::fill(BUCKETS, &weights);
    let shares: Vec<Cell<f64>> = clusters.iter().map(|_| Cell::new(0.0)).collect();
    let progress = RefCell::new(&mut progress);
    let loads = clusters.iter().zip(&shares).enumerate().map(|(at, (cluster, share))| {
        let told = |done: f64| {
            share.set(done);
            let sum: f64 = shares.iter().map(Cell::get).sum();
            (progress.borrow_mut())(sum / shares.len() as f64);
        };
        let buckets: Vec<String> =
            (0..).zip(&map).filter(|(_, of)| usize::from(**of) == at).map(|(b, _): (usize, _)| b.to_string()).collect();
        let complete = format!("{COMPLETE}, shard {} of {}", at + 1, clusters.len());
        async move { fill(cluster, service_password, &complete, &sharded_steps(&buckets, &complete), told).await }
    });
    futures_util::future::try_join_all(loads).await.map(|_| ())
}

/// Runs the steps of a load, unless the database's comment says that it is `complete`.
async fn fill(
    cluster: &Cluster,
    service_password: &str,
    complete: &str,
    steps: &[String],
    mut progress: impl FnMut(f64),
) -> Result<(), Failure> {
    cluster.execute(PRIMARY, "postgres", &roles(service_password)).await?;
    let found = "SELECT count(*) FROM pg_shdescription d JOIN pg_database b ON b.oid = d.objoid \
                 WHERE d.classoid = 'pg_database'::regclass AND b.datname = 'shop' AND d.description = '";
    if cluster.value(PRIMARY, "postgres", &format!("{found}{complete}'")).await? == "1" {
        return Ok(());
    }
    // One that was cut off in the middle is made anew.
    cluster.execute(PRIMARY, "postgres", "DROP DATABASE IF EXISTS shop WITH (FORCE)").await?;
    cluster.execute(PRIMARY, "postgres", "CREATE DATABASE shop OWNER app").await?;
    let client = cluster.connect(PRIMARY, DATABASE).await?;
    let all = steps.len() as f64;
    for (done, sql) in steps.iter().enumerate() {
        progress(done as f64 / all);
        client.batch_execute(sql).await.map_err(|e| Failure::of("loading the shop", text(&e)))?;
    }
    progress(1.0);
    Ok(())
}

/// The service role needs to log in and `pg_monitor` (to see the replicas in pg_stat_replication); the positions and
/// catalogs that the proxy reads are open to everybody.
fn roles(service_password: &str) -> String {
    format!(
        "DO $$ BEGIN
           IF to_regrole('{APP_USER}') IS NULL THEN CREATE ROLE {APP_USER}; END IF;
           IF to_regrole('{SERVICE_USER}') IS NULL THEN CREATE ROLE {SERVICE_USER}; END IF;
         END $$;
         ALTER ROLE {APP_USER} LOGIN PASSWORD '{APP_PASSWORD}';
         ALTER ROLE {SERVICE_USER} LOGIN PASSWORD '{service_password}';
         GRANT pg_monitor TO {SERVICE_USER};"
    )
}

/// All SQL of the load, one string a step.
fn steps() -> Vec<String> {
    [format!("SET ROLE {APP_USER};\n{SCHEMA}"), BASE.to_owned()]
        .into_iter()
        .chain(chunks(CHUNK_SQL))
        .chain([
            FINISH.to_owned(),
            format!("RESET ROLE; COMMENT ON DATABASE {DATABASE} IS '{COMPLETE}'"),
            "VACUUM (ANALYZE)".to_owned(),
        ])
        .collect()
}

/// The orders' statements, a step each.
fn chunks(sql: &str) -> impl Iterator<Item = String> {
    (0..ORDERS / CHUNK).map(move |i| {
        let (first, last) = (i * CHUNK + 1, (i + 1) * CHUNK);
        sql.replace("{first}", &first.to_string()).replace("{last}", &last.to_string())
    })
}

/// The same for one of several shards, which has these buckets.
fn sharded_steps(buckets: &[String], complete: &str) -> Vec<String> {
    let schema = SHARDED_SCHEMA.replace("{mask}", &(BUCKETS - 1).to_string()).replace("{buckets}", &buckets.join(","));
    [format!("SET ROLE {APP_USER};\n{schema}"), BASE.to_owned(), "DELETE FROM customers WHERE NOT mine(id)".to_owned()]
        .into_iter()
        .chain(chunks(SHARDED_CHUNK))
        .chain([
            SHARDED_FINISH.replace("{orders}", &ORDERS.to_string()),
            // The proxy keeps the map of keys there, and looks whether rows lie by it.
            format!("RESET ROLE; GRANT CREATE ON DATABASE {DATABASE} TO {SERVICE_USER}; GRANT pg_read_all_data, {APP_USER} TO {SERVICE_USER}"),
            format!("COMMENT ON DATABASE {DATABASE} IS '{complete}'"),
            "VACUUM (ANALYZE)".to_owned(),
        ])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chunks_cover_all_orders_and_nothing_is_random() {
        assert_eq!(ORDERS % CHUNK, 0);
        let all = steps().concat();
        assert!(all.contains(&format!("{}::bigint, {ORDERS}::bigint", ORDERS - CHUNK + 1)));
        assert!(
            !all.contains("random(") && !all.contains("now()") && !all.contains("{first}") && !all.contains("{last}")
        );
    }
}
