//! Random statements from a grammar over the oracle's tables: made from a seed, judged, shrunk where they are wrong.
//!
//! The grammar makes only statements whose answer SQL determines, or says how far it does: a LIMIT has a total order, or
//! is judged as a choice; what is grouped, made distinct or taken the least of has values of which equal ones look alike
//! (not 1.0 and 1.00); sums of floats are outputs only. Errors at run time hang on which rows an expression meets first:
//! two of a hundred statements may meet some, and of these one that fails with class 22 in one place only counts as
//! equal.

mod chance;
mod expr;
mod from;
mod group;
mod key;
mod query;
mod scope;
mod select;
mod statement;
mod tables;
pub mod tree;
mod write;

pub use chance::Chance;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ask::{WAYS, Way};
use super::compare::Verdict;
use super::corpus::Step;
use super::report::Totals;
use super::run::Runner;
use super::system::{System, system};
use statement::{ALONE, Statement};

/// How many statements, if not as many as in every run; from which seed; only the one with this number.
const COUNT: &str = "PGBRAID_ORACLE_RANDOM";
const SEED: &str = "PGBRAID_ORACLE_SEED";
const AT: &str = "PGBRAID_ORACLE_AT";

const ORDINARY: u64 = 2000;
/// The seed of every run in which none is given.
const ORDINARY_SEED: u64 = 1;

/// Sessions that ask at the same time.
const RUNNERS: u64 = 4;
/// Wrong statements that are shrunk; more end the run.
const MOST_WRONG: usize = 12;
/// Smaller statements that are tried for each wrong one.
const TRIES: usize = 400;
/// A planner that refuses everything is never wrong: no more than so many of a hundred may be refused.
const MOST_REFUSED: usize = 5;
/// Nor may more than so many of a thousand take too long to be judged.
const MOST_SLOW: usize = 20;

#[test]
fn random_statements_are_answered_as_by_one_postgresql() {
    let number = |name: &str| std::env::var_os(name).and_then(|text| text.to_str()?.parse::<u64>().ok());
    let seed = number(SEED).unwrap_or(ORDINARY_SEED);
    let count = number(COUNT).unwrap_or(ORDINARY);
    let range = number(AT).map_or(0..count, |at| at..at + 1);
    eprintln!("{count} random statements from {SEED}={seed}");
    let system = system();
    let _turn = system.turn();
    let totals = system.block_on(asked(system, seed, &range));
    let faults = system.block_on(system.same_rows());
    eprintln!("{}{}{} too slow to be judged", totals.table(), totals.reasons(), totals.slow.len());
    assert!(totals.wrong.is_empty(), "{} wrong:\n\n{}", totals.wrong.len(), totals.wrong.join("\n\n"));
    assert!(faults.is_empty(), "rows after all statements: {faults:#?}");
    let all = usize::try_from(count).unwrap_or(usize::MAX);
    let share = totals.refused.len() * 100 / all.max(1);
    assert!(count < 1000 || totals.slow.len() * 1000 / all <= MOST_SLOW, "too slow: {:#?}", totals.slow);
    assert!(count < 100 || share <= MOST_REFUSED, "{share} of a hundred statements are refused");
}

/// Asks the statements of a seed.
pub async fn asked(system: &'static System, seed: u64, range: &std::ops::Range<u64>) -> Totals {
    let next = [AtomicU64::new(range.start), AtomicU64::new(range.start)];
    let found = Mutex::new(Totals::default());
    let runners = (0..RUNNERS).map(|at| work(system, seed, range, &next, at == 0, &found));
    futures_util::future::join_all(runners).await;
    found.into_inner().unwrap()
}

/// One session's share. What locks or writes is asked by the first session alone.
async fn work(
    system: &'static System,
    seed: u64,
    range: &std::ops::Range<u64>,
    next: &[AtomicU64; 2],
    first: bool,
    found: &Mutex<Totals>,
) {
    let mut runner = Runner::new(system).await;
    let mut alone = first;
    loop {
        let at = next[usize::from(alone)].fetch_add(1, Ordering::Relaxed);
        if at >= range.end {
            if !alone {
                return;
            }
            alone = false;
            continue;
        }
        if at.is_multiple_of(ALONE) != alone {
            continue;
        }
        if found.lock().unwrap().wrong.len() >= MOST_WRONG {
            return;
        }
        let statement = Statement::new(seed, at);
        let verdict = judge(&mut runner, &statement, seed, at).await;
        if let Verdict::Wrong(what) = &verdict {
            // A long run that is ended has said what it found.
            eprintln!("wrong: {what}");
        }
        found.lock().unwrap().count(&statement.case(), verdict);
    }
}

async fn judge(runner: &mut Runner, statement: &Statement, seed: u64, at: u64) -> Verdict {
    let case = statement.case();
    let simple = case.steps.iter().any(|step| step.simple);
    // Simple, and one of the extended ways in turn.
    let ways = if simple { vec![Way::Simple] } else { vec![Way::Simple, WAYS[1 + usize::from(at % 2 == 1)]] };
    for way in ways {
        match runner.case_in(&case, way).await {
            Verdict::Equal => {}
            other @ (Verdict::Refused(_) | Verdict::Slow) => return other,
            Verdict::Wrong(what) => {
                let what = shrunk(runner, statement, way).await.unwrap_or(what);
                return Verdict::Wrong(format!("{SEED}={seed} {AT}={at}, smallest:\n{what}"));
            }
        }
    }
    Verdict::Equal
}

/// The smallest statement found that is still wrong, with what is wrong about it.
async fn shrunk(runner: &mut Runner, statement: &Statement, way: Way) -> Option<String> {
    let mut best = statement.clone();
    let mut what = None;
    let mut tries = 0;
    'smaller: loop {
        for tree in best.tree.smaller() {
            tries += 1;
            if tries > TRIES {
                break 'smaller;
            }
            let candidate = best.with_tree(tree);
            if let Verdict::Wrong(why) = runner.case_in(&candidate.case(), way).await {
                best = candidate;
                what = Some(why);
                continue 'smaller;
            }
        }
        break;
    }
    what
}

/// The same seed makes the same statement.
#[test]
fn a_seed_decides_the_statement() {
    let text = |at| {
        let steps = Statement::new(7, at).case().steps;
        steps.into_iter().map(|Step { sql, .. }| sql).collect::<Vec<_>>().join("; ")
    };
    for at in 0..200 {
        assert_eq!(text(at), text(at));
    }
}
