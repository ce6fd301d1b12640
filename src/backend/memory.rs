//! Room for rows that statements over shards collect: a budget for each, and one for all of a database; in the proxy's
//! memory, and in temporary tables.

use std::sync::Arc;

use crate::base::{PgError, SqlState};
use crate::config::Gather;
use crate::telemetry::GatherMetrics;

/// What all statements of a sharded database hold.
#[derive(Debug)]
pub struct Memory {
    figures: Arc<GatherMetrics>,
    each: usize,
    all: usize,
    limit: usize,
    limit_all: usize,
}

/// What one statement holds. Given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    memory: Arc<Memory>,
    bytes: usize,
    stored: usize,
}

impl Memory {
    /// With budgets in megabytes.
    pub fn new(budgets: &Gather) -> Self {
        let bytes = |megabytes: usize| megabytes.saturating_mul(MB);
        Self {
            figures: Arc::default(),
            each: bytes(budgets.memory),
            all: bytes(budgets.total),
            limit: bytes(budgets.limit),
            limit_all: bytes(budgets.limit_total),
        }
    }

    /// For one statement, which holds nothing yet.
    pub fn hold(self: &Arc<Self>) -> Held {
        Held { memory: self.clone(), bytes: 0, stored: 0 }
    }

    /// What one statement may hold in memory.
    pub fn each(&self) -> usize {
        self.each
    }

    /// What is held now.
    pub fn figures(&self) -> &Arc<GatherMetrics> {
        &self.figures
    }
}

impl Held {
    /// Holds more in memory.
    ///
    /// # Errors
    /// 53400 where that is more than the statement, or all together, may hold: then it isn't held.
    pub fn add(&mut self, bytes: usize) -> Result<(), PgError> {
        let memory = &self.memory;
        memory.figures.memory.add(signed(bytes));
        let error = if self.bytes.saturating_add(bytes) > memory.each {
            let most = memory.each / MB;
            limit(format!("this statement must collect more than {most} MB of rows in the proxy")).hint(format!(
                "Raise gather_memory, which is {most}, or let it read less: add conditions, or put the sharding key into \
                 WHERE. EXPLAIN shows what is collected."
            ))
        } else if memory.figures.memory.value() > signed(memory.all) {
            let most = memory.all / MB;
            limit(format!("statements over shards would hold more than {most} MB of rows in the proxy together"))
                .hint(format!("Try again in a moment, or raise gather_memory_total, which is {most}."))
        } else {
            self.bytes += bytes;
            return Ok(());
        };
        memory.figures.memory.add(-signed(bytes));
        Err(error)
    }

    /// Whether rows may go to temporary tables.
    pub fn may_store(&self) -> bool {
        self.memory.limit > 0
    }

    /// Bytes in memory.
    pub fn held(&self) -> usize {
        self.bytes
    }

    /// Holds more in temporary tables.
    ///
    /// # Errors
    /// 53400 where that is more than the statement, or all together, may have there.
    pub fn store(&mut self, bytes: usize) -> Result<(), PgError> {
        self.stored = self.stored.saturating_add(bytes);
        let memory = &self.memory;
        memory.figures.tables.add(signed(bytes));
        if self.stored > memory.limit {
            let most = memory.limit / MB;
            return Err(limit(format!("this statement must gather more than {most} MB of rows from the shards")).hint(
                format!(
                    "Raise gather_limit, which is {most}, or let it read less: add conditions, or put the sharding key \
                     into WHERE. EXPLAIN shows what is gathered from where, EXPLAIN ANALYZE with rows and bytes."
                ),
            ));
        }
        if memory.figures.tables.value() > signed(memory.limit_all) {
            let most = memory.limit_all / MB;
            let text =
                format!("statements over shards would have more than {most} MB of rows in temporary tables together");
            return Err(
                limit(text).hint(format!("Try again in a moment, or raise gather_limit_total, which is {most}."))
            );
        }
        Ok(())
    }

    /// Nothing is held in memory any more.
    pub fn free(&mut self) {
        self.memory.figures.memory.add(-signed(std::mem::take(&mut self.bytes)));
    }

    /// A statement's rows have gone to temporary tables.
    pub fn count_spooled(&self) {
        self.memory.figures.spooled.inc();
    }

    /// A statement's rows go along to other rows' shards.
    pub fn count_broadcast(&self) {
        self.memory.figures.broadcasts.inc();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.free();
        self.memory.figures.tables.add(-signed(self.stored));
    }
}

fn limit(text: String) -> PgError {
    PgError::error(SqlState::CONFIGURATION_LIMIT_EXCEEDED, text)
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

const MB: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_statement_and_all_together_have_their_bounds() {
        let budgets = Gather { memory: 2, total: 3, limit: 4, limit_total: 5, ..Gather::default() };
        let memory = Arc::new(Memory::new(&budgets));
        let hint = |error: PgError| error.hint_text().unwrap_or_default().to_owned();
        let mut one = memory.hold();
        let mut two = memory.hold();
        assert!(one.add(2 * MB).is_ok());
        assert!(hint(one.add(1).unwrap_err()).contains("gather_memory, which is 2"));
        one.free();
        assert_eq!(memory.figures().memory.value(), 0);
        let mut three = memory.hold();
        assert!(two.add(2 * MB).is_ok() && three.add(MB).is_ok());
        assert!(hint(three.add(1).unwrap_err()).contains("gather_memory_total, which is 3"));
        assert!(one.store(3 * MB).is_ok() && two.store(2 * MB).is_ok());
        assert!(hint(two.store(1).unwrap_err()).contains("gather_limit_total, which is 5"));
        drop((two, three));
        assert!(hint(one.store(2 * MB).unwrap_err()).contains("gather_limit, which is 4"));
        drop(one);
        assert_eq!((memory.figures().memory.value(), memory.figures().tables.value()), (0, 0));
    }
}
