//! What stands in parentheses: a query, one expression, or a row of them; and what may follow one.

use super::cursor::{Parser, Read};
use super::keywords::Keyword as K;
use crate::sql::TokenKind;
use crate::sql::ast::{Expr, ExprKind, Query, QueryBody, Span};

/// The inside of parentheses.
pub(super) enum Group {
    /// `select_with_parens`: the innermost query if there are several parentheses.
    Query(Query),
    Exprs(Vec<Expr>),
}

impl Parser<'_> {
    /// Whether a query begins at the token `ahead`.
    pub(super) fn is_query_at(&self, ahead: usize) -> bool {
        match self.ahead(ahead).word {
            K::Select | K::With | K::Table => true,
            K::Values => self.ahead(ahead + 1).kind == TokenKind::LeftParen,
            _ => false,
        }
    }

    /// Whether what comes next goes on with a query whose first operand was in parentheses.
    pub(super) fn goes_on_as_query(&self) -> bool {
        matches!(
            self.tok.word,
            K::Union | K::Intersect | K::Except | K::Order | K::Limit | K::Offset | K::Fetch | K::For
        )
    }

    /// `( … )`, with the bytes of the parentheses.
    pub(super) fn group(&mut self) -> Read<(Group, Span)> {
        self.nested(|parser| {
            let start = parser.start();
            parser.want_kind(TokenKind::LeftParen)?;
            let group = parser.inside()?;
            parser.want_kind(TokenKind::RightParen)?;
            Ok((group, parser.since(start)))
        })
    }

    fn inside(&mut self) -> Read<Group> {
        if self.is_query_at(0) {
            return self.query().map(Group::Query);
        }
        let first = if self.is_kind(TokenKind::LeftParen) {
            let before = std::mem::take(&mut self.tallest);
            let (inner, span) = self.group()?;
            if let Group::Query(query) = inner {
                if self.is_kind(TokenKind::RightParen) {
                    self.tallest = self.tallest.max(before);
                    return Ok(Group::Query(query));
                }
                if self.goes_on_as_query() {
                    let query = self.query_from(QueryBody::Nested(Box::new(query), span))?;
                    self.tallest = self.tallest.max(before);
                    return Ok(Group::Query(query));
                }
                let operand = self.after_group(Group::Query(query), span)?;
                let first = self.expr_from(operand)?;
                self.tallest = self.tallest.max(before);
                first
            } else {
                let operand = self.after_group(inner, span)?;
                let first = self.expr_from(operand)?;
                self.tallest = self.tallest.max(before);
                first
            }
        } else {
            self.expr()?
        };
        let mut exprs = vec![first];
        while self.take_kind(TokenKind::Comma) {
            exprs.push(self.expr()?);
        }
        Ok(Group::Exprs(exprs))
    }

    /// The expression that a group is, with the subscripts and fields after it.
    pub(super) fn after_group(&mut self, group: Group, span: Span) -> Read<Expr> {
        match group {
            Group::Query(query) => self.indirection(Expr { span, kind: ExprKind::Subquery(Box::new(query)) }),
            Group::Exprs(exprs) => match <[Expr; 1]>::try_from(exprs) {
                Ok([expr]) => self.indirection(Expr { span, kind: ExprKind::Paren(Box::new(expr)) }),
                Err(exprs) => self.overlaps(Expr { span, kind: ExprKind::Row(exprs) }),
            },
        }
    }

    /// A row, or `row OVERLAPS row`.
    pub(super) fn overlaps(&mut self, row: Expr) -> Read<Expr> {
        if !self.is(K::Overlaps) {
            return Ok(row);
        }
        self.advance();
        let start = self.start();
        let right = if self.is(K::Row) {
            self.row()?
        } else {
            match self.group()? {
                (Group::Exprs(exprs), span) if exprs.len() > 1 => Expr { span, kind: ExprKind::Row(exprs) },
                _ => return Err(super::Stopped { at: start, expected: "a row" }),
            }
        };
        let span = row.span.to(right.span);
        Ok(Expr { span, kind: ExprKind::Overlaps(Box::new(row), Box::new(right)) })
    }

    /// `ROW (…)`
    pub(super) fn row(&mut self) -> Read<Expr> {
        let start = self.start();
        self.want(K::Row)?;
        self.want_kind(TokenKind::LeftParen)?;
        let exprs = if self.is_kind(TokenKind::RightParen) { Vec::new() } else { self.list(Self::expr)? };
        self.want_kind(TokenKind::RightParen)?;
        Ok(self.node(start, ExprKind::Row(exprs)))
    }

    /// `.field`, `.*`, `[i]`, `[a:b]` after an operand that may have them.
    pub(super) fn indirection(&mut self, mut operand: Expr) -> Read<Expr> {
        let start = operand.span.start;
        loop {
            let kind = if self.is_kind(TokenKind::Dot) {
                self.advance();
                if self.take_symbol("*") {
                    return Ok(self.node(start, ExprKind::FieldStar(Box::new(operand))));
                }
                ExprKind::Field { operand: Box::new(operand), field: self.ident()? }
            } else if self.is_symbol("[") {
                ExprKind::Subscript { operand: Box::new(operand), bounds: self.subscript()? }
            } else {
                return Ok(operand);
            };
            operand = self.node(start, kind);
            self.tallest += 1;
            self.check_height(self.tallest)?;
        }
    }

    /// `[i]`, `[a:b]`: the bounds that are given.
    pub(super) fn subscript(&mut self) -> Read<Vec<Expr>> {
        self.want_symbol("[")?;
        let mut bounds = Vec::new();
        if !self.is_symbol(":") {
            bounds.push(self.expr()?);
        }
        if self.take_symbol(":") && !self.is_symbol("]") {
            bounds.push(self.expr()?);
        }
        self.want_symbol("]")?;
        Ok(bounds)
    }
}
