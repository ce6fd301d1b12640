//! Where a new table is to be, said in a comment: `/* pgbraid: key=customer_id, with=customers */`, `/* pgbraid: reference */`.

use crate::sql::statement;

/// What a comment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placing {
    Reference,
    Key { key: String, with: Option<String> },
}

/// The placement that a comment of the statement gives. None: none does.
///
/// # Errors
/// What is wrong with it: a placement that isn't understood must not be passed over.
pub fn placing(sql: &str, standard_strings: bool) -> Result<Option<Placing>, String> {
    let Some(split) = statement::split(sql.as_bytes(), standard_strings) else { return Ok(None) };
    let (mut key, mut with, mut reference) = (None, None, false);
    for comment in &split.comments {
        let text = String::from_utf8_lossy(comment.bytes(sql.as_bytes())).into_owned();
        let Some((_, list)) = text.split_once("pgbraid:") else { continue };
        for item in list.trim_end_matches("*/").split(',') {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            let value = value.trim();
            match name.trim() {
                "reference" => reference = value.is_empty() || value == "true",
                "key" => key = Some(plain(value)?),
                "with" => with = Some(plain(value)?),
                "list" | "rest" => {
                    return Err("a list of keys stands in the configuration only, under `tables`".to_owned());
                }
                _ => {}
            }
        }
    }
    match (key, with, reference) {
        (None, None, false) => Ok(None),
        (None, None, true) => Ok(Some(Placing::Reference)),
        (Some(key), with, false) => Ok(Some(Placing::Key { key, with })),
        (None, Some(_), _) => Err("it has `with` and no `key`".to_owned()),
        (Some(_), _, true) => Err("it has a `key` and `reference`".to_owned()),
    }
}

/// A name as it stands in the catalog.
fn plain(value: &str) -> Result<String, String> {
    let sound = !value.is_empty() && value.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '.'));
    if sound { Ok(value.to_owned()) } else { Err(format!("`{value}` isn't a plain name")) }
}
