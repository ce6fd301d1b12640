//! Tests of the figures as a whole: handles, averages, the page.

use std::time::Duration;

use super::*;
use crate::base::SqlState;

fn labels(user: &str) -> PoolLabels {
    PoolLabels { database: Arc::from("shop"), user: Arc::from(user), server: Arc::from("10.0.0.1:5432") }
}

#[test]
fn handles_of_one_pool_add_up_and_outlive_themselves() {
    let telemetry = Telemetry::new();
    let (one, two) = (telemetry.pool(labels("app")), telemetry.pool(labels("app")));
    one.queries.add(3);
    two.queries.add(4);
    two.active.set(2);
    one.query.observe(Duration::from_micros(150));
    two.query.observe(Duration::from_millis(3));
    let page = telemetry.render();
    let at = "{database=\"shop\",user=\"app\",server=\"10.0.0.1:5432\"";
    for line in [
        format!("pgbraid_queries_total{at}}} 7"),
        format!("pgbraid_server_connections{at},state=\"active\"}} 2"),
        format!("pgbraid_query_seconds_bucket{at},le=\"0.0001\"}} 0"),
        format!("pgbraid_query_seconds_bucket{at},le=\"0.00025\"}} 1"),
        format!("pgbraid_query_seconds_bucket{at},le=\"60\"}} 2"),
        format!("pgbraid_query_seconds_bucket{at},le=\"+Inf\"}} 2"),
        format!("pgbraid_query_seconds_sum{at}}} 0.00315"),
        format!("pgbraid_query_seconds_count{at}}} 2"),
    ] {
        assert!(page.lines().any(|l| l == line), "{line} in\n{page}");
    }
    drop((one, two));
    let page = telemetry.render();
    assert!(page.contains(&format!("pgbraid_queries_total{at}}} 7\n")), "counters stay:\n{page}");
    assert!(page.contains(&format!("pgbraid_server_connections{at},state=\"active\"}} 0\n")), "gauges don't:\n{page}");
}

#[test]
fn averages_are_over_the_last_edge_but_one() {
    let telemetry = Telemetry::new();
    let start = Instant::now();
    let pool = telemetry.pool(labels("app"));
    let minute = |n: u32| start + STATS_PERIOD * n + Duration::from_millis(1);
    pool.queries.add(1_000_000);
    telemetry.tick(minute(1));
    telemetry.tick(minute(2));
    pool.queries.add(1_200);
    pool.transactions.add(600);
    pool.transaction_us.add(600 * 2_500);
    pool.query.observe_us(1_200 * 1_000);
    pool.wait.observe_us(120_000_000);
    let stats = telemetry.stats(minute(3));
    let row = &stats[0];
    assert_eq!((row.total.queries, row.average.queries), (1_001_200, 10), "two minutes since the older edge");
    assert_eq!(row.average.transactions, 5);
    assert_eq!((row.average.transaction_us, row.average.query_us), (2_500, 1_000), "a transaction, a query");
    assert_eq!(row.average.wait_us, 1_000_000, "a second");
}

#[test]
fn labels_are_bounded_and_escaped() {
    let telemetry = Telemetry::new();
    let sessions = telemetry.sessions();
    for n in 0..300u32 {
        let digits = format!("{n:05}");
        sessions.error(SqlState::from_bytes(digits.as_bytes()));
    }
    let errors = telemetry.session_snapshot().errors;
    assert_eq!((errors.len(), errors["other"]), (limits::METRIC_LABELS + 1, 100));
    let _pool = telemetry.pool(labels("a\"b\\c\nd"));
    assert!(telemetry.render().contains(r#"user="a\"b\\c\nd""#));

    let mut pools = pool::Pools::default();
    let _held: Vec<_> = (0..5).map(|n| pools.holder(labels(&n.to_string()), 3)).collect();
    let users: Vec<_> = pools.snapshots().into_keys().map(|l| l.user.to_string()).collect();
    assert_eq!(users, ["0", "1", "2", "other"]);
}

#[test]
fn a_server_is_shown_while_somebody_watches_it() {
    let telemetry = Telemetry::new();
    let server = telemetry.server("shop", "10.0.0.2:5432");
    server.set_up(true);
    server.set_lag(4_096, Duration::from_millis(1_500));
    let page = telemetry.render();
    let at = "{database=\"shop\",server=\"10.0.0.2:5432\"}";
    for line in [
        format!("pgbraid_server_up{at} 1"),
        format!("pgbraid_server_primary{at} 0"),
        format!("pgbraid_server_replay_lag_bytes{at} 4096"),
        format!("pgbraid_server_replay_lag_seconds{at} 1.5"),
    ] {
        assert!(page.contains(&line), "{line} in\n{page}");
    }
    drop(server);
    assert!(!telemetry.render().contains("pgbraid_server_up"));
}
