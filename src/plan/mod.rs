//! Statement and catalog to a plan with its proof. Pure.
//!
//! What a statement is follows from its first words (`kind`, `settings`); what it may touch from all of its tokens
//! (`facts`, `scan`, `writes`). No tree is built: a proof that counts everything a text *could* mean needs none, and
//! can't be misled by a parser that reads a corner of the grammar otherwise than PostgreSQL.

pub mod definition;
mod facts;
mod hints;
mod kind;
pub mod model;
mod scan;
mod settings;
pub mod sharded;
pub mod temporary;
#[cfg(test)]
mod tests;
mod words;
mod writes;

pub use facts::names_moment;
pub use model::*;

use crate::catalog::{Catalog, Effect};
use crate::sql::custom::custom_settings;
use crate::sql::{Token, TokenKind, statement};
use facts::Facts;
use kind::{Body, Recognised};
use std::ops::Range;
use words::Words;

/// What a plan hangs on besides the text.
///
/// The lexer needs an encoding whose bytes below 0x80 are always ASCII. A client that speaks BIG5, GB18030, GBK, JOHAB,
/// SHIFT_JIS_2004, SJIS or UHC must not be planned for when its text has higher bytes: treat it as [`Plan::unknown`].
pub struct Context<'a> {
    pub catalog: &'a Catalog,
    /// The session's `search_path` is the database's default.
    pub search_path_is_default: bool,
    pub standard_conforming_strings: bool,
}

impl Plan {
    /// The plan for a text of `length` bytes that isn't understood.
    pub fn unknown(length: usize) -> Self {
        Self {
            steps: Box::new([Step {
                kind: Kind::Unknown,
                span: 0..length,
                writes: WriteSet::All,
                pins: None,
                defines: true,
                recalls: false,
                draws: true,
                notifies: true,
            }]),
            replica: None,
            primary_reason: "not parsed",
            opaque: true,
            names: Box::default(),
            moment: true,
            lists_prepared: false,
            hints: Hints::default(),
        }
    }
}

/// Plans the query string of a Query or Parse message.
pub fn plan(sql: &[u8], context: &Context<'_>) -> Plan {
    let scs = context.standard_conforming_strings;
    let Some(split) = statement::split(sql, scs) else { return Plan::unknown(sql.len()) };
    let mut plan = Plan {
        steps: Box::default(),
        replica: None,
        primary_reason: "",
        opaque: false,
        names: Box::default(),
        moment: false,
        lists_prepared: false,
        hints: hints::hints(sql, &split.comments),
    };
    let mut names = Vec::new();
    let mut steps = Vec::with_capacity(split.statements.len());
    let mut reads = Reads::default();
    for range in &split.statements {
        let tokens = split.tokens.get(range.clone()).unwrap_or_default();
        let words = Words { sql, tokens, standard_strings: scs };
        let (mut step, opaque) = step(words, context, &mut reads);
        step.notifies |= opaque;
        plan.lists_prepared |= words.tokens.iter().any(|token| token.is(sql, "pg_prepared_statements"));
        plan.opaque |= opaque;
        if opaque {
            names.extend(configured(words));
            if matches!(step.kind, Kind::Call) {
                names.extend(custom_settings(&String::from_utf8_lossy(sql)));
            }
        }
        steps.push(step);
    }
    plan.names = names.into();
    plan.steps = steps.into();
    plan.moment = reads.moment;
    match reads.verdict(plan.hints.role) {
        Ok(set) => plan.replica = Some(set),
        Err(reason) => plan.primary_reason = reason,
    }
    plan
}

/// The custom settings that calls of `set_config` in the text name, but for those that the transaction's end sets back.
fn configured(words: Words<'_>) -> impl Iterator<Item = String> {
    let calls = words.tokens.windows(3).enumerate().filter_map(move |(at, window)| match window {
        [name, open, _] if open.kind == TokenKind::LeftParen && name.is(words.sql, "set_config") => {
            (!facts::local_setting(words, at)).then_some(at + 2)
        }
        _ => None,
    });
    calls.filter_map(move |at| {
        let mut argument = Words { tokens: words.tokens.get(at..).unwrap_or_default(), ..words };
        argument.text().map(|name| name.to_ascii_lowercase()).filter(|name| name.contains('.'))
    })
}

/// What the statements of a string read together, as far as they only read.
#[derive(Default)]
struct Reads {
    sets: Vec<ReadSet>,
    reason: Option<&'static str>,
    moment: bool,
    /// Something that does more than answer is among them: no hint sends it to a replica.
    acts: bool,
}

impl Reads {
    fn deny(&mut self, reason: &'static str) {
        self.reason.get_or_insert(reason);
    }

    fn verdict(self, role: Option<Role>) -> Result<ReadSet, &'static str> {
        match role {
            Some(Role::Primary) => return Err("hint"),
            Some(Role::Replica) if self.reason.is_some() && !self.acts => return Ok(ReadSet::All),
            _ => {}
        }
        if let Some(reason) = self.reason {
            return Err(reason);
        }
        let query = !self.sets.is_empty();
        let mut keys = Vec::new();
        for set in self.sets {
            match set {
                ReadSet::All => return Ok(ReadSet::All),
                ReadSet::Tables(tables) => keys.extend(tables),
            }
        }
        keys.sort_unstable();
        keys.dedup();
        match role {
            _ if !keys.is_empty() => Ok(ReadSet::Tables(keys.into())),
            Some(Role::Replica) if query => Ok(ReadSet::All),
            _ => Err("no table"),
        }
    }
}

/// Plans one statement; whether it is opaque.
fn step(words: Words<'_>, context: &Context<'_>, reads: &mut Reads) -> (Step, bool) {
    let Recognised { kind, body, pin } = kind::recognise(words);
    let calls = |names: &[&str]| {
        words.tokens.iter().filter(|token| token.is_name()).any(|token| names.contains(&&*token.name(words.sql)))
    };
    let mut step = Step {
        defines: false,
        recalls: calls(&["currval", "lastval"]),
        draws: !matches!(body, Body::Nothing | Body::Query) || calls(&["nextval", "setval"]),
        notifies: kind == Kind::Notify || calls(&["pg_notify"]),
        kind,
        span: span(words.tokens),
        writes: WriteSet::None,
        pins: pin,
    };
    if body != Body::Query {
        reads.acts = true;
    }
    let mut opaque = false;
    match body {
        Body::Nothing => {
            match step.kind {
                Kind::Prepare { .. } if facts::gather(words, context).advisory => step.pins = Some(Pin::AdvisoryLock),
                // What the transaction wrote is seen from now on.
                Kind::FinishPrepared => step.writes = WriteSet::All,
                _ => {}
            }
            reads.deny("not a query");
        }
        Body::Unseen => {
            step.defines = step.kind == Kind::Unknown;
            step.writes = WriteSet::All;
            opaque = true;
            reads.deny(if step.kind == Kind::Unknown { "not parsed" } else { "not a query" });
        }
        Body::Query => opaque = query(&mut step, words, context, reads),
        Body::Tables => {
            reads.deny(if step.kind == Kind::Write { "writes" } else { "not a query" });
            let facts = facts::gather(words, context);
            pins(&mut step, &facts);
            opaque = facts.effect == Effect::Unseen || facts.unknown;
            if matches!(step.kind, Kind::Write | Kind::CopyIn) || facts.changes || opaque {
                let (writes, unseen) = writes::writes(words, &facts, context.catalog);
                step.writes = writes;
                opaque |= unseen;
            }
            if facts.changes && step.kind == Kind::Read {
                step.kind = Kind::Write;
            }
        }
        Body::Everything => {
            reads.deny("definition");
            step.defines = kind::defines(words);
            step.writes = WriteSet::All;
            let facts = facts::gather(words, context);
            pins(&mut step, &facts);
            opaque = context.catalog.event_triggers() || facts.effect == Effect::Unseen;
        }
    }
    (step, opaque)
}

/// Plans what begins as a query; whether it is opaque.
fn query(step: &mut Step, words: Words<'_>, context: &Context<'_>, reads: &mut Reads) -> bool {
    let facts = facts::gather(words, context);
    reads.moment |= facts.moment();
    if facts.into {
        step.defines = true;
        step.kind = Kind::Write;
        step.writes = WriteSet::All;
        if kind::selects_into_temporary(words) {
            step.pins = Some(Pin::TemporaryTable);
        }
    }
    step.defines &= step.pins != Some(Pin::TemporaryTable);
    pins(step, &facts);
    reads.acts |= !facts.only_answers() || step.recalls;
    let unseen = facts.effect == Effect::Unseen || facts.unknown;
    if unseen {
        step.writes = WriteSet::All;
    }
    if unseen || facts.locks || facts.effect == Effect::Writes {
        step.kind = Kind::Write;
    }
    let mut opaque = unseen;
    step.draws |= unseen || facts.changes;
    if facts.changes && !facts.into {
        step.kind = Kind::Write;
        let (writes, hidden) = writes::writes(words, &facts, context.catalog);
        step.writes = writes;
        opaque |= hidden;
    }
    match facts.primary {
        Some(reason) => reads.deny(reason),
        None if step.kind != Kind::Read => reads.deny("writes"),
        None => reads.sets.push(facts.reads()),
    }
    opaque
}

fn pins(step: &mut Step, facts: &Facts) {
    if facts.advisory {
        step.pins.get_or_insert(Pin::AdvisoryLock);
    } else if facts.keeps {
        step.pins.get_or_insert(Pin::Function);
    }
}

/// The bytes from the first token to the last.
fn span(tokens: &[Token]) -> Range<usize> {
    match (tokens.first(), tokens.last()) {
        (Some(first), Some(last)) => first.start as usize..last.end as usize,
        _ => 0..0,
    }
}
