//! Routes of statements that differ in their literals only: found again by fingerprint, without reading the statement.

use std::cell::RefCell;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::decide::{Decision, Target};
use super::describe::Prepared;
use super::{Coordinator, Go};
use crate::backend::View;
use crate::base::limits;
use crate::plan::sharded::{Access, KeyValue, Plan, Work};
use crate::session::familiar::{Familiar, Manner};
use crate::sql::fingerprint::fingerprint;
use crate::sql::literal::text_value;
use crate::sql::outline::Outline;
use crate::sql::{Lexer, TokenKind};
use crate::value::oid;

/// Routes by fingerprint and by the settings that a text's meaning hangs on.
#[derive(Default)]
pub(super) struct Routes {
    known: RefCell<Known>,
}

#[derive(Default)]
struct Known {
    generation: u64,
    /// `None`: literals of such a text decide more than the shard.
    routes: FxHashMap<(u128, Manner), Option<Rc<Route>>>,
    /// Those of texts that came lately.
    familiar: Familiar<Rc<Route>>,
}

/// A route whose keys are literals at known places.
struct Route {
    plan: Plan,
    /// For each value of each condition: which literal of the text it is.
    places: Vec<Vec<usize>>,
    /// The plan's, with the literals of the text that was looked at last.
    access: RefCell<Access>,
}

impl Coordinator {
    /// The shard that a statement of the simple protocol goes to, if its like has been planned before.
    pub(super) async fn known_route(&mut self, sql: &str) -> Go<Option<(usize, bool)>> {
        if self.block.as_ref().is_some_and(|block| block.failed || block.reread || block.own.defined) {
            return Ok(None);
        }
        let Some(manner) = self.manner() else { return Ok(None) };
        if let Ok(view) = self.database.shared.view() {
            let known = self.database.routes.known.borrow();
            if known.generation == view.generation
                && let Some((route, outline)) = known.familiar.find(sql.as_bytes(), manner)
            {
                let value = |place: usize| plain_value(outline.values(sql.as_bytes()).nth(place)?);
                return self.take_route(route, &view, value);
            }
        }
        let Some(key) = self.route_key(sql, manner) else { return Ok(None) };
        if !self.database.routes.known.borrow().routes.contains_key(&key) {
            return Ok(None);
        }
        // What was known before a definition that has been acknowledged isn't good any more.
        let view = self.view().await?;
        let mut known = self.database.routes.known.borrow_mut();
        let route = match known.routes.get(&key) {
            Some(Some(route)) if known.generation == view.generation => route.clone(),
            _ => return Ok(None),
        };
        let literals = literals(sql, manner.standard_strings);
        // Else a literal's number isn't that of the place left open.
        let plain = |outline: &Outline| outline.open() == literals.len() && literals.len() <= FEW;
        known.familiar.note(sql.as_bytes(), manner, |outline| plain(outline).then(|| route.clone()));
        drop(known);
        let value = |place: usize| literals.get(place).and_then(|it| Some((it.type_oid, it.text.as_deref()?)));
        self.take_route(&route, &view, value)
    }

    /// Where a text with these literals goes by a route.
    fn take_route<'a>(
        &self,
        route: &Route,
        view: &View,
        literal: impl Fn(usize) -> Option<(u32, &'a str)>,
    ) -> Go<Option<(usize, bool)>> {
        let mut access = route.access.borrow_mut();
        if put_literals(&mut access, &route.places, literal).is_none() {
            return Ok(None);
        }
        match self.target(&access, view, &|_| None)? {
            Target::One(shard) if self.asks_other_clock(&route.plan, shard) => Ok(None),
            Target::One(shard) => Ok(Some((shard, route.plan.writes))),
            Target::Many(_) => Ok(None),
        }
    }

    /// Remembers the route of a statement, where its literals decide nothing but the shard.
    pub(super) fn note_route(&self, prepared: &Prepared, decision: &Decision) {
        let Decision::Planned(plan) = decision else { return };
        if matches!(plan.work, Work::Refuse(_))
            || self.has_own()
            || prepared.generation != self.database.shared.generation()
        {
            return;
        }
        let Some(key) = self.manner().and_then(|manner| self.route_key(&prepared.sql, manner)) else { return };
        let generation = prepared.generation;
        let is_known = |known: &Known| known.generation == generation && known.routes.contains_key(&key);
        if is_known(&self.database.routes.known.borrow()) {
            return;
        }
        let Ok(view) = self.database.shared.view() else { return };
        let route = self.route_of(prepared, plan, &view).map(Rc::new);
        let mut known = self.database.routes.known.borrow_mut();
        if known.generation != generation || known.routes.len() >= limits::PLAN_CACHE {
            *known = Known { generation, ..Known::default() };
        }
        known.routes.insert(key, route);
    }

    /// The route, if with all literals changed the same keys are found at the same places.
    fn route_of(&self, prepared: &Prepared, plan: &Plan, view: &View) -> Option<Route> {
        let standard = self.standard_strings();
        let places = places(plan, &prepared.sql, standard)?;
        let other = changed(&prepared.sql, standard)?;
        let probe = self.database.prepared(self.key(&other, &[0, 0]), &self.worker, false);
        let Decision::Planned(again) = self.judge(&probe, view, &[]) else { return None };
        let same = places_of(&again, &other, standard).as_ref() == Some(&places)
            && again.writes == plan.writes
            && columns(&again) == columns(plan);
        same.then(|| Route { plan: plan.clone(), places, access: RefCell::new(plan.access.clone()) })
    }

    fn route_key(&self, sql: &str, manner: Manner) -> Option<(u128, Manner)> {
        Some((fingerprint(sql.as_bytes(), &self.worker.key, manner.standard_strings)?, manner))
    }
}

/// As many literals are looked for one by one.
const FEW: usize = 8;

/// One literal of a text.
struct Literal {
    start: u32,
    end: u32,
    /// Its type, 0 for a string.
    type_oid: u32,
    text: Option<String>,
}

fn literals(sql: &str, standard: bool) -> Vec<Literal> {
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    for token in Lexer::new(bytes, standard) {
        let (type_oid, text) = match token.kind {
            TokenKind::Number => {
                let digits = sql.get(token.start as usize..token.end as usize).unwrap_or_default();
                match digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    true => (type_of(digits), Some(digits.to_owned())),
                    false => (oid::NUMERIC, None),
                }
            }
            TokenKind::Text => (0, text_value(token.bytes(bytes), standard)),
            TokenKind::Bits => (0, None),
            _ => continue,
        };
        found.push(Literal { start: token.start, end: token.end, type_oid, text });
    }
    found
}

/// The type of a number of decimal digits alone (`make_const`).
fn type_of(digits: &str) -> u32 {
    match digits.parse::<i64>() {
        Ok(value) if i32::try_from(value).is_ok() => oid::INT4,
        Ok(_) => oid::INT8,
        Err(_) => oid::NUMERIC,
    }
}

/// The type and text of a literal that an outline leaves open.
fn plain_value((value, quoted): (&[u8], bool)) -> Option<(u32, &str)> {
    let text = std::str::from_utf8(value).ok()?;
    Some((if quoted { 0 } else { type_of(text) }, text))
}

/// Where the plan's values stand among the text's literals; `None`: some are computed.
fn places(plan: &Plan, sql: &str, standard: bool) -> Option<Vec<Vec<usize>>> {
    if matches!(plan.access, Access::All) {
        return None;
    }
    places_of(plan, sql, standard)
}

fn places_of(plan: &Plan, sql: &str, standard: bool) -> Option<Vec<Vec<usize>>> {
    let Access::Keys(conditions) = &plan.access else { return Some(Vec::new()) };
    let literals = literals(sql, standard);
    let place = |value: &KeyValue| match value {
        KeyValue::Literal { span, type_oid, text } => literals.iter().position(|literal| {
            (literal.start, literal.end) == (span.start, span.end)
                && literal.type_oid == *type_oid
                && literal.text.as_ref() == Some(text)
        }),
        _ => None,
    };
    conditions.iter().map(|condition| condition.values.iter().map(place).collect()).collect()
}

/// What must be the same in two plans besides the values.
fn columns(plan: &Plan) -> (std::mem::Discriminant<Access>, Vec<String>) {
    let names = match &plan.access {
        Access::Keys(conditions) => conditions.iter().map(|condition| condition.column.clone()).collect(),
        _ => Vec::new(),
    };
    (std::mem::discriminant(&plan.access), names)
}

/// Puts a text's literals in their places. `None`: one of them is of another type than it was.
fn put_literals<'a>(
    access: &mut Access,
    places: &[Vec<usize>],
    literal: impl Fn(usize) -> Option<(u32, &'a str)>,
) -> Option<()> {
    let Access::Keys(conditions) = access else { return Some(()) };
    for (condition, places) in conditions.iter_mut().zip(places) {
        for (value, place) in condition.values.iter_mut().zip(places) {
            let (new_type, new_text) = literal(*place)?;
            let KeyValue::Literal { text, type_oid, .. } = value else { return None };
            // An integer's type hangs on its size, but not what it equals.
            if (*type_oid == 0) != (new_type == 0) {
                return None;
            }
            *type_oid = new_type;
            text.clear();
            text.push_str(new_text);
        }
    }
    Some(())
}

/// The text with another value for every literal.
fn changed(sql: &str, standard: bool) -> Option<String> {
    let mut out = String::new();
    let mut from = 0;
    for (at, literal) in literals(sql, standard).iter().enumerate() {
        out.push_str(sql.get(from..literal.start as usize)?);
        from = literal.end as usize;
        match (literal.type_oid, &literal.text) {
            (oid::INT4, Some(_)) => out.push_str(&(1_000_003 + at).to_string()),
            (0, Some(_)) => out.push_str(&format!("'pgbraid{at}'")),
            _ => out.push_str(sql.get(literal.start as usize..literal.end as usize)?),
        }
    }
    out.push_str(sql.get(from..)?);
    Some(out)
}
