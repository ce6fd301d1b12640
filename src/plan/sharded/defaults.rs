//! Defaults of the columns that an INSERT leaves away, where its rows go to several shards.

use super::Piece;
use super::Refusal;
use super::refuse::refuse;
use super::splice::{Edits, text};
use crate::catalog::schema::{Column, Relation};
use crate::sql::ast::{Assignment, Expr, ExprKind, Insert, Values};

/// How a default gives its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gives {
    /// The same everywhere and always.
    Constant,
    /// The same for all rows of a statement.
    Clock,
    /// Another for each row; which server gives it doesn't matter.
    PerRow,
    /// It must come from one server: a sequence.
    Sequence,
    /// Not known.
    Unknown,
}

/// Clocks without parentheses, and those with.
const CLOCKS: &[&str] = &[
    "current_timestamp",
    "current_date",
    "current_time",
    "localtimestamp",
    "localtime",
    "now()",
    "transaction_timestamp()",
    "statement_timestamp()",
];
const PER_ROW: &[&str] = &["gen_random_uuid()", "random()", "clock_timestamp()"];

/// Sees to it that defaults are what they would be on one server: puts columns into the text whose values are evaluated
/// once. `copies`: the same rows go to every shard.
pub fn settle(
    relation: &Relation,
    insert: &Insert,
    values: &Values,
    copies: bool,
    edits: &mut Edits,
    once: &mut Vec<String>,
) -> Result<(), Refusal> {
    let width = values.rows.first().map_or(0, |row| row.values.len());
    for (position, column) in relation.columns.iter().enumerate() {
        let at = match &insert.columns {
            Some(columns) => columns.iter().position(|given| given.name.value == column.name),
            None => (position < width).then_some(position),
        };
        let gives = gives(column);
        let by_row = |row: &crate::sql::ast::ValuesRow| {
            at.is_none_or(|at| row.values.get(at).is_none_or(|value| matches!(value.kind, ExprKind::Default)))
        };
        let omitted = values.rows.iter().any(by_row);
        let alike = match gives {
            Gives::Constant => true,
            Gives::PerRow => !copies,
            _ => false,
        };
        if !omitted || alike {
            continue;
        }
        let default = column.default.clone().unwrap_or_default();
        // A sequence's values are the home shard's, as all that is evaluated once.
        let once_will_do =
            matches!(gives, Gives::Clock | Gives::PerRow) || (gives == Gives::Sequence && !column.identity);
        let (Some(columns), None, true) = (&insert.columns, at, once_will_do) else {
            return Err(cannot(column));
        };
        let Some(last) = columns.last() else { return Err(cannot(column)) };
        edits.insert(last.span.end, format!(", {}", quoted(&column.name)));
        let mut clock = None;
        for row in &values.rows {
            let number = match (gives, clock) {
                (Gives::Clock, Some(number)) => number,
                _ => {
                    once.push(default.clone());
                    once.len() - 1
                }
            };
            clock = Some(number);
            let end = crate::sql::ast::Span::new(row.span.end - 1, row.span.end - 1);
            edits.pieces(end, vec![text(", "), Piece::Once(number)]);
        }
    }
    Ok(())
}

/// Of the columns that a query's rows leave away, those whose default is to be evaluated once for all of them.
pub fn to_settle<'a>(omitted: impl Iterator<Item = &'a Column>, copies: bool) -> Result<Vec<&'a Column>, Refusal> {
    let mut once = Vec::new();
    for column in omitted {
        match gives(column) {
            Gives::Constant => {}
            Gives::PerRow if !copies => {}
            Gives::Clock => once.push(column),
            _ => return Err(cannot(column)),
        }
    }
    Ok(once)
}

/// Refuses a COPY that leaves this column to defaults which wouldn't be what they are on one server. `copies`: the same
/// rows go to every shard.
pub fn left_out(column: &Column, copies: bool) -> Result<(), Refusal> {
    match gives(column) {
        Gives::Constant => Ok(()),
        Gives::PerRow if !copies => Ok(()),
        _ => Err(refuse(
            "default",
            format!(
                "pgbraid can't prove that the default of \"{}\" gives the right values on several shards",
                column.name
            ),
            format!("COPY values for \"{}\" too.", column.name),
        )),
    }
}

/// Refuses `SET c = DEFAULT` where shards that evaluate the default for themselves could give different values.
pub fn alike(relation: &Relation, assignments: &[Assignment]) -> Result<(), Refusal> {
    let asked = |expr: &Expr| matches!(expr.kind, ExprKind::Default);
    for assignment in assignments.iter().filter(|assignment| super::walk::any(&assignment.value, &asked)) {
        for name in assignment.columns.iter().map(|column| &column.name.value) {
            let column = relation.columns.iter().find(|column| column.name == *name);
            if column.is_none_or(|column| gives(column) != Gives::Constant) {
                return Err(refuse(
                    "default",
                    format!("pgbraid can't prove that every shard has the same default for \"{name}\""),
                    format!("Give \"{name}\" a value instead of DEFAULT."),
                ));
            }
        }
    }
    Ok(())
}

fn cannot(column: &Column) -> Refusal {
    refuse(
        "default",
        format!("pgbraid can't prove that the default of \"{}\" gives the right values on several shards", column.name),
        format!("Give \"{}\" a value in INSERT.", column.name),
    )
}

fn gives(column: &Column) -> Gives {
    if column.identity {
        return Gives::Sequence;
    }
    let Some(default) = &column.default else { return Gives::Constant };
    let plain = default.to_ascii_lowercase();
    let core = core(&plain);
    if CLOCKS.contains(&core) {
        return Gives::Clock;
    }
    if PER_ROW.contains(&core) {
        return Gives::PerRow;
    }
    if plain.contains("nextval(") {
        return Gives::Sequence;
    }
    if is_constant(&plain) { Gives::Constant } else { Gives::Unknown }
}

/// Without casts and parentheses around it.
fn core(text: &str) -> &str {
    let mut core = text.trim();
    loop {
        let less = match core.rsplit_once("::") {
            Some((before, cast)) if cast.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ' ')) => before,
            _ => match core.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
                Some(inner) => inner,
                None => return core,
            },
        };
        core = less.trim();
    }
}

/// A literal, perhaps with a cast: nothing is called, no clock is named.
fn is_constant(default: &str) -> bool {
    let mut rest = String::new();
    let mut quoted = false;
    for c in default.chars() {
        match c {
            '\'' => quoted = !quoted,
            _ if quoted => {}
            _ => rest.push(c),
        }
    }
    // Read when the row comes, where they are cast at that time only.
    if ["'now'", "'today'", "'tomorrow'", "'yesterday'"].iter().any(|moment| default.contains(moment)) {
        return false;
    }
    let words = rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    let clock = |word: &str| {
        word.starts_with("current_") || word.starts_with("local") || word.ends_with("_user") || word == "user"
    };
    if words.clone().any(clock) {
        return false;
    }
    // A parenthesis behind a word is a call, unless the word is a type with a length.
    let types =
        ["varying", "character", "numeric", "bit", "timestamp", "time", "interval", "char", "varchar", "bpchar"];
    let bytes = rest.as_bytes();
    rest.match_indices('(').all(|(at, _)| {
        let before = rest.get(..at).unwrap_or_default();
        let word =
            before.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '"')).next().unwrap_or_default();
        word.is_empty() && bytes.get(at.wrapping_sub(1)).is_none_or(|byte| *byte != b'"') || types.contains(&word)
    })
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(default: &str) -> Gives {
        gives(&Column {
            name: "c".into(),
            type_oid: 0,
            typmod: -1,
            type_name: String::new(),
            not_null: false,
            collation: None,
            default: Some(default.into()),
            identity: false,
            generated: false,
        })
    }

    #[test]
    fn defaults_are_known_by_their_text() {
        for constant in
            ["0", "'x'::text", "'a(b'::character varying(10)", "'{}'::text[]", "(-1)", "NULL::numeric(3,2)", "true"]
        {
            assert_eq!(of(constant), Gives::Constant, "{constant}");
        }
        for clock in [
            "now()",
            "CURRENT_TIMESTAMP",
            "(now())::date",
            "CURRENT_DATE",
            "(CURRENT_TIMESTAMP)::timestamp without time zone",
        ] {
            assert_eq!(of(clock), Gives::Clock, "{clock}");
        }
        for row in ["gen_random_uuid()", "random()", "(gen_random_uuid())::text"] {
            assert_eq!(of(row), Gives::PerRow, "{row}");
        }
        assert_eq!(of("nextval('s'::regclass)"), Gives::Sequence);
        for other in [
            "f()",
            "s.f(1)",
            "\"F\"(1)",
            "lower('X'::text)",
            "('now'::text)::date",
            "CURRENT_USER",
            "(now() + '1 day'::interval)",
        ] {
            assert_ne!(of(other), Gives::Constant, "{other}");
            assert_ne!(of(other), Gives::Clock, "{other}");
        }
    }
}
