//! A server connection made fit for its next session: settings, what the client is told of them, what it lost before.

use std::rc::Rc;
use std::sync::Arc;

use super::Session;
use super::link::{Expect, Link, Ours, Retry, Side};
use crate::backend::settings::{self, Script, Settings};
use crate::backend::{LocalPool, ServerConn};
use crate::base::PgError;
use crate::wire::message;

impl Session {
    /// What must be said to a connection before this session's statements; `None`: it fits.
    pub(super) fn fitting(&self, conn: &ServerConn, want: &Arc<Settings>) -> Option<Script> {
        if conn.tainted_by != 0 && conn.tainted_by != self.number {
            // Another session's code may have left settings on it that no view lists.
            return Some(settings::script_from_scratch(&conn.settings, want));
        }
        if settings::same(&conn.settings, want) { None } else { settings::script(&conn.settings, want) }
    }

    /// Puts settings in force that may fail: seen to work before the client's statement is sent.
    pub(super) async fn dress(&self, conn: &mut ServerConn, want: &Arc<Settings>) -> Result<(), (PgError, bool)> {
        match self.fitting(conn, want) {
            Some(script) if !script.certain => self.dress_now(conn, want, &script, &mut Vec::new()).await,
            _ => Ok(()),
        }
    }

    pub(super) async fn dress_now(
        &self,
        conn: &mut ServerConn,
        want: &Arc<Settings>,
        script: &Script,
        notices: &mut Vec<u8>,
    ) -> Result<(), (PgError, bool)> {
        conn.unnamed = 0;
        let time = self.database.shared.config().pool.connect_timeout;
        conn.run_heeding(&script.sql, time, notices).await?;
        conn.settings = want.clone();
        conn.tainted_by = 0;
        Ok(())
    }

    /// The same for a connection that the session keeps, once a probe has found what code did to it.
    pub(super) async fn dress_kept(&self, link: &mut Link) -> Result<(), (PgError, bool)> {
        let want = self.settings.current();
        if let Some(script) = settings::script(link.tracker().current(), want) {
            self.dress_now(&mut link.conn, want, &script, &mut Vec::new()).await?;
            link.tracker().replace(want.clone());
        }
        Ok(())
    }

    pub(super) fn make_link(&mut self, conn: Box<ServerConn>, pool: Rc<LocalPool>, side: Side) -> Box<Link> {
        self.force_primary = false;
        self.need_output();
        self.client.set_link(Some(conn.cancel.clone()));
        pool.metrics.assignments.inc();
        let mut link = Box::new(Link::new(conn, pool, side, self.worker.take_spare()));
        if side == Side::Replica {
            let (kept, reported) = (self.ready, self.reported.clone());
            link.retry = Some(Retry { kept, reported, ..Retry::default() });
        }
        link.drawn_here = link.conn.drawn_by == self.number;
        let want = self.settings.current();
        match self.fitting(&link.conn, want) {
            Some(script) => {
                message::query(&mut link.out, script.sql.as_bytes());
                link.conn.unnamed = 0;
                link.conn.tainted_by = 0;
                link.conn.settings = want.clone();
                link.queue.push_back(Expect::Ours(Ours::Settings));
            }
            None => {
                // Counted references are shared by all workers: not touched without need.
                if !Arc::ptr_eq(&link.conn.settings, want) {
                    link.conn.settings = want.clone();
                }
                self.greet(&mut link);
            }
        }
        match side {
            Side::Replica => self.worker.metrics.replica_read("proven"),
            Side::Primary if self.status == b'E' => {
                // The transaction was lost with its connection; the client has yet to end it.
                message::query(&mut link.out, LOST_TRANSACTION.as_bytes());
                link.conn.unnamed = 0;
                link.queue.push_back(Expect::Ours(Ours::FailedTransaction));
            }
            Side::Primary => {}
        }
        link
    }
}

const LOST_TRANSACTION: &str = "BEGIN;DO $$BEGIN RAISE EXCEPTION USING ERRCODE='40003',\
     MESSAGE='pgbraid: the transaction was lost with its server connection';END$$";
