//! Cursors of SQL over several shards: their rows are held here, and FETCH is answered from them.

use super::decide::{Cursor as Declared, Decision, Target, refusal_error, scatter_of};
use super::multi::{Bind, Kept, Reply};
use super::welcome::put_body;
use super::{Coordinator, Go};
use crate::base::{PgError, SqlState};
use crate::sql::{Lexer, TokenKind};
use crate::wire::frame::back;
use crate::wire::message;

/// Where a cursor is.
pub(super) enum Cursor {
    /// That shard's own.
    Shard(usize),
    Held(Held),
}

/// Rows of a cursor that haven't been fetched.
pub(super) struct Held {
    rows: Kept,
    /// Body of RowDescription.
    row: Vec<u8>,
}

/// What FETCH, MOVE or CLOSE asks for.
struct Asked {
    word: String,
    name: String,
    /// `None`: all.
    count: Option<usize>,
    /// Not forwards, or in a way that isn't read here.
    other: bool,
}

impl Coordinator {
    /// `DECLARE name CURSOR FOR` a query over several shards.
    pub(super) async fn declare(&mut self, cursor: &Declared, bind: &Bind) -> Go {
        if self.block.as_ref().is_none_or(|block| !block.explicit) {
            let text = "DECLARE CURSOR can only be used in transaction blocks";
            return Err(PgError::error(SqlState::NO_ACTIVE_SQL_TRANSACTION, text).into());
        }
        if self.cursors.contains_key(&cursor.name) {
            let text = format!("cursor \"{}\" already exists", cursor.name);
            return Err(PgError::error(SqlState::DUPLICATE_CURSOR, text).into());
        }
        if !cursor.plain {
            return Err(PgError::error(
                SqlState::FEATURE_NOT_SUPPORTED,
                "BINARY and WITH HOLD cursors over several shards aren't supported",
            )
            .hint("DECLARE it without, or put the sharding key into WHERE.")
            .into());
        }
        let query = self.database.prepared(self.key(&cursor.query, &[0, 0]), &self.worker, true);
        self.describe(&query).await?;
        let decision = self.decide(&query).await?;
        let Decision::Planned(plan) = &*decision else { return Ok(()) };
        let scatter = scatter_of(plan).map_err(refusal_error)?;
        let view = self.view().await?;
        let values = self.bound(&query, bind);
        let shards = match self.target(&plan.access, &view, &|number| values(number))? {
            Target::One(shard) => vec![shard],
            Target::Many(shards) => shards,
        };
        let rows = self.scatter(&query, scatter, &shards, bind, Reply::Keep).await?.unwrap_or_default();
        let row = query.described.get().and_then(|described| described.row.clone()).unwrap_or_default();
        self.cursors.insert(cursor.name.clone(), Cursor::Held(Held { rows, row }));
        message::command_complete(&mut self.output, "DECLARE CURSOR");
        Ok(())
    }

    /// FETCH, MOVE, CLOSE. `describe`: with RowDescription, as the simple protocol has it. False: it is a shard's, to be
    /// passed there.
    pub(super) fn held_cursor(&mut self, sql: &str, describe: bool) -> Go<bool> {
        let Some(asked) = read(sql) else { return Ok(false) };
        let Some(Cursor::Held(held)) = self.cursors.get_mut(&asked.name) else { return Ok(false) };
        if asked.word == "close" {
            self.cursors.remove(&asked.name);
            message::command_complete(&mut self.output, "CLOSE CURSOR");
            return Ok(true);
        }
        if asked.other {
            return Err(PgError::error(
                SqlState::FEATURE_NOT_SUPPORTED,
                "a cursor over several shards can only be fetched forwards",
            )
            .hint("Use FETCH NEXT, FETCH n, FETCH FORWARD n or FETCH ALL.")
            .into());
        }
        let count = asked.count.unwrap_or(usize::MAX).min(held.rows.len());
        let fetch = asked.word == "fetch";
        if fetch && describe {
            put_body(&mut self.output, back::ROW_DESCRIPTION, &held.row);
        }
        for row in held.rows.drain(..count) {
            if fetch {
                self.output.extend_from_slice(&row);
            }
        }
        message::command_complete(&mut self.output, &format!("{} {count}", asked.word.to_ascii_uppercase()));
        Ok(true)
    }

    /// The row description of a cursor that is held here.
    pub(super) fn held_row(&self, name: &str) -> Option<Vec<u8>> {
        match self.cursors.get(name)? {
            Cursor::Held(held) => Some(held.row.clone()),
            Cursor::Shard(_) => None,
        }
    }

    /// Whether a statement for a held cursor gives rows; MOVE and CLOSE don't.
    pub(super) fn fetches(sql: &str) -> bool {
        read(sql).is_some_and(|asked| asked.word == "fetch")
    }

    /// The name of the cursor that a FETCH names, if it is held here.
    pub(super) fn held_name(&self, sql: &str) -> Option<String> {
        let asked = read(sql)?;
        matches!(self.cursors.get(&asked.name), Some(Cursor::Held(_))).then_some(asked.name)
    }

    /// The shard of the cursor that FETCH, MOVE or CLOSE names.
    pub(super) fn cursor_shard(&self, sql: &str) -> usize {
        let name = read(sql).map(|asked| asked.name).unwrap_or_default();
        match self.cursors.get(&name) {
            Some(Cursor::Shard(shard)) => *shard,
            _ => self.home(),
        }
    }
}

/// `FETCH [direction] [count] [FROM | IN] name`
fn read(sql: &str) -> Option<Asked> {
    let bytes = sql.as_bytes();
    let tokens: Vec<_> = Lexer::new(bytes, true)
        .filter(|token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment | TokenKind::Semicolon))
        .collect();
    let (first, rest) = tokens.split_first()?;
    let (last, middle) = rest.split_last()?;
    let mut asked = Asked { word: first.name(bytes), name: last.name(bytes), count: Some(1), other: false };
    for token in middle {
        let text = String::from_utf8_lossy(token.bytes(bytes)).to_ascii_lowercase();
        match text.as_str() {
            "from" | "in" | "next" | "forward" => {}
            "all" => asked.count = None,
            number => match number.parse::<usize>() {
                Ok(count) if count > 0 => asked.count = Some(count),
                _ => asked.other = true,
            },
        }
    }
    Some(asked)
}
