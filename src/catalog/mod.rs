//! What exists in a database: relations, functions, operators. A snapshot, pure data, by bare names.
//!
//! Names are looked up over all schemas at once and the worst of what bears a name counts. So no search path, and no
//! schema that is spelled otherwise than meant, can make a statement look more harmless than it is.

pub mod code;
pub mod defaults;
mod functions;
mod queries;
mod read;
pub mod schema;
mod schema_compare;
mod schema_queries;
mod schema_read;

pub use functions::Effect;
pub use queries::{CatalogQuery, POLL, QUERIES};
pub use read::Rows;
pub use schema_compare::{Difference, compare, type_map};
pub use schema_queries::{READING, SCHEMA_POLL, SCHEMA_QUERIES};

use rustc_hash::{FxHashMap, FxHashSet};

type Name = Box<str>;

/// A snapshot of one database's catalog.
#[derive(Debug, Default)]
pub struct Catalog {
    known: bool,
    relations: FxHashMap<Name, Relation>,
    /// Relations of `pg_catalog` and of `information_schema`.
    system: FxHashSet<Name>,
    information_schema: FxHashSet<Name>,
    functions: FxHashMap<Name, Function>,
    operators: FxHashMap<Name, Effect>,
    implied: Effect,
    event_triggers: bool,
    custom_settings: Vec<String>,
}

/// The relations of users that bear one name.
#[derive(Debug, Default)]
pub struct Relation {
    /// What of it can't be read on a replica, or is no relation to read: the reason why the primary must answer.
    pub primary: Option<&'static str>,
    /// Only tables, plain or partitioned.
    pub plain: bool,
    /// Triggers of users, rules, or functions with effects in its defaults and constraints.
    pub code: bool,
    /// Views' queries and policies' expressions.
    pub definitions: Vec<Box<str>>,
    pub parents: Vec<Name>,
    pub children: Vec<Name>,
    /// Tables that its rows' deletion or change writes, by actions of foreign keys.
    pub actions: Vec<Name>,
    /// Tables whose foreign keys refer to it without such an action.
    pub referencing: Vec<Name>,
}

/// The functions that bear one name.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    pub effect: Effect,
    /// It may be called as `value.name` (with one argument).
    pub one_argument: bool,
}

impl Catalog {
    /// Knows nothing: nothing is proven with it.
    pub fn unknown() -> Self {
        Self { implied: Effect::Unseen, ..Self::default() }
    }

    /// Whether it was read from a server.
    pub fn is_known(&self) -> bool {
        self.known
    }

    pub fn relation(&self, name: &str) -> Option<&Relation> {
        self.relations.get(name)
    }

    /// Whether `pg_catalog` has such a relation.
    pub fn is_system(&self, name: &str) -> bool {
        self.system.contains(name)
    }

    /// Whether `information_schema` has such a relation.
    pub fn is_information_schema(&self, name: &str) -> bool {
        self.information_schema.contains(name)
    }

    pub fn function(&self, name: &str) -> Option<Function> {
        self.functions.get(name).copied()
    }

    /// What a user's operator of that name does; operators that come with PostgreSQL do nothing.
    pub fn operator(&self, name: &str) -> Effect {
        self.operators.get(name).copied().unwrap_or_default()
    }

    /// What any statement may run without naming it: casts, comparison, domains' constraints.
    pub fn implied(&self) -> Effect {
        self.implied
    }

    /// Settings of users' own making that functions' bodies name: no view of the server lists those.
    pub fn custom_settings(&self) -> &[String] {
        &self.custom_settings
    }

    /// Whether definitions (DDL) run code of users.
    pub fn event_triggers(&self) -> bool {
        self.event_triggers || !self.known
    }
}
