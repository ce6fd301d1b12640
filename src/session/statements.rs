//! The prepared statements of one client, under its own names.

use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::backend::statements::Statement;
use crate::plan::Plan;

/// A statement that the client prepared.
#[derive(Clone, Debug)]
pub struct Held {
    pub statement: Arc<Statement>,
    pub plan: Rc<Plan>,
    /// The catalog's generation that `plan` was made for.
    pub planned: u64,
    /// The schema's generation when the client prepared it, or when the description was last seen to be the same.
    pub generation: u64,
    /// When the client prepared it, in microseconds of Unix time.
    pub prepared: u64,
    /// The types of its parameters, as ParameterDescription names them; empty until they are known.
    pub parameters: Box<[u8]>,
    /// A hash of the description that the client was given, if it asked for one.
    pub described: Option<u64>,
    /// The schema changed and with it the description: PostgreSQL would refuse to run the statement.
    pub stale: bool,
    /// The client's own text, where that of `statement` has servers' names in it (EXECUTE, DEALLOCATE).
    pub original: Option<Box<[u8]>>,
}

impl Held {
    /// One that the client has just prepared, `now`. Its description isn't known yet.
    pub fn new(
        statement: Arc<Statement>,
        plan: Rc<Plan>,
        generation: u64,
        now: u64,
        original: Option<Box<[u8]>>,
    ) -> Self {
        Self {
            statement,
            plan,
            planned: generation,
            generation,
            prepared: now,
            parameters: Box::default(),
            described: None,
            stale: false,
            original,
        }
    }
}

/// The unnamed statement: its text is kept, as another client may use the connection in between.
#[derive(Debug, Default)]
pub struct Unnamed {
    pub sql: Vec<u8>,
    pub types: Vec<u8>,
    /// A number of its own; 0: there is none.
    pub id: u64,
    pub plan: Option<Rc<Plan>>,
}

impl Unnamed {
    pub fn clear(&mut self) {
        self.id = 0;
        self.plan = None;
        if self.sql.capacity() > 1024 {
            self.sql = Vec::new();
        }
    }
}

/// All that a client has prepared and bound.
#[derive(Debug, Default)]
pub struct Statements {
    named: Option<Box<FxHashMap<Box<[u8]>, Held>>>,
    pub unnamed: Unnamed,
    /// What the unnamed portal runs.
    pub unnamed_portal: Option<Rc<Plan>>,
    /// What named portals run; gone with the transaction.
    named_portals: Vec<(Box<[u8]>, Rc<Plan>)>,
}

impl Statements {
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&Held> {
        self.named.as_ref()?.get(name)
    }

    pub fn get_mut(&mut self, name: &[u8]) -> Option<&mut Held> {
        self.named.as_mut()?.get_mut(name)
    }

    pub fn insert(&mut self, name: &[u8], held: Held) {
        self.named.get_or_insert_default().insert(name.into(), held);
    }

    pub fn remove(&mut self, name: &[u8]) -> Option<Held> {
        self.named.as_mut()?.remove(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Held)> {
        self.named.iter().flat_map(|named| named.iter()).map(|(name, held)| (&**name, held))
    }

    pub fn len(&self) -> usize {
        self.named.as_ref().map_or(0, |named| named.len())
    }

    /// DISCARD ALL, DEALLOCATE ALL (which leaves the unnamed statement).
    pub fn clear_named(&mut self) {
        self.named = None;
    }

    /// Each is looked at again before it is used: whether it has the description that the client knows.
    pub fn outdate(&mut self) {
        self.named.iter_mut().flat_map(|named| named.values_mut()).for_each(|held| held.generation = 0);
    }

    pub fn bind_portal(&mut self, name: &[u8], plan: Option<Rc<Plan>>) {
        if name.is_empty() {
            self.unnamed_portal = plan;
        } else if let Some(plan) = plan {
            self.named_portals.retain(|(other, _)| **other != *name);
            self.named_portals.push((name.into(), plan));
        }
    }

    pub fn portal(&self, name: &[u8]) -> Option<&Rc<Plan>> {
        if name.is_empty() {
            return self.unnamed_portal.as_ref();
        }
        self.named_portals.iter().find(|(other, _)| **other == *name).map(|(_, plan)| plan)
    }

    /// The transaction ended: its portals are gone.
    #[inline]
    pub fn clear_portals(&mut self) {
        self.unnamed_portal = None;
        self.named_portals.clear();
    }

    /// The client's name of the statement that servers know as `name`.
    pub fn client_name(&self, name: &[u8]) -> Option<&[u8]> {
        let named = self.named.as_ref()?;
        named.iter().find(|(_, held)| held.statement.name.as_bytes() == name).map(|(name, _)| &**name)
    }
}
