//! Numbers the rows of an INSERT over several shards, so that RETURNING says which of them it is about.
//!
//! ON CONFLICT may leave rows out, and RETURNING's rows come in the order of VALUES without those. Within a shard PostgreSQL
//! evaluates a row of VALUES, inserts it and evaluates RETURNING before it looks at the next row: `INSERT` takes its rows from the
//! node below one by one, and gives each on (`ExecModifyTable`). So a setting of the transaction's that the row sets as it is
//! evaluated is, when RETURNING reads it, that row's. It stands within one of the row's values, as `CASE WHEN (it is set) IS
//! NULL THEN NULL ELSE value END`, which has the type of the value; where a value has no type of its own it is given its
//! column's, without a modifier, as PostgreSQL first does with such a constant too (`coerce_type`).

use super::splice::Edits;
use crate::catalog::schema::{Column, Oid, Relation, Type};
use crate::sql::ast::{Expr, ExprKind, Insert, Literal, Returning, Values};
use crate::sql::quote::ident;
use crate::value::oid;

/// The setting that has a row's number, within a transaction.
const ROW_NUMBER: &str = "pgbraid.row";

/// An INSERT whose rows are to be numbered.
pub struct Numbering<'a> {
    pub relation: &'a Relation,
    pub insert: &'a Insert,
    pub values: &'a Values,
    /// OVERRIDING USER VALUE: what identity columns are given is left away.
    pub leaves_given: bool,
    pub type_of: &'a dyn Fn(Oid) -> Option<&'a Type>,
}

impl Numbering<'_> {
    /// Puts the numbers into the rows, and the number as one more column behind RETURNING's. False: some row has no value
    /// that can carry it, and nothing is changed.
    pub fn edit(&self, returning: &Returning, edits: &mut Edits) -> bool {
        let mut carriers = Vec::new();
        for row in &self.values.rows {
            let untyped =
                || row.values.iter().enumerate().find_map(|(at, value)| Some((value, Some(self.cast(at, value)?))));
            let typed = row.values.iter().enumerate().find(|(at, value)| typed(value) && self.stays(*at));
            match typed.map(|(_, value)| (value, None)).or_else(untyped) {
                Some(carrier) => carriers.push(carrier),
                None => return false,
            }
        }
        for (number, (value, cast)) in carriers.into_iter().enumerate() {
            let open = if cast.is_some() { "CAST(" } else { "" };
            let close = cast.map(|name| format!(" AS {name})")).unwrap_or_default();
            let head = format!(
                "CASE WHEN pg_catalog.set_config('{ROW_NUMBER}', '{number}', true) IS NULL THEN NULL ELSE {open}"
            );
            edits.insert_apart(value.span.start, head);
            edits.insert_apart(value.span.end, format!("{close} END"));
        }
        edits.insert_apart(returning.span.end, format!(", pg_catalog.current_setting('{ROW_NUMBER}')"));
        true
    }

    /// The column that value `at` of each row is for, where it is all of one.
    fn column(&self, at: usize) -> Option<&Column> {
        match &self.insert.columns {
            Some(columns) => {
                let given = columns.get(at).filter(|given| !given.part)?;
                self.relation.columns.iter().find(|column| column.name == given.name.value)
            }
            None => self.relation.columns.get(at),
        }
    }

    /// Whether no other value will take the place of this one.
    fn stays(&self, at: usize) -> bool {
        self.column(at).is_some_and(|column| !(column.identity && self.leaves_given))
    }

    /// The type that a constant without one is given first, when it is inserted as value `at`. A domain's is that of its
    /// base with all modifiers, and an interval's has its own: these aren't told by a name alone.
    fn cast(&self, at: usize, value: &Expr) -> Option<String> {
        let ExprKind::Literal(Literal::Text(_) | Literal::Null) = &value.kind else { return None };
        let column = self.column(at).filter(|_| self.stays(at))?;
        let known = (self.type_of)(column.type_oid)?;
        let plain = matches!(known.kind, b'b' | b'e') && column.type_oid != oid::INTERVAL;
        plain.then(|| format!("{}.{}", ident(&known.schema), ident(&known.name)))
    }
}

/// Whether the value has a type by itself, and nothing in it is to be evaluated before: a parameter is sent with its own.
fn typed(value: &Expr) -> bool {
    match &value.kind {
        ExprKind::Param(_) | ExprKind::Literal(Literal::Number | Literal::Bool(_)) => true,
        ExprKind::Cast { operand, .. } => typed(operand) || matches!(operand.kind, ExprKind::Literal(_)),
        ExprKind::Prefix { operator, qualified: false, operand } => {
            matches!(operator.as_str(), "-" | "+") && matches!(operand.kind, ExprKind::Literal(Literal::Number))
        }
        _ => false,
    }
}
