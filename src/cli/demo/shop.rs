//! The sample shop: its roles, its database and its rows, the same at every load.

use crate::cli::cluster::{Cluster, PRIMARY, text};
use crate::cli::failure::Failure;

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
const COMPLETE: &str = "pgbraid sample shop 1";

const SCHEMA: &str = include_str!("schema.sql");
const BASE: &str = include_str!("base.sql");
const CHUNK_SQL: &str = include_str!("orders.sql");
const FINISH: &str = include_str!("finish.sql");

/// Makes the roles and the shop, unless an earlier start has. `progress` is told the share that is done, from 0 to 1.
///
/// # Errors
/// The server's.
pub async fn load(cluster: &Cluster, service_password: &str, mut progress: impl FnMut(f64)) -> Result<(), Failure> {
    cluster.execute(PRIMARY, "postgres", &roles(service_password)).await?;
    let found = "SELECT count(*) FROM pg_shdescription d JOIN pg_database b ON b.oid = d.objoid \
                 WHERE d.classoid = 'pg_database'::regclass AND b.datname = 'shop' AND d.description = '";
    if cluster.value(PRIMARY, "postgres", &format!("{found}{COMPLETE}'")).await? == "1" {
        return Ok(());
    }
    // One that was cut off in the middle is made anew.
    cluster.execute(PRIMARY, "postgres", "DROP DATABASE IF EXISTS shop WITH (FORCE)").await?;
    cluster.execute(PRIMARY, "postgres", "CREATE DATABASE shop OWNER app").await?;
    let client = cluster.connect(PRIMARY, DATABASE).await?;
    let steps = steps();
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
    let chunks = (0..ORDERS / CHUNK).map(|i| {
        let (first, last) = (i * CHUNK + 1, (i + 1) * CHUNK);
        CHUNK_SQL.replace("{first}", &first.to_string()).replace("{last}", &last.to_string())
    });
    [format!("SET ROLE {APP_USER};\n{SCHEMA}"), BASE.to_owned()]
        .into_iter()
        .chain(chunks)
        .chain([
            FINISH.to_owned(),
            format!("RESET ROLE; COMMENT ON DATABASE {DATABASE} IS '{COMPLETE}'"),
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
