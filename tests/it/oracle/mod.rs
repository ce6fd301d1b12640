//! The oracle: each statement on one plain PostgreSQL and on three shards behind the proxy; the answers are compared.

mod answer;
mod ask;
mod broadcast;
pub mod compare;
mod conflict_random;
pub mod corpus;
mod found;
mod found_random;
pub mod random;
mod report;
pub mod run;
pub mod system;
mod tables;

use std::path::Path;

use report::Totals;
use run::Runner;

/// Only statements with this text in their class, name or SQL: for a person who looks for a fault.
const ONLY: &str = "PGBRAID_ORACLE_ONLY";

#[test]
fn the_corpus_is_answered_as_by_one_postgresql() {
    let only = std::env::var_os(ONLY).and_then(|only| only.into_string().ok()).unwrap_or_default();
    let cases = cases();
    let statements: usize = cases.iter().map(|case| case.steps.len()).sum();
    assert!(statements >= 600, "only {statements} statements");
    let system = system::system();
    let _turn = system.turn();
    let (totals, faults) = system.block_on(async {
        let mut totals = Totals::default();
        let mut runner = Runner::new(system).await;
        for case in cases.iter().filter(|case| case.has(&only)) {
            let verdict = runner.case(case).await;
            totals.count(case, verdict);
            // What a write leaves is compared at once, so that a fault is found where it is.
            if case.class.starts_with("write ") && !system.same_sums().await {
                let faults = system.same_rows().await;
                let sql: Vec<&str> = case.steps.iter().map(|step| step.sql.as_str()).collect();
                assert!(faults.is_empty(), "rows after {sql:#?}: {faults:#?}");
            }
        }
        (totals, system.same_rows().await)
    });
    eprintln!("{}{}", totals.table(), totals.reasons());
    assert!(totals.slow.is_empty(), "too slow: {:#?}", totals.slow);
    assert!(totals.wrong.is_empty(), "{} wrong:\n\n{}", totals.wrong.len(), totals.wrong.join("\n\n"));
    assert!(faults.is_empty(), "rows after all statements: {faults:#?}");
    if only.is_empty() {
        report::document(&totals);
    }
}

/// The whole corpus.
fn cases() -> Vec<corpus::Case> {
    let mut files: Vec<_> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.retain(|file| !["schema.sql", "rows.sql"].iter().any(|name| file.ends_with(name)));
    files.iter().flat_map(|file| corpus::read(&std::fs::read_to_string(file).unwrap())).collect()
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/oracle"))
}
