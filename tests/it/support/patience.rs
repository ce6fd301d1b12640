//! The end of a loop that waits for something: a test that hangs fails instead.

use std::time::{Duration, Instant};

/// Far more than anything takes on a machine that does something else besides.
const LIMIT: Duration = Duration::from_secs(120);

/// How long to look again and again.
pub struct Patience {
    what: &'static str,
    begin: Instant,
}

impl Patience {
    /// `what` is waited for.
    pub fn new(what: &'static str) -> Self {
        Self { what, begin: Instant::now() }
    }

    /// Panics when the time is over.
    pub fn more(&self) {
        assert!(self.begin.elapsed() < LIMIT, "never came: {}", self.what);
    }
}
