//! Which of several sorted streams' next rows comes first.

use std::cmp::Ordering;

use super::row;
use crate::plan::sharded::SortKey;
use crate::value::compare::Comparator;

/// The order of merged rows.
pub struct Order {
    keys: Vec<(usize, bool, bool, Comparator)>,
}

impl Order {
    /// The order by these keys, whose columns come in binary; each with its type's comparator.
    pub fn new(keys: Vec<(SortKey, Comparator)>) -> Self {
        let keys = keys
            .into_iter()
            .map(|(key, comparator)| (key.column, key.descending, key.nulls_first, comparator))
            .collect();
        Self { keys }
    }

    /// Compares two rows' bodies. `None`: one is malformed.
    pub fn compare(&self, a: &[u8], b: &[u8]) -> Option<Ordering> {
        for (column, descending, nulls_first, comparator) in &self.keys {
            let order = match (row::value(a, *column)?, row::value(b, *column)?) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) if *nulls_first => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) if *nulls_first => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(a), Some(b)) => {
                    let order = comparator.compare(a, b);
                    if *descending { order.reverse() } else { order }
                }
            };
            if order != Ordering::Equal {
                return Some(order);
            }
        }
        Some(Ordering::Equal)
    }
}
