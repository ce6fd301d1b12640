//! The line that an error of COPY names, in its CONTEXT.

use super::fields;
use crate::plan::sharded::copy_options::CopyFormat;

/// The CONTEXT with the row as the client sent it: without `added` fields that were put before it.
pub fn as_sent(context: &str, added: usize, format: &CopyFormat) -> String {
    match context.split_once(": \"") {
        // `COPY t, line 3, column c: "value"` shows one value.
        Some((head, row)) if added > 0 && head.matches(", ").count() == 1 => {
            let row = fields::without_first(row.as_bytes(), added, format);
            format!("{head}: \"{}", String::from_utf8_lossy(row))
        }
        _ => context.to_owned(),
    }
}

/// The CONTEXT with the shard's line replaced, and the client's line. `line` gives the client's number of a shard's line;
/// where it isn't known the number is left out. `None`: no line of a COPY into this table is named.
pub fn renumber(context: &str, relation: &str, line: impl FnOnce(u64) -> Option<u64>) -> Option<(String, Option<u64>)> {
    let head = format!("COPY {relation}, ");
    let start = match context.starts_with(&head) {
        true => head.len(),
        false => context.find(&format!("\n{head}"))? + 1 + head.len(),
    };
    let rest = context.get(start..)?;
    // `line`, in whatever language; no digit is in it.
    let digits = rest.find(|c: char| c.is_ascii_digit())?;
    let end = rest.get(digits..)?.find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |length| digits + length);
    let word = rest.get(..digits)?;
    if word.contains([',', ':', '\n']) {
        return None;
    }
    let (before, after) = (context.get(..start)?, rest.get(end..)?);
    match line(rest.get(digits..end)?.parse().ok()?) {
        Some(number) => Some((format!("{before}{word}{number}{after}"), Some(number))),
        None => Some((format!("{before}{}{after}", word.trim_end()), None)),
    }
}
