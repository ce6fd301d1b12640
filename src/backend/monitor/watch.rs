//! Watches one server: connects, asks, tells the monitor, notices when the connection breaks.

use std::time::{Duration, Instant};

use super::answer::{Answer, POSITIONS, WHOLE};
use super::roles::{Identity, Said};
use super::{Monitor, Watched};
use crate::backend::control::Control;
use crate::base::limits;
use crate::topology::Role;

/// Between attempts to connect: from, to.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Watches server `at` for ever.
pub(super) async fn watch(monitor: &Monitor, at: usize) {
    let Some(watched) = monitor.servers.get(at) else { return };
    let mut backoff = BACKOFF.0;
    let mut told = None;
    loop {
        let (answered, why) = converse(monitor, at, watched).await;
        monitor.silent(at, &why);
        if answered {
            backoff = BACKOFF.0;
            told = None;
        }
        if told.as_deref() != Some(why.as_str()) {
            tracing::warn!(database = &*monitor.database.name, server = %watched.server.address, "not used, for it can't be asked: {why}");
            told = Some(why);
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF.1);
    }
}

/// One connection's life. Returns whether the server answered on it, and why it ended.
async fn converse(monitor: &Monitor, at: usize, watched: &Watched) -> (bool, String) {
    let connect_timeout = monitor.database.config().pool.connect_timeout;
    let mut control =
        match Control::open(&watched.server, &monitor.identity, connect_timeout, limits::CONTROL_STATEMENT).await {
            Ok(control) => control,
            Err(error) => return (false, error.into_error().message().to_owned()),
        };
    let mut history: Option<(bool, Identity)> = None;
    let mut whole_due = Instant::now();
    loop {
        let (interval, timeout) = times(monitor, watched);
        let whole = Instant::now() >= whole_due;
        let ask = monitor.ask(at);
        let rows = match control.query(if whole { WHOLE } else { POSITIONS }, timeout).await {
            Ok(rows) => rows,
            Err((error, _)) => return (history.is_some(), error.message().to_owned()),
        };
        let Some(answer) = Answer::read(&rows) else {
            return (history.is_some(), "it answers what PostgreSQL wouldn't".into());
        };
        if let Some(new) = answer.identity {
            whole_due = ask.asked + interval;
            let before = history.filter(|(was_primary, _)| *was_primary == answer.is_primary());
            // What a running replica once showed to follow, it follows.
            let timeline = before.map_or(new.timeline, |(_, old)| old.timeline.max(new.timeline));
            history = Some((answer.is_primary(), Identity { timeline, ..new }));
        }
        match history {
            Some((was_primary, identity)) if was_primary == answer.is_primary() => {
                let said = if was_primary { Said::Primary(identity) } else { Said::Replica(identity) };
                monitor.answered(&ask, said, &answer);
            }
            // It was promoted: which timeline is it on?
            _ if !whole => {
                whole_due = Instant::now();
                continue;
            }
            _ => return (false, "it doesn't tell which cluster and timeline it is of (pg_control_system)".into()),
        }
        tokio::select! {
            () = tokio::time::sleep_until(whole_due.into()) => {}
            () = watched.kick.notified() => {}
            () = control.lost() => return (true, "it closed the connection".into()),
        }
    }
}

/// How often to ask, and how long to wait for the answer. A replica that hangs must not hold reads for long; a primary
/// has no substitute, and takes its time under load.
fn times(monitor: &Monitor, watched: &Watched) -> (Duration, Duration) {
    let config = monitor.database.config();
    let interval = config.replicas.health_interval;
    let patience = config.pool.connect_timeout;
    let timeout = match watched.server.role() {
        Role::Replica => patience.min(interval.max(limits::REPLICA_ANSWER)),
        Role::Primary | Role::Unknown => patience,
    };
    (interval, timeout)
}
