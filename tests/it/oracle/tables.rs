//! The same with no memory for what is gathered: all of it goes to temporary tables, and the answers are the same.

use super::corpus::{Case, Step};
use super::report::Totals;
use super::run::Runner;
use super::system::{More, own};
use super::{ask::Way, cases};

/// Classes whose statements gather.
const GATHERED: &[&str] = &[
    "aggregate",
    "group-by",
    "distinct",
    "order",
    "limit",
    "values",
    "function",
    "error",
    "transaction",
    "portal",
    "explain",
    "join",
    "sub-query",
    "cte",
    "window",
    "set operation",
    "view",
    "trap",
];

/// Those with several inputs.
const MANY: &[&str] = &["values", "join", "sub-query", "cte", "window", "set operation", "view"];

/// What a transaction has written before it reads.
const WRITTEN: &str = "UPDATE orders SET total = total + 1 WHERE id % 3 = 0";

#[test]
fn what_goes_through_temporary_tables_is_answered_as_by_one_postgresql() {
    let more = More { settings: "gather_memory = 0\ngather_on = \"s2\"", ..More::default() };
    let system = Box::leak(Box::new(own(more)));
    let cases: Vec<Case> = cases().into_iter().filter(|case| GATHERED.contains(&case.class.as_str())).collect();
    let (totals, spooled) = system.block_on(async {
        let mut totals = Totals::default();
        let mut runner = Runner::new(system).await;
        for case in &cases {
            let verdict = runner.case(case).await;
            totals.count(case, verdict);
        }
        let alone = system.spooled();
        // Each shard is asked once in READ COMMITTED, and both see what they wrote.
        for begin in ["BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ"] {
            let few = begin != "BEGIN";
            for case in cases.iter().filter(|case| case.steps.len() == 1 && (!few || MANY.contains(&&*case.class))) {
                let case = within(case, begin);
                let verdict = runner.case_in(&case, Way::Simple).await;
                totals.count(&case, verdict);
            }
        }
        (totals, (alone, system.spooled() - alone))
    });
    eprintln!("{}{}{spooled:?} statements had temporary tables", totals.table(), totals.reasons());
    assert!(totals.slow.is_empty(), "too slow: {:#?}", totals.slow);
    assert!(totals.wrong.is_empty(), "{} wrong:\n\n{}", totals.wrong.len(), totals.wrong.join("\n\n"));
    assert!(spooled.0 > 500 && spooled.1 > 300, "{spooled:?}");
    let refused = |word: &str| totals.refused.iter().filter(|(_, why)| why.contains(word)).count();
    assert_eq!(refused("gather_memory"), 0, "{}", totals.reasons());
    assert_eq!(system.gathered(), (0, 0));
}

/// A case in a transaction that has written.
fn within(case: &Case, begin: &str) -> Case {
    let step = |sql: &str| Step { sql: sql.to_owned(), params: vec![Vec::new()], ..Step::default() };
    let mut steps = vec![step(begin), step(WRITTEN)];
    steps.extend(case.steps.iter().cloned());
    steps.push(step("ROLLBACK"));
    Case { class: format!("{} in {begin}", case.class), name: case.name.clone(), steps }
}
