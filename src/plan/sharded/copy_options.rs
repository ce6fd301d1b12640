//! Options of COPY, as far as they tell where rows and fields end (PostgreSQL's `ProcessCopyOptions`).

use super::Refusal;
use super::refuse::refuse;
use crate::sql::ast::Copy;
use crate::sql::literal::text_value;
use crate::sql::{Lexer, Token, TokenKind};

/// How rows are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFormat {
    pub kind: CopyKind,
    pub delimiter: u8,
    /// What stands for NULL.
    pub null: Vec<u8>,
    /// What stands for the column's default (PostgreSQL 16).
    pub default: Option<Vec<u8>>,
    pub quote: u8,
    pub escape: u8,
    /// The first line isn't a row.
    pub header: bool,
    /// Of the sharding key: its column is among FORCE_NULL, FORCE_NOT_NULL.
    pub force_null: bool,
    pub force_not_null: bool,
    /// Columns whose values are always quoted when they are written.
    pub force_quote: Forced,
    /// ENCODING, else the client's.
    pub encoding: Option<String>,
    /// `\.` ends CSV too (until PostgreSQL 17).
    pub csv_end: bool,
}

impl Default for CopyFormat {
    /// Text, as PostgreSQL writes and reads it without options.
    fn default() -> Self {
        Self {
            kind: CopyKind::Text,
            delimiter: b'\t',
            null: b"\\N".to_vec(),
            default: None,
            quote: b'"',
            escape: b'"',
            header: false,
            force_null: false,
            force_not_null: false,
            force_quote: Forced::None,
            encoding: None,
            csv_end: true,
        }
    }
}

/// Columns that an option names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forced {
    None,
    All,
    Of(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyKind {
    Text,
    Csv,
    Binary,
}

/// What an option is given.
#[derive(Clone, Debug, PartialEq)]
enum Given {
    Nothing,
    Text(String),
    Star,
    Names(Vec<String>),
}

impl Given {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The format that the options give. `key`: the sharding key's column.
///
/// # Errors
/// An option that isn't understood. What PostgreSQL refuses need not be found here: it has been asked before.
pub fn read(copy: &Copy, sql: &str, standard: bool, version: u32, key: Option<&str>) -> Result<CopyFormat, Refusal> {
    let mut options = match copy.options {
        Some(span) => {
            let tokens: Vec<Token> = Lexer::new(span.of(sql).as_bytes(), standard)
                .filter(|token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment))
                .collect();
            Reader { sql: span.of(sql), tokens: &tokens, standard }.all().ok_or_else(unread)?
        }
        None => Vec::new(),
    };
    if copy.binary {
        options.push(("format".into(), Given::Text("binary".into())));
    }
    let mut kind = CopyKind::Text;
    let (mut delimiter, mut null, mut default, mut quote, mut escape) = (None, None, None, None, None);
    let mut header = false;
    let (mut force_null, mut force_not_null) = (false, false);
    let mut encoding = None;
    let mut force_quote = Forced::None;
    let holds = |given: &Given| match given {
        Given::Star => key.is_some(),
        Given::Names(names) => key.is_some_and(|key| names.iter().any(|name| name == key)),
        _ => false,
    };
    for (name, given) in options {
        match name.as_str() {
            "format" => {
                kind = match given.text().as_deref() {
                    Some("text") => CopyKind::Text,
                    Some("csv") => CopyKind::Csv,
                    Some("binary") => CopyKind::Binary,
                    _ => return Err(unread()),
                }
            }
            "delimiter" => delimiter = Some(byte(given).ok_or_else(unread)?),
            "null" => null = Some(given.text().ok_or_else(unread)?.into_bytes()),
            "default" => default = Some(given.text().ok_or_else(unread)?.into_bytes()),
            "quote" => quote = Some(byte(given).ok_or_else(unread)?),
            "escape" => escape = Some(byte(given).ok_or_else(unread)?),
            "header" => header = is_header(given).ok_or_else(unread)?,
            "force_null" => force_null = holds(&given),
            "force_not_null" => force_not_null = holds(&given),
            "encoding" => encoding = Some(given.text().ok_or_else(unread)?),
            // Each shard does what they say.
            "freeze" | "log_verbosity" => {}
            "force_quote" => {
                force_quote = match given {
                    Given::Star => Forced::All,
                    Given::Names(names) => Forced::Of(names),
                    _ => return Err(unread()),
                }
            }
            "on_error" if given.clone().text().is_some_and(|text| text.eq_ignore_ascii_case("stop")) => {}
            _ => return Err(unread()),
        }
    }
    let csv = kind == CopyKind::Csv;
    let quote = quote.unwrap_or(b'"');
    Ok(CopyFormat {
        kind,
        delimiter: delimiter.unwrap_or(if csv { b',' } else { b'\t' }),
        null: null.unwrap_or_else(|| if csv { Vec::new() } else { b"\\N".to_vec() }),
        default,
        quote,
        escape: escape.unwrap_or(quote),
        header,
        force_null,
        force_not_null,
        force_quote,
        encoding,
        csv_end: version < 180_000,
    })
}

/// A single byte.
fn byte(given: Given) -> Option<u8> {
    match given.text()?.as_bytes() {
        [byte] => Some(*byte),
        _ => None,
    }
}

/// `defGetCopyHeaderChoice`, with booleans as `defGetBoolean` reads them.
fn is_header(given: Given) -> Option<bool> {
    match given {
        Given::Nothing => Some(true),
        Given::Text(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "on" | "1" | "match" => Some(true),
            "false" | "off" | "0" => Some(false),
            _ => None,
        },
        Given::Star | Given::Names(_) => None,
    }
}

fn unread() -> Refusal {
    refuse(
        "copy-options",
        "pgbraid can't prove how the rows of this COPY are to be cut: an option isn't known",
        "Use FORMAT, DELIMITER, NULL, DEFAULT, HEADER, QUOTE, ESCAPE, FORCE_NULL, FORCE_NOT_NULL, ENCODING, FREEZE.",
    )
}

/// Reads options of both spellings, up to WHERE.
struct Reader<'a> {
    sql: &'a str,
    tokens: &'a [Token],
    standard: bool,
}

impl Reader<'_> {
    fn all(mut self) -> Option<Vec<(String, Given)>> {
        let mut options = Vec::new();
        // USING DELIMITERS ';'
        self.take("using");
        if self.take("delimiters") {
            options.push(("delimiter".to_owned(), Given::Text(self.string()?)));
        }
        self.take("with");
        if self.take_kind(TokenKind::LeftParen) {
            loop {
                let name = self.name()?;
                options.push((name, self.value()?));
                if !self.take_kind(TokenKind::Comma) {
                    break;
                }
            }
            return self.take_kind(TokenKind::RightParen).then_some(options);
        }
        while let Some(token) = self.tokens.first().filter(|token| !token.is(self.sql.as_bytes(), "where")) {
            let word = token.name(self.sql.as_bytes());
            self.skip();
            let option = match word.as_str() {
                "binary" | "csv" => ("format".to_owned(), Given::Text(word)),
                "freeze" | "header" => (word, Given::Nothing),
                "delimiter" | "null" | "quote" | "escape" => {
                    self.take("as");
                    (word, Given::Text(self.string()?))
                }
                "encoding" => (word, Given::Text(self.string()?)),
                "force" => self.force()?,
                _ => return None,
            };
            options.push(option);
        }
        Some(options)
    }

    /// FORCE QUOTE, FORCE NOT NULL, FORCE NULL.
    fn force(&mut self) -> Option<(String, Given)> {
        let name = match self.name()?.as_str() {
            "not" => self.take("null").then_some("force_not_null")?,
            "null" => "force_null",
            "quote" => "force_quote",
            _ => return None,
        };
        if self.tokens.first().is_some_and(|token| token.bytes(self.sql.as_bytes()) == b"*") {
            self.skip();
            return Some((name.to_owned(), Given::Star));
        }
        let mut names = vec![self.name()?];
        while self.take_kind(TokenKind::Comma) {
            names.push(self.name()?);
        }
        Some((name.to_owned(), Given::Names(names)))
    }

    /// What follows an option's name in parentheses.
    fn value(&mut self) -> Option<Given> {
        let Some(token) = self.tokens.first().copied() else { return Some(Given::Nothing) };
        match token.kind {
            TokenKind::Comma | TokenKind::RightParen => Some(Given::Nothing),
            TokenKind::LeftParen => {
                self.skip();
                let mut names = vec![self.name()?];
                while self.take_kind(TokenKind::Comma) {
                    names.push(self.name()?);
                }
                self.take_kind(TokenKind::RightParen).then_some(Given::Names(names))
            }
            TokenKind::Text => Some(Given::Text(self.string()?)),
            TokenKind::Number => {
                self.skip();
                Some(Given::Text(String::from_utf8_lossy(token.bytes(self.sql.as_bytes())).into_owned()))
            }
            TokenKind::Operator if token.bytes(self.sql.as_bytes()) == b"*" => {
                self.skip();
                Some(Given::Star)
            }
            _ => Some(Given::Text(self.name()?)),
        }
    }

    fn skip(&mut self) {
        self.tokens = self.tokens.get(1..).unwrap_or_default();
    }

    fn take(&mut self, word: &str) -> bool {
        let is = self.tokens.first().is_some_and(|token| token.is(self.sql.as_bytes(), word));
        if is {
            self.skip();
        }
        is
    }

    fn take_kind(&mut self, kind: TokenKind) -> bool {
        let is = self.tokens.first().is_some_and(|token| token.kind == kind);
        if is {
            self.skip();
        }
        is
    }

    fn name(&mut self) -> Option<String> {
        let token = self.tokens.first().filter(|token| token.is_name())?;
        let name = token.name(self.sql.as_bytes());
        self.skip();
        Some(name)
    }

    fn string(&mut self) -> Option<String> {
        let token = self.tokens.first().filter(|token| token.kind == TokenKind::Text)?;
        let value = text_value(token.bytes(self.sql.as_bytes()), self.standard);
        self.skip();
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::ast::Statement;

    fn of(options: &str) -> Option<CopyFormat> {
        let sql = format!("COPY t FROM STDIN {options}");
        match crate::sql::parse::parse(&sql, true) {
            Ok(Statement::Copy(copy)) => read(&copy, &sql, true, 150_000, Some("id")).ok(),
            _ => panic!("{sql}"),
        }
    }

    #[test]
    fn both_spellings_say_the_same() {
        for (old, new) in [
            ("", ""),
            ("BINARY", "(FORMAT binary)"),
            ("WITH DELIMITER AS ';' NULL ''", "WITH (DELIMITER ';', NULL '')"),
            ("DELIMITERS E'\\x01'", "(delimiter E'\\x01')"),
            ("CSV HEADER QUOTE '''' ESCAPE AS '\\'", "(FORMAT csv, HEADER true, QUOTE $$'$$, ESCAPE '\\')"),
            ("CSV FORCE NOT NULL a, id", "(FORMAT 'csv', FORCE_NOT_NULL (\"id\"))"),
            ("CSV FORCE NULL id ENCODING 'latin1'", "(FORCE_NULL (id, a), ENCODING 'latin1', FORMAT csv)"),
            ("CSV WHERE id > 5", "(FORMAT csv, HEADER off, FREEZE) WHERE 'a' = $$csv$$"),
        ] {
            assert_eq!(of(old), of(new), "{old} and {new}");
            assert!(of(old).is_some(), "{old}");
        }
    }

    #[test]
    fn values_are_read() {
        let text = of("").unwrap();
        assert_eq!((text.kind, text.delimiter, text.null.as_slice()), (CopyKind::Text, b'\t', &b"\\N"[..]));
        let csv = of("(FORMAT csv, HEADER match, ESCAPE '\\', DEFAULT 'x')").unwrap();
        assert_eq!((csv.delimiter, csv.quote, csv.escape, csv.header), (b',', b'"', b'\\', true));
        assert_eq!((csv.null.as_slice(), csv.default.as_deref()), (&b""[..], Some(&b"x"[..])));
        assert!(!csv.force_null && !csv.force_not_null && csv.csv_end);
        assert!(of("(FORMAT csv, FORCE_NULL *)").unwrap().force_null);
        for unknown in ["(FORMAT avro)", "(ON_ERROR ignore)", "(DELIMITER 'ab')", "(HEADER 2)", "(NULL)", "(x)"] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
    }
}
