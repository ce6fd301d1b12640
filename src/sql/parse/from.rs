//! FROM: tables, functions, sub-queries, joins.

use super::cursor::{Parser, Read};
use super::keywords::{Category, Keyword as K};
use crate::sql::TokenKind;
use crate::sql::ast::{
    Alias, Expr, ExprKind, From, FromFunction, FromItem, FromQuery, FromTable, Ident, Join, JoinCondition, JoinKind,
    Query, QueryBody, Span,
};

/// What parentheses in FROM hold.
enum Inside {
    /// A query, without an alias as yet.
    Query(Query),
    Join(Join),
}

impl Parser<'_> {
    /// `FROM …`, or USING with the same list.
    pub(super) fn from_clause(&mut self, keyword: K) -> Read<Option<From>> {
        let start = self.start();
        if !self.take(keyword) {
            return Ok(None);
        }
        let items = self.list(Self::from_item)?;
        Ok(Some(From { span: self.since(start), items }))
    }

    /// `table_ref`: an item with the joins after it.
    pub(super) fn from_item(&mut self) -> Read<FromItem> {
        self.nested(|parser| {
            let before = std::mem::take(&mut parser.tallest);
            let first = parser.from_operand()?;
            let item = parser.joins(first)?;
            parser.tallest = parser.tallest.max(before);
            Ok(item)
        })
    }

    /// The joins after `left`.
    fn joins(&mut self, mut left: FromItem) -> Read<FromItem> {
        let mut height = self.tallest + 1;
        loop {
            let natural = self.take(K::Natural);
            let cross = !natural && self.take_all(&[K::Cross, K::Join]);
            let kind = match self.tok.word {
                _ if cross => JoinKind::Inner,
                K::Left => JoinKind::Left,
                K::Right => JoinKind::Right,
                K::Full => JoinKind::Full,
                K::Inner | K::Join => JoinKind::Inner,
                _ if natural => return self.stop("JOIN"),
                _ => break,
            };
            if !cross && !self.take(K::Join) {
                self.advance();
                if kind != JoinKind::Inner {
                    self.take(K::Outer);
                }
                self.want(K::Join)?;
            }
            self.tallest = 0;
            // Without a condition of its own a join takes one item; else what follows may be a join that ends first.
            let right = if cross || natural { self.from_operand()? } else { self.from_item()? };
            let condition = if cross {
                JoinCondition::None
            } else if natural {
                JoinCondition::Natural
            } else {
                self.join_condition()?
            };
            height = height.max(self.tallest) + 1;
            self.check_height(height)?;
            let span = self.since(span_of(&left).start);
            left = FromItem::Join(Box::new(Join { span, kind, left, right, condition, alias: None }));
        }
        self.tallest = height;
        Ok(left)
    }

    fn join_condition(&mut self) -> Read<JoinCondition> {
        if self.take(K::On) {
            return self.expr().map(JoinCondition::On);
        }
        self.want(K::Using)?;
        let columns = self.column_ids_in_parens()?;
        let alias = if self.take(K::As) { Some(self.column_id()?) } else { None };
        Ok(JoinCondition::Using(columns, alias))
    }

    /// One item, without joins after it.
    fn from_operand(&mut self) -> Read<FromItem> {
        let start = self.start();
        let lateral = self.take(K::Lateral);
        if self.is_kind(TokenKind::LeftParen) {
            if lateral {
                let query = self.query_in_parens()?;
                return self.from_query(query, start, true);
            }
            return match self.from_group()? {
                Inside::Query(query) => self.from_query(query, start, false),
                Inside::Join(mut join) => {
                    join.alias = self.alias()?;
                    join.span = self.since(start);
                    Ok(FromItem::Join(Box::new(join)))
                }
            };
        }
        if let Some(function) = self.from_function(start, lateral)? {
            return Ok(FromItem::Function(function));
        }
        if lateral {
            return self.stop("a function");
        }
        let mut table = self.relation()?;
        table.alias = self.alias()?;
        table.tablesample = self.tablesample()?;
        table.span = self.since(start);
        Ok(FromItem::Table(table))
    }

    fn from_query(&mut self, query: Query, start: u32, lateral: bool) -> Read<FromItem> {
        let alias = self.alias()?;
        Ok(FromItem::Query(FromQuery { span: self.since(start), lateral, query, alias }))
    }

    /// `( … )`: a query, or a join.
    fn from_group(&mut self) -> Read<Inside> {
        self.nested(|parser| {
            let start = parser.start();
            parser.want_kind(TokenKind::LeftParen)?;
            let inside = parser.from_inside(start)?;
            parser.want_kind(TokenKind::RightParen)?;
            Ok(inside)
        })
    }

    fn from_inside(&mut self, open: u32) -> Read<Inside> {
        if self.is_query_at(0) {
            return self.query().map(Inside::Query);
        }
        let start = self.start();
        let item = if self.is_kind(TokenKind::LeftParen) {
            match self.from_group()? {
                Inside::Query(query) => {
                    if self.is_kind(TokenKind::RightParen) {
                        return Ok(Inside::Query(query));
                    }
                    let span = self.since(start);
                    if self.goes_on_as_query() {
                        return self.query_from(QueryBody::Nested(Box::new(query), span)).map(Inside::Query);
                    }
                    let first = self.from_query(query, start, false)?;
                    self.joins(first)?
                }
                Inside::Join(mut join) => {
                    join.alias = self.alias()?;
                    join.span = self.since(start);
                    self.joins(FromItem::Join(Box::new(join)))?
                }
            }
        } else {
            self.from_item()?
        };
        match item {
            FromItem::Join(join) => Ok(Inside::Join(*join)),
            _ => Err(super::Stopped { at: open, expected: "a join or a query" }),
        }
    }

    /// `relation_expr`: `[ONLY] name [*]`, `ONLY (name)`.
    pub(super) fn relation(&mut self) -> Read<FromTable> {
        let start = self.start();
        let only = self.take(K::Only);
        let paren = only && self.take_kind(TokenKind::LeftParen);
        let name = self.qualified_name()?;
        if paren {
            self.want_kind(TokenKind::RightParen)?;
        } else if !only {
            self.take_symbol("*");
        }
        Ok(FromTable { span: self.since(start), name, only, alias: None, tablesample: None })
    }

    /// `alias_clause`
    fn alias(&mut self) -> Read<Option<Alias>> {
        let start = self.start();
        if !self.take(K::As) && !Self::is_column_id(self.tok) {
            return Ok(None);
        }
        let name = self.column_id()?;
        let columns = if self.is_kind(TokenKind::LeftParen) { self.column_ids_in_parens()? } else { Vec::new() };
        Ok(Some(Alias { span: self.since(start), name, columns }))
    }

    /// `TABLESAMPLE method (…) [REPEATABLE (…)]`
    fn tablesample(&mut self) -> Read<Option<Span>> {
        let start = self.start();
        if !self.take(K::Tablesample) {
            return Ok(None);
        }
        if Self::is_function_id(self.tok) {
            let first = self.ident()?;
            self.rest_of_name(first)?;
        } else {
            return self.stop("a sampling method");
        }
        self.want_kind(TokenKind::LeftParen)?;
        self.list(Self::expr)?;
        self.want_kind(TokenKind::RightParen)?;
        if self.take(K::Repeatable) {
            self.want_kind(TokenKind::LeftParen)?;
            self.expr()?;
            self.want_kind(TokenKind::RightParen)?;
        }
        Ok(Some(self.since(start)))
    }

    /// `func_table` or XMLTABLE, if one begins here.
    fn from_function(&mut self, start: u32, lateral: bool) -> Read<Option<FromFunction>> {
        let mut function = FromFunction {
            span: Span::default(),
            lateral,
            functions: Vec::new(),
            ordinality: false,
            alias: None,
            typed: false,
        };
        if self.are(&[K::Rows, K::From]) && self.ahead(2).kind == TokenKind::LeftParen {
            for _ in 0..3 {
                self.advance();
            }
            function.functions = self.list(|parser| {
                let call = parser.plain_call()?;
                if parser.take(K::As) {
                    parser.typed_columns()?;
                }
                Ok(call)
            })?;
            self.want_kind(TokenKind::RightParen)?;
        } else if self.is(K::Xmltable) && self.ahead(1).kind == TokenKind::LeftParen {
            let call = self.xml_table()?;
            function.functions.push(call);
            function.alias = self.alias()?;
            function.span = self.since(start);
            return Ok(Some(function));
        } else if self.is_call() {
            let call = self.plain_call()?;
            function.functions.push(call);
        } else {
            return Ok(None);
        }
        function.ordinality = self.take_all(&[K::With, K::Ordinality]);
        self.function_alias(&mut function)?;
        function.span = self.since(start);
        Ok(Some(function))
    }

    /// Whether a call begins here: a name of any parts and a parenthesis, or a word that is one by itself.
    fn is_call(&self) -> bool {
        if self.is_kind(TokenKind::Word) {
            let column = self.tok.word.category();
            if matches!(column, Category::Reserved) {
                return !matches!(self.tok.word, K::Only | K::Lateral | K::Select);
            }
            if self.is(K::Collation) || self.is(K::CurrentSchema) {
                return true;
            }
        }
        if !Self::is_label(self.tok) {
            return false;
        }
        let mut ahead = 1;
        while self.ahead(ahead).kind == TokenKind::Dot && Self::is_label(self.ahead(ahead + 1)) {
            ahead += 2;
        }
        self.ahead(ahead).kind == TokenKind::LeftParen
    }

    /// `func_expr_windowless`
    pub(super) fn plain_call(&mut self) -> Read<Expr> {
        let start = self.start();
        if let Some(call) = self.special_call()? {
            return Ok(call);
        }
        if self.is(K::Cast) {
            return self.primary();
        }
        let column = Self::is_column_id(self.tok);
        let function = Self::is_function_id(self.tok);
        if !column && !function {
            return self.stop("a function");
        }
        let first = self.ident()?;
        let name = self.rest_of_name(first)?;
        let fits = if name.parts.len() > 1 { column } else { function };
        if !fits {
            return self.stop("no keyword");
        }
        let call = self.call(name, start)?;
        Ok(self.node(start, ExprKind::Function(Box::new(call))))
    }

    /// `func_alias_clause`: an alias, or one with the columns' types, which alone needs AS and no name.
    fn function_alias(&mut self, function: &mut FromFunction) -> Read<()> {
        let start = self.start();
        let with_as = self.take(K::As);
        if with_as && self.is_kind(TokenKind::LeftParen) {
            function.typed = true;
            self.typed_columns()?;
            return Ok(());
        }
        if !with_as && !Self::is_column_id(self.tok) {
            return Ok(());
        }
        let name = self.column_id()?;
        let mut columns = Vec::new();
        if self.is_kind(TokenKind::LeftParen) {
            let named = matches!(self.ahead(2).kind, TokenKind::Comma | TokenKind::RightParen);
            if named || self.ahead(2).word == K::Uescape {
                columns = self.column_ids_in_parens()?;
            } else {
                function.typed = true;
                columns = self.typed_columns()?;
            }
        }
        function.alias = Some(Alias { span: self.since(start), name, columns });
        Ok(())
    }

    /// `(name type [COLLATE c], …)`
    fn typed_columns(&mut self) -> Read<Vec<Ident>> {
        self.want_kind(TokenKind::LeftParen)?;
        let columns = self.list(|parser| {
            let name = parser.column_id()?;
            parser.type_name()?;
            if parser.take(K::Collate) {
                parser.qualified_name()?;
            }
            Ok(name)
        })?;
        self.want_kind(TokenKind::RightParen)?;
        Ok(columns)
    }

    /// `XMLTABLE ([XMLNAMESPACES (…),] path PASSING document COLUMNS …)`: its expressions stand as arguments.
    fn xml_table(&mut self) -> Read<Expr> {
        let start = self.start();
        let word = self.advance().span;
        self.want_kind(TokenKind::LeftParen)?;
        let mut values = Vec::new();
        if self.is(K::Xmlnamespaces) && self.ahead(1).kind == TokenKind::LeftParen {
            self.advance();
            self.advance();
            loop {
                let default = self.take(K::Default);
                values.push(self.restricted_expr()?);
                if !default {
                    self.want(K::As)?;
                    self.ident()?;
                }
                if !self.take_kind(TokenKind::Comma) {
                    break;
                }
            }
            self.want_kind(TokenKind::RightParen)?;
            self.want_kind(TokenKind::Comma)?;
        }
        values.push(self.primary()?);
        self.want(K::Passing)?;
        values.push(self.xml_passing()?);
        self.want(K::Columns)?;
        loop {
            self.xml_column(&mut values)?;
            if !self.take_kind(TokenKind::Comma) {
                break;
            }
        }
        self.want_kind(TokenKind::RightParen)?;
        let args = values.into_iter().map(super::call::plain).collect();
        let call = crate::sql::ast::Call { args, ..self.special(self.word_name("xmltable", word), start) };
        Ok(self.node(start, ExprKind::Function(Box::new(call))))
    }

    /// `name FOR ORDINALITY`, `name type [PATH x] [DEFAULT x] [[NOT] NULL]`
    fn xml_column(&mut self, values: &mut Vec<Expr>) -> Read<()> {
        self.column_id()?;
        if self.take_all(&[K::For, K::Ordinality]) {
            return Ok(());
        }
        self.type_name()?;
        loop {
            let path = self.is_kind(TokenKind::Word) && self.text(self.tok).eq_ignore_ascii_case("path");
            if path || self.is(K::Default) {
                self.advance();
                values.push(self.restricted_expr()?);
            } else if !self.take_all(&[K::Not, K::Null]) && !self.take(K::Null) {
                return Ok(());
            }
        }
    }
}

fn span_of(item: &FromItem) -> Span {
    match item {
        FromItem::Table(table) => table.span,
        FromItem::Query(query) => query.span,
        FromItem::Function(function) => function.span,
        FromItem::Join(join) => join.span,
    }
}
