//! Statement and catalog to a plan with its proof. Pure.

pub mod model;

pub use model::*;

use crate::catalog::Catalog;
use crate::sql::statement;

/// What a plan hangs on besides the text.
pub struct Context<'a> {
    pub catalog: &'a Catalog,
    /// The session's `search_path` is the database's default.
    pub search_path_is_default: bool,
    pub standard_conforming_strings: bool,
}

/// Plans the query string of a Query or Parse message.
pub fn plan(sql: &[u8], context: &Context<'_>) -> Plan {
    let empty = statement::split(sql, context.standard_conforming_strings)
        .is_some_and(|statements| statements.statements.is_empty());
    let unknown = Step { kind: Kind::Unknown, span: 0..sql.len(), writes: WriteSet::All, pins: None };
    Plan {
        steps: if empty { Box::default() } else { Box::new([unknown]) },
        replica: None,
        primary_reason: "not parsed",
        opaque: !empty,
        hints: Hints::default(),
    }
}
