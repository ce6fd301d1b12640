//! What a definition (DDL) or a command of maintenance is over shards: run on all in one transaction, shard by shard, or
//! refused.
//!
//! What a definition does to placements isn't read from its text: the catalog tells, before and after it. The text says
//! only how it runs.

mod placing;
mod recognise;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use placing::{Placing, placing};
pub use recognise::definition;

/// How a definition runs over shards.
#[derive(Clone, Debug, PartialEq)]
pub enum Definition {
    /// As it is, on all shards, in one transaction.
    All(Everywhere),
    /// A table or a materialized view with the rows of a query: filled on the home shard, empty on the others.
    Filled(Filled),
    /// REFRESH MATERIALIZED VIEW, on the home shard only: its rows are there.
    Refresh(NewTable),
    /// Shard by shard, each by itself: PostgreSQL runs it outside transactions only.
    Each(Each),
    /// Not over shards: message, hint, and a label.
    Refused(String, String, &'static str),
}

/// What must be looked at where a definition runs on all shards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Everywhere {
    /// The table that it makes.
    pub table: Option<NewTable>,
    /// Where a password stands, as a string constant.
    pub password: Option<Range<usize>>,
    /// Roles belong to a server, not to a database.
    pub of_servers: bool,
    /// It names a database, which may be called otherwise on each server.
    pub names_database: bool,
    /// It computes a column's values anew (`ALTER … TYPE … USING`).
    pub computes: bool,
    /// It can't change any table's definition: comments, privileges, TRUNCATE.
    pub harmless: bool,
    /// The tables that it empties.
    pub truncates: Option<Truncated>,
    /// It means something in a block only: LOCK TABLE.
    pub in_block: bool,
}

/// What TRUNCATE empties.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Truncated {
    /// Schema, if given, and name.
    pub tables: Vec<(Option<String>, String)>,
    /// Those that refer to them too.
    pub cascade: bool,
}

/// A table to be made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewTable {
    /// Schema, if given, and name.
    pub schema: Option<String>,
    pub name: String,
}

/// `CREATE TABLE … AS query`, `CREATE MATERIALIZED VIEW … AS query`
#[derive(Clone, Debug, PartialEq)]
pub struct Filled {
    pub table: NewTable,
    /// Its query's bytes.
    pub query: Range<usize>,
    /// `WITH DATA` at the end.
    pub with_data: Option<Range<usize>>,
}

/// A command that runs shard by shard.
#[derive(Clone, Debug, PartialEq)]
pub struct Each {
    /// As it is called in reports: `CREATE INDEX CONCURRENTLY`.
    pub what: &'static str,
    /// PostgreSQL takes it in a transaction too, so there it runs on all shards.
    pub in_block: bool,
    /// The index that CREATE INDEX CONCURRENTLY makes: where it is there and whole, the shard is done.
    pub index: Option<NewIndex>,
}

/// An index that is made concurrently.
#[derive(Clone, Debug, PartialEq)]
pub struct NewIndex {
    pub name: String,
    /// The table, as it stands in the text.
    pub table: String,
}
