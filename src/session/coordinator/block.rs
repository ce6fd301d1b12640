//! Transaction blocks over shards: begun on each shard when it is first touched, ended on all.

use std::sync::Arc;
use std::time::SystemTime;

use super::own::Own;
use super::shard::ShardLink;
use super::{Coordinator, Go, Stop};
use crate::backend::settings::{Event, Settings, Tracker, Value, script, show};
use crate::base::{PgError, SqlState};
use crate::plan::sharded::{Plan, Work};
use crate::plan::{Isolation, Kind, SetValue, TransactionModes};
use crate::wire::frame::front;
use crate::wire::message;

/// A transaction block of the client's.
#[derive(Debug)]
pub(super) struct Block {
    /// The client's BEGIN, for each shard that joins.
    pub begin: String,
    pub since: SystemTime,
    /// False: the client didn't say BEGIN, a string of several statements is being run.
    pub explicit: bool,
    /// It was begun for one statement that reads, which sees one snapshot in it.
    pub single: bool,
    /// It was begun for the statement that comes next, whose own it is to end.
    pub handed: bool,
    /// Settings that statements are planned by were changed in it: what they are isn't known before it ends.
    pub reread: bool,
    pub failed: bool,
    pub isolation: Option<Isolation>,
    /// What shards that join later must be told: savepoints, settings.
    pub journal: Vec<String>,
    /// The shards that joined.
    pub members: Vec<usize>,
    /// The shards that rows were changed on.
    pub wrote: Vec<usize>,
    /// Sequences of the home shard were drawn from: what was drawn must be there before anything is acknowledged.
    pub drew: bool,
    /// REPEATABLE READ: all shards' snapshots were taken.
    pub fixed: bool,
    /// Some may have been taken, and not all, or not together: nothing can be read in it any more.
    pub torn: bool,
    /// A shard had begun to work on it before it was a block, and has its snapshot.
    pub late: bool,
    /// The session's settings as it has changed them so far.
    pub settings: Option<Tracker>,
    /// Its savepoints, and how many cursors and portals the session had made by then.
    pub savepoints: Vec<(String, u64)>,
    /// How many cursors and portals the session had made when it began.
    pub begun: u64,
    /// Definitions that were changed in it.
    pub own: Own,
}

impl Block {
    pub fn new(begin: String, modes: TransactionModes, explicit: bool) -> Self {
        Self {
            begin,
            since: SystemTime::now(),
            explicit,
            single: false,
            handed: false,
            reread: false,
            failed: false,
            isolation: modes.isolation,
            journal: Vec::new(),
            members: Vec::new(),
            wrote: Vec::new(),
            drew: false,
            fixed: false,
            torn: false,
            late: false,
            settings: None,
            savepoints: Vec::new(),
            begun: 0,
            own: Own::default(),
        }
    }

    /// Several statements of it see one snapshot.
    pub fn keeps_snapshot(&self) -> bool {
        matches!(self.isolation, Some(Isolation::RepeatableRead | Isolation::Serializable))
    }
}

impl Coordinator {
    /// A block with the isolation that the session has by default, where BEGIN names none.
    pub(super) fn new_block(&self, begin: &str, modes: TransactionModes, explicit: bool) -> Block {
        let default = || {
            let settings = self.settings();
            match crate::session::value_text(settings.get("default_transaction_isolation")?) {
                "repeatable read" => Some(Isolation::RepeatableRead),
                "serializable" => Some(Isolation::Serializable),
                _ => None,
            }
        };
        let isolation = modes.isolation.or_else(default);
        Block::new(begin.to_owned(), TransactionModes { isolation, ..modes }, explicit)
    }

    /// A link to a shard, begun and ready for the client's statement: with the session's settings, in its transaction.
    pub(super) async fn engage(&mut self, shard: usize) -> Go<Box<ShardLink>> {
        if self.block.as_ref().is_some_and(|block| block.keeps_snapshot() && !block.fixed) {
            self.fix_snapshots(shard).await?;
        }
        self.join(shard).await
    }

    /// The same without a look at snapshots.
    pub(super) async fn join(&mut self, shard: usize) -> Go<Box<ShardLink>> {
        let mut link = self.connect(shard).await?;
        let Some(block) = &self.block else { return Ok(link) };
        if link.joined {
            return Ok(link);
        }
        let serializable = block.isolation == Some(Isolation::Serializable);
        if serializable && self.links.iter().flatten().any(|other| other.joined) {
            self.put_link(shard, link);
            let text = "a SERIALIZABLE transaction can't run on several shards";
            return Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
                .hint("Use REPEATABLE READ, or statements that concern one shard only.")
                .into());
        }
        let sql = self.begin_text(block);
        let answer = self.run_on(&mut link, &sql).await?;
        link.joined = link.status != b'I';
        if link.joined
            && let Some(block) = &mut self.block
        {
            block.members.push(shard);
        }
        let result = answer.good();
        self.put_link(shard, link);
        result?;
        self.take_link(shard)
    }

    /// What begins the block on a shard that joins it.
    pub(super) fn begin_text(&self, block: &Block) -> String {
        let mut sql = String::new();
        if self.reads_atomically() {
            // A replica has no gate.
            sql.push_str("/* pgbraid: role=primary */ ");
        }
        sql.push_str(&block.begin);
        for entry in &block.journal {
            sql.push(';');
            sql.push_str(entry);
        }
        sql
    }

    /// Begins on all shards and takes their snapshots, as near to each other as can be.
    async fn fix_snapshots(&mut self, first: usize) -> Go {
        if self.block.as_ref().is_some_and(|block| block.isolation == Some(Isolation::Serializable)) {
            return Ok(());
        }
        let count = self.links.len();
        if self.reads_atomically() {
            if self.block.as_ref().is_some_and(|block| block.late) {
                let text = "a transaction that began with the first of these messages has a snapshot of one shard only";
                return Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
                    .hint("Send BEGIN before them.")
                    .into());
            }
            let order: Vec<usize> = std::iter::once(first).chain((0..count).filter(|&shard| shard != first)).collect();
            self.fix_together(&order).await?;
        } else {
            self.fix_apart(first).await?;
        }
        if let Some(block) = &mut self.block {
            block.fixed = true;
        }
        Ok(())
    }

    /// One after the other.
    async fn fix_apart(&mut self, first: usize) -> Go {
        let count = self.links.len();
        for shard in std::iter::once(first).chain((0..count).filter(|&shard| shard != first)) {
            let link = self.join(shard).await?;
            self.put_link(shard, link);
        }
        self.set_torn(true);
        for shard in 0..count {
            let mut link = self.take_link(shard)?;
            let answer = self.run_on(&mut link, "SELECT 1").await?;
            self.put_link(shard, link);
            answer.good()?;
        }
        self.set_torn(false);
        Ok(())
    }

    /// Snapshots are being taken: until all of them are, ROLLBACK TO doesn't bring back what was before.
    pub(super) fn set_torn(&mut self, torn: bool) {
        if let Some(block) = &mut self.block {
            block.torn = torn;
        }
    }

    /// The shard whose clock is the transaction's: the one that it began on.
    pub(super) fn clock(&self) -> Option<usize> {
        self.block.as_ref()?.members.first().copied()
    }

    /// Whether a statement that one shard could answer reads the clock, and the transaction's is another shard's.
    pub(super) fn asks_other_clock(&self, plan: &Plan, shard: usize) -> bool {
        let reads = matches!(&plan.work, Work::Scatter(scatter) if !scatter.once.is_empty());
        reads && self.clock().is_some_and(|clock| clock != shard)
    }

    /// A link to a shard with the session's settings, outside any transaction of the client's unless it has joined.
    pub(super) async fn connect(&mut self, shard: usize) -> Go<Box<ShardLink>> {
        let mut link = match self.links.get_mut(shard).and_then(Option::take) {
            Some(link) => link,
            None => {
                let mut link = self.new_link(shard)?;
                self.ask(&mut link).await?.good()?;
                link
            }
        };
        // The home shard's differ only where its session had to be begun anew.
        if link.status == b'I' && !link.open {
            let want = self.session_settings();
            let have = link.mirror.settings.borrow().clone();
            let other = !link.fits(&have, &want);
            if let Some(script) = other.then(|| script(&have, &want)).flatten() {
                let answer = self.run_on(&mut link, &script.sql).await?;
                answer.good()?;
            }
        }
        Ok(link)
    }

    /// The settings that statements mean now, with what the block has changed.
    pub(super) fn settings(&self) -> Arc<Settings> {
        match self.block.as_ref().and_then(|block| block.settings.as_ref()) {
            Some(tracker) => tracker.current().clone(),
            None => self.session_settings(),
        }
    }

    /// The session's settings, as its inner session on the home shard has them, without what the block has changed.
    fn session_settings(&self) -> Arc<Settings> {
        self.home_mirror.as_ref().map(|mirror| mirror.settings.borrow().clone()).unwrap_or_default()
    }

    /// Notes that rows are about to be changed on a shard.
    pub(super) async fn may_write(&mut self, shard: usize) -> Go {
        if self.block.is_none() {
            match self.segment.wrote {
                // Extended messages up to Sync are one transaction, which must be committed on both.
                Some(other) if other != shard => self.hold_segment().await?,
                _ => {
                    self.segment.wrote = Some(shard);
                    return Ok(());
                }
            }
        }
        match &mut self.block {
            Some(block) if !block.wrote.contains(&shard) => block.wrote.push(shard),
            Some(_) => {}
            None => {
                let text = "rows of several shards can't be changed here";
                return Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
                    .hint("Change them between BEGIN and COMMIT.")
                    .into());
            }
        }
        Ok(())
    }

    /// BEGIN, COMMIT and their like: what the client is told stands in the output.
    pub(super) async fn transaction_control(&mut self, kind: &Kind, sql: &str) -> Go {
        match kind {
            Kind::Begin(modes) => {
                match &mut self.block {
                    Some(block) if block.explicit => {
                        self.warn("25001", "there is already a transaction in progress");
                    }
                    Some(block) => {
                        block.explicit = true;
                        block.isolation = modes.isolation.or(block.isolation);
                        block.begin = sql.to_owned();
                        // What of the string has run already is part of it.
                        if let Some(set) = set_transaction(*modes).filter(|_| !block.members.is_empty()) {
                            self.tell_members(&set).await?;
                        }
                    }
                    None => {
                        let mut block = self.new_block(sql, *modes, true);
                        block.begun = self.made;
                        self.block = Some(block);
                    }
                }
                let tag = if sql.trim_start().to_ascii_lowercase().starts_with("start") {
                    "START TRANSACTION"
                } else {
                    "BEGIN"
                };
                message::command_complete(&mut self.output, tag);
                Ok(())
            }
            Kind::Commit { chain } => self.end_block(true, *chain).await,
            Kind::Rollback { chain } => self.end_block(false, *chain).await,
            _ => self.on_all_joined(kind, sql).await,
        }
    }

    async fn end_block(&mut self, commit: bool, chain: bool) -> Go {
        let Some(mut block) = self.block.take() else {
            if chain {
                let text = format!("{} AND CHAIN can only be used in transaction blocks", word(commit));
                return Err(PgError::error(SqlState::NO_ACTIVE_SQL_TRANSACTION, text).into());
            }
            self.warn("25P01", "there is no transaction in progress");
            message::command_complete(&mut self.output, word(commit));
            return Ok(());
        };
        if !block.explicit {
            // The block of several statements in a string ends, which nobody has begun.
            self.warn("25P01", "there is no transaction in progress");
        }
        let commit = commit && !block.failed;
        let since = block.begun;
        let mut held = Ok(());
        if commit {
            // Rows of cursors WITH HOLD are read within the transaction.
            self.block = Some(block);
            held = self.hold_cursors(since).await;
            let Some(back) = self.block.take() else { return held };
            block = back;
        }
        let result = self.end_shards(&block, commit && held.is_ok()).await;
        self.temporary.go_back();
        self.end_cursors();
        let committed = result?;
        held?;
        if chain {
            let modes = TransactionModes { isolation: block.isolation, read_only: None };
            let mut next = self.new_block(&block.begin, modes, true);
            next.begun = self.made;
            self.block = Some(next);
        }
        message::command_complete(&mut self.output, word(committed));
        Ok(())
    }

    /// Savepoints, SET TRANSACTION, settings within a block: on every shard that joined, and on those that will.
    pub(super) async fn on_all_joined(&mut self, kind: &Kind, sql: &str) -> Go {
        if self.block.is_none() {
            return self.on_home(sql).await;
        }
        let home = self.home();
        let revives = matches!(kind, Kind::RollbackTo(_));
        if self.block.as_ref().is_some_and(|block| block.failed) && !revives {
            return Err(aborted().into());
        }
        if let Some(block) = self.block.as_ref().filter(|block| !self.whole(block)) {
            let hint = match block.torn {
                true => "Its shards' snapshots weren't taken together: ROLLBACK.",
                false => "A shard's part of it is lost with its connection: ROLLBACK.",
            };
            return Err(aborted().hint(hint).into());
        }
        // The home shard's session keeps the settings for all, and reports them.
        let sets = matches!(kind, Kind::Set(_) | Kind::Reset(_) | Kind::ResetAll);
        if sets || !self.links.iter().flatten().any(|link| link.joined) {
            let link = self.join(home).await?;
            self.put_link(home, link);
        }
        let mut joined: Vec<usize> = (0..self.links.len())
            .filter(|&at| self.links.get(at).and_then(Option::as_ref).is_some_and(|link| link.joined))
            .collect();
        joined.sort_by_key(|&shard| shard != home);
        for (turn, shard) in joined.iter().copied().enumerate() {
            let mut link = self.take_link(shard)?;
            let answer = self.run_on(&mut link, sql).await?;
            self.put_link(shard, link);
            if turn == 0 && answer.error.is_none() {
                self.output.extend_from_slice(&answer.notices);
                message::put(&mut self.output, crate::wire::frame::back::COMMAND_COMPLETE, |body| {
                    message::put_cstr(body, &answer.tag);
                });
            }
            answer.good()?;
        }
        let shown = match unstated(kind) {
            Some(name) => Some((name.to_owned(), self.shown(name).await?)),
            None => None,
        };
        self.note_settings(kind, shown);
        if let Some(block) = &mut self.block {
            if let Kind::SetTransaction(modes) = kind {
                // A transaction that is chained to this one has it too.
                block.begin.push(';');
                block.begin.push_str(sql);
                block.isolation = modes.isolation.or(block.isolation);
            }
            if !matches!(kind, Kind::SetTransaction(_)) {
                block.journal.push(sql.to_owned());
            }
            if revives {
                block.failed = false;
            }
        }
        if revives {
            self.temporary.go_back();
        }
        if revives && self.has_own() {
            self.redefine();
        }
        Ok(())
    }

    /// What a statement of the block's does to settings, savepoints and what was made since them.
    /// `shown`: a setting whose value it doesn't say, and what it is now.
    fn note_settings(&mut self, kind: &Kind, shown: Option<(String, String)>) {
        let before = self.session_settings();
        let made = self.made;
        let Some(block) = &mut self.block else { return };
        let event = match kind {
            _ if shown.is_some() => shown.map(|(name, value)| Event::Set(name, Value::Config(value))),
            Kind::Set(set) => match &set.value {
                SetValue::List(values) => Some(Event::Set(set.name.clone(), Value::List(values.clone()))),
                _ => {
                    block.reread = true;
                    None
                }
            },
            // What it returns to is known at the end of the block.
            Kind::Reset(_) => {
                block.reread = true;
                None
            }
            Kind::ResetAll => {
                block.reread = true;
                None
            }
            Kind::Savepoint(name) => {
                block.savepoints.push((name.clone(), made));
                Some(Event::Savepoint(name.clone()))
            }
            Kind::Release(name) => Some(Event::Release(name.clone())),
            Kind::RollbackTo(name) => Some(Event::RollbackTo(name.clone())),
            _ => None,
        };
        if let Some(event) = event {
            block.settings.get_or_insert_with(|| Tracker::new(before)).apply(&event);
        }
        let place = |block: &Block, name: &str| block.savepoints.iter().rposition(|(other, _)| other == name);
        match kind {
            Kind::Release(name) => {
                if let Some(at) = place(block, name) {
                    block.savepoints.truncate(at);
                }
            }
            Kind::RollbackTo(name) => {
                if let Some(at) = place(block, name) {
                    block.savepoints.truncate(at + 1);
                    let until = block.savepoints.last().map_or(0, |(_, made)| *made);
                    self.portals.retain(|_, portal| portal.made <= until);
                    self.cursors.retain(|_, cursor| cursor.made <= until);
                }
            }
            _ => {}
        }
    }

    /// What a setting is now, as the home shard says. No query: that would take the transaction's snapshot.
    pub(super) async fn shown(&mut self, name: &str) -> Go<String> {
        let home = self.home();
        let mut link = self.join(home).await?;
        let answer = self.run_on(&mut link, &show(name)).await?;
        self.put_link(home, link);
        let value = super::own::text_rows(&answer.good()?).pop().and_then(|mut row| row.pop().flatten());
        Ok(value.unwrap_or_default())
    }

    /// What `set_config` has set, for planning and for shards that join later.
    /// Reset ones have their value by now.
    pub(super) fn note_configured(&mut self, sets: &[super::configure::Setting], script: String) {
        let before = self.session_settings();
        let Some(block) = &mut self.block else { return };
        for (name, value, _) in sets {
            match (name, value) {
                (Some(name), Some(value)) => {
                    let event = Event::Set(name.to_ascii_lowercase(), Value::Config(value.clone()));
                    block.settings.get_or_insert_with(|| Tracker::new(before.clone())).apply(&event);
                }
                (Some(_), None) => block.reread = true,
                _ => {}
            }
        }
        block.journal.push(script);
    }

    /// Every shard's part of a transaction is still there, and sees the same.
    pub(super) fn whole(&self, block: &Block) -> bool {
        let joined = |shard: &usize| self.links.get(*shard).and_then(Option::as_ref).is_some_and(|link| link.joined);
        !block.torn && block.members.iter().all(joined)
    }

    /// Runs a statement of our own on all shards that joined.
    async fn tell_members(&mut self, sql: &str) -> Go {
        let members = self.block.as_ref().map(|block| block.members.clone()).unwrap_or_default();
        for shard in members {
            let mut link = self.take_link(shard)?;
            let answer = self.run_on(&mut link, sql).await?;
            self.put_link(shard, link);
            answer.good()?;
        }
        Ok(())
    }

    /// A warning of the coordinator's own.
    fn warn(&mut self, code: &str, text: &str) {
        let least =
            self.settings().get("client_min_messages").map(|value| crate::session::value_text(value).to_owned());
        if least.is_none_or(|least| !least.eq_ignore_ascii_case("error")) {
            notice(&mut self.output, code, text);
        }
    }

    /// Portals over shards live in a block: one that ends at the client's Sync, if there is none.
    pub(super) async fn hold_portals(&mut self) -> Go {
        self.hold_segment().await?;
        if self.block.is_none() {
            let mut block = self.new_block("BEGIN", TransactionModes::default(), false);
            block.begun = self.made;
            self.block = Some(block);
        }
        Ok(())
    }

    /// Extended messages since the last Sync are one transaction. Before a Sync of our own on a shard that has some of
    /// them, they are made a block, which ends at the client's Sync.
    pub(super) async fn hold_segment(&mut self) -> Go {
        let open = |link: &Option<Box<ShardLink>>| link.as_ref().is_some_and(|link| link.open);
        if self.block.is_some() || !self.links.iter().any(open) {
            return Ok(());
        }
        self.settle().await?;
        let mut block = self.new_block("BEGIN", TransactionModes::default(), false);
        block.late = true;
        block.wrote.extend(self.segment.wrote);
        self.block = Some(block);
        for shard in 0..self.links.len() {
            if !self.links.get(shard).is_some_and(open) {
                continue;
            }
            let mut link = self.take_link(shard)?;
            message::parse(&mut link.out, b"", b"BEGIN", &[0, 0]);
            message::put(&mut link.out, front::BIND, |out| out.extend_from_slice(b"pgbraid\0\0\0\0\0\0\0\0"));
            message::put(&mut link.out, front::EXECUTE, |out| out.extend_from_slice(b"pgbraid\0\0\0\0\0"));
            link.unnamed = 0;
            link.sync();
            let answer = self.ask(&mut link).await?;
            link.joined = link.status != b'I';
            self.put_link(shard, link);
            if let Some(block) = &mut self.block {
                block.members.push(shard);
            }
            answer.good()?;
        }
        Ok(())
    }

    /// On the home shard as it is; the answer goes to the client.
    pub(super) async fn on_home(&mut self, sql: &str) -> Go {
        let home = self.home();
        let mut link = self.connect(home).await?;
        link.query(sql, false);
        self.put_link(home, link);
        self.relay(home).await?;
        let failed = self.links.get(home).and_then(Option::as_ref).is_some_and(|link| link.query_failed);
        if failed { Err(Stop::Told) } else { Ok(()) }
    }
}

/// SET TRANSACTION with these modes. `None`: there are none.
fn set_transaction(modes: TransactionModes) -> Option<String> {
    let isolation = modes.isolation.map(|isolation| match isolation {
        Isolation::RepeatableRead => "ISOLATION LEVEL REPEATABLE READ",
        Isolation::Serializable => "ISOLATION LEVEL SERIALIZABLE",
        _ => "ISOLATION LEVEL READ COMMITTED",
    });
    let access = modes.read_only.map(|only| if only { "READ ONLY" } else { "READ WRITE" });
    let words: Vec<&str> = isolation.into_iter().chain(access).collect();
    (!words.is_empty()).then(|| format!("SET TRANSACTION {}", words.join(", ")))
}

/// A setting that a statement changes to a value that it doesn't say, unless statements are planned by it.
fn unstated(kind: &Kind) -> Option<&str> {
    let name = match kind {
        Kind::Set(set) if !matches!(set.value, SetValue::List(_)) => &set.name,
        Kind::Reset(name) => name,
        _ => return None,
    };
    (!is_planned_by(name)).then_some(name)
}

/// Whether statements are planned by a setting.
pub(super) fn is_planned_by(name: &str) -> bool {
    PLANNING.contains(&name)
}

/// Settings that hang together with how a statement is planned.
const PLANNING: &[&str] = &[
    "search_path",
    "role",
    "session_authorization",
    "standard_conforming_strings",
    "client_encoding",
    "pgbraid.shard",
];

pub(super) fn word(commit: bool) -> &'static str {
    if commit { "COMMIT" } else { "ROLLBACK" }
}

/// What PostgreSQL says to all but the end of a failed transaction.
pub(super) fn aborted() -> PgError {
    PgError::error(
        SqlState::IN_FAILED_SQL_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}

fn notice(out: &mut Vec<u8>, code: &str, text: &str) {
    message::put(out, crate::wire::frame::back::NOTICE_RESPONSE, |body| {
        for (field, value) in [(b'S', "WARNING"), (b'V', "WARNING"), (b'C', code), (b'M', text)] {
            body.push(field);
            message::put_cstr(body, value.as_bytes());
        }
        body.push(0);
    });
}
