//! Whether a worker that wakes waits for its turn: Linux's SCHED_BATCH, while that saves CPU and costs hardly any time.
//!
//! A thread that wakes usually takes the core from whoever has it. Where clients, proxy and servers share their cores, a
//! worker so runs for each single message, and the system spends more on switching than the worker on working. Under
//! SCHED_BATCH it runs when the other one sleeps: among threads of short turns that's some tens of microseconds later,
//! and by then there is more to do in one turn. Beside a thread that computes for long, though, its turn comes with
//! the next tick only, up to 4 ms later. So the worker asks for it only while its turns are many, and stops as soon as
//! they come late; what it goes by is the kernel's own account of them (`/proc/thread-self/schedstat`).

mod kernel;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kernel::{Account, Policy, ask_for};

use crate::telemetry::{Raised, SessionMetrics};

/// Time between two looks at the account, at the least.
const LOOK: Duration = Duration::from_millis(50);
/// The clock is read each time that the worker went to sleep so often.
const SLEEPS: u32 = 8;
/// Turns a second from which on waiting is tried, and below which it's given up: few turns don't cost much.
const MANY: u64 = 2_000;
const FEW: u64 = 1_000;
/// Mean time that a turn may be waited for.
const SOON: Duration = Duration::from_micros(500);
/// Looks in sequence at which turns came late, until waiting is given up.
const LATE_LOOKS: u32 = 2;
/// How long waiting isn't tried again after it was given up since turns came late; doubled each time …
const BARRED: Duration = Duration::from_secs(5);
/// … up to this, and short again once waiting went well for as long.
const BARRED_MOST: Duration = Duration::from_secs(60);

/// One worker's, told each time that the worker is about to sleep. To be made and told on the worker's own thread.
pub struct Turns {
    sleeps: AtomicU32,
    // Only the worker's thread takes it; the runtime wants a hook that could be called by others too.
    watch: Mutex<Watch>,
}

struct Watch {
    account: Account,
    seen: Seen,
    at: Instant,
    rule: Rule,
    metrics: Arc<SessionMetrics>,
    waiting: Option<Raised>,
}

/// What the kernel has counted for a thread since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Time that it could have run and waited for a core.
    waited: Duration,
    /// How often it got one.
    turns: u64,
}

impl Turns {
    /// `None` where there is nothing to gain: no Linux, no account, or somebody has chosen how the process is scheduled
    /// (`chrt`). `metrics.batched` is raised while the worker waits for its turns.
    pub fn new(metrics: Arc<SessionMetrics>) -> Option<Self> {
        if kernel::policy()? != Policy::Normal {
            return None;
        }
        let account = Account::open()?;
        let (seen, at) = (account.read()?, Instant::now());
        let watch = Watch { account, seen, at, rule: Rule::new(at), metrics, waiting: None };
        Some(Self { sleeps: AtomicU32::new(0), watch: Mutex::new(watch) })
    }

    /// The worker has nothing to do.
    pub fn sleeps(&self) {
        // One thread counts: no need for the sum to be atomic.
        let sleeps = self.sleeps.load(Ordering::Relaxed).wrapping_add(1);
        self.sleeps.store(sleeps, Ordering::Relaxed);
        if sleeps.is_multiple_of(SLEEPS) {
            self.watch.lock().unwrap_or_else(PoisonError::into_inner).look(Instant::now());
        }
    }
}

impl Watch {
    fn look(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at);
        if elapsed < LOOK {
            return;
        }
        let Some(seen) = self.account.read() else { return };
        let turns = seen.turns.saturating_sub(self.seen.turns);
        let waited = seen.waited.saturating_sub(self.seen.waited);
        (self.seen, self.at) = (seen, now);
        let before = self.rule.waits;
        let wait = self.rule.judge(now, Span { elapsed, turns, waited });
        // A system that refuses (a sandbox) isn't asked again at each look: only when the rule says something else.
        if wait != before && ask_for(if wait { Policy::Batch } else { Policy::Normal }) {
            self.waiting = wait.then(|| self.metrics.batched.raise());
        }
    }
}

/// What happened between two looks.
#[derive(Clone, Copy, Debug)]
struct Span {
    elapsed: Duration,
    turns: u64,
    waited: Duration,
}

/// Says from span to span whether the worker is to wait for its turns.
struct Rule {
    waits: bool,
    /// When it began to wait.
    since: Instant,
    late: u32,
    /// Not to be tried before.
    barred_until: Instant,
    /// How long it is barred the next time.
    bar: Duration,
}

impl Rule {
    fn new(now: Instant) -> Self {
        Self { waits: false, since: now, late: 0, barred_until: now, bar: BARRED }
    }

    fn judge(&mut self, now: Instant, span: Span) -> bool {
        let turns_a_second = u128::from(span.turns) * 1_000_000_000 / span.elapsed.as_nanos().max(1);
        let late = span.waited.as_nanos() > SOON.as_nanos() * u128::from(span.turns);
        if !self.waits {
            if turns_a_second >= u128::from(MANY) && !late && now >= self.barred_until {
                (self.waits, self.since, self.late) = (true, now, 0);
            }
            return self.waits;
        }
        if now.saturating_duration_since(self.since) >= BARRED_MOST {
            self.bar = BARRED;
        }
        self.late = if late { self.late + 1 } else { 0 };
        if self.late >= LATE_LOOKS {
            self.waits = false;
            self.barred_until = now + self.bar;
            self.bar = (self.bar * 2).min(BARRED_MOST);
        } else if turns_a_second < u128::from(FEW) && !late {
            self.waits = false;
        }
        self.waits
    }
}
