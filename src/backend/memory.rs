//! Memory for rows that statements over shards collect in the proxy: a budget for each, and one for all of a database.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::{PgError, SqlState};

/// What all statements of a sharded database hold.
#[derive(Debug)]
pub struct Memory {
    used: AtomicUsize,
    each: usize,
    all: usize,
}

/// What one statement holds. Given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Memory {
    /// Budgets in megabytes.
    pub fn new(each: usize, all: usize) -> Self {
        Self { used: AtomicUsize::new(0), each: each.saturating_mul(MB), all: all.saturating_mul(MB) }
    }

    /// For one statement, which holds nothing yet.
    pub fn hold(self: &Arc<Self>) -> Held {
        Held { memory: self.clone(), bytes: 0 }
    }

    /// Bytes that are held now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Held {
    /// Holds more.
    ///
    /// # Errors
    /// 53400 where that is more than the statement, or all together, may hold.
    pub fn add(&mut self, bytes: usize) -> Result<(), PgError> {
        self.bytes = self.bytes.saturating_add(bytes);
        let used = self.memory.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if self.bytes > self.memory.each {
            let most = self.memory.each / MB;
            let text = format!("this statement must collect more than {most} MB of rows in the proxy");
            return Err(PgError::error(SqlState::CONFIGURATION_LIMIT_EXCEEDED, text).hint(format!(
                "Raise gather_memory, which is {most}, or let it read less: add conditions, or put the sharding key into \
                 WHERE. EXPLAIN shows what is collected."
            )));
        }
        if used > self.memory.all {
            let most = self.memory.all / MB;
            let text = format!("statements over shards would hold more than {most} MB of rows in the proxy together");
            return Err(PgError::error(SqlState::CONFIGURATION_LIMIT_EXCEEDED, text)
                .hint(format!("Try again in a moment, or raise gather_memory_total, which is {most}.")));
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

const MB: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_statement_and_all_together_have_their_bounds() {
        let memory = Arc::new(Memory::new(2, 3));
        let mut one = memory.hold();
        let mut two = memory.hold();
        assert!(one.add(2 * MB).is_ok());
        assert!(one.add(1).unwrap_err().hint_text().unwrap_or_default().contains("gather_memory, which is 2"));
        drop(one);
        assert_eq!(memory.used(), 0);
        let mut three = memory.hold();
        assert!(two.add(2 * MB).is_ok() && three.add(MB).is_ok());
        assert!(three.add(1).unwrap_err().hint_text().unwrap_or_default().contains("gather_memory_total, which is 3"));
    }
}
