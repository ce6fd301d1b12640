//! Keeps the catalog up to date: a cheap look every so often, all of it when that look finds something new.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Monitor;
use crate::backend::control::Control;
use crate::backend::exchange::TextRows;
use crate::base::{PgError, limits};
use crate::catalog::schema::Schema;
use crate::catalog::{Catalog, CatalogQuery, POLL, QUERIES, SCHEMA_POLL, SCHEMA_QUERIES};
use crate::topology::{Role, Server};

/// Between two looks when nobody asks for one: how long a change of definitions that was made around this proxy may stay
/// unseen.
pub const LOOK: Duration = Duration::from_secs(2);

/// From one failure to the next attempt: doubled each time …
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Looks take at most one part in so many of the time.
const SHARE: u32 = 10;

/// How often definitions may change while they are read, before the reading starts again later.
const TRIES: usize = 3;

/// The catalog that was read last, and what the cheap look saw of it.
#[derive(Default)]
struct Read {
    look: Option<TextRows>,
    catalog: Arc<Catalog>,
    /// Of a shard.
    schema: Option<Arc<Schema>>,
}

/// Follows the primary's catalog: for ever, or until the server refuses the login, and a while longer.
pub(super) async fn follow(monitor: &Monitor, until_refused: bool) {
    let mut read = Read::default();
    let mut told = None;
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(primary) = monitor.database.shard.primary().cloned() {
            let why = stay_with(monitor, &primary, &mut read, &mut told).await;
            // A look that works takes back what was told: this is the second failure in a row, or a later one.
            let (why, refused) = why.map_or((None, false), |ended| (Some(ended.why), ended.refused));
            let again = why.is_some() && told.is_some();
            pause = if again { (pause * 2).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
            if let Some(why) = why.filter(|_| primary.role() == Role::Primary)
                && told.as_deref() != Some(why.as_str())
            {
                tracing::warn!(
                    database = &*monitor.database.name,
                    server = %primary.address,
                    "the catalog can't be read: {why}"
                );
                told = Some(why);
            }
            if refused && until_refused {
                tokio::time::sleep(LONGEST_PAUSE).await;
                return;
            }
        }
        if pause == FIRST_PAUSE {
            let _ = tokio::time::timeout(pause, monitor.database.schema.notified()).await;
        } else {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Why following ended, where something is wrong.
struct Ended {
    why: String,
    /// The server doesn't let the user in.
    refused: bool,
}

/// Follows the catalog of `primary` as long as it is the primary. Why it ended.
async fn stay_with(
    monitor: &Monitor,
    primary: &Arc<Server>,
    read: &mut Read,
    told: &mut Option<String>,
) -> Option<Ended> {
    let timeout = monitor.database.config().pool.connect_timeout;
    let mut control = match Control::open(primary, &monitor.identity, timeout, limits::CATALOG_STATEMENT).await {
        Ok(control) => control,
        Err(error) => {
            let refused = error.is_about_authorization();
            return Some(Ended { why: error.into_error().message().to_owned(), refused });
        }
    };
    while primary.role() == Role::Primary {
        let begin = Instant::now();
        if let Err(error) = look(monitor, &mut control, read).await {
            return Some(Ended { why: error.message().to_owned(), refused: false });
        }
        *told = None;
        let pause = begin.elapsed() * (SHARE - 1);
        tokio::select! {
            () = tokio::time::sleep(pause.min(LOOK)) => {}
            () = control.lost() => return None,
        }
        tokio::select! {
            _ = tokio::time::timeout(LOOK, monitor.database.schema.notified()) => {}
            () = control.lost() => return None,
        }
    }
    None
}

/// Looks once, and reads everything if there is news.
async fn look(monitor: &Monitor, control: &mut Control, read: &mut Read) -> Result<(), PgError> {
    let database = &monitor.database;
    let number = database.begin_look();
    // First what there is to verify, then the question: the answer is younger than all of it.
    let sequence = database.shard.tokens.unverified();
    let distrusts = database.distrusts();
    let seen = poll(control, database.is_shard()).await?;
    if read.look.as_ref() != Some(&seen) {
        *read = read_all(control, database.is_shard()).await?;
        tracing::debug!(database = &*database.name, "catalog read");
    }
    if control.server().role() == Role::Primary && database.set_catalog(&read.catalog, read.schema.as_ref(), distrusts)
    {
        if let Some(sequence) = sequence {
            database.shard.tokens.verify(sequence);
        }
        database.end_look(number);
    }
    Ok(())
}

/// The cheap look. The schema of a shard has more to look at.
async fn poll(control: &mut Control, shard: bool) -> Result<TextRows, PgError> {
    let mut seen = ask(control, POLL).await?;
    if shard {
        seen.extend(ask(control, SCHEMA_POLL).await?);
    }
    Ok(seen)
}

/// The whole catalog as of one moment, and the look that belongs to it: none if it kept changing.
async fn read_all(control: &mut Control, shard: bool) -> Result<Read, PgError> {
    for _ in 0..TRIES {
        ask(control, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let before = poll(control, shard).await?;
        let answers = answers(control, QUERIES).await?;
        let schema_answers = if shard { Some(self::answers(control, SCHEMA_QUERIES).await?) } else { None };
        ask(control, "COMMIT").await?;
        // Texts of views are made from what is there now, not from what the transaction sees.
        if poll(control, shard).await? == before {
            let schema = schema_answers.and_then(|answers| Schema::from_rows(&answers));
            return Ok(Read {
                look: Some(before),
                catalog: Arc::new(Catalog::from_rows(&answers)),
                schema: schema.map(Arc::new),
            });
        }
    }
    Ok(Read { look: None, catalog: Arc::new(Catalog::unknown()), schema: None })
}

async fn answers(control: &mut Control, queries: &[CatalogQuery]) -> Result<Vec<(&'static str, TextRows)>, PgError> {
    let mut answers = Vec::with_capacity(queries.len());
    for query in queries {
        answers.push((query.name, ask(control, query.sql).await?));
    }
    Ok(answers)
}

async fn ask(control: &mut Control, sql: &str) -> Result<TextRows, PgError> {
    // Any failure ends the connection: the next one begins anew.
    control.query(sql, limits::CATALOG_STATEMENT).await.map_err(|(error, _)| error)
}
