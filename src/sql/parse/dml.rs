//! INSERT, UPDATE, DELETE, MERGE.

use super::cursor::{Parser, Read};
use super::keywords::Keyword as K;
use crate::sql::TokenKind;
use crate::sql::ast::{
    Alias, Assignment, Clause, Delete, FromTable, Ident, Insert, InsertSource, Merge, MergeAction, MergeWhen,
    OnConflict, Returning, Statement, TargetColumn, Update, With,
};

impl Parser<'_> {
    /// `PreparableStmt`: a query or DML, with its WITH.
    pub(super) fn preparable(&mut self) -> Read<Statement> {
        let start = self.start();
        let with = self.with()?;
        self.preparable_after_with(start, with)
    }

    fn preparable_after_with(&mut self, start: u32, with: Option<With>) -> Read<Statement> {
        Ok(match self.tok.word {
            K::Insert => Statement::Insert(Box::new(self.insert(start, with)?)),
            K::Update => Statement::Update(Box::new(self.update(start, with)?)),
            K::Delete => Statement::Delete(Box::new(self.delete(start, with)?)),
            K::Merge => Statement::Merge(Box::new(self.merge(start, with)?)),
            _ => Statement::Query(Box::new(self.query_after_with(start, with)?)),
        })
    }

    fn insert(&mut self, start: u32, with: Option<With>) -> Read<Insert> {
        self.advance();
        self.want(K::Into)?;
        let table_start = self.start();
        let name = self.qualified_name()?;
        let alias = if self.is(K::As) { self.plain_alias()? } else { None };
        let table = FromTable { span: self.since(table_start), name, only: false, alias, tablesample: None };
        let mut columns = None;
        let mut overriding = None;
        let source = if self.are(&[K::Default, K::Values]) {
            let start = self.start();
            self.advance();
            self.advance();
            InsertSource::DefaultValues(self.since(start))
        } else {
            let paren = self.is_kind(TokenKind::LeftParen);
            if paren && !self.is_query_at(1) && self.ahead(1).kind != TokenKind::LeftParen {
                columns = Some(self.target_columns()?);
            }
            overriding = self.overriding()?;
            InsertSource::Query(self.query()?)
        };
        let on_conflict = self.on_conflict()?;
        let returning = self.returning()?;
        let span = self.since(start);
        Ok(Insert { span, with, table, columns, overriding, source, on_conflict, returning })
    }

    /// `OVERRIDING USER | SYSTEM VALUE`
    fn overriding(&mut self) -> Read<Option<crate::sql::ast::Span>> {
        let start = self.start();
        if !self.take(K::Overriding) {
            return Ok(None);
        }
        if self.take_any(&[K::User, K::System]).is_none() {
            return self.stop("USER");
        }
        self.want(K::Value)?;
        Ok(Some(self.since(start)))
    }

    /// `(a, b[1], c.d)`
    fn target_columns(&mut self) -> Read<Vec<TargetColumn>> {
        self.want_kind(TokenKind::LeftParen)?;
        let columns = self.list(Self::target_column)?;
        self.want_kind(TokenKind::RightParen)?;
        Ok(columns)
    }

    /// `ColId opt_indirection`
    fn target_column(&mut self) -> Read<TargetColumn> {
        let start = self.start();
        let name = self.column_id()?;
        let mut part = false;
        loop {
            if self.take_kind(TokenKind::Dot) {
                self.ident()?;
            } else if self.is_symbol("[") {
                self.subscript()?;
            } else {
                return Ok(TargetColumn { name, part, span: self.since(start) });
            }
            part = true;
        }
    }

    fn on_conflict(&mut self) -> Read<Option<OnConflict>> {
        let start = self.start();
        if !self.take(K::On) {
            return Ok(None);
        }
        self.want(K::Conflict)?;
        let target_start = self.start();
        let mut columns = Vec::new();
        if self.take_all(&[K::On, K::Constraint]) {
            self.column_id()?;
        } else if self.take_kind(TokenKind::LeftParen) {
            self.list(|parser| parser.index_element(&mut columns))?;
            self.want_kind(TokenKind::RightParen)?;
            self.clause(K::Where)?;
        }
        let target = (target_start != self.start()).then(|| self.since(target_start));
        self.want(K::Do)?;
        let (mut update, mut filter) = (None, None);
        if !self.take(K::Nothing) {
            self.want(K::Update)?;
            self.want(K::Set)?;
            update = Some(self.list(Self::assignment)?);
            filter = self.clause(K::Where)?;
        }
        Ok(Some(OnConflict { span: self.since(start), target, target_columns: columns, update, filter }))
    }

    /// `index_elem`; a plain column is put down.
    fn index_element(&mut self, columns: &mut Vec<Ident>) -> Read<()> {
        let next = self.ahead(1);
        let call = matches!(next.kind, TokenKind::LeftParen | TokenKind::Dot);
        if self.take_kind(TokenKind::LeftParen) {
            self.expr()?;
            self.want_kind(TokenKind::RightParen)?;
        } else if Self::is_column_id(self.tok) && !call {
            columns.push(self.ident()?);
        } else {
            self.plain_call()?;
        }
        if self.take(K::Collate) {
            self.qualified_name()?;
        }
        if Self::is_column_id(self.tok) && !self.are(&[K::Nulls, K::First]) && !self.are(&[K::Nulls, K::Last]) {
            self.qualified_name()?;
            if self.is_kind(TokenKind::LeftParen) {
                return self.stop("no options of an operator class");
            }
        }
        self.take_any(&[K::Asc, K::Desc]);
        if self.take(K::Nulls) && self.take_any(&[K::First, K::Last]).is_none() {
            return self.stop("FIRST");
        }
        Ok(())
    }

    /// `target = value`, `(a, b) = value`
    fn assignment(&mut self) -> Read<Assignment> {
        let start = self.start();
        let columns =
            if self.is_kind(TokenKind::LeftParen) { self.target_columns()? } else { vec![self.target_column()?] };
        self.want_symbol("=")?;
        let value = self.expr()?;
        Ok(Assignment { span: self.since(start), columns, value })
    }

    pub(super) fn returning(&mut self) -> Read<Option<Returning>> {
        let start = self.start();
        if !self.take(K::Returning) {
            return Ok(None);
        }
        if self.is(K::With) {
            return self.stop("what to return");
        }
        let items = self.select_items()?;
        Ok(Some(Returning { span: self.since(start), items }))
    }

    /// `[AS] alias` of a target. SET is none without AS.
    fn plain_alias(&mut self) -> Read<Option<Alias>> {
        let start = self.start();
        let with_as = self.take(K::As);
        if !with_as && (!Self::is_column_id(self.tok) || self.is(K::Set)) {
            return Ok(None);
        }
        let name = self.column_id()?;
        Ok(Some(Alias { span: self.since(start), name, columns: Vec::new() }))
    }

    /// `relation_expr_opt_alias`
    fn target_table(&mut self) -> Read<FromTable> {
        let start = self.start();
        let mut table = self.relation()?;
        table.alias = self.plain_alias()?;
        table.span = self.since(start);
        Ok(table)
    }

    fn update(&mut self, start: u32, with: Option<With>) -> Read<Update> {
        self.advance();
        let table = self.target_table()?;
        self.want(K::Set)?;
        let assignments = self.list(Self::assignment)?;
        let from = self.from_clause(K::From)?;
        let (filter, current_of) = self.filter_or_current()?;
        let returning = self.returning()?;
        let span = self.since(start);
        Ok(Update { span, with, table, assignments, from, filter, current_of, returning })
    }

    fn delete(&mut self, start: u32, with: Option<With>) -> Read<Delete> {
        self.advance();
        self.want(K::From)?;
        let table = self.target_table()?;
        let using = self.from_clause(K::Using)?;
        let (filter, current_of) = self.filter_or_current()?;
        let returning = self.returning()?;
        Ok(Delete { span: self.since(start), with, table, using, filter, current_of, returning })
    }

    /// `WHERE condition` or `WHERE CURRENT OF cursor`
    fn filter_or_current(&mut self) -> Read<(Option<Clause>, Option<Ident>)> {
        if self.take_all(&[K::Where, K::Current, K::Of]) {
            return Ok((None, Some(self.column_id()?)));
        }
        Ok((self.clause(K::Where)?, None))
    }

    fn merge(&mut self, start: u32, with: Option<With>) -> Read<Merge> {
        self.advance();
        self.want(K::Into)?;
        let table = self.target_table()?;
        self.want(K::Using)?;
        let source = self.from_item()?;
        self.want(K::On)?;
        let on = self.expr()?;
        let mut whens = Vec::new();
        if !self.is(K::When) {
            return self.stop("WHEN");
        }
        while self.take(K::When) {
            whens.push(self.merge_when()?);
        }
        let returning = self.returning()?;
        Ok(Merge { span: self.since(start), with, table, source, on, whens, returning })
    }

    /// `[NOT] MATCHED [BY SOURCE | TARGET] [AND condition] THEN action`
    fn merge_when(&mut self) -> Read<MergeWhen> {
        let not = self.take(K::Not);
        self.want(K::Matched)?;
        let mut inserts = not;
        if not && self.take(K::By) {
            let word = self.text(self.tok).to_ascii_lowercase();
            match word.as_str() {
                "source" => inserts = false,
                "target" => {}
                _ => return self.stop("SOURCE"),
            }
            self.advance();
        }
        let condition = if self.take(K::And) { Some(self.expr()?) } else { None };
        self.want(K::Then)?;
        let action = if self.take_all(&[K::Do, K::Nothing]) {
            MergeAction::Nothing
        } else if inserts {
            self.merge_insert()?
        } else if self.take(K::Delete) {
            MergeAction::Delete
        } else {
            self.want(K::Update)?;
            self.want(K::Set)?;
            MergeAction::Update(self.list(Self::assignment)?)
        };
        Ok(MergeWhen { matched: !not, by_source: not && !inserts, condition, action })
    }

    fn merge_insert(&mut self) -> Read<MergeAction> {
        self.want(K::Insert)?;
        if self.take_all(&[K::Default, K::Values]) {
            return Ok(MergeAction::Insert { columns: None, overriding: None, values: None });
        }
        let columns = if self.is_kind(TokenKind::LeftParen) { Some(self.target_columns()?) } else { None };
        let overriding = self.overriding()?;
        self.want(K::Values)?;
        self.want_kind(TokenKind::LeftParen)?;
        let values = Some(self.list(Self::expr)?);
        self.want_kind(TokenKind::RightParen)?;
        Ok(MergeAction::Insert { columns, overriding, values })
    }
}
