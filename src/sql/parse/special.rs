//! Calls that the grammar spells in a way of its own (`func_expr_common_subexpr`): EXTRACT, SUBSTRING, CURRENT_DATE, XML …

use super::call::plain;
use super::cursor::{Parser, Read};
use super::keywords::Keyword as K;
use crate::sql::TokenKind;
use crate::sql::ast::{Arg, Expr, ExprKind, Literal};

impl Parser<'_> {
    /// Such a call, if one begins here.
    pub(super) fn special_call(&mut self) -> Read<Option<Expr>> {
        let start = self.start();
        let open = self.ahead(1).kind == TokenKind::LeftParen;
        let keyword = self.tok.word;
        match keyword {
            K::CurrentDate | K::CurrentRole | K::CurrentUser | K::SessionUser | K::User | K::CurrentCatalog => {
                return self.word_call(false).map(Some);
            }
            K::CurrentSchema if !open => return self.word_call(false).map(Some),
            K::CurrentTime | K::CurrentTimestamp | K::Localtime | K::Localtimestamp => {
                return self.word_call(open).map(Some);
            }
            K::Collation if self.ahead(1).word == K::For => {
                self.advance();
                let span = self.since(start).to(self.advance().span);
                self.want_kind(TokenKind::LeftParen)?;
                let args = vec![plain(self.expr()?)];
                return self.finish("pg_collation_for", span, args, start).map(Some);
            }
            _ if !open => return Ok(None),
            _ => {}
        }
        let name = match keyword {
            K::Coalesce | K::Greatest | K::Least | K::Xmlconcat | K::Grouping | K::Nullif => keyword.spelling(),
            K::Extract | K::Position | K::Overlay | K::Substring | K::Normalize | K::Xmlexists => keyword.spelling(),
            K::Xmlelement | K::Xmlforest | K::Xmlparse | K::Xmlpi | K::Xmlroot | K::Xmlserialize => keyword.spelling(),
            K::Trim => "btrim",
            _ => return Ok(None),
        };
        let span = self.advance().span;
        self.advance();
        let mut name = name;
        let args = match keyword {
            K::Extract => self.extract()?,
            K::Position => self.position()?,
            K::Overlay => self.overlay()?,
            K::Substring => self.substring()?,
            K::Trim => self.trim(&mut name)?,
            K::Normalize => self.normalize()?,
            K::Nullif => {
                let first = self.expr()?;
                self.want_kind(TokenKind::Comma)?;
                vec![plain(first), plain(self.expr()?)]
            }
            K::Coalesce | K::Greatest | K::Least | K::Xmlconcat | K::Grouping => {
                self.list(Self::expr)?.into_iter().map(plain).collect()
            }
            _ => self.xml(keyword)?,
        };
        self.finish(name, span, args, start).map(Some)
    }

    /// The closing parenthesis and the node.
    fn finish(&mut self, name: &str, span: crate::sql::ast::Span, args: Vec<Arg>, start: u32) -> Read<Expr> {
        self.want_kind(TokenKind::RightParen)?;
        let call = crate::sql::ast::Call { args, ..self.special(self.word_name(name, span), start) };
        Ok(self.node(start, ExprKind::Function(Box::new(call))))
    }

    /// `CURRENT_DATE`, `LOCALTIME(0)`
    fn word_call(&mut self, precision: bool) -> Read<Expr> {
        let start = self.start();
        let tok = self.advance();
        let mut args = Vec::new();
        if precision {
            self.want_kind(TokenKind::LeftParen)?;
            let number = self.start();
            self.want_kind(TokenKind::Number)?;
            args.push(plain(self.node(number, ExprKind::Literal(Literal::Number))));
            self.want_kind(TokenKind::RightParen)?;
        }
        let name = self.word_name(tok.word.spelling(), tok.span);
        let call = crate::sql::ast::Call { word: true, args, ..self.special(name, start) };
        Ok(self.node(start, ExprKind::Function(Box::new(call))))
    }

    /// `field FROM source`: the field stands as a string constant.
    fn extract(&mut self) -> Read<Vec<Arg>> {
        let field = if self.is_kind(TokenKind::Text) {
            self.text_literal()?
        } else {
            let known =
                matches!(self.tok.word, K::Plain | K::Year | K::Month | K::Day | K::Hour | K::Minute | K::Second);
            if !known {
                return self.stop("a field");
            }
            let field = self.ident()?;
            Expr { span: field.span, kind: ExprKind::Literal(Literal::Text(Some(field.value))) }
        };
        self.want(K::From)?;
        Ok(vec![plain(field), plain(self.expr()?)])
    }

    /// `b_expr IN b_expr`, in this order.
    fn position(&mut self) -> Read<Vec<Arg>> {
        let first = self.restricted_expr()?;
        self.want(K::In)?;
        Ok(vec![plain(first), plain(self.restricted_expr()?)])
    }

    /// `a PLACING b FROM c [FOR d]`, or an ordinary list.
    fn overlay(&mut self) -> Read<Vec<Arg>> {
        let Some(first) = self.first_or_none()? else { return Ok(Vec::new()) };
        let mut args = vec![plain(first)];
        if self.take(K::Placing) {
            args.push(plain(self.expr()?));
            self.want(K::From)?;
            args.push(plain(self.expr()?));
            if self.take(K::For) {
                args.push(plain(self.expr()?));
            }
            return Ok(args);
        }
        self.more(&mut args)?;
        Ok(args)
    }

    /// `a FROM b [FOR c]`, `a FOR b [FROM c]`, `a SIMILAR b ESCAPE c`, or an ordinary list; in the order of the text.
    fn substring(&mut self) -> Read<Vec<Arg>> {
        let Some(first) = self.first_or_none()? else { return Ok(Vec::new()) };
        let mut args = vec![plain(first)];
        if self.take(K::Similar) {
            args.push(plain(self.expr()?));
            self.want(K::Escape)?;
            args.push(plain(self.expr()?));
            return Ok(args);
        }
        let Some(word) = self.take_any(&[K::From, K::For]) else {
            self.more(&mut args)?;
            return Ok(args);
        };
        args.push(plain(self.expr()?));
        if self.take(if word == K::From { K::For } else { K::From }) {
            args.push(plain(self.expr()?));
        }
        Ok(args)
    }

    fn first_or_none(&mut self) -> Read<Option<Expr>> {
        if self.is_kind(TokenKind::RightParen) { Ok(None) } else { self.expr().map(Some) }
    }

    fn more(&mut self, args: &mut Vec<Arg>) -> Read<()> {
        while self.take_kind(TokenKind::Comma) {
            args.push(plain(self.expr()?));
        }
        Ok(())
    }

    /// `[BOTH | LEADING | TRAILING] [characters] [FROM] list`
    fn trim(&mut self, name: &mut &'static str) -> Read<Vec<Arg>> {
        match self.take_any(&[K::Both, K::Leading, K::Trailing]) {
            Some(K::Leading) => *name = "ltrim",
            Some(K::Trailing) => *name = "rtrim",
            _ => {}
        }
        let mut args = Vec::new();
        if !self.take(K::From) {
            args.push(plain(self.expr()?));
            if !self.take(K::From) {
                self.more(&mut args)?;
                return Ok(args);
            }
        }
        args.push(plain(self.expr()?));
        self.more(&mut args)?;
        Ok(args)
    }

    fn normalize(&mut self) -> Read<Vec<Arg>> {
        let args = vec![plain(self.expr()?)];
        if self.take_kind(TokenKind::Comma) && self.take_any(&[K::Nfc, K::Nfd, K::Nfkc, K::Nfkd]).is_none() {
            return self.stop("NFC");
        }
        Ok(args)
    }

    /// The arguments of an XML call: its expressions, in the order of the text.
    fn xml(&mut self, keyword: K) -> Read<Vec<Arg>> {
        let mut args = Vec::new();
        match keyword {
            K::Xmlelement | K::Xmlpi => {
                self.want(K::Name)?;
                self.ident()?;
                while self.take_kind(TokenKind::Comma) {
                    if self.is(K::Xmlattributes) && self.ahead(1).kind == TokenKind::LeftParen {
                        self.advance();
                        self.advance();
                        self.xml_attributes(&mut args)?;
                        self.want_kind(TokenKind::RightParen)?;
                    } else {
                        args.push(plain(self.expr()?));
                    }
                }
            }
            K::Xmlforest => self.xml_attributes(&mut args)?,
            K::Xmlparse | K::Xmlserialize => {
                if self.take_any(&[K::Document, K::Content]).is_none() {
                    return self.stop("DOCUMENT");
                }
                args.push(plain(self.expr()?));
                if keyword == K::Xmlserialize {
                    self.want(K::As)?;
                    self.type_name()?;
                } else if self.take_any(&[K::Preserve, K::Strip]).is_some() {
                    self.want(K::Whitespace)?;
                }
            }
            K::Xmlroot => self.xml_root(&mut args)?,
            _ => {
                args.push(plain(self.primary()?));
                self.want(K::Passing)?;
                args.push(plain(self.xml_passing()?));
            }
        }
        Ok(args)
    }

    /// `xmlexists_argument` after PASSING.
    pub(super) fn xml_passing(&mut self) -> Read<Expr> {
        let mechanism = |parser: &mut Self| parser.take_all(&[K::By, K::Ref]) || parser.take_all(&[K::By, K::Value]);
        mechanism(self);
        let passed = self.primary()?;
        mechanism(self);
        Ok(passed)
    }

    fn xml_root(&mut self, args: &mut Vec<Arg>) -> Read<()> {
        args.push(plain(self.expr()?));
        self.want_kind(TokenKind::Comma)?;
        self.want(K::Version)?;
        if !self.take_all(&[K::No, K::Value]) {
            args.push(plain(self.expr()?));
        }
        if self.take_kind(TokenKind::Comma) {
            self.want(K::Standalone)?;
            if !self.take(K::Yes) {
                self.want(K::No)?;
                self.take(K::Value);
            }
        }
        Ok(())
    }

    /// `value [AS name], …`
    fn xml_attributes(&mut self, args: &mut Vec<Arg>) -> Read<()> {
        loop {
            args.push(plain(self.expr()?));
            if self.take(K::As) {
                self.ident()?;
            }
            if !self.take_kind(TokenKind::Comma) {
                return Ok(());
            }
        }
    }
}
