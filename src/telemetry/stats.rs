//! Averages over the last minute or two, as PgBouncer reckons them (its `stats.c`: `stats_period`, `calc_average`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pool::Totals;

/// How often the totals are remembered. Averages are over the time since the last edge but one: one to two periods.
pub const STATS_PERIOD: Duration = Duration::from_secs(60);

/// One database's totals and averages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsRow {
    pub database: Arc<str>,
    pub total: Totals,
    /// Counts and bytes a second; `transaction_us` a transaction, `query_us` a query, `wait_us` a second.
    pub average: Totals,
}

type Edge = (Instant, BTreeMap<Arc<str>, Totals>);

/// The totals at the last two edges.
#[derive(Debug)]
pub(super) struct History {
    older: Edge,
    newer: Edge,
}

impl History {
    pub(super) fn new(now: Instant) -> Self {
        Self { older: (now, BTreeMap::new()), newer: (now, BTreeMap::new()) }
    }

    /// Makes an edge if a period has gone by since the last one.
    pub(super) fn tick(&mut self, now: Instant, totals: impl FnOnce() -> BTreeMap<Arc<str>, Totals>) {
        if now.saturating_duration_since(self.newer.0) >= STATS_PERIOD {
            self.older = std::mem::replace(&mut self.newer, (now, totals()));
        }
    }

    pub(super) fn rows(&self, now: Instant, totals: BTreeMap<Arc<str>, Totals>) -> Vec<StatsRow> {
        let elapsed = now.saturating_duration_since(self.older.0);
        totals
            .into_iter()
            .map(|(database, total)| {
                let before = self.older.1.get(&database).copied().unwrap_or_default();
                StatsRow { database, total, average: average(total.since(before), elapsed) }
            })
            .collect()
    }
}

fn average(added: Totals, elapsed: Duration) -> Totals {
    let us = elapsed.as_micros().max(1);
    let per_second = |n: u64| u64::try_from(u128::from(n) * 1_000_000 / us).unwrap_or(u64::MAX);
    Totals {
        assignments: per_second(added.assignments),
        transactions: per_second(added.transactions),
        queries: per_second(added.queries),
        received: per_second(added.received),
        sent: per_second(added.sent),
        transaction_us: added.transaction_us.checked_div(added.transactions).unwrap_or(0),
        query_us: added.query_us.checked_div(added.queries).unwrap_or(0),
        wait_us: per_second(added.wait_us),
        client_parses: per_second(added.client_parses),
        server_parses: per_second(added.server_parses),
        binds: per_second(added.binds),
    }
}
