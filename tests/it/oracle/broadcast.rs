//! The same where servers think that one table is large: others' rows go along to its shards, and the answers are the same.

use super::cases;
use super::corpus::Case;
use super::random::asked;
use super::report::Totals;
use super::run::Runner;
use super::system::{More, own};

/// Classes with statements that join.
const JOINS: &[&str] = &[
    "aggregate",
    "distinct",
    "explain",
    "gather",
    "gather broadcast",
    "gather outer",
    "gather rows",
    "group-by",
    "join",
    "limit",
    "order",
    "portal",
    "sub-query",
    "trap",
    "values",
    "view",
    "window",
];

/// Tables that are thought large, together.
const LARGE: &[&[&str]] = &[&["events"], &["orders", "items"], &["customers", "readings", "things"]];

/// So many random statements each, from this seed on.
const RANDOM: u64 = 500;
const SEED: u64 = 4100;

#[test]
fn what_goes_along_to_shards_is_answered_as_by_one_postgresql() {
    let system = Box::leak(Box::new(own(More::default())));
    let joins = |case: &&Case| case.has("JOIN") || case.has("events") || case.has("readings");
    let cases: Vec<Case> = cases().into_iter().filter(|case| JOINS.contains(&case.class.as_str())).collect();
    let (totals, counts) = system.block_on(async {
        let mut totals = Totals::default();
        let mut counts = Vec::new();
        // Estimates are by rows a page.
        let size = |tables: &[&str], rows: &str| {
            let names: Vec<String> = tables.iter().map(|table| format!("'{table}'")).collect();
            let set = format!("relpages = 1, reltuples = {rows}");
            format!("UPDATE pg_class SET {set} WHERE relkind = 'r' AND relname IN ({})", names.join(", "))
        };
        for (at, &large) in LARGE.iter().enumerate() {
            let all: Vec<&str> = LARGE.iter().copied().flatten().copied().collect();
            system.on_shards(&format!("{}; {}", size(&all, "10"), size(large, "100000"))).await;
            let before = system.broadcasts();
            let mut runner = Runner::new(system).await;
            for case in cases.iter().filter(joins) {
                let verdict = runner.case(case).await;
                totals.count(case, verdict);
            }
            let corpus = system.broadcasts() - before;
            let random = asked(system, SEED + at as u64, &(0..RANDOM)).await;
            totals.wrong.extend(random.wrong);
            counts.push((corpus, system.broadcasts() - before - corpus));
        }
        (totals, counts)
    });
    eprintln!("{}{}{counts:?} statements had rows go along", totals.table(), totals.reasons());
    assert!(totals.slow.is_empty(), "too slow: {:#?}", totals.slow);
    assert!(totals.wrong.is_empty(), "{} wrong:\n\n{}", totals.wrong.len(), totals.wrong.join("\n\n"));
    assert!(counts.iter().all(|&(corpus, random)| corpus > 100 && random > 10), "{counts:?}");
    assert_eq!(system.gathered(), (0, 0));
}
