//! A connection of the proxy's own, as the service user, for questions about a server.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::conn::{Parameters, set_parameter};
use super::exchange::{Exchange, TextRows};
use super::login::{Identity, LoginError, login};
use crate::base::{PgError, SqlState};
use crate::catalog::READING;
use crate::net::Stream;
use crate::topology::Server;

/// What each control connection asks for at its start: no lock of an application holds us up for long.
const STARTUP: &[(&str, &str)] = &[
    ("application_name", "pgbraid"),
    ("client_encoding", "UTF8"),
    ("lock_timeout", "2s"),
    ("idle_session_timeout", "0"),
];

/// A control connection.
#[derive(Debug)]
pub struct Control {
    stream: Stream,
    server: Arc<Server>,
    reported: Arc<Parameters>,
}

impl Control {
    /// Connects to `server` and logs in, all within `timeout`. `statement_timeout`: when the server gives up on one
    /// statement; longer than the time that [`Self::query`] is given, it only cleans up behind us.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub async fn open(
        server: &Arc<Server>,
        identity: &Identity,
        timeout: Duration,
        statement_timeout: Duration,
    ) -> Result<Self, LoginError> {
        let limit = format!("{}ms", statement_timeout.as_millis().clamp(1, i32::MAX as u128));
        let mut startup = STARTUP.to_vec();
        startup.push(("statement_timeout", &limit));
        let login = login(&server.address, identity, &startup, timeout).await?;
        let mut reported = Parameters::new();
        for (name, value) in login.parameters {
            set_parameter(&mut reported, name, value);
        }
        let mut control = Self { stream: login.stream, server: server.clone(), reported: Arc::new(reported) };
        // Names mean PostgreSQL's own, texts have one form, nothing is written. Not in the start-up packet, for then
        // `pg_settings.reset_val` wouldn't tell what sessions begin with (`catalog::defaults`).
        let settings = format!("{READING}; SET default_transaction_read_only = on");
        control.query(&settings, timeout).await.map_err(|(error, _)| LoginError::Unreachable(error))?;
        Ok(control)
    }

    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Runs a query string and gives the rows of all its statements, as text.
    ///
    /// # Errors
    /// The server's; 08006; 57014 where it doesn't answer within `timeout`. The second value: the connection is of no
    /// more use.
    pub async fn query(&mut self, sql: &str, timeout: Duration) -> Result<TextRows, (PgError, bool)> {
        match tokio::time::timeout(timeout, self.exchange().run(sql)).await {
            Ok(result) => result,
            Err(_) => Err((
                PgError::error(
                    SqlState::QUERY_CANCELED,
                    format!("the server at {} didn't answer within {timeout:?}", self.server.address),
                ),
                true,
            )),
        }
    }

    /// Returns when the connection is lost. Cancel safe.
    pub async fn lost(&mut self) {
        poll_fn(|context| {
            let mut exchange = self.exchange();
            loop {
                match exchange.poll_idle(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(true) => {}
                    Poll::Ready(false) => return Poll::Ready(()),
                }
            }
        })
        .await;
    }

    fn exchange(&mut self) -> Exchange<'_> {
        Exchange {
            stream: &mut self.stream,
            server: &self.server,
            reported: &mut self.reported,
            heard: None,
            notices: None,
        }
    }
}
