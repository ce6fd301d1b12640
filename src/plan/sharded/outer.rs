//! Aggregates that stand in a sub-query and are of the rows around it.

use super::Refusal;
use super::analysis::ScopeId;
use super::names::Resolver;
use crate::sql::ast::Expr;

/// An aggregate whose arguments are being resolved. PostgreSQL takes it for one of the innermost query whose columns its
/// arguments name: if that isn't the query in which it stands, it makes a group of the rows there.
pub struct Aggregated {
    /// The frame of the query in which it stands.
    level: usize,
    own: bool,
    outer: bool,
}

impl Aggregated {
    /// Takes note of a column of this frame. What is further inside is its argument's own.
    pub fn reads(&mut self, level: usize) {
        self.own |= level == self.level;
        self.outer |= level < self.level;
    }
}

impl Resolver<'_> {
    /// Resolves the arguments of an aggregate.
    pub fn aggregate(&mut self, expr: &Expr, scope: ScopeId) -> Result<(), Refusal> {
        let level = self.frames.len().saturating_sub(1);
        self.aggregated.push(Aggregated { level, own: false, outer: false });
        let resolved = self.within(expr, scope);
        let found = self.aggregated.pop();
        self.out.outer_aggregates |= found.is_some_and(|found| found.outer && !found.own);
        resolved
    }

    /// Takes note of a FROM item that is named.
    pub fn aggregates_row(&mut self, schema: Option<&str>, alias: &str) {
        if self.aggregated.is_empty() {
            return;
        }
        let holds = |frame: &super::names::Namespace| {
            let mut entries = frame.entries.iter();
            entries.any(|entry| entry.alias == alias && (schema.is_none() || entry.schema.as_deref() == schema))
        };
        if let Some(level) = self.frames.iter().rposition(holds) {
            self.aggregated.iter_mut().for_each(|aggregate| aggregate.reads(level));
        }
    }
}
