//! What a plan over shards says.

use super::copy_options::CopyFormat;
use crate::base::SqlState;
use crate::catalog::schema::{Collation, Oid};
use crate::sql::ast::Span;
use crate::topology::placement::TablePlace;

/// How one statement runs on a sharded database. Shards that a key decides are found when its value is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub access: Access,
    pub work: Work,
    /// It changes rows, locks them, or may: only primaries, and what commits is counted.
    pub writes: bool,
    /// Sentences that EXPLAIN prints: why this is right.
    pub proof: Vec<String>,
}

/// Which shards hold rows that the statement concerns.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// Unsharded tables, or what must run on one certain server (no tables, catalogs, advisory locks).
    Home,
    /// Only reference tables: any one shard has the answer.
    Any,
    /// Rows with these keys: each condition is one table's (or co-located tables') `key = v1 OR key = v2 …`. Conditions
    /// are of different tables, so the shards are all that any of them names.
    Keys(Vec<KeyCondition>),
    All,
}

/// `key IN (values)`
#[derive(Clone, Debug, PartialEq)]
pub struct KeyCondition {
    /// As EXPLAIN names it, `orders.customer_id`.
    pub column: String,
    pub place: TablePlace,
    pub values: Vec<KeyValue>,
    /// The values are assigned to the column (INSERT), not compared with it: each must have a shard.
    pub assigned: Option<Assigned>,
}

/// A column that values are assigned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    pub typmod: i32,
    /// Every shard refuses NULL in it.
    pub not_null: bool,
}

/// A value that a key is compared with, to be known at the latest when parameters are bound.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyValue {
    /// A constant in the text: its token's place, type (0: an untyped literal, read as the key's type) and text value.
    Literal {
        span: Span,
        type_oid: Oid,
        text: String,
    },
    /// `$n`, with the type that the statement gives it (0: the type that the key's column implies).
    Param {
        number: u32,
        type_oid: Oid,
    },
    /// `= ANY($n)`: an array; `type_oid` is the element's type (0: the key's own).
    ParamArray {
        number: u32,
        type_oid: Oid,
    },
    Null,
    /// The row's default, which is evaluated before: its place in [`Scatter::once`].
    Once(usize),
}

/// What is done on the shards.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// The statement as it is, on one shard. If `access` gives several: refused with this reason.
    Route { otherwise: Refusal },
    /// As it is where `access` gives one shard; else scattered.
    Scatter(Scatter),
    /// Never, for this reason.
    Refuse(Refusal),
}

/// Why a statement isn't run.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub code: SqlState,
    /// What could not be proven, in one sentence.
    pub message: String,
    pub hint: String,
    /// Short and stable: a metric's label, a class in the oracle's table (`join-off-key`, `window`, …).
    pub reason: &'static str,
}

/// Questions to shards, and what becomes of the answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Scatter {
    /// What is asked. `Finish::Stream` has one.
    pub inputs: Vec<Input>,
    pub finish: Finish,
    /// STABLE expressions (`now()`, CURRENT_DATE …) to be evaluated once, on one shard, before: `SELECT a, b`. In `sql`
    /// texts, [`Piece::Once`] stands for the i-th's value.
    pub once: Vec<String>,
    /// The rest reads tables too (reference tables that stand in it): it must see the inputs' snapshot.
    pub rest_reads: bool,
    /// Where the rest reads tables: the same with their rows among the inputs, for a transaction in which each statement
    /// sees a snapshot of its own.
    pub within: Option<Box<Scatter>>,
    /// Views whose queries stand in their places: each as a query that gives no rows, for its privileges.
    pub views: Vec<String>,
    /// Other ways, where some inputs are small.
    pub broadcasts: Vec<Broadcast>,
}

/// The same statement where some inputs are small beside another: their rows go along whole to the shards of that one's
/// tables, as if they were of reference tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Broadcast {
    /// The inputs that go along.
    pub inputs: Vec<usize>,
    /// The input whose tables are read where they are.
    pub stays: usize,
    /// Columns of the one input that goes along by which it is joined with the one table that stays; equal values are
    /// the same bytes.
    pub keys: Vec<usize>,
    /// What the shards are asked then, with [`Piece::Input`] for what goes along; and what becomes of the answers.
    pub scatter: Scatter,
}

impl Scatter {
    /// Questions and what becomes of the answers; the rest reads nothing else.
    pub fn new(inputs: Vec<Input>, finish: Finish, once: Vec<String>) -> Self {
        Self { inputs, finish, once, rest_reads: false, within: None, views: Vec::new(), broadcasts: Vec::new() }
    }

    /// Whether shards change rows by what they are told.
    pub fn changes(&self) -> bool {
        matches!(self.finish, Finish::Changed(_) | Finish::Fed(_) | Finish::Found(_) | Finish::Moved(_))
    }
}

/// One question, asked of each shard of its access.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    pub sql: Vec<Piece>,
    pub access: Access,
    /// Names of the columns it gives, for [`Piece::Input`].
    pub columns: Vec<String>,
}

/// A part of a text that is sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Bytes as they are.
    Text(String),
    /// The value of `once[i]`, as a literal with its type.
    Once(usize),
    /// The rows of `inputs[i]`, as an item of FROM in parentheses, without an alias: the text behind gives
    /// `AS alias (columns)`.
    Input(usize),
    /// Within an input's WHERE, at its end: nothing, or ` AND test = ANY (keys)`.
    Semi(Semi),
    /// Bytes that stand only where rows which go to several shards are told apart by their numbers.
    Apart(String),
}

/// Keys of another input, if it comes first: rows that equal none of them aren't needed.
#[derive(Clone, Debug, PartialEq)]
pub struct Semi {
    /// A column of the input's tables, as SQL has it.
    pub test: String,
    /// The other input, and which of its columns.
    pub input: usize,
    pub column: usize,
    /// The column is the sharding key, so that each shard need only be told its own keys: the condition without values.
    pub key: Option<KeyCondition>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Finish {
    /// Rows of the shards one after another, or merged by order.
    Stream {
        order: Vec<SortKey>,
        /// How many of the last columns are ours, to be taken off.
        hidden: usize,
        /// `LIMIT`, `OFFSET` over the merged rows; the shards' own SQL has what may be pushed.
        limit: Option<Bound>,
        offset: Option<Bound>,
        with_ties: bool,
        /// Where the order can't be judged in the proxy (type or collation): the same by PostgreSQL.
        instead: Option<Vec<Piece>>,
    },
    /// The rest of the statement runs on a PostgreSQL over the inputs' rows.
    Rest { sql: Vec<Piece> },
    /// Each shard changes its rows.
    Changed(Changed),
    /// The rows of a query are inserted.
    Fed(Box<Feed>),
    /// Rows that a query finds are changed where they are.
    Found(Box<Found>),
    /// Rows get other keys, and go to other shards for it.
    Moved(Box<Moved>),
    /// The rows of `COPY … FROM STDIN`, which the client sends, are dealt out.
    Copied(Copied),
}

/// `INSERT … SELECT` whose rows are read from some shards and inserted on others.
#[derive(Clone, Debug, PartialEq)]
pub struct Feed {
    /// The query by itself, and how it runs.
    pub query: String,
    pub plan: Box<Plan>,
    pub insertion: Insertion,
    pub into: FedInto,
    /// Defaults that the home shard gives each row, as more columns of the query's.
    pub drawn: Vec<String>,
    /// A shard must get all its rows in one statement.
    pub whole: bool,
    /// RETURNING's rows come in the order of the query's.
    pub ordered: bool,
}

/// INSERT of rows that come as arrays.
#[derive(Clone, Debug, PartialEq)]
pub struct Insertion {
    /// `INSERT INTO t (…)`, up to the query.
    pub before: Vec<Piece>,
    /// Columns of the query that are constants of the client's: each stands in the INSERT itself, which gives it its
    /// type.
    pub constants: Vec<(usize, Vec<Piece>)>,
    /// What the INSERT has behind the query's columns: defaults that are evaluated once.
    pub added: Vec<Piece>,
    /// `ON CONFLICT …`, `RETURNING …`
    pub after: Vec<Piece>,
}

/// UPDATE, DELETE or MERGE of rows that a query finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The tag before its count.
    pub word: &'static str,
    /// As SQL has it, to be locked.
    pub table: String,
    /// Where its rows are, those that are written among them.
    pub access: Access,
    /// The query, and how it runs.
    pub query: String,
    pub plan: Box<Plan>,
    /// Its first columns: the table's that tell a row from all others.
    pub identity: Vec<String>,
    /// Its last columns, which aren't sent.
    pub unsent: Unsent,
    /// What the shards are told, before the rows as an item of FROM, and behind.
    pub before: Vec<Piece>,
    pub after: Vec<Piece>,
    pub into: FedInto,
    pub repeats: Repeats,
    /// Triggers may leave some out.
    pub some_left_out: bool,
    /// Columns of the query within expressions on the shards, whose collations are lost on the way and aren't known: their
    /// types must have none.
    pub uncollated: Vec<usize>,
}

/// Columns of a query that finds rows which are for the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// Each counts the rows of a sub-query that may give one.
    Counts(usize),
    /// Of a row that is to be inserted: which INSERT does it, from 1 (0: none; NULL: it is there); then each INSERT's key.
    Inserts(usize),
}

/// Which of the rows that a query finds for one key are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// One: they give it nothing.
    One,
    /// Those that differ: what they give is converted for each of them, and one of them counts.
    Different,
    /// All of them: each counts.
    All,
}

/// UPDATE of the sharding key: rows that stay are changed where they are, others inserted on their new shard and then
/// deleted on the old one.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// As SQL has it, to be locked.
    pub table: String,
    /// `SELECT ctid, …` of the rows as they are to be, locked.
    pub read: Input,
    pub insertion: Insertion,
    /// `UPDATE … SET … WHERE ctid = ANY (`, up to the array, and what stands behind it.
    pub update: (Vec<Piece>, Vec<Piece>),
    pub delete: (Vec<Piece>, Vec<Piece>),
    /// `at`: among the columns behind `ctid`.
    pub key: KeyCondition,
    pub at: Option<usize>,
}

/// Where a query's rows go.
#[derive(Clone, Debug, PartialEq)]
pub enum FedInto {
    Home,
    /// A reference table, as SQL has it: all rows to every copy.
    Copies(String),
    /// Each row to the shard of its key: the query's column `at`, or else the one value of `key`.
    Shards {
        key: KeyCondition,
        at: Option<usize>,
    },
}

/// `COPY … FROM STDIN` into several shards, each of which is told the same statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Copied {
    /// The table's bare name, as PostgreSQL's CONTEXT says it.
    pub relation: String,
    /// How the client writes its rows; a refusal where that can't be told.
    pub format: Result<CopyFormat, Refusal>,
    pub deal: Deal,
    /// WHERE may leave rows out.
    pub filtered: bool,
    /// Columns that the client leaves out and the home shard gives: put before its own, in this order.
    pub fills: Vec<Fill>,
}

/// A column whose values are put before those of a COPY's rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Fill {
    pub column: String,
    pub default: String,
    /// One value for all rows: the transaction's clock.
    pub clock: bool,
}

/// Who gets which rows of COPY.
#[derive(Clone, Debug, PartialEq)]
pub enum Deal {
    /// Each row goes to the shard of its key.
    ByKey(CopyKey),
    /// A reference table, as SQL has it: every shard gets every row.
    Copies(String),
}

/// The sharding key among the values of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyKey {
    /// Without values.
    pub condition: KeyCondition,
    pub name: String,
    pub type_oid: Oid,
    /// The column's type as SQL writes it.
    pub type_name: String,
    pub not_null: bool,
    pub from: KeyFrom,
}

/// Where a COPY's rows have their key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFrom {
    /// In this field, from 0.
    Field(usize),
    /// In this one of the fills.
    Fill(usize),
}

/// What becomes of a statement that several shards carry out: counts are added, RETURNING's rows told.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The tag before the count: `UPDATE`, `DELETE`, `INSERT 0`.
    pub word: &'static str,
    /// Each shard is told its own rows of VALUES. `None`: all are told the same.
    pub split: Option<Split>,
    /// A reference table, as SQL has it: every shard changes its copy, and one count is told.
    pub copies: Option<String>,
    /// The write is a WITH query: what is told comes of RETURNING's rows.
    pub told: Option<Box<Told>>,
}

/// What a statement gives over the rows that a writing WITH query of it returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The write by itself.
    pub write: String,
    /// The rest, with [`Piece::Input`] 0 for the rows.
    pub sql: Vec<Piece>,
    /// What is evaluated once for the rest, as [`Scatter::once`].
    pub once: Vec<String>,
    /// Columns of the rows whose collations aren't known: their types must have none.
    pub uncollated: Vec<usize>,
}

/// `INSERT … VALUES` by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    pub before: Vec<Piece>,
    /// `(…)` of each row.
    pub rows: Vec<Vec<Piece>>,
    pub after: Vec<Piece>,
    /// Its values are the rows' keys, in order.
    pub key: KeyCondition,
    /// Rows may be left out: with [`Piece::Apart`], RETURNING's last column is the number of the row that it is about.
    pub numbered: bool,
}

/// A merge's key.
#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    /// Column of the shards' rows, from 0.
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
    /// `None`: not known, or the type has none. A text of unknown collation isn't merged in the proxy.
    pub collation: Option<Collation>,
}

/// A number of rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    Rows(u64),
    /// `$n`: NULL means no bound; negative is an error (2201W for LIMIT, 2201X for OFFSET).
    Param(u32),
}
