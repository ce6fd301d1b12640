//! Cursors of SQL over several shards: their rows are read as FETCH asks for them, and kept where it may go back.

use super::decide::{Cursor as Declared, Decision, Target, refusal_error, scatter_of};
use super::describe::{Described, Prepared};
use super::fetch::{self, ALL, Asked, Way, read};
use super::flow::{Flow, To};
use super::multi::Bind;
use super::welcome::{put_body, with_formats};
use super::{Coordinator, Go};
use crate::backend::memory::Held;
use crate::base::{PgError, SqlState};
use crate::plan::TransactionModes;
use crate::wire::frame::back;
use crate::wire::message;

/// A cursor of the client's.
pub(super) struct Cursor {
    /// The session's count of cursors and portals when it was made.
    pub made: u64,
    pub hold: bool,
    /// Its transaction has ended, and it lives on.
    pub kept_over: bool,
    pub place: CursorPlace,
}

/// Where a cursor is.
pub(super) enum CursorPlace {
    /// That shard's own.
    Shard(usize),
    Rows(Box<Rows>),
}

/// Rows of a cursor over several shards.
pub(super) struct Rows {
    /// Those that haven't been read.
    flow: Option<Flow>,
    /// Body of RowDescription.
    row: Vec<u8>,
    binary: bool,
    scroll: Option<bool>,
    /// Frames of rows from the first on, where it may go back.
    kept: Option<Vec<Vec<u8>>>,
    held: Held,
    at: fetch::Place,
    /// Rows read so far, and whether these are all.
    known: u64,
}

impl Coordinator {
    /// `DECLARE name CURSOR FOR` a query over several shards.
    pub(super) async fn declare(&mut self, prepared: &Prepared, cursor: &Declared, bind: &Bind) -> Go {
        self.describe(prepared).await?;
        self.may_declare(cursor)?;
        let alone = self.block.is_none();
        if alone {
            self.block = Some(self.new_block("BEGIN", TransactionModes::default(), false));
        }
        let result = self.open_cursor(cursor, bind).await;
        if alone && let Some(block) = self.block.take() {
            let result = match result {
                Ok(()) => self.hold_cursors(self.made.saturating_sub(1)).await,
                Err(stop) => Err(stop),
            };
            if result.is_err() {
                self.cursors.remove(&cursor.name);
            }
            let ended = self.end_own(&block, result.is_ok()).await;
            result.and(ended)?;
        } else {
            result?;
        }
        message::command_complete(&mut self.output, "DECLARE CURSOR");
        Ok(())
    }

    async fn open_cursor(&mut self, cursor: &Declared, bind: &Bind) -> Go {
        let query = self.text(&cursor.query, &[0, 0], true);
        self.describe(&query).await?;
        let decision = self.decide(&query).await?;
        let plan = match &*decision {
            Decision::Planned(plan) => plan,
            Decision::Refused(error, reason) => return Err(self.refuse((**error).clone(), reason)),
            _ => return Ok(()),
        };
        let scatter = match scatter_of(plan) {
            Ok(scatter) => scatter,
            Err(refusal) => return Err(self.refuse(refusal_error(refusal), refusal.reason)),
        };
        let view = self.view().await?;
        let values = self.bound(&query, bind);
        let shards = match self.target(&plan.access, &view, &|number| values(number))? {
            Target::One(shard) => vec![shard],
            Target::Many(shards) => shards,
        };
        let bind = Bind { results: vec![i16::from(cursor.binary)], ..bind.clone() };
        let flow = self.open_flow(&query, scatter, &shards, &bind).await?;
        let row = query.described.get().and_then(Described::told).map(<[u8]>::to_vec).unwrap_or_default();
        let rows = Rows {
            flow: Some(flow),
            row: with_formats(&row, &bind.results),
            binary: cursor.binary,
            scroll: cursor.scroll,
            kept: (cursor.hold || cursor.scroll == Some(true)).then(Vec::new),
            held: self.database.shared.memory.hold(),
            at: 0,
            known: 0,
        };
        self.note_cursor(cursor, CursorPlace::Rows(Box::new(rows)));
        Ok(())
    }

    /// What PostgreSQL says to a DECLARE that can't be.
    pub(super) fn may_declare(&self, cursor: &Declared) -> Result<(), PgError> {
        if !cursor.hold && self.block.is_none() {
            let text = "DECLARE CURSOR can only be used in transaction blocks";
            return Err(PgError::error(SqlState::NO_ACTIVE_SQL_TRANSACTION, text));
        }
        self.is_free(&cursor.name)
    }

    /// No cursor and no portal has this name.
    pub(super) fn is_free(&self, name: &str) -> Result<(), PgError> {
        if !self.cursors.contains_key(name) && !self.portals.contains_key(name.as_bytes()) {
            return Ok(());
        }
        Err(PgError::error(SqlState::DUPLICATE_CURSOR, format!("cursor \"{name}\" already exists")))
    }

    pub(super) fn note_cursor(&mut self, cursor: &Declared, place: CursorPlace) {
        self.made += 1;
        let made = self.made;
        self.cursors.insert(cursor.name.clone(), Cursor { made, hold: cursor.hold, kept_over: false, place });
    }

    /// The transaction is about to be committed: cursors WITH HOLD that were made since then are read to their ends.
    pub(super) async fn hold_cursors(&mut self, since: u64) -> Go {
        let names: Vec<String> =
            self.cursors.iter().filter(|(_, cursor)| cursor.hold).map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(mut cursor) = self.cursors.remove(&name) else { continue };
            if let (CursorPlace::Rows(rows), true) = (&mut cursor.place, cursor.made > since) {
                self.read_ahead(rows, None).await?;
            }
            cursor.kept_over = true;
            self.cursors.insert(name, cursor);
        }
        Ok(())
    }

    /// The transaction has ended.
    pub(super) fn end_cursors(&mut self) {
        self.portals.clear();
        self.cursors.retain(|_, cursor| cursor.kept_over);
    }

    /// FETCH, MOVE, CLOSE. `simple`: with RowDescription, as the simple protocol has it. False: it is a shard's, to be
    /// passed there.
    pub(super) async fn held_cursor(&mut self, sql: &str, simple: bool) -> Go<bool> {
        let Some(asked) = read(sql) else { return Ok(false) };
        let Some(Cursor { place: CursorPlace::Rows(_), .. }) = self.cursors.get(&asked.name) else { return Ok(false) };
        if asked.word == "close" {
            self.drop_cursor(&asked.name);
            message::command_complete(&mut self.output, "CLOSE CURSOR");
            return Ok(true);
        }
        let Some(mut cursor) = self.cursors.remove(&asked.name) else { return Ok(false) };
        let result = match &mut cursor.place {
            CursorPlace::Rows(rows) => self.fetch(rows, &asked, simple).await,
            CursorPlace::Shard(_) => Ok(()),
        };
        self.cursors.insert(asked.name, cursor);
        result.map(|()| true)
    }

    async fn fetch(&mut self, rows: &mut Rows, asked: &Asked, simple: bool) -> Go {
        let fetch = asked.word == "fetch";
        let stays = matches!(asked.way, Way::Rows(0) | Way::Relative(0));
        let on_row = rows.at >= 1 && rows.at <= rows.known;
        if fetch::backwards(asked.way, rows.at) && (on_row || !stays) && rows.scroll != Some(true) && (fetch || !stays)
        {
            return Err(forwards_only(rows.scroll).into());
        }
        if fetch && simple {
            put_body(&mut self.output, back::ROW_DESCRIPTION, &rows.row);
        }
        let told = match rows.kept {
            Some(_) => self.fetch_kept(rows, asked.way, fetch).await?,
            None => self.fetch_on(rows, asked.way, fetch).await?,
        };
        message::command_complete(&mut self.output, &format!("{} {told}", asked.word.to_ascii_uppercase()));
        Ok(())
    }

    /// Forwards, where nothing is kept.
    async fn fetch_on(&mut self, rows: &mut Rows, way: Way, fetch: bool) -> Go<u64> {
        let on_row = rows.at >= 1 && rows.at <= rows.known;
        // Rows that are passed over, and those that are given.
        let (over, count) = match way {
            Way::Rows(0) | Way::Relative(0) => return Ok(u64::from(on_row)),
            Way::Absolute(0) => return Ok(0),
            Way::Rows(ALL) => (0, u64::MAX),
            Way::Rows(count) => (0, count.unsigned_abs()),
            Way::Relative(count) => (count.unsigned_abs().saturating_sub(1), 1),
            Way::Absolute(count) => (count.unsigned_abs().saturating_sub(rows.at).saturating_sub(1), 1),
        };
        let Some(flow) = &mut rows.flow else { return Ok(0) };
        let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let passed = self.flow_rows(flow, size(over), &mut To::Nobody).await? as u64;
        let mut to = if fetch { To::Client } else { To::Nobody };
        let told = if passed == over { self.flow_rows(flow, size(count), &mut to).await? as u64 } else { 0 };
        rows.known += passed + told;
        rows.at = if told < count { rows.known + 1 } else { rows.known };
        Ok(told)
    }

    /// Any way, over rows that are kept.
    async fn fetch_kept(&mut self, rows: &mut Rows, way: Way, fetch: bool) -> Go<u64> {
        self.read_ahead(rows, fetch::reach(way, rows.at)).await?;
        let (given, reversed, place) = fetch::walk(way, rows.at, rows.known);
        rows.at = place;
        let mut told = 0;
        for range in given {
            let mut numbers: Vec<u64> = range.collect();
            if reversed {
                numbers.reverse();
            }
            for number in numbers {
                told += 1;
                let at = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
                if let (true, Some(frame)) = (fetch, rows.kept.as_ref().and_then(|kept| kept.get(at))) {
                    self.output.extend_from_slice(frame);
                }
                if self.output.len() >= crate::base::limits::RELAY_BUFFER {
                    self.flush().await?;
                }
            }
        }
        Ok(told)
    }

    /// Reads up to that row, or all.
    async fn read_ahead(&mut self, rows: &mut Rows, until: Option<u64>) -> Go {
        let (Some(flow), Some(kept)) = (&mut rows.flow, &mut rows.kept) else { return Ok(()) };
        loop {
            let lacking = until.map_or(u64::MAX, |until| until.saturating_sub(rows.known)).min(STRETCH);
            let from = kept.len();
            let count = usize::try_from(lacking).unwrap_or(usize::MAX);
            let read = self.flow_rows(flow, count, &mut To::Kept(kept, false)).await?;
            rows.known += read as u64;
            rows.held.add(kept.get(from..).unwrap_or_default().iter().map(Vec::len).sum())?;
            if read < count {
                // All were read: the shards aren't needed any more.
                rows.flow = None;
                return Ok(());
            }
            if count == 0 || until.is_some_and(|until| rows.known >= until) {
                return Ok(());
            }
        }
    }

    /// Closes a cursor that is held here.
    pub(super) fn drop_cursor(&mut self, name: &str) {
        let Some(cursor) = self.cursors.remove(name) else { return };
        if let CursorPlace::Rows(mut rows) = cursor.place
            && let Some(flow) = &mut rows.flow
        {
            self.close_flow(flow);
        }
    }

    /// `CLOSE ALL`: every portal, too.
    pub(super) async fn close_all(&mut self) -> Go {
        for shard in 0..self.links.len() {
            let own = |cursor: &Cursor| matches!(cursor.place, CursorPlace::Shard(other) if other == shard);
            let has = self.cursors.values().any(own);
            let joined = self.links.get(shard).and_then(Option::as_ref).is_some_and(|link| link.joined);
            if has || joined {
                let mut link = self.take_link(shard)?;
                let answer = self.run_on(&mut link, "CLOSE ALL").await?;
                self.put_link(shard, link);
                answer.good()?;
            }
        }
        self.cursors.clear();
        self.portals.clear();
        message::command_complete(&mut self.output, "CLOSE CURSOR ALL");
        Ok(())
    }

    /// A cursor's next rows, as those of a portal. `None`: it isn't held here.
    pub(super) async fn execute_cursor(&mut self, name: &str, limit: u32) -> Go {
        let Some(mut cursor) = self.cursors.remove(name) else { return Ok(()) };
        let result = match &mut cursor.place {
            CursorPlace::Rows(rows) => {
                let way = if limit == 0 { Way::Rows(ALL) } else { Way::Rows(i64::from(limit)) };
                match rows.kept {
                    Some(_) => self.fetch_kept(rows, way, true).await,
                    None => self.fetch_on(rows, way, true).await,
                }
            }
            CursorPlace::Shard(_) => Ok(0),
        };
        self.cursors.insert(name.to_owned(), cursor);
        let told = result?;
        if limit > 0 && told == u64::from(limit) {
            put_body(&mut self.output, back::PORTAL_SUSPENDED, &[]);
        } else {
            message::command_complete(&mut self.output, &format!("SELECT {told}"));
        }
        Ok(())
    }

    /// The row description of a cursor that is held here, and whether its rows are binary.
    pub(super) fn held_row(&self, name: &str) -> Option<(Vec<u8>, bool)> {
        match &self.cursors.get(name)?.place {
            CursorPlace::Rows(rows) => Some((rows.row.clone(), rows.binary)),
            CursorPlace::Shard(_) => None,
        }
    }

    /// Whether a statement for a held cursor gives rows; MOVE and CLOSE don't.
    pub(super) fn fetches(sql: &str) -> bool {
        read(sql).is_some_and(|asked| asked.word == "fetch")
    }

    /// The name of the cursor that a FETCH names, if it is held here.
    pub(super) fn held_name(&self, sql: &str) -> Option<String> {
        let asked = read(sql)?;
        let cursor = self.cursors.get(&asked.name)?;
        matches!(cursor.place, CursorPlace::Rows(_)).then_some(asked.name)
    }

    /// The shard of the cursor that FETCH, MOVE or CLOSE names.
    pub(super) fn cursor_shard(&self, sql: &str) -> usize {
        let name = read(sql).map(|asked| asked.name).unwrap_or_default();
        match self.cursors.get(&name).map(|cursor| &cursor.place) {
            Some(CursorPlace::Shard(shard)) => *shard,
            _ => self.home(),
        }
    }
}

/// Rows that are read between two looks at how much is held.
const STRETCH: u64 = 256;

/// PostgreSQL goes back in a cursor that wasn't declared either way if its plan can.
fn forwards_only(scroll: Option<bool>) -> PgError {
    if scroll == Some(false) {
        return PgError::error(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "cursor can only scan forward")
            .hint("Declare it with SCROLL option to enable backward scan.");
    }
    PgError::error(
        SqlState::FEATURE_NOT_SUPPORTED,
        "a cursor over several shards goes back only if it is declared SCROLL",
    )
    .hint("DECLARE it with SCROLL.")
}
