//! Defaults of the columns that an INSERT leaves away, where its rows go to several shards.

use super::refuse::refuse;
use super::splice::{Edits, text};
use super::{Fill, Piece, Refusal};
use crate::catalog::schema::{Column, Relation};
use crate::sql::ast::{Assignment, Expr, ExprKind, Insert, InsertSource, Span, Values, ValuesRow};
use crate::sql::quote::ident;

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
const PER_ROW: &[&str] = &["gen_random_uuid()", "random()", "clock_timestamp()", "pgbraid.unique_id()"];

/// An INSERT whose defaults are to be what they would be on one server.
pub struct Settling<'a> {
    pub sql: &'a str,
    pub relation: &'a Relation,
    pub insert: &'a Insert,
    /// Its rows; `None`: DEFAULT VALUES.
    pub values: Option<&'a Values>,
    /// The sharding key, which must be known; `None`: the same rows go to every shard.
    pub key: Option<&'a str>,
    /// OVERRIDING USER VALUE: what identity columns are given counts for nothing.
    pub leaves_given: bool,
}

/// A column that takes values which are evaluated once.
struct Drawn<'a> {
    column: &'a Column,
    /// Its place among what rows give.
    at: Option<usize>,
    default: String,
    clock: Option<usize>,
}

/// What is evaluated once for the rows of an INSERT.
pub struct Settled {
    /// The key's value of each row, where it is one of those.
    pub keys: Vec<Option<usize>>,
    /// The one row of DEFAULT VALUES.
    pub row: Vec<Piece>,
}

impl<'a> Settling<'a> {
    /// Puts columns and values into the text that are evaluated once, on the home shard: a sequence's values are its.
    pub fn settle(&self, edits: &mut Edits, once: &mut Vec<String>) -> Settled {
        let mut drawn = self.drawn();
        let rows: Vec<Option<&ValuesRow>> = match self.values {
            Some(values) => values.rows.iter().map(Some).collect(),
            None => vec![None],
        };
        let mut keys = Vec::new();
        let mut default_row = vec![text("(")];
        for row in rows {
            let mut key = None;
            let mut added = Vec::new();
            for drawn in &mut drawn {
                let given = drawn.at.and_then(|at| row?.values.get(at));
                let call = given.filter(|given| is_draw(given) && !self.is_left(drawn.column, given));
                if call.is_none() && given.is_some_and(|given| !self.is_left(drawn.column, given)) {
                    continue;
                }
                let clock = drawn.clock.filter(|_| call.is_none());
                let number = clock.unwrap_or_else(|| {
                    once.push(call.map_or_else(|| drawn.default.clone(), |call| call.span.of(self.sql).to_owned()));
                    once.len() - 1
                });
                if gives(drawn.column) == Gives::Clock && call.is_none() {
                    drawn.clock = Some(number);
                }
                if Some(drawn.column.name.as_str()) == self.key {
                    key = Some(number);
                }
                match given {
                    Some(given) => edits.pieces(given.span, vec![Piece::Once(number)]),
                    None => added.push(number),
                }
            }
            keys.push(key);
            match row {
                Some(_) if added.is_empty() => {}
                Some(row) => {
                    let end = Span::new(row.span.end - 1, row.span.end - 1);
                    let added = added.into_iter().flat_map(|number| [text(", "), Piece::Once(number)]).collect();
                    edits.pieces(end, added);
                }
                None => {
                    for (turn, number) in added.into_iter().enumerate() {
                        default_row.extend((turn > 0).then(|| text(", ")));
                        default_row.push(Piece::Once(number));
                    }
                }
            }
        }
        default_row.push(text(")"));
        self.columns(&drawn, edits);
        Settled { keys, row: default_row }
    }

    /// The columns whose defaults some row takes, and that shards wouldn't give alike.
    fn drawn(&self) -> Vec<Drawn<'a>> {
        let rows = self.values.map(|values| values.rows.as_slice()).unwrap_or_default();
        let width = rows.first().map_or(0, |row| row.values.len());
        let mut drawn = Vec::new();
        for (position, column) in self.relation.columns.iter().enumerate().filter(|(_, column)| !column.generated) {
            let at = match &self.insert.columns {
                Some(columns) => columns.iter().position(|given| given.name.value == column.name),
                None => (position < width).then_some(position),
            };
            let left =
                |row: &ValuesRow| at.and_then(|at| row.values.get(at)).is_none_or(|given| self.is_left(column, given));
            let omitted = self.values.is_none() || rows.iter().any(left);
            let is_key = self.key == Some(column.name.as_str());
            let alike = match gives(column) {
                Gives::Constant => !is_key || column.default.is_none(),
                Gives::PerRow => !is_key && self.key.is_some(),
                _ => false,
            };
            let called = |row: &ValuesRow| at.and_then(|at| row.values.get(at)).is_some_and(is_draw);
            if omitted && !alike || rows.iter().any(called) && self.key.is_some() {
                drawn.push(Drawn { column, at, default: default_of(self.relation, column), clock: None });
            }
        }
        drawn
    }

    /// Whether the column takes its default though this stands there.
    fn is_left(&self, column: &Column, given: &Expr) -> bool {
        matches!(given.kind, ExprKind::Default) || column.identity && self.leaves_given
    }

    /// Names the columns that are added.
    fn columns(&self, drawn: &[Drawn<'_>], edits: &mut Edits) {
        let added: Vec<String> =
            drawn.iter().filter(|drawn| drawn.at.is_none()).map(|drawn| ident(&drawn.column.name)).collect();
        match self.insert.columns.as_ref().and_then(|columns| columns.last()) {
            _ if added.is_empty() => {}
            Some(last) => edits.insert(last.span.end, format!(", {}", added.join(", "))),
            None => {
                let width = self.values.and_then(|values| values.rows.first()).map_or(0, |row| row.values.len());
                let named = self.relation.columns.iter().take(width).map(|column| ident(&column.name));
                let names: Vec<String> = named.chain(added).collect();
                edits.insert(self.insert.table.span.end, format!(" ({})", names.join(", ")));
            }
        }
        if drawn.iter().any(|drawn| drawn.column.identity) {
            const OVERRIDING: &str = "OVERRIDING SYSTEM VALUE";
            match (self.insert.overriding, &self.insert.source) {
                (Some(span), _) => edits.replace(span, OVERRIDING),
                (None, InsertSource::Query(query)) => edits.insert(query.span.start, format!("{OVERRIDING} ")),
                // It is part of what takes the place of DEFAULT VALUES.
                (None, InsertSource::DefaultValues(_)) => {}
            }
        }
    }
}

/// The expression that gives a column's default.
pub fn default_of(relation: &Relation, column: &Column) -> String {
    if !column.identity {
        return column.default.clone().unwrap_or_else(|| "NULL".to_owned());
    }
    let literal = |text: &str| format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    let table = literal(&format!("{}.{}", ident(&relation.schema), ident(&relation.name)));
    let name = literal(&column.name);
    format!("pg_catalog.nextval(pg_catalog.pg_get_serial_sequence({table}, {name})::pg_catalog.regclass)")
}

/// Columns that a query's rows leave away, and that shards wouldn't give alike.
#[derive(Default)]
pub struct Omitted<'a> {
    /// One value for all rows.
    pub once: Vec<&'a Column>,
    /// Another for each.
    pub drawn: Vec<&'a Column>,
}

/// Sorts columns that are left away. `key`: the sharding key, which must be known; `None`: the same rows go to every shard.
pub fn omitted<'a>(columns: impl Iterator<Item = &'a Column>, key: Option<&str>) -> Omitted<'a> {
    let mut omitted = Omitted::default();
    for column in columns.filter(|column| !column.generated) {
        match gives(column) {
            _ if key == Some(column.name.as_str()) && (column.default.is_some() || column.identity) => {
                omitted.drawn.push(column);
            }
            Gives::Constant => {}
            Gives::PerRow if key.is_some() => {}
            Gives::Clock => omitted.once.push(column),
            _ => omitted.drawn.push(column),
        }
    }
    omitted
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

/// Whether a default hangs on the moment of its transaction.
fn names_clock(column: &Column) -> bool {
    let plain = column.default.as_deref().unwrap_or_default().to_ascii_lowercase();
    CLOCKS.iter().any(|clock| plain.contains(clock)) || plain.contains("_timestamp") || plain.contains("'now'")
}

/// What stands for a column that a COPY leaves out: `None`, where each shard's own default is right. `copies`: the same rows go
/// to every shard; `key`: it must be known.
///
/// # Errors
/// Nothing that is known to be right.
pub fn left_out(relation: &Relation, column: &Column, copies: bool, key: bool) -> Result<Option<Fill>, Refusal> {
    let fill = |clock| Fill { column: column.name.clone(), default: default_of(relation, column), clock };
    match gives(column) {
        Gives::Constant if !key => Ok(None),
        Gives::PerRow if !copies && !key => Ok(None),
        Gives::Constant | Gives::PerRow if key && !copies && column.default.is_some() => Ok(Some(fill(false))),
        Gives::Clock if !copies => Ok(Some(fill(true))),
        // Its values are drawn in a session of their own, which has another clock.
        Gives::Sequence if !copies && !names_clock(column) => Ok(Some(fill(false))),
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

/// `nextval('…')`, as a value of a new row.
pub fn is_draw(expr: &Expr) -> bool {
    let ExprKind::Function(call) = &expr.kind else { return false };
    let constant = |value: &Expr| matches!(value.kind, ExprKind::Literal(_));
    let parts: Vec<&str> = call.name.parts.iter().map(|part| part.value.as_str()).collect();
    match (parts.as_slice(), call.args.as_slice()) {
        ([.., "nextval"], [arg]) => constant(&arg.value),
        (["pgbraid", "unique_id"], []) => true,
        _ => false,
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
