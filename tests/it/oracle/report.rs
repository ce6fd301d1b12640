//! Counts verdicts by class, and keeps the table of docs/sql-support.md.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::compare::Verdict;
use super::corpus::Case;

/// Set, the table is written; else it is only compared.
const WRITE: &str = "PGBRAID_ORACLE_WRITE";

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sql-support.md");

const BEGIN: &str = "<!-- table of the oracle: begin -->\n";
const END: &str = "<!-- table of the oracle: end -->";

#[derive(Default)]
pub struct Totals {
    classes: BTreeMap<String, Counts>,
    /// Each with all that a person needs.
    pub wrong: Vec<String>,
    /// Statements that took too long to be judged.
    pub slow: Vec<String>,
    /// Refused statements and why.
    pub refused: Vec<(String, String)>,
}

#[derive(Default, Clone, Copy)]
struct Counts {
    equal: usize,
    refused: usize,
    wrong: usize,
}

impl Totals {
    pub fn count(&mut self, case: &Case, verdict: Verdict) {
        let counts = self.classes.entry(case.class.clone()).or_default();
        match verdict {
            Verdict::Equal => counts.equal += 1,
            Verdict::Refused(why) => {
                counts.refused += 1;
                self.refused.push((case.steps.iter().map(|step| step.sql.clone()).collect::<Vec<_>>().join("; "), why));
            }
            Verdict::Slow => {
                self.slow.push(case.steps.iter().map(|step| step.sql.clone()).collect::<Vec<_>>().join("; "))
            }
            Verdict::Wrong(what) => {
                counts.wrong += 1;
                self.wrong.push(format!("[{}] {what}", case.class));
            }
        }
    }

    /// How often what was refused, with an example each.
    pub fn reasons(&self) -> String {
        let mut reasons: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
        for (sql, why) in &self.refused {
            let (count, shortest) = reasons.entry(why).or_insert((0, sql));
            *count += 1;
            if sql.len() < shortest.len() {
                *shortest = sql;
            }
        }
        let mut list: Vec<_> = reasons.into_iter().collect();
        list.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        list.into_iter().fold(String::new(), |mut out, (why, (count, example))| {
            let _ = writeln!(out, "{count} refused: {why}\n    {example}");
            out
        })
    }

    pub fn table(&self) -> String {
        let mut text = String::from("| class | equal | refused | wrong |\n|---|---:|---:|---:|\n");
        let mut sum = Counts::default();
        for (class, counts) in &self.classes {
            let _ = writeln!(text, "| {class} | {} | {} | {} |", counts.equal, counts.refused, counts.wrong);
            sum.equal += counts.equal;
            sum.refused += counts.refused;
            sum.wrong += counts.wrong;
        }
        let _ = writeln!(text, "| all | {} | {} | {} |", sum.equal, sum.refused, sum.wrong);
        text
    }
}

/// Writes the document's table, if that is asked for; else tells if it says something else. Only a wrong answer fails.
pub fn document(totals: &Totals) {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the table's beginning");
    let (_, after) = rest.split_once(END).expect("the table's end");
    let now = format!("{before}{BEGIN}{}{END}{after}", totals.table());
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(DOCUMENT, now).unwrap();
    } else if text != now {
        eprintln!("docs/sql-support.md says something else; {WRITE}=1 writes what this run found");
    }
}
