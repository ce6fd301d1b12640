//! What the kernel tells of the calling thread's turns, and how it's asked to schedule that thread.

#[cfg(target_os = "linux")]
pub use linux::{Account, ask_for, policy};
#[cfg(not(target_os = "linux"))]
pub use none::{Account, ask_for, policy};

/// How a thread is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// A thread that wakes may take the core from another.
    Normal,
    /// A thread that wakes waits until the other sleeps or has used up its slice.
    Batch,
    /// Real time and the like, which only an administrator chooses.
    Other,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::time::Duration;

    use super::super::Seen;
    use super::Policy;

    /// The account of the thread that opened it.
    pub struct Account(File);

    impl Account {
        pub fn open() -> Option<Self> {
            File::open("/proc/thread-self/schedstat").ok().map(Self)
        }

        /// Time on a core, time waiting for one, turns (`proc_pid_schedstat`): all zero in a kernel that doesn't count.
        pub fn read(&self) -> Option<Seen> {
            let mut text = [0; 96];
            let length = self.0.read_at(&mut text, 0).ok()?;
            let mut numbers = std::str::from_utf8(text.get(..length)?).ok()?.split_ascii_whitespace();
            let waited = Duration::from_nanos(numbers.nth(1)?.parse().ok()?);
            let turns = numbers.next()?.parse().ok()?;
            (turns > 0).then_some(Seen { waited, turns })
        }
    }

    /// The calling thread's policy.
    pub fn policy() -> Option<Policy> {
        // SAFETY: takes and returns integers; 0 is the calling thread.
        let policy = unsafe { libc::sched_getscheduler(0) };
        match policy {
            _ if policy < 0 => None,
            libc::SCHED_OTHER => Some(Policy::Normal),
            libc::SCHED_BATCH => Some(Policy::Batch),
            _ => Some(Policy::Other),
        }
    }

    /// Asks for a policy for the calling thread, which needs no privilege; whether it was granted. Threads that it starts
    /// inherit it: what a worker leaves to others (`spawn_blocking`) is in less of a hurry than the worker.
    pub fn ask_for(policy: Policy) -> bool {
        let policy = match policy {
            Policy::Normal => libc::SCHED_OTHER,
            Policy::Batch => libc::SCHED_BATCH,
            Policy::Other => return false,
        };
        let parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: reads the parameters, which live on; 0 is the calling thread.
        unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) == 0 }
    }
}

#[cfg(not(target_os = "linux"))]
mod none {
    use super::super::Seen;
    use super::Policy;

    /// Nobody counts.
    pub struct Account;

    impl Account {
        pub fn open() -> Option<Self> {
            None
        }

        pub fn read(&self) -> Option<Seen> {
            None
        }
    }

    pub fn policy() -> Option<Policy> {
        None
    }

    pub fn ask_for(_: Policy) -> bool {
        false
    }
}
