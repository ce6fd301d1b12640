//! Statements, and those that hold another: COPY, DECLARE, EXPLAIN.

use super::cursor::{Parser, Read};
use super::keywords::Keyword as K;
use crate::sql::TokenKind;
use crate::sql::ast::{Copy, CopySource, Declare, Explain, Span, Statement};
use crate::sql::literal;

impl Parser<'_> {
    /// A statement that is read here at all.
    pub(super) fn statement(&mut self) -> Read<Statement> {
        match self.tok.word {
            K::Copy => Ok(Statement::Copy(Box::new(self.copy()?))),
            K::Declare => Ok(Statement::Declare(Box::new(self.declare()?))),
            K::Explain => Ok(Statement::Explain(Box::new(self.explain()?))),
            _ => self.preparable(),
        }
    }

    fn declare(&mut self) -> Read<Declare> {
        let start = self.start();
        self.advance();
        let name = self.column_id()?;
        let (mut binary, mut scroll) = (false, None);
        loop {
            match self.tok.word {
                K::Binary => binary = true,
                K::Scroll => scroll = Some(true),
                K::No if self.ahead(1).word == K::Scroll => {
                    self.advance();
                    scroll = Some(false);
                }
                K::Insensitive | K::Asensitive => {}
                _ => break,
            }
            self.advance();
        }
        self.want(K::Cursor)?;
        let hold = self.take_all(&[K::With, K::Hold]);
        if !hold {
            self.take_all(&[K::Without, K::Hold]);
        }
        self.want(K::For)?;
        let query = self.query()?;
        Ok(Declare { span: self.since(start), name, binary, scroll, hold, query })
    }

    fn explain(&mut self) -> Read<Explain> {
        let start = self.start();
        self.advance();
        let mut options = Vec::new();
        if self.is_kind(TokenKind::LeftParen) && !self.is_query_at(1) && self.ahead(1).kind != TokenKind::LeftParen {
            self.advance();
            options = self.list(Self::explain_option)?;
            self.want_kind(TokenKind::RightParen)?;
        } else {
            if self.take_any(&[K::Analyze, K::Analyse]).is_some() {
                options.push(("analyze".to_owned(), None));
            }
            if self.take(K::Verbose) {
                options.push(("verbose".to_owned(), None));
            }
        }
        let head = Span::new(start, self.start());
        let statement = match self.tok.word {
            K::Declare => Statement::Declare(Box::new(self.declare()?)),
            _ => self.preparable()?,
        };
        Ok(Explain { span: self.since(start), options, head, statement })
    }

    /// `name [value]`
    fn explain_option(&mut self) -> Read<(String, Option<String>)> {
        let tok = self.tok;
        let name = if matches!(tok.word, K::Analyze | K::Analyse) {
            self.advance();
            "analyze".to_owned()
        } else {
            if tok.word.category() == super::keywords::Category::Reserved {
                return self.stop("an option");
            }
            self.ident()?.value
        };
        let start = self.start();
        let value = match self.tok.kind {
            TokenKind::Comma | TokenKind::RightParen => None,
            TokenKind::Text => {
                let tok = self.advance();
                let Some(value) = literal::text_value(self.text(tok).as_bytes(), self.standard_strings) else {
                    return Err(super::Stopped { at: start, expected: "a plain constant" });
                };
                Some(value)
            }
            TokenKind::Word | TokenKind::Quoted => Some(self.ident()?.value),
            _ => {
                let _ = self.take_symbol("+") || self.take_symbol("-");
                self.want_kind(TokenKind::Number)?;
                Some(self.since(start).of(self.sql).to_owned())
            }
        };
        Ok((name, value))
    }

    fn copy(&mut self) -> Read<Copy> {
        let start = self.start();
        self.advance();
        let options_before = self.take(K::Binary);
        let mut from = false;
        let source = if self.is_kind(TokenKind::LeftParen) && !options_before {
            let open = self.start();
            self.advance();
            let statement = self.nested(Self::preparable)?;
            self.want_kind(TokenKind::RightParen)?;
            let span = self.since(open);
            self.want(K::To)?;
            CopySource::Statement(Box::new(statement), span)
        } else {
            let name = self.qualified_name()?;
            let columns = if self.is_kind(TokenKind::LeftParen) { Some(self.column_ids_in_parens()?) } else { None };
            from = match self.take_any(&[K::From, K::To]) {
                Some(word) => word == K::From,
                None => return self.stop("FROM or TO"),
            };
            CopySource::Table(name, columns)
        };
        // Either word stands for the client, whatever the direction.
        let stdio = self.take_any(&[K::Stdin, K::Stdout]).is_some();
        if !stdio {
            self.take(K::Program);
            self.want_kind(TokenKind::Text)?;
        }
        let options_start = self.start();
        let by_table = matches!(source, CopySource::Table(..));
        self.copy_options(by_table)?;
        let mut filter = None;
        if from {
            filter = self.clause(K::Where)?.map(|clause| clause.expr);
        }
        let some = options_start != self.start();
        let options = some.then(|| self.since(options_start));
        Ok(Copy { span: self.since(start), source, from, stdio, binary: options_before, options, filter })
    }

    fn copy_options(&mut self, by_table: bool) -> Read<()> {
        if by_table && (self.is(K::Delimiters) || self.are(&[K::Using, K::Delimiters])) {
            self.take(K::Using);
            self.advance();
            self.want_kind(TokenKind::Text)?;
        }
        self.take(K::With);
        if self.take_kind(TokenKind::LeftParen) {
            self.list(Self::copy_option)?;
            self.want_kind(TokenKind::RightParen)?;
            return Ok(());
        }
        loop {
            match self.tok.word {
                K::Binary | K::Freeze | K::Csv | K::Header => {
                    self.advance();
                }
                K::Delimiter | K::Null | K::Quote | K::Escape | K::Encoding => {
                    if self.advance().word != K::Encoding {
                        self.take(K::As);
                    }
                    self.want_kind(TokenKind::Text)?;
                }
                K::Force => {
                    self.advance();
                    let quote = self.take(K::Quote);
                    if !quote && !self.take_all(&[K::Not, K::Null]) {
                        self.want(K::Null)?;
                    }
                    if !(quote && self.take_symbol("*")) {
                        self.list(Self::column_id)?;
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    /// `copy_generic_opt_elem`
    fn copy_option(&mut self) -> Read<()> {
        self.ident()?;
        match self.tok.kind {
            TokenKind::Comma | TokenKind::RightParen => {}
            TokenKind::LeftParen => {
                self.advance();
                self.list(Self::option_value)?;
                self.want_kind(TokenKind::RightParen)?;
            }
            _ if self.is_symbol("*") => {
                self.advance();
            }
            TokenKind::Operator | TokenKind::Number => {
                let _ = self.take_symbol("+") || self.take_symbol("-");
                self.want_kind(TokenKind::Number)?;
            }
            _ => self.option_value()?,
        }
        Ok(())
    }

    /// `opt_boolean_or_string`: a word or a string constant.
    fn option_value(&mut self) -> Read<()> {
        if !self.take_kind(TokenKind::Text) {
            self.ident()?;
        }
        Ok(())
    }
}
