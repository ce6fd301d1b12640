//! What stays of a statement whose rows are found first, where it names columns of other tables: these come with the rows.

use super::{Finding, ROWS, Told};
use crate::catalog::schema::{Collation, Type};
use crate::plan::sharded::Refusal;
use crate::plan::sharded::analysis::*;
use crate::plan::sharded::refuse::unsupported;
use crate::plan::sharded::walk::{Part, bare, parts};
use crate::sql::Lexer;
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
        let others = self.others(expr)?;
        // They take names from their arguments' texts.
        if !others.is_empty() && self.mentions(&["xmlforest", "xmlattributes"]) {
            return Err(unsupported(
                "xml",
                "XML whose elements bear the names of other tables' columns, in such a write",
            ));
        }
        for (span, target) in others {
            let collation = self.collation(target);
            let at = self.place(span.of(self.sql).to_owned(), collation);
            let unknown = self.analysis().column(target).is_none_or(|column| column.collation == Known::Unknown);
            if unknown && bare(expr).span != span {
                self.lose_collation(at);
            }
            self.edits.replace(span, format!("{ROWS}.pgbraid_{at}"));
        }
        self.queries(expr, bare(expr).span)
    }

    /// Whether the statement has one of these words, in lower case.
    fn mentions(&self, words: &[&str]) -> bool {
        let (sql, standard) = (self.sql.as_bytes(), self.writing.resolver.context.standard_strings);
        Lexer::new(sql, standard).any(|token| token.is_name() && words.contains(&token.name(sql).as_str()))
    }

    /// Sub-queries of RETURNING that stand by themselves: PostgreSQL, too, answers each once.
    /// `whole`: the expression that they stand in, or are.
    fn queries(&mut self, expr: &Expr, whole: Span) -> Result<(), Refusal> {
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
            let at = self.place(expr.span.of(self.sql).to_owned(), None);
            if expr.span != whole {
                self.lose_collation(at);
            }
            self.edits.replace(expr.span, format!("{ROWS}.pgbraid_{at}"));
            return Ok(());
        }
        for part in parts(expr) {
            match part {
                Part::Expr(part) => self.queries(part, whole)?,
                Part::Query(_) => return Err(unsupported("subquery", "a sub-query in RETURNING or MERGE")),
            }
        }
        Ok(())
    }

    /// A column's collation, where it is known not to be the database's own.
    fn collation(&self, column: Target) -> Option<String> {
        match &self.analysis().column(column)?.collation {
            Known::Collation(collation) => (!self.is_own(collation)).then(|| collation.name.clone()),
            _ => None,
        }
    }

    fn is_own(&self, collation: &Collation) -> bool {
        collation.name == self.writing.resolver.context.schema.collation.name
    }

    /// Notes that a value stands within an expression without its collation, which isn't known. Arrays carry none. Where the
    /// statement can have but the database's own, that one is meant: others come by COLLATE, columns and domains.
    fn lose_collation(&mut self, at: usize) {
        let types = &self.writing.resolver.context.schema.types;
        let domain = |known: &&Type| known.kind == b'd' && known.collatable;
        let domains = || types.values().filter(domain);
        let named: Vec<&str> = domains().map(|known| known.name.as_str()).chain(["collate"]).collect();
        let returned = |call: &Called| {
            let functions = self.writing.resolver.context.schema.functions.get(&call.name);
            functions.is_some_and(|all| all.iter().any(|function| domains().any(|known| known.oid == function.returns)))
        };
        let other = |column: &OutColumn| matches!(&column.collation, Known::Collation(it) if !self.is_own(it));
        let analysis = self.analysis();
        let others = self.mentions(&named)
            || analysis.calls.iter().any(returned)
            || analysis.refs.iter().any(|item| item.columns.iter().any(other));
        if others {
            self.uncollated.insert(at);
        }
    }
}
