//! How far replicas are behind in time, from when the primary was seen where.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::base::Lsn;

/// Sightings that are kept, and the time between two.
const KEPT: usize = 256;
const APART: Duration = Duration::from_millis(50);

/// The primary's flush positions of the last while.
#[derive(Debug, Default)]
pub struct Progress {
    /// Oldest first.
    seen: VecDeque<(Instant, Lsn)>,
    newest: Option<(Instant, Lsn)>,
}

impl Progress {
    /// The primary had flushed `position` at `asked` or later.
    pub fn saw(&mut self, asked: Instant, position: Lsn) {
        self.newest = Some((asked, position));
        match self.seen.back_mut() {
            Some((time, last)) if *last == position => *time = asked,
            Some((time, _)) if asked.saturating_duration_since(*time) < APART => {}
            _ => {
                if self.seen.len() >= KEPT {
                    self.seen.pop_front();
                }
                self.seen.push_back((asked, position));
            }
        }
    }

    /// Another primary, another history.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes between the newest position known and `replayed`.
    pub fn bytes(&self, replayed: Lsn) -> u64 {
        self.newest.map_or(0, |(_, newest)| newest.0.saturating_sub(replayed.0))
    }

    /// How old what a replica shows may be at most. `by_commit`: the age of the last transaction that it replayed, by
    /// the servers' clocks. Either is a bound; the lower one counts. A replica that lacks nothing is not behind,
    /// however old its last transaction is. (Receive = replay proves nothing: it may be cut off.)
    pub fn lag(&self, now: Instant, replayed: Lsn, by_commit: Option<Duration>) -> Option<Duration> {
        let Some((_, newest)) = self.newest else { return by_commit };
        if replayed >= newest {
            return Some(Duration::ZERO);
        }
        let passed = self.seen.iter().rev().find(|(_, position)| *position <= replayed);
        let by_sight = passed.map(|(time, _)| now.saturating_duration_since(*time));
        match (by_sight, by_commit) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_the_time_since_the_primary_was_where_the_replica_is() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut progress = Progress::default();
        assert_eq!(progress.lag(at(0), Lsn(5), None), None);
        assert_eq!(progress.lag(at(0), Lsn(5), Some(Duration::from_secs(9))), Some(Duration::from_secs(9)));
        progress.saw(at(1), Lsn(100));
        progress.saw(at(2), Lsn(100));
        progress.saw(at(3), Lsn(200));
        assert_eq!(progress.lag(at(50), Lsn(200), Some(Duration::from_secs(50))), Some(Duration::ZERO));
        assert_eq!(progress.lag(at(4), Lsn(150), None), Some(Duration::from_secs(2)));
        assert_eq!(progress.lag(at(4), Lsn(150), Some(Duration::from_secs(1))), Some(Duration::from_secs(1)));
        assert_eq!(progress.lag(at(4), Lsn(99), None), None, "older than all that was seen");
        assert_eq!(progress.bytes(Lsn(150)), 50);
        progress.clear();
        assert_eq!(progress.bytes(Lsn(150)), 0);
    }
}
