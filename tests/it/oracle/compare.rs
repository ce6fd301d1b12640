//! Judges two answers to one statement.

use super::answer::{Answer, Column};
use super::corpus::{Check, Step};

/// What is found.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Equal,
    /// The proxy declines, and says why.
    Refused(String),
    /// It was cut off by the session's own time limit, on either side.
    Slow,
    /// What differs.
    Wrong(String),
}

type Row = Vec<Option<Vec<u8>>>;

/// Compares. `all`: the rows that a choice is made from.
pub fn judge(plain: &Answer, ours: &Answer, step: &Step, all: Option<&Answer>) -> Verdict {
    let (check, ordered) = (&step.check, orders(&step.sql));
    if let Some(broken) = &ours.broken {
        return Verdict::Wrong(format!("protocol: {broken}"));
    }
    if ours.status == 0 {
        return Verdict::Wrong("the connection was lost or is silent".to_owned());
    }
    let code = |answer: &Answer| answer.error.as_ref().map(|error| error.code.clone());
    if code(plain).is_some_and(|code| code == "57014") || code(ours).is_some_and(|code| code == "57014") {
        return Verdict::Slow;
    }
    if code(plain) != code(ours) {
        if ours.is_refusal() {
            let message = ours.error.as_ref().map(|error| error.message.clone());
            return Verdict::Refused(message.unwrap_or_default());
        }
        let at_run_time = |answer: &Answer| answer.error.as_ref().is_some_and(|error| error.code.starts_with("22"));
        if step.risky && (at_run_time(plain) || at_run_time(ours)) && plain.status == ours.status {
            return Verdict::Equal;
        }
        return Verdict::Wrong(format!("SQLSTATE {:?} instead of {:?}", code(ours), code(plain)));
    }
    if plain.status != ours.status {
        return Verdict::Wrong("the transaction's status differs".to_owned());
    }
    if plain.error.is_some() || *check == Check::Succeeds {
        return Verdict::Equal;
    }
    match differs(plain, ours, check, ordered, all) {
        None => Verdict::Equal,
        Some(what) => Verdict::Wrong(what),
    }
}

fn differs(plain: &Answer, ours: &Answer, check: &Check, ordered: bool, all: Option<&Answer>) -> Option<String> {
    if plain.parameters != ours.parameters {
        return Some(format!("parameters {:?} instead of {:?}", ours.parameters, plain.parameters));
    }
    let strip = |answer: &Answer| {
        let columns = answer.columns.clone().unwrap_or_default();
        columns.into_iter().map(|column| Column { oid: 0, ..column }).collect::<Vec<_>>()
    };
    if strip(plain) != strip(ours) {
        return Some(format!("columns {:?} instead of {:?}", strip(ours), strip(plain)));
    }
    if plain.tags != ours.tags {
        return Some(format!("tags {:?} instead of {:?}", ours.tags, plain.tags));
    }
    if plain.suspended != ours.suspended {
        return Some(format!("suspended after {:?} rows instead of {:?}", ours.suspended, plain.suspended));
    }
    if plain.copy != ours.copy {
        return Some("another COPY format".to_owned());
    }
    if plain.rows.len() != ours.rows.len() {
        return Some(format!("{} rows instead of {}", ours.rows.len(), plain.rows.len()));
    }
    let rows = |answer: &Answer| values(answer, *check == Check::Bag);
    let (mut one, mut two) = (rows(plain), rows(ours));
    match check {
        Check::Count | Check::Succeeds => None,
        Check::Rows | Check::Bag if ordered => first_difference(&one, &two),
        Check::Rows | Check::Bag => {
            one.sort();
            two.sort();
            first_difference(&one, &two)
        }
        Check::Order(columns) => first_difference(&pick(&one, columns), &pick(&two, columns)).or_else(|| {
            one.sort();
            two.sort();
            first_difference(&one, &two)
        }),
        Check::Choice { order, .. } => first_difference(&pick(&one, order), &pick(&two, order)).or_else(|| {
            let mut rest = all.map(rows).unwrap_or_default();
            two.iter().find_map(|row| match rest.iter().position(|other| other == row) {
                Some(at) => {
                    rest.swap_remove(at);
                    None
                }
                None => Some(format!("the row {} isn't one to choose", show(row))),
            })
        }),
    }
}

fn pick(rows: &[Row], columns: &[usize]) -> Vec<Row> {
    rows.iter().map(|row| columns.iter().map(|column| row[column - 1].clone()).collect()).collect()
}

fn first_difference(one: &[Row], two: &[Row]) -> Option<String> {
    let same =
        |(one, two): (&Row, &Row)| one.len() == two.len() && one.iter().zip(two).all(|(a, b)| a == b || close(a, b));
    let at = one.iter().zip(two).position(|pair| !same(pair))?;
    Some(format!("row {at} is {} instead of {}", show(&two[at]), show(&one[at])))
}

/// Rounded numbers that lay on two sides of where rounding turns: they differ by one in the last digit.
fn close(one: &Option<Vec<u8>>, two: &Option<Vec<u8>>) -> bool {
    let number = |value: &Option<Vec<u8>>| {
        let text = std::str::from_utf8(value.as_deref()?).ok()?;
        let (digits, _) = text.split_once('e')?;
        let digits = digits.chars().filter(char::is_ascii_digit).count();
        Some((text.parse::<f64>().ok()?, digits))
    };
    match (number(one), number(two)) {
        (Some((a, digits)), Some((b, others))) if digits == others && digits >= 5 => {
            (a - b).abs() <= 1.5 * a.abs().max(b.abs()) * 10f64.powi(1 - digits as i32)
        }
        _ => false,
    }
}

fn show(row: &Row) -> String {
    let text = |value: &Option<Vec<u8>>| value.as_ref().map_or("NULL".into(), |v| v.escape_ascii().to_string());
    row.iter().map(text).collect::<Vec<_>>().join(" | ")
}

/// The rows in a form in which equal is equal: floats rounded, OIDs of user-defined types out of binary arrays.
fn values(answer: &Answer, bags: bool) -> Vec<Row> {
    let none = Vec::new();
    let columns = answer.columns.as_ref().unwrap_or(&none);
    let mut rows = answer.rows.clone();
    for row in &mut rows {
        for (value, column) in row.iter_mut().zip(columns) {
            let Some(bytes) = value else { continue };
            match (column.oid, column.binary) {
                (701, true) => *bytes = rounded(f64::from_be_bytes(bytes[..8].try_into().unwrap()), 12),
                (700, true) => *bytes = rounded(f32::from_be_bytes(bytes[..4].try_into().unwrap()).into(), 5),
                (700 | 701, false) => {
                    let digits = if column.oid == 700 { 5 } else { 12 };
                    if let Ok(number) = String::from_utf8_lossy(bytes).parse() {
                        *bytes = rounded(number, digits);
                    }
                }
                // Dimensions, a flag, the elements' type, whose OID differs between any two databases.
                (16384.., true) if column.kind.starts_with('_') && bytes.len() >= 12 => bytes[8..12].fill(0),
                _ => {}
            }
            if bags {
                *bytes = bag(bytes, column);
            }
        }
    }
    rows
}

/// A list's parts in one order.
fn bag(bytes: &[u8], column: &Column) -> Vec<u8> {
    if column.binary && column.oid != 25 {
        // A sorted heap of bytes: enough, since the same answer is compared as text too.
        let mut bytes = bytes.to_vec();
        bytes.sort_unstable();
        return bytes;
    }
    let text = String::from_utf8_lossy(bytes);
    let mut parts: Vec<&str> = text.trim_matches(['{', '}', '[', ']']).split(',').map(str::trim).collect();
    parts.sort_unstable();
    parts.join(",").into_bytes()
}

/// Two numbers that differ by the order of their sum become the same text, but for those at a boundary of rounding; the
/// data has none.
fn rounded(number: f64, digits: usize) -> Vec<u8> {
    if number.abs() < 1e-13 {
        // −0 and 0 are equal, and which of them represents a group is chance; what differs from 0 by the order of a sum
        // only is 0 too. The data has no such small numbers.
        return b"0".to_vec();
    }
    format!("{number:.digits$e}", digits = digits - 1).into_bytes()
}

/// Whether the outermost query has ORDER BY.
fn orders(sql: &str) -> bool {
    let mut depth = 0;
    let mut quoted = false;
    let upper = sql.to_ascii_uppercase();
    upper.char_indices().any(|(at, c)| {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        depth == 0 && !quoted && upper[at..].starts_with("ORDER BY")
    })
}
