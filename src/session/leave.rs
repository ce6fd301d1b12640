//! A READ ONLY transaction that runs on a replica goes over to the primary when a statement comes for which no replica
//! is proven fit: it begins anew there, as long as nobody can tell.
//!
//! Nobody can if no statement has read yet; or if it is READ COMMITTED, where each statement has a snapshot of its own and
//! the primary's is never older, and nothing that has run knows the transaction's moment (`now()`), the only thing besides
//! its snapshot that it would find changed. What it set for itself by SET LOCAL, TRANSACTION and CONSTRAINTS is said again.
//! Savepoints, settings of the session, portals that stay open: then it stays, and the statement is refused.

use super::Session;
use super::link::{Expect, Link, Ours, Side};
use super::route::Target;
use super::run::{LOOK_AGAIN, Over};
use crate::backend::settings::Event;
use crate::base::limits;
use crate::plan::{Kind, Plan, Set, SetValue, names_moment};
use crate::wire::frame::{front, split_cstr};
use crate::wire::message;

/// How a transaction on a replica began.
#[derive(Debug)]
pub struct Opening {
    /// BEGIN, and what the transaction has set for itself.
    sql: Vec<u8>,
    /// A statement has read: there is a snapshot.
    pub looked: bool,
}

/// What `SHOW transaction_isolation` says where each statement has a snapshot of its own.
const SNAPSHOT_A_STATEMENT: [&str; 2] = ["read committed", "read uncommitted"];

impl Session {
    /// A statement is about to run on a replica. `sql`: its text, if it came in a Query.
    pub(super) fn note_aboard(&self, link: &mut Link, plan: &Plan, sql: Option<&[u8]>) {
        if self.status == b'I' {
            if let ([step], Some(sql)) = (&*plan.steps, sql)
                && matches!(step.kind, Kind::Begin(_))
            {
                link.opening = Some(Box::new(Opening { sql: sql.to_vec(), looked: false }));
            }
            return;
        }
        let Some(opening) = &mut link.opening else { return };
        let sets = |kind: &Kind| {
            matches!(
                kind,
                Kind::SetTransaction(_)
                    | Kind::SetConstraints
                    | Kind::Set(Set { local: true, value: SetValue::List(_), .. })
            )
        };
        let stays = match (&*plan.steps, sql) {
            ([step], Some(sql)) if sets(&step.kind) => {
                opening.sql.extend_from_slice(b"\n;");
                opening.sql.extend_from_slice(sql);
                opening.sql.len() <= limits::RELAY_BUFFER
            }
            ([step], _) if matches!(step.kind, Kind::Commit { chain: false } | Kind::Rollback { chain: false }) => true,
            (steps, _) => {
                opening.looked |= steps.iter().any(|step| step.kind == Kind::Read);
                let moment = plan.moment || sql.is_some_and(names_moment);
                !moment && steps.iter().all(|step| matches!(step.kind, Kind::Read | Kind::Show(_)))
            }
        };
        if !stays {
            link.opening = None;
        }
    }

    /// The same of a Bind: some words are moments (`'now'::timestamp`), in its statement's text or as parameters.
    pub(super) fn note_bound(&self, link: &mut Link, (portal, name): (&[u8], &[u8]), parameters: &[u8]) {
        let text = match self.statements.get(name) {
            Some(held) => &*held.statement.key.sql,
            None => &self.statements.unnamed.sql,
        };
        if !portal.is_empty() || names_moment(parameters) || names_moment(text) {
            link.opening = None;
        }
    }

    /// Whether the transaction can and must go over to the primary before this message is taken.
    pub(super) fn wants_primary(&self, link: &Link, tag: u8, body: &[u8]) -> bool {
        if link.side == Side::Primary
            || link.opening.is_none()
            || self.status != b'T'
            || link.segment_open
            || link.discarding
            || self.settings.in_flux()
        {
            return false;
        }
        let second = || split_cstr(body).and_then(|(_, rest)| split_cstr(rest)).map(|(text, _)| text);
        let plan = match tag {
            front::QUERY => split_cstr(body).map(|(sql, _)| self.plan(sql)),
            front::PARSE => second().map(|sql| self.plan(sql)),
            front::BIND => second().and_then(|name| match name {
                b"" => self.statements.unnamed.plan.clone(),
                name => self.statements.get(name).map(|held| held.plan.clone()),
            }),
            _ => None,
        };
        plan.is_some_and(|plan| self.replica_refused(link, &plan))
    }

    /// Goes over to the primary; nothing is in flight.
    pub(super) async fn leave(&mut self, mut link: Box<Link>) -> Result<(), Over> {
        self.flush().await?;
        let Some(opening) = link.opening.take() else { return self.stay(link) };
        // A cancel request that is late must not hit what we say.
        self.client.set_link(None);
        while link.conn.cancel.is_threatened() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let time = self.database.shared.config().pool.connect_timeout;
        if opening.looked {
            match link.conn.run_within("SHOW transaction_isolation", time).await {
                Ok(rows) if snapshot_a_statement(&rows) => {}
                Ok(_) => return self.stay(link),
                Err((error, _)) => return self.after_loss(link, error).await,
            }
        }
        if link.conn.run_within("ROLLBACK", time).await.is_ok() {
            self.let_go(link);
        }
        self.worker.metrics.primary_read("left a replica");
        match self.find_connection(Target::Primary).await? {
            Ok((conn, pool, side)) => {
                let mut link = self.make_link(conn, pool, side);
                message::query(&mut link.out, &opening.sql);
                link.conn.unnamed = 0;
                link.queue.push_back(Expect::Ours(Ours::Settings));
                self.kept = Some(link);
            }
            Err(error) => {
                self.settings.apply(&Event::Rollback);
                self.status = b'E';
                self.worker.metrics.error(error.code());
                self.reject_request(error);
            }
        }
        Ok(())
    }

    /// The transaction stays where it is.
    fn stay(&mut self, link: Box<Link>) -> Result<(), Over> {
        self.client.set_link(Some(link.conn.cancel.clone()));
        self.kept = Some(link);
        Ok(())
    }
}

fn snapshot_a_statement(rows: &[Vec<Option<String>>]) -> bool {
    let level = rows.first().and_then(|row| row.first()).and_then(Option::as_deref);
    level.is_some_and(|level| SNAPSHOT_A_STATEMENT.contains(&level))
}
