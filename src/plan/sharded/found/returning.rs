//! What stays of a statement whose rows are found first, where it names columns of other tables: these come with the rows.

use super::{Finding, Told};
use crate::plan::sharded::Refusal;
use crate::plan::sharded::analysis::*;
use crate::plan::sharded::refuse::unsupported;
use crate::plan::sharded::walk::{Part, parts};
use crate::sql::ast::*;
use crate::sql::quote::ident;

impl Finding<'_> {
    /// RETURNING, item by item: what the shards tell of the row as it is stored, with values that came with it.
    pub(super) fn returned(&mut self) -> Result<Vec<Told>, Refusal> {
        let mut out = Vec::new();
        let returning = self.parts.returning;
        for item in returning.iter().flat_map(|returning| &returning.items) {
            match &item.kind {
                SelectItemKind::Expr(expr) => {
                    self.replace_others(expr)?;
                    self.kept.push(item.span);
                    out.push(Told::Words(item.span));
                }
                SelectItemKind::Star(_) => {
                    let star = self.analysis().stars.get(&item.span).cloned();
                    let targets = star.ok_or_else(|| unsupported("star", "this RETURNING"))?;
                    for target in targets {
                        out.push(Told::Text(self.star(&target)?));
                    }
                }
            }
        }
        Ok(out)
    }

    /// One column that `*` stands for.
    fn star(&mut self, targets: &[Target]) -> Result<String, Refusal> {
        let merged = || unsupported("star", "* over joined tables in RETURNING");
        let &[target] = targets else { return Err(merged()) };
        let (item, column) = (self.analysis().refs.get(target.0), self.analysis().column(target));
        let (Some(item), Some(column)) = (item, column) else { return Err(merged()) };
        let named = format!("{}.{}", ident(&item.name), ident(&column.name));
        if target.0 == self.write.id {
            return Ok(named);
        }
        let aliased = |item: &FromItem| matches!(item, FromItem::Join(join) if join.alias.is_some());
        if self.parts.from.is_some_and(|from| from.items.iter().any(aliased)) {
            return Err(merged());
        }
        let collation = self.collation(target);
        Ok(self.give(named, collation))
    }

    /// Puts what came with the row in place of other tables' columns, and of sub-queries.
    pub(super) fn replace_others(&mut self, expr: &Expr) -> Result<(), Refusal> {
        for (span, target) in self.others(expr)? {
            let collation = self.collation(target);
            let given = self.give(span.of(self.sql).to_owned(), collation);
            self.edits.replace(span, given);
        }
        self.queries(expr)
    }

    /// Sub-queries of RETURNING that stand by themselves: PostgreSQL, too, answers each once.
    fn queries(&mut self, expr: &Expr) -> Result<(), Refusal> {
        if let ExprKind::Subquery(query) | ExprKind::Exists(query) | ExprKind::ArrayQuery(query) = &expr.kind {
            let inside = self.analysis().queries.get(&(0, query.span)).map(|level| level.inside.clone());
            let inside = inside.ok_or_else(|| unsupported("subquery", "a sub-query in RETURNING or MERGE"))?;
            let within = |span: &Span| span.start >= query.span.start && span.end <= query.span.end;
            let apart = self.analysis().columns.iter().all(|((number, span), targets)| {
                *number != 0 || !within(span) || targets.iter().all(|target| inside.contains(&target.0))
            });
            if !apart {
                return Err(unsupported("subquery", "a sub-query in RETURNING or MERGE that names columns around it"));
            }
            self.per_row(query.span)?;
            let given = self.give(expr.span.of(self.sql).to_owned(), None);
            self.edits.replace(expr.span, given);
            return Ok(());
        }
        for part in parts(expr) {
            match part {
                Part::Expr(part) => self.queries(part)?,
                Part::Query(_) => return Err(unsupported("subquery", "a sub-query in RETURNING or MERGE")),
            }
        }
        Ok(())
    }

    /// A column's collation, where it isn't the database's own.
    fn collation(&self, column: Target) -> Option<String> {
        match &self.analysis().column(column)?.collation {
            Known::Collation(collation) => {
                let own = collation.name == self.writing.resolver.context.schema.collation.name;
                (!own).then(|| collation.name.clone())
            }
            _ => None,
        }
    }
}
