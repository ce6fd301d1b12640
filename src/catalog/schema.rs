//! Relations by schema with their columns, keys and types: what planning over shards asks of a catalog.

use rustc_hash::FxHashMap;

use super::code::Body;

/// An object identifier of PostgreSQL.
pub type Oid = u32;

/// OIDs from here on are of what users have made, and differ from database to database.
pub const FIRST_USER_OID: Oid = 16_384;

/// Relations, functions, types and collations of one database, as one shard has them and all agree on.
#[derive(Debug, Default)]
pub struct Schema {
    /// By schema and name.
    pub relations: FxHashMap<(String, String), Relation>,
    /// Functions, aggregates and window functions by bare name, all schemas and overloads.
    pub functions: FxHashMap<String, Vec<Function>>,
    /// Functions behind operators of users, by the operator's name.
    pub operators: FxHashMap<String, Vec<String>>,
    /// Types by OID on the shard that was read.
    pub types: FxHashMap<Oid, Type>,
    /// The database's own collation.
    pub collation: Collation,
    /// The server's version, as `server_version_num`.
    pub version: u32,
    /// `server_encoding`
    pub encoding: String,
    /// Labels of enums in order, by the type's OID.
    pub labels: FxHashMap<Oid, Vec<String>>,
    /// What sessions' settings are before they set any.
    pub defaults: super::defaults::Defaults,
    /// MD5 of the definitions of users' functions, by schema, name and the names of the arguments' types: what shards
    /// are compared by.
    pub bodies: FxHashMap<(String, String, Vec<String>), String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Relation {
    pub schema: String,
    pub name: String,
    pub kind: RelationKind,
    pub columns: Vec<Column>,
    /// What keeps its rows apart.
    pub guards: Vec<Guard>,
    /// The same of its partitions and children.
    pub inherited_guards: Vec<Guard>,
    /// The primary key's columns.
    pub primary_key: Option<Vec<usize>>,
    pub foreign_keys: Vec<ForeignKey>,
    /// The partitioned or inherited parent.
    pub parent: Option<(String, String)>,
    /// A view's query, names qualified.
    pub definition: Option<String>,
    /// Row security is on.
    pub row_security: bool,
    /// Functions that aren't built in which its triggers, defaults, checks and policies call.
    pub code: Vec<Caller>,
    /// It has triggers that see all rows of a statement together (REFERENCING … TABLE).
    pub transitions: bool,
    /// Others that are written with it, by schema and name: its parts, and those that the actions of foreign keys reach.
    pub also: Vec<(String, String)>,
    /// It has triggers or rules of users.
    pub triggers: bool,
    /// It has rules of users.
    pub rules: bool,
    /// Relations that its policies of row security read, by schema and name.
    pub policies_read: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    Table,
    Partitioned,
    View,
    Materialized,
    Foreign,
    Sequence,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    pub type_oid: Oid,
    pub typmod: i32,
    /// `format_type`: the type as SQL writes it, qualified where it isn't built in.
    pub type_name: String,
    pub not_null: bool,
    /// `None`: the type has no collation.
    pub collation: Option<Collation>,
    /// Its default's text, of a plain default.
    pub default: Option<String>,
    pub identity: bool,
    pub generated: bool,
}

/// A collation, as far as order and equality need it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collation {
    /// As SQL writes it, quoted and qualified; `"default"` for the database's own.
    pub name: String,
    pub provider: Provider,
    /// The locale, `en_US.UTF-8`, `de-x-icu`.
    pub locale: String,
    pub deterministic: bool,
    /// `pg_collation_actual_version`
    pub version: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    /// C, POSIX, C.UTF-8: bytes decide.
    #[default]
    Bytes,
    Libc,
    Icu,
}

/// A unique index or an exclusion constraint.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    pub name: String,
    pub exclusion: bool,
    /// It may be judged later than with each row.
    pub deferrable: bool,
    /// The columns that it compares by equality.
    pub equal: Vec<String>,
    /// All the columns that it reads, also in expressions and its predicate.
    pub reads: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ForeignKey {
    pub name: String,
    pub columns: Vec<usize>,
    pub target: (String, String),
    pub target_columns: Vec<String>,
    /// ON DELETE or ON UPDATE changes rows.
    pub acts: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    pub schema: String,
    pub name: String,
    pub kind: FunctionKind,
    pub volatility: Volatility,
    pub strict: bool,
    /// It came with PostgreSQL (`oid < 16384`).
    pub builtin: bool,
    pub arguments: Vec<Oid>,
    pub returns: Oid,
    /// It returns a set.
    pub set: bool,
    /// An aggregate's kind is ordered-set or hypothetical-set.
    pub ordered_set: bool,
    /// Its body with the defaults of its arguments, where it is of users and written in SQL or PL/pgSQL.
    pub body: Option<Body>,
}

/// A function of users that something of a relation calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub function: String,
    /// It is a trigger before each row, which may change it.
    pub before_row: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    Function,
    Procedure,
    Aggregate,
    Window,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volatility {
    Immutable,
    Stable,
    Volatile,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Type {
    pub oid: Oid,
    pub schema: String,
    pub name: String,
    /// `typtype`: b base, c composite, d domain, e enum, p pseudo, r range, m multirange.
    pub kind: u8,
    /// `typcategory`
    pub category: u8,
    /// The elements' type, of a true array.
    pub element: Oid,
    /// A domain's base type.
    pub base: Oid,
    /// The type of a range's bounds, or of the ranges of a multirange.
    pub bound: Oid,
    /// Whether values have a collation.
    pub collatable: bool,
}

impl Relation {
    /// What keeps rows apart without comparing `key` by equality: over shards it can only hold on each for itself.
    pub fn unguarded<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Guard> {
        let guards = self.guards.iter().chain(&self.inherited_guards);
        guards.filter(move |guard| !guard.equal.iter().any(|name| name == key))
    }
}

impl Schema {
    /// The relation that a name means: qualified, or the first along `search_path`. `pg_catalog` comes first unless the
    /// path names it.
    pub fn relation<'a>(&'a self, schema: Option<&str>, name: &str, search_path: &[String]) -> Option<&'a Relation> {
        let at = |schema: &str| self.relations.get(&(schema.to_string(), name.to_string()));
        let first = |named: bool| if named { None } else { at("pg_catalog") };
        match schema {
            Some(schema) => at(schema),
            None => first(search_path.iter().any(|schema| schema == "pg_catalog"))
                .or_else(|| search_path.iter().find_map(|schema| at(schema))),
        }
    }
}
