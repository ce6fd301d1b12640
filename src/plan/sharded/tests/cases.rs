//! Golden cases: `cases.txt` holds a statement a block, with its plan indented behind it.

use super::print::explain;

const CASES: &str = include_str!("cases.txt");

/// Statements with the plan that is expected, comments left out.
fn cases() -> Vec<(String, String)> {
    CASES
        .split("\n\n")
        .filter_map(|block| {
            let lines: Vec<&str> = block.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
            let (sql, plan) = lines.split_first()?;
            Some((sql.to_string(), plan.join("\n")))
        })
        .collect()
}

#[test]
fn plans_are_as_written() {
    let mut wrong = Vec::new();
    for (sql, want) in cases() {
        let got: Vec<String> = explain(&sql).lines().map(|line| format!("  {line}")).collect();
        let got = got.join("\n");
        if got != want {
            wrong.push(format!("{sql}\n{got}\n"));
        }
    }
    assert!(wrong.is_empty(), "{} plans differ; they are now:\n\n{}", wrong.len(), wrong.join("\n"));
}
