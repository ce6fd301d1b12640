//! Operands (`c_expr`): constants, columns, function calls with all that may follow them, CASE, arrays.

use super::cursor::{Parser, Read};
use super::keywords::{Category, Keyword as K};
use crate::sql::TokenKind;
use crate::sql::ast::{Arg, Call, Expr, ExprKind, Ident, Literal, Name, Over, Span, TypeName, Window};
use crate::sql::literal;

/// An argument without a name.
pub(super) fn plain(value: Expr) -> Arg {
    Arg { name: None, value }
}

impl Parser<'_> {
    /// `c_expr`
    pub(super) fn primary(&mut self) -> Read<Expr> {
        let start = self.start();
        let literal = match self.tok.kind {
            TokenKind::Number => Literal::Number,
            TokenKind::Bits => Literal::Bits,
            TokenKind::Text => return self.text_literal(),
            TokenKind::Param => {
                let digits = self.text(self.tok).get(1..).unwrap_or_default();
                let Ok(number) = digits.parse() else { return self.stop("a parameter's number") };
                self.advance();
                let param = self.node(start, ExprKind::Param(number));
                return self.indirection(param);
            }
            TokenKind::LeftParen => {
                let (group, span) = self.group()?;
                return self.after_group(group, span);
            }
            TokenKind::Quoted | TokenKind::UnicodeQuoted => return self.name_or_call(),
            TokenKind::Word => return self.word(),
            _ => return self.stop("an expression"),
        };
        self.advance();
        Ok(self.node(start, ExprKind::Literal(literal)))
    }

    /// A string constant, with its UESCAPE.
    pub(super) fn text_literal(&mut self) -> Read<Expr> {
        let tok = self.want_kind(TokenKind::Text)?;
        let bytes = self.text(tok).as_bytes();
        if matches!(bytes.first(), Some(b'u' | b'U')) && self.take(K::Uescape) {
            self.want_kind(TokenKind::Text)?;
        }
        let value = literal::text_value(bytes, self.standard_strings);
        Ok(self.node(tok.span.start, ExprKind::Literal(Literal::Text(value))))
    }

    /// An operand that begins with a word.
    fn word(&mut self) -> Read<Expr> {
        let start = self.start();
        let open = self.ahead(1).kind == TokenKind::LeftParen;
        let literal = match self.tok.word {
            K::Plain => {
                if self.text(self.tok).eq_ignore_ascii_case("system_user") {
                    return self.stop("another word: versions differ on this one");
                }
                return self.name_or_call();
            }
            K::Null => Literal::Null,
            K::True => Literal::Bool(true),
            K::False => Literal::Bool(false),
            K::SystemUser => return self.stop("another word: versions differ on this one"),
            K::Case => return self.case(),
            K::Cast => return self.cast(),
            K::Array => return self.array(),
            K::Default => {
                self.advance();
                return Ok(self.node(start, ExprKind::Default));
            }
            K::Exists if open => {
                self.advance();
                let query = self.query_in_parens()?;
                return Ok(self.node(start, ExprKind::Exists(Box::new(query))));
            }
            K::Row if open => {
                let row = self.row()?;
                return self.overlaps(row);
            }
            _ => return self.special_or_name(),
        };
        self.advance();
        Ok(self.node(start, ExprKind::Literal(literal)))
    }

    /// What the grammar spells in a way of its own; a typed constant of its own types; else a name.
    fn special_or_name(&mut self) -> Read<Expr> {
        if let Some(call) = self.special_call()? {
            return Ok(call);
        }
        let double = self.are(&[K::Double, K::Precision]);
        if (double || self.tok.word.category() == Category::Column)
            && let Some(constant) = self.typed_constant()?
        {
            return Ok(constant);
        }
        self.name_or_call()
    }

    /// `(SELECT …)`, where only a query may stand.
    pub(super) fn query_in_parens(&mut self) -> Read<crate::sql::ast::Query> {
        let start = self.start();
        match self.group()?.0 {
            super::group::Group::Query(query) => Ok(query),
            super::group::Group::Exprs(_) => Err(super::Stopped { at: start, expected: "a query" }),
        }
    }

    /// A column, `t.*`, a function call, or a constant with a type's name before it.
    pub(super) fn name_or_call(&mut self) -> Read<Expr> {
        let start = self.start();
        let column = Self::is_column_id(self.tok);
        let function = Self::is_function_id(self.tok);
        if !column && !function {
            return self.stop("an expression");
        }
        let first = self.ident()?;
        let name = if column { self.rest_of_name(first)? } else { single(first) };
        let callable = function || name.parts.len() > 1;
        if self.is_kind(TokenKind::LeftParen) && callable {
            let call = self.call(name, start)?;
            return self.after_call(call, start);
        }
        if self.is_kind(TokenKind::Text) && callable {
            let literal = Box::new(self.text_literal()?);
            let span = name.span;
            let name = name.parts.into_iter().map(|part| part.value).collect();
            let target = TypeName { span, name, modifiers: None, array: false, setof: false };
            return Ok(self.node(start, ExprKind::Cast { operand: literal, target }));
        }
        if !column {
            return self.stop("(");
        }
        if self.is_kind(TokenKind::Dot) && self.is_symbol_at(1, "*") {
            self.advance();
            self.advance();
            return Ok(self.node(start, ExprKind::WholeRow(name)));
        }
        let column = self.node(start, ExprKind::Column(name));
        if self.is_symbol("[") { self.indirection(column) } else { Ok(column) }
    }

    /// A call of the grammar's own spelling that was read since `start`, without arguments as yet.
    pub(super) fn special(&self, name: Name, start: u32) -> Call {
        Call {
            name,
            special: true,
            word: false,
            args: Vec::new(),
            star: false,
            distinct: false,
            variadic: false,
            order_by: Vec::new(),
            within_group: None,
            filter: None,
            over: None,
            head: self.since(start),
        }
    }

    /// `func_application`, from its parenthesis on.
    pub(super) fn call(&mut self, name: Name, start: u32) -> Read<Call> {
        self.want_kind(TokenKind::LeftParen)?;
        let mut call = Call { special: false, ..self.special(name, start) };
        if self.is_symbol("*") && self.ahead(1).kind == TokenKind::RightParen {
            self.advance();
            call.star = true;
        } else if !self.is_kind(TokenKind::RightParen) {
            let distinct = self.take_any(&[K::Distinct, K::All]);
            call.distinct = distinct == Some(K::Distinct);
            loop {
                call.variadic = distinct.is_none() && self.take(K::Variadic);
                call.args.push(self.argument()?);
                if call.variadic || !self.take_kind(TokenKind::Comma) {
                    break;
                }
            }
            if self.is(K::Order) {
                call.order_by = self.sort_clause()?;
            }
        }
        self.want_kind(TokenKind::RightParen)?;
        call.head = self.since(start);
        if self.is_kind(TokenKind::Text) {
            return self.stop("no constant: a type's modifiers aren't read here");
        }
        Ok(call)
    }

    /// `value`, `name => value`, `name := value`
    fn argument(&mut self) -> Read<Arg> {
        if Self::is_function_id(self.tok) && (self.is_symbol_at(1, "=>") || self.is_symbol_at(1, ":=")) {
            let name = self.ident()?;
            self.advance();
            return Ok(Arg { name: Some(name), value: self.expr()? });
        }
        self.expr().map(plain)
    }

    /// WITHIN GROUP, FILTER and OVER.
    fn after_call(&mut self, mut call: Call, start: u32) -> Read<Expr> {
        if self.take_all(&[K::Within, K::Group]) {
            self.want_kind(TokenKind::LeftParen)?;
            call.within_group = Some(self.sort_clause()?);
            self.want_kind(TokenKind::RightParen)?;
        }
        if self.is(K::Filter) && self.ahead(1).kind == TokenKind::LeftParen {
            self.advance();
            self.advance();
            self.want(K::Where)?;
            call.filter = Some(self.expr()?);
            self.want_kind(TokenKind::RightParen)?;
        }
        if self.take(K::Over) {
            call.over = Some(if self.is_kind(TokenKind::LeftParen) {
                Over::Window(self.window()?)
            } else {
                Over::Named(self.column_id()?)
            });
        }
        Ok(self.node(start, ExprKind::Function(Box::new(call))))
    }

    /// `( [name] [PARTITION BY …] [ORDER BY …] [frame] )`
    pub(super) fn window(&mut self) -> Read<Window> {
        let start = self.start();
        self.want_kind(TokenKind::LeftParen)?;
        let opening = matches!(self.tok.word, K::Partition | K::Range | K::Rows | K::Groups);
        let base = if !opening && Self::is_column_id(self.tok) { Some(self.ident()?) } else { None };
        let partition_by = if self.take_all(&[K::Partition, K::By]) { self.list(Self::expr)? } else { Vec::new() };
        let order_by = if self.is(K::Order) { self.sort_clause()? } else { Vec::new() };
        let mut bounds = Vec::new();
        let frame = self.frame(&mut bounds)?;
        self.want_kind(TokenKind::RightParen)?;
        Ok(Window { span: self.since(start), base, partition_by, order_by, frame, bounds })
    }

    fn frame(&mut self, bounds: &mut Vec<Expr>) -> Read<Option<Span>> {
        let start = self.start();
        if self.take_any(&[K::Range, K::Rows, K::Groups]).is_none() {
            return Ok(None);
        }
        if self.take(K::Between) {
            self.frame_bound(bounds)?;
            self.want(K::And)?;
        }
        self.frame_bound(bounds)?;
        if self.take(K::Exclude) {
            let known = self.take_all(&[K::Current, K::Row])
                || self.take(K::Group)
                || self.take(K::Ties)
                || self.take_all(&[K::No, K::Others]);
            if !known {
                return self.stop("CURRENT ROW");
            }
        }
        Ok(Some(self.since(start)))
    }

    fn frame_bound(&mut self, bounds: &mut Vec<Expr>) -> Read<()> {
        let sides = [K::Preceding, K::Following];
        if self.is(K::Unbounded) && sides.contains(&self.ahead(1).word) {
            self.advance();
            self.advance();
        } else if !self.take_all(&[K::Current, K::Row]) {
            bounds.push(self.expr()?);
            if self.take_any(&sides).is_none() {
                return self.stop("PRECEDING");
            }
        }
        Ok(())
    }

    fn case(&mut self) -> Read<Expr> {
        let start = self.start();
        self.advance();
        let operand = if self.is(K::When) { None } else { Some(self.boxed_expr()?) };
        let mut whens = Vec::new();
        while self.take(K::When) {
            let condition = self.expr()?;
            self.want(K::Then)?;
            whens.push((condition, self.expr()?));
        }
        if whens.is_empty() {
            return self.stop("WHEN");
        }
        let otherwise = if self.take(K::Else) { Some(self.boxed_expr()?) } else { None };
        self.want(K::End)?;
        Ok(self.node(start, ExprKind::Case { operand, whens, otherwise }))
    }

    fn cast(&mut self) -> Read<Expr> {
        let start = self.start();
        self.advance();
        self.want_kind(TokenKind::LeftParen)?;
        let operand = self.boxed_expr()?;
        self.want(K::As)?;
        let target = self.type_name()?;
        self.want_kind(TokenKind::RightParen)?;
        Ok(self.node(start, ExprKind::Cast { operand, target }))
    }

    /// `ARRAY[…]`, `ARRAY(SELECT …)`
    fn array(&mut self) -> Read<Expr> {
        let start = self.start();
        self.advance();
        if self.is_kind(TokenKind::LeftParen) {
            let query = self.query_in_parens()?;
            return Ok(self.node(start, ExprKind::ArrayQuery(Box::new(query))));
        }
        let inner = self.array_list()?;
        Ok(self.node(start, inner.kind))
    }

    /// `[…]`: expressions, or more such lists.
    fn array_list(&mut self) -> Read<Expr> {
        self.nested(|parser| {
            let start = parser.start();
            parser.want_symbol("[")?;
            let items = if parser.is_symbol("]") {
                Vec::new()
            } else if parser.is_symbol("[") {
                let before = std::mem::take(&mut parser.tallest);
                let items = parser.list(Self::array_list)?;
                parser.tallest = before.max(parser.tallest + 1);
                items
            } else {
                parser.list(Self::expr)?
            };
            parser.want_symbol("]")?;
            Ok(parser.node(start, ExprKind::Array(items)))
        })
    }
}

fn single(first: Ident) -> Name {
    Name { span: first.span, parts: vec![first] }
}
