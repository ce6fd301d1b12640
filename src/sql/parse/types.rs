//! Types' names (`Typename`), and constants with one before them.

use super::cursor::{Parser, Read};
use super::keywords::Keyword as K;
use crate::sql::TokenKind;
use crate::sql::ast::{Expr, ExprKind, Span, TypeName};

impl Parser<'_> {
    /// `Typename`
    pub(super) fn type_name(&mut self) -> Read<TypeName> {
        let start = self.start();
        let setof = self.take(K::Setof);
        let mut target = match self.own_type()? {
            Some(target) => target,
            None => self.generic_type()?,
        };
        if target.name.first().is_some_and(|name| name == "interval") && target.modifiers.is_none() {
            target.modifiers = self.interval_fields()?;
        }
        target.setof = setof;
        if self.take(K::Array) {
            target.array = true;
            if self.take_symbol("[") {
                self.want_kind(TokenKind::Number)?;
                self.want_symbol("]")?;
            }
        } else {
            while self.take_symbol("[") {
                target.array = true;
                self.take_kind(TokenKind::Number);
                self.want_symbol("]")?;
            }
        }
        target.span = self.since(start);
        Ok(target)
    }

    /// A type of the catalog: `name.name(modifiers)`.
    fn generic_type(&mut self) -> Read<TypeName> {
        let start = self.start();
        if !Self::is_function_id(self.tok) {
            return self.stop("a type");
        }
        let first = self.ident()?;
        let name = self.rest_of_name(first)?.parts.into_iter().map(|part| part.value).collect();
        let modifiers = self.modifiers()?;
        Ok(TypeName { span: self.since(start), name, modifiers, array: false, setof: false })
    }

    /// `(…)`
    fn modifiers(&mut self) -> Read<Option<Span>> {
        let start = self.start();
        if !self.take_kind(TokenKind::LeftParen) {
            return Ok(None);
        }
        self.list(Self::expr)?;
        self.want_kind(TokenKind::RightParen)?;
        Ok(Some(self.since(start)))
    }

    /// `(n)`
    fn length(&mut self) -> Read<Option<Span>> {
        let start = self.start();
        if !self.take_kind(TokenKind::LeftParen) {
            return Ok(None);
        }
        self.want_kind(TokenKind::Number)?;
        self.want_kind(TokenKind::RightParen)?;
        Ok(Some(self.since(start)))
    }

    /// A type that the grammar itself knows, with its modifiers; INTERVAL without its fields.
    fn own_type(&mut self) -> Read<Option<TypeName>> {
        let start = self.start();
        let keyword = self.tok.word;
        let place = self.place();
        self.advance();
        let (name, modifiers) = match keyword {
            K::Int | K::Integer => ("int4", None),
            K::Smallint => ("int2", None),
            K::Bigint => ("int8", None),
            K::Real => ("float4", None),
            K::Boolean => ("bool", None),
            K::Double if self.take(K::Precision) => ("float8", None),
            K::Float => self.float()?,
            K::Decimal | K::Dec | K::Numeric => ("numeric", self.modifiers()?),
            K::Bit => (if self.take(K::Varying) { "varbit" } else { "bit" }, self.modifiers()?),
            K::Character | K::Char | K::Nchar => {
                (if self.take(K::Varying) { "varchar" } else { "bpchar" }, self.length()?)
            }
            K::National => {
                if self.take_any(&[K::Character, K::Char]).is_none() {
                    return self.stop("CHARACTER");
                }
                (if self.take(K::Varying) { "varchar" } else { "bpchar" }, self.length()?)
            }
            K::Varchar => ("varchar", self.length()?),
            K::Timestamp | K::Time => {
                let length = self.length()?;
                let zone = self.take_all(&[K::With, K::Time, K::Zone]);
                if !zone {
                    self.take_all(&[K::Without, K::Time, K::Zone]);
                }
                let name = match (keyword, zone) {
                    (K::Timestamp, true) => "timestamptz",
                    (K::Timestamp, false) => "timestamp",
                    (_, true) => "timetz",
                    (_, false) => "time",
                };
                (name, length)
            }
            K::Interval => ("interval", self.length()?),
            _ => {
                self.back_to(place);
                return Ok(None);
            }
        };
        let name = vec![name.to_owned()];
        Ok(Some(TypeName { span: self.since(start), name, modifiers, array: false, setof: false }))
    }

    /// `FLOAT [(n)]`: float4 up to 24 bits.
    fn float(&mut self) -> Read<(&'static str, Option<Span>)> {
        let length = self.length()?;
        let digits = length.map(|span| span.of(self.sql).trim_matches(|c: char| !c.is_ascii_digit()));
        let small = digits.and_then(|digits| digits.parse::<u32>().ok()).is_some_and(|bits| bits <= 24);
        Ok((if small { "float4" } else { "float8" }, length))
    }

    /// `opt_interval`: `YEAR TO MONTH`, `SECOND (3)` …
    fn interval_fields(&mut self) -> Read<Option<Span>> {
        let start = self.start();
        let fields = [K::Year, K::Month, K::Day, K::Hour, K::Minute, K::Second];
        let Some(mut last) = self.take_any(&fields) else { return Ok(None) };
        if self.is(K::To) {
            self.advance();
            let ends: &[K] = match last {
                K::Year => &[K::Month],
                K::Day => &[K::Hour, K::Minute, K::Second],
                K::Hour => &[K::Minute, K::Second],
                K::Minute => &[K::Second],
                _ => &[],
            };
            last = match self.take_any(ends) {
                Some(end) => end,
                None => return self.stop("a field of an interval"),
            };
        }
        if last == K::Second {
            self.length()?;
        }
        Ok(Some(self.since(start)))
    }

    /// `type 'constant'` with a type that the grammar itself knows. `None`: what comes is no such thing.
    ///
    /// `interval '1' day` has its fields in the node's span, not in the type's.
    pub(super) fn typed_constant(&mut self) -> Read<Option<Expr>> {
        let start = self.start();
        let place = self.place();
        // A name like `time` or `bit` begins both; only the constant after it tells.
        let target = match self.own_type() {
            Ok(Some(target)) if self.is_kind(TokenKind::Text) => target,
            _ => {
                self.back_to(place);
                return Ok(None);
            }
        };
        let mut target = target;
        let operand = Box::new(self.text_literal()?);
        if target.name.first().is_some_and(|name| name == "interval") && target.modifiers.is_none() {
            target.modifiers = self.interval_fields()?;
        }
        Ok(Some(self.node(start, ExprKind::Cast { operand, target })))
    }
}
