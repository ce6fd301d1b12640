//! On which worker a client sits.
//!
//! A worker that has little to do sleeps and is woken for every message, which costs more than the message. So the first
//! workers get their few before the next begins; where all have theirs, the least taken gets the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::limits;

/// How many clients each worker has.
#[derive(Clone, Debug)]
pub struct Seats(Arc<[AtomicUsize]>);

/// A client's place on its worker, given back when this is dropped.
#[derive(Debug)]
pub struct Taken {
    seats: Seats,
    worker: usize,
}

impl Seats {
    pub fn new(workers: usize) -> Self {
        Self((0..workers.max(1)).map(|_| AtomicUsize::new(0)).collect())
    }

    /// A place for one more client.
    pub fn take(&self) -> Taken {
        let counts = || self.0.iter().map(|count| count.load(Ordering::Relaxed)).enumerate();
        let roomy = counts().find(|(_, count)| *count < limits::WORKER_FEW);
        let least = || counts().min_by_key(|(_, count)| *count);
        let worker = roomy.or_else(least).map_or(0, |(worker, _)| worker);
        if let Some(count) = self.0.get(worker) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Taken { seats: self.clone(), worker }
    }
}

impl Taken {
    pub fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(count) = self.seats.0.get(self.worker) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_fill_up_one_after_another_and_then_evenly() {
        let seats = Seats::new(2);
        let mut taken: Vec<Taken> = (0..2 * limits::WORKER_FEW).map(|_| seats.take()).collect();
        let workers: Vec<usize> = taken.iter().map(Taken::worker).collect();
        assert!(workers.iter().take(limits::WORKER_FEW).all(|worker| *worker == 0));
        assert!(workers.iter().skip(limits::WORKER_FEW).all(|worker| *worker == 1));
        let next = seats.take();
        assert_ne!(next.worker(), seats.take().worker(), "both are full: evenly");
        taken.retain(|taken| taken.worker() == 1);
        assert_eq!(seats.take().worker(), 0, "a worker whose clients left is filled again");
    }
}
