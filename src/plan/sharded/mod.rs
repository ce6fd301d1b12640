//! Plans over shards: which shards a statement concerns, what each is asked, how the answers become one.
//!
//! `names` and `from` resolve a statement; `confine` finds the keys that route it; `scatter` proves that shards' answers
//! together are the whole answer; `aggregate` splits groups into partials and their rest; `gather` collects rows for
//! PostgreSQL to finish; `found` writes what is found so. What none of them proves is refused.

mod access;
mod aggregate;
mod among;
mod analysis;
mod beside;
mod bodies;
mod carried;
mod confine;
mod constant;
mod copy;
pub mod copy_options;
mod defaults;
pub mod explain;
mod facts;
mod feed;
mod found;
mod fresh;
mod from;
mod functions;
mod gather;
mod merging;
pub mod model;
mod modify;
mod moving;
mod names;
mod numbered;
mod order;
mod outer;
mod partial;
pub mod prior;
mod query;
mod refuse;
mod rows;
mod scatter;
mod several;
mod splice;
#[cfg(test)]
mod tests;
mod told;
mod types;
mod walk;
mod writes;

pub use access::{Bound as BoundValue, ONCE, ShardSet, key_place, row_shards, shards, value_shard};
pub use beside::emptied;
pub use model::*;
pub use refuse::UNSEEN;
pub use splice::shown;

use crate::catalog::schema::{Oid, Schema};
use crate::sql::ast::Statement;
use crate::topology::placement::Placement;

/// What a function that isn't built in reads, as the configuration vouches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// No table, or none that is sharded.
    None,
    /// Only rows of the key in its first argument.
    Key,
}

/// What a plan hangs on besides the text.
pub struct Context<'a> {
    pub schema: &'a Schema,
    pub placement: &'a Placement,
    pub search_path: &'a [String],
    pub standard_strings: bool,
    /// Functions that the configuration vouches for, by name.
    pub vouched: &'a dyn Fn(&str) -> Option<Vouched>,
    /// The configuration admits that each shard keeps only its own rows apart, where a unique index lacks the key.
    pub unique_per_shard: bool,
}

/// Plans one statement that PostgreSQL has accepted. `params`: the types of its parameters, 0 where not known.
/// The plan itself may be a refusal; so may what can't be read at all.
pub fn plan(sql: &str, statement: &Statement, context: &Context<'_>, params: &[Oid]) -> Result<Plan, Refusal> {
    match statement {
        Statement::Query(query) => told::plan(sql, query, context, params),
        Statement::Explain(explain) => plan(sql, &explain.statement, context, params),
        Statement::Declare(declare) => {
            let mut plan = query::plan(sql, &declare.query, context, params)?;
            plan.route_only("cursor", "a cursor");
            Ok(plan)
        }
        Statement::Copy(copy) => copy::plan(sql, copy, context, params),
        _ => modify::plan(sql, statement, context, params),
    }
}

impl Plan {
    /// Leaves only what runs on one shard.
    fn route_only(&mut self, reason: &'static str, what: &str) {
        if let Work::Scatter(_) = self.work {
            self.work = Work::Route { otherwise: refuse::unsupported(reason, what) };
        }
    }
}
