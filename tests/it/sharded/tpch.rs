//! TPC-H's 22 queries over three shards: what one PostgreSQL with all the rows answers, none refused.

use std::sync::OnceLock;

use crate::oracle::compare::Verdict;
use crate::oracle::corpus::{self, Case, Param, Step};
use crate::oracle::run::Runner;
use crate::oracle::system::{More, System, own};
use crate::support::raw::Raw;

const SCHEMA: &str = include_str!("../../corpus/tpch/schema.sql");
const ROWS: &str = include_str!("../../corpus/tpch/rows.sql");
const QUERIES: &str = include_str!("../../corpus/tpch/queries.sql");

/// Thousandths of the specification's scale 1: 600 customers, 6,000 orders, 24,000 lines.
const SCALE: &str = "4";

/// Only queries with this text in their name: for a person who looks for a fault.
const ONLY: &str = "PGBRAID_TPCH_ONLY";

const PLACES: &str = "\
\"tpch.orders\"   = { key = \"o_orderkey\" }
\"tpch.lineitem\" = { key = \"l_orderkey\", with = \"tpch.orders\" }
\"tpch.part\"     = { key = \"p_partkey\" }
\"tpch.partsupp\" = { key = \"ps_partkey\", with = \"tpch.part\" }
\"tpch.customer\" = { key = \"c_custkey\" }
\"tpch.supplier\" = { reference = true }
\"tpch.nation\"   = { reference = true }
\"tpch.region\"   = { reference = true }
";

const SHARDED: &[(&str, &str)] = &[
    ("tpch.orders", "hashint4extended(o_orderkey, 0)"),
    ("tpch.lineitem", "hashint4extended(l_orderkey, 0)"),
    ("tpch.part", "hashint4extended(p_partkey, 0)"),
    ("tpch.partsupp", "hashint4extended(ps_partkey, 0)"),
    ("tpch.customer", "hashint4extended(c_custkey, 0)"),
];

/// The servers that these tests share.
fn systems() -> &'static System {
    static SHARED: OnceLock<System> = OnceLock::new();
    SHARED.get_or_init(|| {
        let schema = format!("{SCHEMA}\n{}\nANALYZE;", ROWS.replace("{scale}", SCALE));
        own(More { schema: schema.leak(), places: PLACES, settings: "", sharded: SHARDED })
    })
}

/// The queries, each in a session that finds the tables.
fn queries() -> Vec<Case> {
    let only = std::env::var_os(ONLY).and_then(|only| only.into_string().ok()).unwrap_or_default();
    corpus::read(QUERIES).into_iter().filter(|case| case.name.contains(&only)).collect()
}

fn step(sql: &str) -> Step {
    Step { sql: sql.to_owned(), params: vec![Vec::<Param>::new()], ..Step::default() }
}

/// The same with statements around it.
fn within(case: &Case, before: &[&str], behind: &[&str]) -> Case {
    let mut steps: Vec<Step> = before.iter().map(|sql| step(sql)).collect();
    steps.extend(case.steps.iter().cloned());
    steps.extend(behind.iter().map(|sql| step(sql)));
    Case { steps, ..case.clone() }
}

#[test]
fn the_queries_of_tpch_are_answered_as_by_one_postgresql() {
    let system = systems();
    let cases = queries();
    let all = std::env::var_os(ONLY).is_some() || cases.len() == 22;
    assert!(all, "{} queries", cases.len());
    let _turn = system.turn();
    let faults = system.block_on(async {
        let mut faults = Vec::new();
        let mut runner = Runner::new(system).await;
        let mut plain = Raw::login(&system.plain()).await;
        plain.query("SET search_path TO tpch").await.unwrap();
        for case in &cases {
            let frames = plain.query(&case.steps[0].sql).await.unwrap();
            let first = frames.iter().find(|frame| frame.kind == b'D').map(|row| row.values());
            let found = first.is_some_and(|row| row.iter().any(Option::is_some));
            if !found {
                faults.push(format!("{} has no rows", case.name));
            }
            // Alone, in all protocols, and in a transaction each of whose statements sees a snapshot of its own.
            for case in [
                within(case, &["SET search_path TO tpch"], &[]),
                within(case, &["SET search_path TO tpch", "BEGIN"], &["COMMIT"]),
            ] {
                match runner.case(&case).await {
                    Verdict::Equal => {}
                    verdict => faults.push(format!("{}: {verdict:?}", case.name)),
                }
            }
        }
        faults
    });
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}
