//! Expressions: the operators, by `gram.y`'s table of precedence.

use super::cursor::{Parser, Read, Tok};
use super::keywords::Keyword as K;
use crate::sql::TokenKind;
use crate::sql::ast::{Call, Expr, ExprKind, Ident, Like, Name, Quantified, Span};

/// The levels of the table, from the loosest.
pub(super) const OR: u8 = 1;
pub(super) const AND: u8 = 2;
pub(super) const NOT: u8 = 3;
pub(super) const IS: u8 = 4;
pub(super) const COMPARE: u8 = 5;
pub(super) const LIKE: u8 = 6;
pub(super) const OPERATOR: u8 = 8;
pub(super) const ADD: u8 = 9;
pub(super) const MULTIPLY: u8 = 10;
pub(super) const POWER: u8 = 11;
pub(super) const AT: u8 = 12;
pub(super) const COLLATE: u8 = 13;
pub(super) const SIGN: u8 = 14;
pub(super) const CAST: u8 = 16;

/// Which expressions a place takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `a_expr`
    Any,
    /// `b_expr`: without AND, OR, NOT, IN, LIKE, BETWEEN and the like.
    Restricted,
}

/// The level of an operator that stands between two operands, by its spelling.
fn level(operator: &str) -> Option<u8> {
    match operator {
        "+" | "-" => Some(ADD),
        "*" | "/" | "%" => Some(MULTIPLY),
        "^" => Some(POWER),
        "<" | ">" | "=" | "<=" | ">=" | "<>" | "!=" => Some(COMPARE),
        // It names an argument.
        "=>" => None,
        _ => Some(OPERATOR),
    }
}

impl Parser<'_> {
    /// `a_expr`
    pub(super) fn expr(&mut self) -> Read<Expr> {
        self.operators(None, 0, Kind::Any)
    }

    pub(super) fn boxed_expr(&mut self) -> Read<Box<Expr>> {
        self.expr().map(Box::new)
    }

    /// `b_expr`
    pub(super) fn restricted_expr(&mut self) -> Read<Expr> {
        self.operators(None, 0, Kind::Restricted)
    }

    /// `a_expr`, of which the first operand was already read.
    pub(super) fn expr_from(&mut self, first: Expr) -> Read<Expr> {
        self.operators(Some(first), 0, Kind::Any)
    }

    /// An operand, and the operators after it that bind at least as tightly as `least`.
    pub(super) fn operators(&mut self, first: Option<Expr>, least: u8, kind: Kind) -> Read<Expr> {
        self.nested(|parser| {
            let (before, mut left) = match first {
                // Its height counts from what was read for it.
                Some(first) => (parser.tallest, first),
                None => {
                    let before = std::mem::take(&mut parser.tallest);
                    (before, parser.operand(kind)?)
                }
            };
            let mut height = parser.tallest + 1;
            while let Some(level) = parser.infix(kind).filter(|&level| level >= least) {
                parser.tallest = 0;
                let flat = matches!((level, &left.kind), (AND, ExprKind::And(_)) | (OR, ExprKind::Or(_)));
                left = parser.infix_after(left, level, kind)?;
                height = height.max(parser.tallest + usize::from(flat)) + usize::from(!flat);
                parser.check_height(height)?;
            }
            parser.tallest = before.max(height);
            Ok(left)
        })
    }

    /// The level of the operator that comes next, if one does.
    fn infix(&self, kind: Kind) -> Option<u8> {
        match self.tok.kind {
            TokenKind::Operator => level(self.text(self.tok)),
            TokenKind::Symbol => (self.text(self.tok) == "::").then_some(CAST),
            TokenKind::Word => self.infix_word(kind),
            _ => None,
        }
    }

    fn infix_word(&self, kind: Kind) -> Option<u8> {
        let level = match self.tok.word {
            K::Plain => return None,
            K::Operator if self.ahead(1).kind == TokenKind::LeftParen => return Some(OPERATOR),
            K::Is => return Some(IS),
            _ if kind == Kind::Restricted => return None,
            K::And => AND,
            K::Or => OR,
            K::Isnull | K::Notnull => IS,
            K::Between | K::In | K::Like | K::Ilike => LIKE,
            K::Similar if self.ahead(1).word == K::To => LIKE,
            K::Not => match self.ahead(1).word {
                K::Between | K::In | K::Like | K::Ilike | K::Similar => LIKE,
                _ => return None,
            },
            K::At if self.ahead(1).word == K::Local || self.ahead(1).word == K::Time => AT,
            K::Collate => COLLATE,
            _ => return None,
        };
        Some(level)
    }

    /// A prefix operator with its operand, or `c_expr`.
    fn operand(&mut self, kind: Kind) -> Read<Expr> {
        let start = self.start();
        if self.is(K::Not) && kind == Kind::Any {
            self.advance();
            let operand = Box::new(self.operators(None, NOT, kind)?);
            return Ok(self.node(start, ExprKind::Not(operand)));
        }
        let least = match self.tok.kind {
            TokenKind::Operator => match level(self.text(self.tok)) {
                Some(ADD) => SIGN,
                Some(OPERATOR) => OPERATOR + 1,
                _ => return self.stop("an expression"),
            },
            TokenKind::Word if self.is(K::Operator) && self.ahead(1).kind == TokenKind::LeftParen => OPERATOR + 1,
            _ => return self.primary(),
        };
        let (operator, qualified) = self.operator()?;
        let operand = Box::new(self.operators(None, least, kind)?);
        Ok(self.node(start, ExprKind::Prefix { operator, qualified, operand }))
    }

    /// `all_Op` or `OPERATOR(schema.op)`: its bare name, and whether it was written the second way.
    pub(super) fn operator(&mut self) -> Read<(String, bool)> {
        if self.is(K::Operator) {
            self.advance();
            self.want_kind(TokenKind::LeftParen)?;
            while self.is_kind(TokenKind::Word) || self.is_kind(TokenKind::Quoted) {
                self.column_id()?;
                if !self.take_kind(TokenKind::Dot) {
                    return self.stop(".");
                }
            }
            let operator = self.operator_name()?;
            self.want_kind(TokenKind::RightParen)?;
            return Ok((operator, true));
        }
        Ok((self.operator_name()?, false))
    }

    fn operator_name(&mut self) -> Read<String> {
        if !self.is_kind(TokenKind::Operator) || self.is_symbol("=>") {
            return self.stop("an operator");
        }
        let tok = self.advance();
        let text = self.text(tok);
        Ok(if text == "!=" { "<>" } else { text }.to_owned())
    }

    /// An expression from `start` to the last token read.
    pub(super) fn node(&self, start: u32, kind: ExprKind) -> Expr {
        Expr { span: self.since(start), kind }
    }

    /// The operator that comes next with what follows it; `left` is its first operand.
    fn infix_after(&mut self, left: Expr, level: u8, kind: Kind) -> Read<Expr> {
        let start = left.span.start;
        let kind = match level {
            AND | OR => self.connective(left, level)?,
            IS => self.is_test(left, kind)?,
            LIKE => self.like_in_between(left)?,
            AT => return self.at_zone(left),
            COLLATE => {
                self.advance();
                ExprKind::Collate { operand: Box::new(left), collation: self.qualified_name()? }
            }
            CAST => {
                self.advance();
                ExprKind::Cast { operand: Box::new(left), target: self.type_name()? }
            }
            _ => {
                let begin = self.start();
                let (operator, qualified) = self.operator()?;
                let written = self.since(begin);
                if matches!(self.tok.word, K::Any | K::Some | K::All) && kind == Kind::Any {
                    // With its schema it is another operator.
                    let operator = if qualified { written.of(self.sql).to_owned() } else { operator };
                    self.quantified(left, operator)?
                } else {
                    let right = Box::new(self.operators(None, level + 1, kind)?);
                    self.not_again(level, COMPARE, kind)?;
                    ExprKind::Binary { operator, qualified, left: Box::new(left), right }
                }
            }
        };
        Ok(self.node(start, kind))
    }

    /// An operator that isn't associative, at `level` if that is `such`, may not follow its own operand.
    fn not_again(&self, level: u8, such: u8, kind: Kind) -> Read<()> {
        if level == such && self.infix(kind) == Some(such) {
            return self.stop("parentheses: the operator isn't associative");
        }
        Ok(())
    }

    fn connective(&mut self, left: Expr, level: u8) -> Read<ExprKind> {
        self.advance();
        let right = self.operators(None, level + 1, Kind::Any)?;
        Ok(match (level, left.kind) {
            (AND, ExprKind::And(mut all)) => {
                all.push(right);
                ExprKind::And(all)
            }
            (OR, ExprKind::Or(mut all)) => {
                all.push(right);
                ExprKind::Or(all)
            }
            (_, kind) => {
                let all = vec![Expr { span: left.span, kind }, right];
                if level == AND { ExprKind::And(all) } else { ExprKind::Or(all) }
            }
        })
    }

    /// `ANY | SOME | ALL (…)`
    fn quantified(&mut self, left: Expr, operator: String) -> Read<ExprKind> {
        let all = self.advance().word == K::All;
        if !self.is_kind(TokenKind::LeftParen) {
            return self.stop("(");
        }
        let right = match self.group()? {
            (super::group::Group::Query(query), _) => Quantified::Query(Box::new(query)),
            (super::group::Group::Exprs(exprs), span) => match <[Expr; 1]>::try_from(exprs) {
                Ok([expr]) => Quantified::Array(Box::new(expr)),
                Err(_) => return Err(super::Stopped { at: span.start, expected: "one array" }),
            },
        };
        Ok(ExprKind::Quantified { operand: Box::new(left), operator, all, right })
    }

    fn is_test(&mut self, left: Expr, kind: Kind) -> Read<ExprKind> {
        let operand = Box::new(left);
        match self.advance().word {
            K::Isnull => return Ok(ExprKind::IsNull { operand, negated: false }),
            K::Notnull => return Ok(ExprKind::IsNull { operand, negated: true }),
            _ => {}
        }
        let start = self.start();
        let negated = self.take(K::Not);
        if self.take(K::Distinct) {
            self.want(K::From)?;
            let right = Box::new(self.operators(None, IS + 1, kind)?);
            self.not_again(IS, IS, kind)?;
            return Ok(ExprKind::IsDistinct { left: operand, right, negated });
        }
        if self.take(K::Document) {
            return Ok(ExprKind::Is { operand, test: self.since(start) });
        }
        if kind == Kind::Restricted {
            return self.stop("DISTINCT FROM");
        }
        if self.take(K::Null) {
            return Ok(ExprKind::IsNull { operand, negated });
        }
        let form = self.take_any(&[K::Nfc, K::Nfd, K::Nfkc, K::Nfkd]);
        if form.is_some() || self.is(K::Normalized) {
            self.want(K::Normalized)?;
        } else if self.take_any(&[K::True, K::False, K::Unknown]).is_some() {
        } else if self.is_kind(TokenKind::Word) && self.text(self.tok).eq_ignore_ascii_case("json") {
            self.is_json();
        } else {
            return self.stop("NULL");
        }
        Ok(ExprKind::Is { operand, test: self.since(start) })
    }

    /// `JSON [VALUE | ARRAY | OBJECT | SCALAR] [WITH | WITHOUT UNIQUE [KEYS]]`
    fn is_json(&mut self) {
        self.advance();
        let is = |tok: Tok, parser: &Self, word: &str| {
            tok.kind == TokenKind::Word && parser.text(tok).eq_ignore_ascii_case(word)
        };
        if self.take_any(&[K::Value, K::Array, K::Object]).is_none() && is(self.tok, self, "scalar") {
            self.advance();
        }
        if self.take_all(&[K::With, K::Unique]) || self.take_all(&[K::Without, K::Unique]) {
            let keys = is(self.tok, self, "keys");
            if keys {
                self.advance();
            }
        }
    }

    /// `[NOT] BETWEEN | IN | LIKE | ILIKE | SIMILAR TO`
    fn like_in_between(&mut self, left: Expr) -> Read<ExprKind> {
        let operand = Box::new(left);
        let negated = self.take(K::Not);
        let operator = match self.advance().word {
            K::Between => {
                let symmetric = self.take_any(&[K::Symmetric, K::Asymmetric]) == Some(K::Symmetric);
                let low = Box::new(self.restricted_expr()?);
                self.want(K::And)?;
                let high = Box::new(self.operators(None, LIKE + 1, Kind::Any)?);
                self.not_again(LIKE, LIKE, Kind::Any)?;
                return Ok(ExprKind::Between { operand, low, high, negated, symmetric });
            }
            K::In => {
                if !self.is_kind(TokenKind::LeftParen) {
                    return self.stop("(");
                }
                return Ok(match self.group()?.0 {
                    super::group::Group::Query(query) => ExprKind::InQuery { operand, query: Box::new(query), negated },
                    super::group::Group::Exprs(list) => ExprKind::InList { operand, list, negated },
                });
            }
            K::Like => Like::Like,
            K::Ilike => Like::Ilike,
            K::Similar => {
                self.want(K::To)?;
                Like::Similar
            }
            _ => return self.stop("LIKE"),
        };
        if operator != Like::Similar && matches!(self.tok.word, K::Any | K::Some | K::All) {
            let name = match (operator, negated) {
                (Like::Like, false) => "~~",
                (Like::Like, true) => "!~~",
                (_, false) => "~~*",
                (_, true) => "!~~*",
            };
            return self.quantified(*operand, name.to_owned());
        }
        let pattern = Box::new(self.operators(None, LIKE + 1, Kind::Any)?);
        let escape = match self.take(K::Escape) {
            true => Some(Box::new(self.operators(None, LIKE + 1, Kind::Any)?)),
            false => None,
        };
        self.not_again(LIKE, LIKE, Kind::Any)?;
        Ok(ExprKind::Like { operand, pattern, escape, negated, operator })
    }

    /// `AT TIME ZONE z`; `AT LOCAL` is the function `timezone` with one argument.
    fn at_zone(&mut self, left: Expr) -> Read<Expr> {
        let start = left.span.start;
        let at = self.advance().span;
        if self.is(K::Local) {
            let span = at.to(self.advance().span);
            let name = self.word_name("timezone", span);
            let call = Call { args: vec![super::call::plain(left)], ..self.special(name, start) };
            return Ok(self.node(start, ExprKind::Function(Box::new(call))));
        }
        self.want(K::Time)?;
        self.want(K::Zone)?;
        let zone = Box::new(self.operators(None, AT + 1, Kind::Any)?);
        Ok(self.node(start, ExprKind::AtTimeZone { operand: Box::new(left), zone }))
    }

    /// A name of one part that the grammar gives, at the words that stand for it.
    pub(super) fn word_name(&self, name: &str, span: Span) -> Name {
        Name { parts: vec![Ident { value: name.to_owned(), span }], span }
    }
}
