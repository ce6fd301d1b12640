//! RESET where the client's start-up packet set something: the server connection has other defaults than the session,
//! so what a reset took away is put back right behind it, before anything else runs.
//!
//! In a query string our statements stand behind the client's, and whatever they answer is hidden; in the extended
//! protocol they are messages behind its Execute. A reset that fails keeps ours from running. DISCARD ALL can't share a
//! string with anything: what follows it is sent when it has succeeded, and ReadyForQuery waits for that.

use super::Session;
use super::link::{Edits, Expect, Link};
use crate::backend::settings::{self, Charset, Event, Settings, Value};
use crate::plan::{Discard, Kind, Plan, SetValue};
use crate::wire::frame::back;
use crate::wire::message;

/// Our own name for a statement and a portal that live only as long as they are run.
const RESET: &[u8] = b"pgbraid_reset";

/// How often it is closed: before it, its portal, itself.
pub(super) const CLOSES: usize = 3;

/// What a statement takes away of the settings in the client's start-up packet, and whether for the transaction only.
fn taken<'a>(kind: &Kind, base: &'a Settings) -> (Vec<(&'a str, &'a Value)>, bool) {
    let one = |name: &str| base.iter().find(|(other, _)| *other == name).into_iter().collect();
    match kind {
        Kind::Reset(name) => (one(name), false),
        Kind::Set(set) if set.value == SetValue::Default => (one(&set.name), set.local),
        Kind::ResetAll => (base.iter().filter(|(name, _)| !settings::is_identity(name)).collect(), false),
        Kind::Discard(Discard::All) => (base.iter().collect(), false),
        _ => (Vec::new(), false),
    }
}

/// Whether it may take away anything.
fn may_take(kind: &Kind) -> bool {
    match kind {
        Kind::Set(set) => set.value == SetValue::Default,
        Kind::Reset(_) | Kind::ResetAll | Kind::Discard(Discard::All) => true,
        _ => false,
    }
}

/// The statements that put them back.
fn again(taken: &[(&str, &Value)], local: bool, charset: Charset) -> Vec<String> {
    taken.iter().map(|(name, value)| settings::set_again(name, value, local, charset)).collect()
}

impl Session {
    /// A query string with what puts back what its resets take away. `None`: it may be sent as it is.
    #[inline]
    pub(super) fn edited(&self, link: &Link, sql: &[u8], plan: &Plan) -> Option<(Vec<u8>, Box<Edits>)> {
        let resets = || plan.steps.iter().any(|step| may_take(&step.kind));
        if self.settings.base().is_empty() || !resets() { None } else { self.edit(link, sql, plan) }
    }

    fn edit(&self, link: &Link, sql: &[u8], plan: &Plan) -> Option<(Vec<u8>, Box<Edits>)> {
        let base = self.settings.base();
        // By itself it warns that it does nothing; with another statement behind it, it wouldn't.
        let alone = plan.steps.len() == 1 && self.status == b'I' && link.queue.is_empty();
        let charset = settings::charset(self.settings.current());
        let (mut text, mut copied) = (Vec::new(), 0);
        let mut edits = Edits::default();
        for step in &plan.steps {
            edits.hidden.push(false);
            let (taken, local) = taken(&step.kind, base);
            if taken.is_empty() || (alone && local) {
                continue;
            }
            if matches!(step.kind, Kind::Discard(_)) {
                if plan.steps.len() == 1 {
                    edits.then = Some(again(&taken, local, charset).join(";"));
                }
                continue;
            }
            text.extend_from_slice(sql.get(copied..step.span.end)?);
            copied = step.span.end;
            let at = characters(&text);
            for statement in again(&taken, local, charset) {
                text.push(b';');
                text.extend_from_slice(statement.as_bytes());
                edits.hidden.push(true);
            }
            edits.inserted.push(at..characters(&text));
        }
        if edits.inserted.is_empty() && edits.then.is_none() {
            return None;
        }
        text.extend_from_slice(sql.get(copied..)?);
        Some((text, Box::new(edits)))
    }

    /// The same behind an Execute.
    pub(super) fn put_back_behind(&mut self, link: &mut Link, plan: &Plan) {
        let base = self.settings.base();
        let charset = settings::charset(self.settings.current());
        let ([step], false) = (&*plan.steps, base.is_empty()) else { return };
        let (taken, local) = taken(&step.kind, base);
        let statements = again(&taken, local, charset);
        if statements.is_empty() {
            return;
        }
        link.expect(Expect::PutBack { left: CLOSES * statements.len() });
        for statement in statements {
            // One that was cancelled may have left it.
            message::close_statement(&mut link.out, RESET);
            message::parse(&mut link.out, RESET, statement.as_bytes(), &[0, 0]);
            message::run_once(&mut link.out, RESET);
        }
    }

    /// A reset was carried out: what the session has now is its start-up settings, and so has the connection, whose own
    /// defaults they aren't.
    pub(super) fn has_reset(&mut self, link: &mut Link, kind: &Kind, event: &Event) {
        self.settings.apply(event);
        link.tracker().apply(event);
        let later =
            matches!(link.queue.front(), Some(Expect::Query { edits: Some(edits), .. }) if edits.then.is_some());
        if !later {
            let base = self.settings.base().clone();
            for (name, value) in taken(kind, &base).0 {
                link.tracker().apply(&Event::Set(name.to_owned(), value.clone()));
            }
        }
    }

    /// DISCARD ALL has succeeded: asks for the start-up settings again. The client hears of its end when that is done.
    pub(super) fn after_discard(&mut self, link: &mut Link, script: &str) {
        message::query(&mut link.out, script.as_bytes());
        link.conn.unnamed = 0;
        let edits = Edits { last: true, ..Edits::default() };
        link.queue.push_front(Expect::Query { effects: None, step: 0, edits: Some(Box::new(edits)) });
    }

    /// The same has been answered: what the client must be told before ReadyForQuery.
    pub(super) fn discarded(&mut self, link: &mut Link, status: u8, failed: bool) -> Vec<u8> {
        link.holding = false;
        if failed {
            // Cancelled, most likely. The connection isn't what the session takes it for.
            link.doomed = true;
        } else {
            let base = self.settings.base().clone();
            link.tracker().replace(base);
        }
        let mut bytes = self.news(link);
        message::ready_for_query(&mut bytes, status);
        bytes
    }
}

impl Edits {
    /// Whether the answer that comes next is to a statement of ours.
    pub fn hides(&self) -> bool {
        self.last || self.hidden.get(self.at).copied().unwrap_or_default()
    }

    /// An error or notice with its position in the client's own text; `None`: it is right as it is.
    pub fn relocated(&self, tag: u8, body: &[u8]) -> Option<Vec<u8>> {
        let told = message::error_field(body, b'P')?;
        let position: usize = std::str::from_utf8(told).ok()?.parse().ok()?;
        let ours: usize = self.inserted.iter().filter(|range| range.end < position).map(ExactSizeIterator::len).sum();
        if ours == 0 {
            return None;
        }
        // A field's text is a part of the body.
        let from = told.as_ptr().addr().checked_sub(body.as_ptr().addr())?;
        let mut bytes = Vec::new();
        message::put(&mut bytes, tag, |out| {
            out.extend_from_slice(body.get(..from).unwrap_or_default());
            out.extend_from_slice((position - ours).to_string().as_bytes());
            out.extend_from_slice(body.get(from + told.len()..).unwrap_or_default());
        });
        debug_assert!(tag == back::ERROR_RESPONSE || tag == back::NOTICE_RESPONSE);
        Some(bytes)
    }
}

/// Characters of UTF-8.
pub(super) fn characters(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}
