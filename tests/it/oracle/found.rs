//! Writes whose rows are found by a query, where snapshots are taken together, and in transactions that keep theirs.

use super::cases;
use super::corpus::Case;
use super::report::Totals;
use super::run::Runner;
use super::system::{More, own};

const KEEPS: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ";

#[test]
fn rows_that_are_found_in_one_snapshot_are_written_as_by_one_postgresql() {
    let system = Box::leak(Box::new(own(More { settings: "cross_shard_reads = \"atomic\"", ..More::default() })));
    let found: Vec<Case> = cases().into_iter().filter(|case| case.class.starts_with("write found")).collect();
    let kept = found.iter().cloned().filter_map(kept);
    let all: Vec<Case> = kept.chain(found.clone()).collect();
    let totals = system.block_on(async {
        let mut totals = Totals::default();
        let mut runner = Runner::new(system).await;
        for case in &all {
            let verdict = runner.case(case).await;
            totals.count(case, verdict);
            if !system.same_sums().await {
                panic!("rows after {case:#?}: {:#?}", system.same_rows().await);
            }
        }
        totals
    });
    eprintln!("{}{}", totals.table(), totals.reasons());
    assert!(totals.slow.is_empty(), "too slow: {:#?}", totals.slow);
    assert!(totals.wrong.is_empty(), "{} wrong:\n\n{}", totals.wrong.len(), totals.wrong.join("\n\n"));
    assert!(totals.refused.len() * 8 < all.len(), "{}", totals.reasons());
}

/// The case in a transaction that keeps its snapshot. Reference tables aren't written in one.
fn kept(mut case: Case) -> Option<Case> {
    let first = case.steps.first_mut().filter(|step| step.sql == "BEGIN")?;
    first.sql = KEEPS.to_owned();
    case.class += " in one snapshot";
    let copies = ["products", "countries"];
    let writes = |sql: &str| {
        copies.iter().any(|table| {
            ["UPDATE ", "DELETE FROM ", "MERGE INTO "].iter().any(|word| sql.contains(&format!("{word}{table}")))
        })
    };
    (!case.steps.iter().any(|step| writes(&step.sql))).then_some(case)
}
