//! Queries: WITH, set operations, SELECT and its clauses, ORDER BY, LIMIT, locking.

use super::cursor::{Parser, Read};
use super::keywords::Keyword as K;
use crate::sql::TokenKind;
use crate::sql::ast::{
    Clause, Cte, Distinct, ExprKind, GroupBy, GroupItem, Ident, Limit, Locking, NamedWindow, Offset, OrderBy,
    OrderItem, Query, QueryBody, Select, SelectItem, SelectItemKind, SetOperation, SetOperator, Span, Values,
    ValuesRow, With,
};

/// The bytes of a query's body.
fn span_of(body: &QueryBody) -> Span {
    match body {
        QueryBody::Select(select) => select.span,
        QueryBody::Values(values) => values.span,
        QueryBody::Table(_, span) => *span,
        QueryBody::SetOperation(operation) => operation.span,
        QueryBody::Nested(_, span) => *span,
    }
}

impl Parser<'_> {
    /// A query without parentheses around it (or one in parentheses that goes on after them).
    pub(super) fn query(&mut self) -> Read<Query> {
        self.nested(|parser| {
            let start = parser.start();
            let with = parser.with()?;
            parser.query_after_with(start, with)
        })
    }

    pub(super) fn query_after_with(&mut self, start: u32, with: Option<With>) -> Read<Query> {
        let before = std::mem::take(&mut self.tallest);
        let first = self.query_operand()?;
        let body = self.set_operations(first, 0)?;
        let query = self.query_tail(start, with, body)?;
        self.tallest = self.tallest.max(before);
        Ok(query)
    }

    /// A query whose first operand, in parentheses, was already read.
    pub(super) fn query_from(&mut self, first: QueryBody) -> Read<Query> {
        let start = span_of(&first).start;
        let body = self.set_operations(first, 0)?;
        self.query_tail(start, None, body)
    }

    /// `simple_select` without set operations, or `select_with_parens`.
    fn query_operand(&mut self) -> Read<QueryBody> {
        match self.tok.word {
            K::Select => self.select().map(|select| QueryBody::Select(Box::new(select))),
            K::Values => self.values().map(QueryBody::Values),
            K::Table => {
                let start = self.start();
                self.advance();
                let table = self.relation()?;
                Ok(QueryBody::Table(table, self.since(start)))
            }
            _ if self.is_kind(TokenKind::LeftParen) => {
                let start = self.start();
                let query = self.query_in_parens()?;
                Ok(QueryBody::Nested(Box::new(query), self.since(start)))
            }
            _ => self.stop("a query"),
        }
    }

    /// UNION and EXCEPT (level 0), INTERSECT (1) after `left`.
    fn set_operations(&mut self, mut left: QueryBody, least: u8) -> Read<QueryBody> {
        let mut height = self.tallest + 1;
        loop {
            let (operator, level) = match self.tok.word {
                K::Union => (SetOperator::Union, 0),
                K::Except => (SetOperator::Except, 0),
                K::Intersect => (SetOperator::Intersect, 1),
                _ => break,
            };
            if level < least {
                break;
            }
            let words = self.start();
            self.advance();
            let all = self.take_any(&[K::All, K::Distinct]) == Some(K::All);
            let operator_span = self.since(words);
            self.tallest = 0;
            let operand = self.query_operand()?;
            let right = self.set_operations(operand, level + 1)?;
            height = height.max(self.tallest) + 1;
            self.check_height(height)?;
            let span = span_of(&left).to(span_of(&right));
            left = QueryBody::SetOperation(Box::new(SetOperation { span, operator, all, operator_span, left, right }));
        }
        self.tallest = height;
        Ok(left)
    }

    /// ORDER BY, then LIMIT with OFFSET and locking clauses in either order.
    fn query_tail(&mut self, start: u32, with: Option<With>, body: QueryBody) -> Read<Query> {
        let mut query =
            Query { span: Span::default(), with, body, order_by: None, limit: None, offset: None, locking: Vec::new() };
        if self.is(K::Order) {
            let start = self.start();
            let items = self.sort_clause()?;
            query.order_by = Some(OrderBy { span: self.since(start), items });
        }
        self.limits(&mut query)?;
        while self.is(K::For) {
            let locking = self.locking()?;
            query.locking.push(locking);
        }
        if query.limit.is_none() && query.offset.is_none() {
            self.limits(&mut query)?;
        }
        query.span = self.since(start);
        Ok(query)
    }

    fn limits(&mut self, query: &mut Query) -> Read<()> {
        loop {
            if matches!(self.tok.word, K::Limit | K::Fetch) && query.limit.is_none() {
                query.limit = Some(self.limit()?);
            } else if self.is(K::Offset) && query.offset.is_none() {
                let start = self.start();
                self.advance();
                let count = self.expr()?;
                // ROW follows a `c_expr` or a number with its sign, not an operator.
                let simple = match &count.kind {
                    ExprKind::Prefix { operand, .. } => matches!(operand.kind, ExprKind::Literal(_)),
                    kind => matches!(
                        kind,
                        ExprKind::Literal(_)
                            | ExprKind::Param(_)
                            | ExprKind::Paren(_)
                            | ExprKind::Column(_)
                            | ExprKind::Subquery(_)
                            | ExprKind::Function(_)
                    ),
                };
                if simple {
                    self.take_any(&[K::Row, K::Rows]);
                }
                query.offset = Some(Offset { span: self.since(start), count });
            } else {
                return Ok(());
            }
        }
    }

    /// `LIMIT n | ALL`, `FETCH FIRST [n] ROWS ONLY | WITH TIES`
    fn limit(&mut self) -> Read<Limit> {
        let start = self.start();
        let mut limit = Limit { span: Span::default(), count: None, implied_one: false, with_ties: false };
        if self.advance().word == K::Limit {
            if !self.take(K::All) {
                limit.count = Some(self.expr()?);
            }
            if self.is_kind(TokenKind::Comma) {
                return self.stop("OFFSET: LIMIT #,# isn't PostgreSQL's");
            }
        } else {
            if self.take_any(&[K::First, K::Next]).is_none() {
                return self.stop("FIRST");
            }
            if matches!(self.tok.word, K::Row | K::Rows) && self.ahead(1).kind != TokenKind::LeftParen {
                limit.implied_one = true;
            } else {
                // `select_fetch_first_value`: a `c_expr`, or a number with its sign.
                let signed = (self.is_symbol("+") || self.is_symbol("-")) && self.ahead(1).kind == TokenKind::Number;
                limit.count = Some(if signed { self.restricted_expr()? } else { self.primary()? });
            }
            if self.take_any(&[K::Row, K::Rows]).is_none() {
                return self.stop("ROWS");
            }
            limit.with_ties = self.take_all(&[K::With, K::Ties]);
            if !limit.with_ties {
                self.want(K::Only)?;
            }
        }
        limit.span = self.since(start);
        Ok(limit)
    }

    /// `FOR UPDATE | NO KEY UPDATE | SHARE | KEY SHARE [OF …] [NOWAIT | SKIP LOCKED]`
    fn locking(&mut self) -> Read<Locking> {
        let start = self.start();
        self.advance();
        let known = self.take(K::Update)
            || self.take(K::Share)
            || self.take_all(&[K::No, K::Key, K::Update])
            || self.take_all(&[K::Key, K::Share]);
        if !known {
            return self.stop("UPDATE");
        }
        let of = if self.take(K::Of) { self.list(Self::qualified_name)? } else { Vec::new() };
        if !self.take(K::Nowait) {
            self.take_all(&[K::Skip, K::Locked]);
        }
        Ok(Locking { span: self.since(start), of })
    }

    /// `WITH [RECURSIVE] …`
    pub(super) fn with(&mut self) -> Read<Option<With>> {
        let start = self.start();
        if !self.take(K::With) {
            return Ok(None);
        }
        // A name `recursive` would need quotes.
        let recursive = self.take(K::Recursive);
        let items = self.list(Self::cte)?;
        Ok(Some(With { span: self.since(start), recursive, items }))
    }

    fn cte(&mut self) -> Read<Cte> {
        let start = self.start();
        let name = self.column_id()?;
        let columns = if self.is_kind(TokenKind::LeftParen) { self.column_ids_in_parens()? } else { Vec::new() };
        self.want(K::As)?;
        let materialized = if self.take(K::Materialized) {
            Some(true)
        } else if self.take_all(&[K::Not, K::Materialized]) {
            Some(false)
        } else {
            None
        };
        let open = self.start();
        self.want_kind(TokenKind::LeftParen)?;
        let statement = self.nested(Self::preparable)?;
        self.want_kind(TokenKind::RightParen)?;
        let statement_span = self.since(open);
        let search_or_cycle = self.search_and_cycle()?;
        Ok(Cte { span: self.since(start), name, columns, materialized, statement, statement_span, search_or_cycle })
    }

    fn search_and_cycle(&mut self) -> Read<bool> {
        let search = self.take(K::Search);
        if search {
            if !self.take_all(&[K::Breadth, K::First, K::By]) && !self.take_all(&[K::Depth, K::First, K::By]) {
                return self.stop("BREADTH FIRST BY");
            }
            self.list(Self::column_id)?;
            self.want(K::Set)?;
            self.column_id()?;
        }
        let cycle = self.take(K::Cycle);
        if cycle {
            self.list(Self::column_id)?;
            self.want(K::Set)?;
            self.column_id()?;
            if self.take(K::To) {
                self.any_constant()?;
                self.want(K::Default)?;
                self.any_constant()?;
            }
            self.want(K::Using)?;
            self.column_id()?;
        }
        Ok(search || cycle)
    }

    /// `AexprConst`
    fn any_constant(&mut self) -> Read<()> {
        let start = self.start();
        let constant = self.primary()?;
        match constant.kind {
            ExprKind::Literal(_) => Ok(()),
            ExprKind::Cast { .. } if self.tok.word == K::Default || self.tok.word == K::Using => Ok(()),
            _ => Err(super::Stopped { at: start, expected: "a constant" }),
        }
    }

    fn values(&mut self) -> Read<Values> {
        let start = self.start();
        self.want(K::Values)?;
        let rows = self.list(|parser| {
            let start = parser.start();
            parser.want_kind(TokenKind::LeftParen)?;
            let values = parser.list(Self::expr)?;
            parser.want_kind(TokenKind::RightParen)?;
            Ok(ValuesRow { span: parser.since(start), values })
        })?;
        Ok(Values { span: self.since(start), rows })
    }

    /// Whether a list of what to select is missing here.
    fn no_items(&self) -> bool {
        matches!(self.tok.kind, TokenKind::Space | TokenKind::RightParen | TokenKind::Semicolon)
            || self.goes_on_as_query()
            || matches!(
                self.tok.word,
                K::From | K::Into | K::Where | K::Group | K::Having | K::Window | K::On | K::Returning
            )
    }

    fn select(&mut self) -> Read<Select> {
        let start = self.start();
        self.want(K::Select)?;
        let distinct = self.distinct()?;
        if distinct.is_none() {
            self.take(K::All);
        }
        let items_start = self.start();
        let (items, items_span) = if distinct.is_none() && self.no_items() {
            // Where they would stand: right after what was read.
            let end = self.since(start).end;
            (Vec::new(), Span::new(end, end))
        } else {
            let items = self.select_items()?;
            (items, self.since(items_start))
        };
        let into = self.into_clause()?;
        let from = self.from_clause(K::From)?;
        let filter = self.clause(K::Where)?;
        let group_by = self.group_by()?;
        let having = self.clause(K::Having)?;
        let windows = if self.take(K::Window) {
            self.list(|parser| {
                let name = parser.column_id()?;
                parser.want(K::As)?;
                Ok(NamedWindow { name, window: parser.window()? })
            })?
        } else {
            Vec::new()
        };
        let span = self.since(start);
        Ok(Select { span, distinct, items, items_span, into, from, filter, group_by, having, windows })
    }

    fn distinct(&mut self) -> Read<Option<Distinct>> {
        let start = self.start();
        if !self.take(K::Distinct) {
            return Ok(None);
        }
        let on = if self.take(K::On) {
            self.want_kind(TokenKind::LeftParen)?;
            let on = self.list(Self::expr)?;
            self.want_kind(TokenKind::RightParen)?;
            Some(on)
        } else {
            None
        };
        Ok(Some(Distinct { span: self.since(start), on }))
    }

    /// `target_list`
    pub(super) fn select_items(&mut self) -> Read<Vec<SelectItem>> {
        self.list(|parser| {
            let start = parser.start();
            if parser.take_symbol("*") {
                return Ok(SelectItem { span: parser.since(start), kind: SelectItemKind::Star(None), alias: None });
            }
            let expr = parser.expr()?;
            // Parentheses around it change nothing.
            let mut inner = &expr;
            while let ExprKind::Paren(within) = &inner.kind {
                inner = within;
            }
            let kind = match &inner.kind {
                ExprKind::WholeRow(name) => SelectItemKind::Star(Some(name.clone())),
                _ => SelectItemKind::Expr(expr),
            };
            let alias = parser.label()?;
            Ok(SelectItem { span: parser.since(start), kind, alias })
        })
    }

    /// `[AS] label`
    fn label(&mut self) -> Read<Option<Ident>> {
        if self.take(K::As) || Self::is_bare_label(self.tok) {
            return self.ident().map(Some);
        }
        Ok(None)
    }

    /// `INTO [TEMP | UNLOGGED …] [TABLE] name`
    fn into_clause(&mut self) -> Read<Option<Span>> {
        let start = self.start();
        if !self.take(K::Into) {
            return Ok(None);
        }
        if self.take_any(&[K::Local, K::Global]).is_some() {
            if self.take_any(&[K::Temporary, K::Temp]).is_none() {
                return self.stop("TEMPORARY");
            }
        } else {
            self.take_any(&[K::Temporary, K::Temp, K::Unlogged]);
        }
        self.take(K::Table);
        self.qualified_name()?;
        Ok(Some(self.since(start)))
    }

    /// A keyword with an expression after it.
    pub(super) fn clause(&mut self, keyword: K) -> Read<Option<Clause>> {
        let start = self.start();
        if !self.take(keyword) {
            return Ok(None);
        }
        let expr = self.expr()?;
        Ok(Some(Clause { span: self.since(start), expr }))
    }

    fn group_by(&mut self) -> Read<Option<GroupBy>> {
        let start = self.start();
        if !self.take(K::Group) {
            return Ok(None);
        }
        self.want(K::By)?;
        let distinct = self.take_any(&[K::Distinct, K::All]) == Some(K::Distinct);
        let items = self.list(Self::group_item)?;
        Ok(Some(GroupBy { span: self.since(start), distinct, items }))
    }

    fn group_item(&mut self) -> Read<GroupItem> {
        let start = self.start();
        let open = |parser: &Self, ahead| parser.ahead(ahead).kind == TokenKind::LeftParen;
        if open(self, 0) && self.ahead(1).kind == TokenKind::RightParen {
            self.advance();
            self.advance();
            return Ok(GroupItem::Empty(self.since(start)));
        }
        let exprs = if matches!(self.tok.word, K::Cube | K::Rollup) && open(self, 1) {
            self.advance();
            self.advance();
            self.list(Self::expr)?
        } else if self.are(&[K::Grouping, K::Sets]) && open(self, 2) {
            for _ in 0..3 {
                self.advance();
            }
            let sets = self.list(|parser| parser.nested(Self::group_item))?;
            let exprs = sets.into_iter().flat_map(|set| match set {
                GroupItem::Expr(expr) => vec![expr],
                GroupItem::Empty(_) => Vec::new(),
                GroupItem::Sets(_, exprs) => exprs,
            });
            exprs.collect()
        } else {
            return self.expr().map(GroupItem::Expr);
        };
        self.want_kind(TokenKind::RightParen)?;
        Ok(GroupItem::Sets(self.since(start), exprs))
    }

    /// `ORDER BY …`
    pub(super) fn sort_clause(&mut self) -> Read<Vec<OrderItem>> {
        self.want(K::Order)?;
        self.want(K::By)?;
        self.list(|parser| {
            let start = parser.start();
            let expr = parser.expr()?;
            let using = if parser.take(K::Using) { Some(parser.operator()?.0) } else { None };
            let descending = using.is_none() && parser.take_any(&[K::Asc, K::Desc]) == Some(K::Desc);
            let nulls_first = if parser.take_all(&[K::Nulls, K::First]) {
                Some(true)
            } else if parser.take_all(&[K::Nulls, K::Last]) {
                Some(false)
            } else {
                None
            };
            Ok(OrderItem { span: parser.since(start), expr, descending, using, nulls_first })
        })
    }
}
