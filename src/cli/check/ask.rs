//! Asks one server, as the service user, what `check` wants to know.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Connection, Error, NoTls};

use super::sharding::{self, ShardFacts};
use crate::catalog::READING;
use crate::config::{Config, Database, ServerAddress, StoredPassword, User, stored_password};
use crate::net::{self, Stream};

/// Time for all questions to one server.
const QUESTIONS: Duration = Duration::from_secs(30);

/// Time for those about rows, which are all read.
const ROWS: Duration = Duration::from_secs(3_600);

/// What came of asking one server.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The database's name in the configuration.
    pub database: String,
    pub server: ServerAddress,
    pub outcome: Outcome,
}

#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Facts(Box<Facts>),
    /// It answers; without a service user nothing else can be asked.
    Reachable,
    /// Why it couldn't be asked.
    Failed(String),
}

/// What a server said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// `server_version_num`
    pub version: i32,
    /// `server_version`, as people write it.
    pub version_text: String,
    pub in_recovery: bool,
    /// The cluster's identity, equal on a primary and its replicas; `None` where it may not be asked.
    pub system: Option<i64>,
    /// `max_connections` less those reserved for superusers.
    pub connections: usize,
    pub superuser: bool,
    pub monitor: bool,
    /// Users of the configuration that have a role there which may log in, but for their verifiers.
    pub roles: Vec<String>,
    /// Those of them that the service user is a member of.
    pub member_of: Vec<String>,
    /// `rolpassword` by role; `None` where pg_authid may not be read.
    pub verifiers: Option<BTreeMap<String, Option<String>>>,
    /// Why `auth.query` fails, if it does.
    pub auth_query: Option<String>,
    /// Of a sharded database's primaries.
    pub shard: Option<Arc<ShardFacts>>,
}

/// Asks one server. Never fails: what went wrong is the outcome.
pub(super) async fn ask(config: &Config, database: &Database, server: &ServerAddress) -> Answer {
    let outcome = match outcome(config, database, server).await {
        Ok(outcome) => outcome,
        Err(reason) => Outcome::Failed(reason),
    };
    Answer { database: database.name.clone(), server: server.clone(), outcome }
}

async fn outcome(config: &Config, database: &Database, server: &ServerAddress) -> Result<Outcome, String> {
    let Some((client, connection)) = log_in(config, database, server).await? else { return Ok(Outcome::Reachable) };
    let facts = within(QUESTIONS, connection, facts(&client, config, database)).await?;
    Ok(Outcome::Facts(Box::new(facts)))
}

/// Asks a server these questions about rows, each with one value for an answer, or the reason why there is none.
///
/// # Errors
/// Why it couldn't be asked at all.
pub(super) async fn values(
    config: &Config,
    database: &Database,
    server: &ServerAddress,
    questions: impl Iterator<Item = &str>,
) -> Result<Vec<Result<String, String>>, String> {
    let Some((client, connection)) = log_in(config, database, server).await? else {
        return Err("without a `service_user` it can't be asked".to_owned());
    };
    let all = async {
        client.batch_execute(READING).await?;
        let mut answers = Vec::new();
        for question in questions {
            let rows = sharding::rows(&client, question).await.map_err(|error| words(&error));
            answers.push(rows.map(|rows| rows.into_iter().flatten().flatten().next().unwrap_or_default()));
        }
        Ok(answers)
    };
    within(ROWS, connection, all).await
}

/// Logs in as the service user. `None`: there is none.
async fn log_in(
    config: &Config,
    database: &Database,
    server: &ServerAddress,
) -> Result<Option<(Client, Connection<Stream, NoTlsStream>)>, String> {
    let stream =
        net::connect(server, database.pool.connect_timeout).await.map_err(|error| error.message().to_owned())?;
    let service = database.service_user.as_deref();
    let password = service.and_then(|name| config.users.get(name)).and_then(|user| user.password.as_ref());
    let (Some(name), Some(password)) = (service, password) else { return Ok(None) };
    if stored_password(password) != StoredPassword::Plain {
        return Err(format!("`check` needs the plain password of the service user `{name}` to log in"));
    }

    // The stream speaks TLS already where it should.
    let mut login = tokio_postgres::Config::new();
    login.user(name).password(password.reveal()).dbname(&server.dbname).application_name("pgbraid check");
    login.ssl_mode(tokio_postgres::config::SslMode::Disable);
    let pair = tokio::time::timeout(database.pool.connect_timeout, login.connect_raw(stream, NoTls))
        .await
        .map_err(|_| format!("no login as `{name}` within {:?}", database.pool.connect_timeout))?
        .map_err(|error| format!("can't log in as `{name}`: {}", words(&error)))?;
    Ok(Some(pair))
}

/// The answer to questions, while the connection is looked after.
async fn within<T>(
    limit: Duration,
    connection: Connection<Stream, NoTlsStream>,
    questions: impl Future<Output = Result<T, Error>>,
) -> Result<T, String> {
    tokio::select! {
        answered = tokio::time::timeout(limit, questions) => match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(words(&error)),
            Err(_) => Err(format!("no answer within {limit:?}")),
        },
        ended = connection => Err(match ended {
            Ok(()) => "the server closed the connection".to_owned(),
            Err(error) => words(&error),
        }),
    }
}

/// The server's own words, where it has said any.
fn words(error: &Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} (SQLSTATE {})", error.message(), error.code().code()),
        None => error.to_string(),
    }
}

async fn facts(client: &Client, config: &Config, database: &Database) -> Result<Facts, Error> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::int, current_setting('server_version'), pg_is_in_recovery(), \
                    current_setting('max_connections')::int \
                    - current_setting('superuser_reserved_connections')::int \
                    - coalesce(current_setting('reserved_connections', true)::int, 0), \
                    current_setting('is_superuser') = 'on', pg_has_role('pg_monitor', 'MEMBER')",
            &[],
        )
        .await?;
    let names: Vec<&str> = config.users.keys().map(String::as_str).collect();
    let roles = client
        .query(
            "SELECT rolname::text, rolname <> current_user AND pg_has_role(oid, 'MEMBER') FROM pg_roles \
             WHERE rolname = ANY ($1::text[]) AND rolcanlogin ORDER BY 1",
            &[&names],
        )
        .await?;
    let role = |row: &tokio_postgres::Row| row.try_get::<_, String>(0);
    let mut member_of = Vec::new();
    for row in &roles {
        if row.try_get(1)? {
            member_of.push(role(row)?);
        }
    }
    let in_recovery: bool = row.try_get(2)?;
    let verifiers = verifiers(client, config).await;
    let auth_query = auth_query(client, config).await;
    let shard = match database.is_sharded() && !in_recovery {
        true => Some(Arc::new(sharding::ask(client).await?)),
        false => None,
    };
    Ok(Facts {
        version: row.try_get(0)?,
        version_text: row.try_get(1)?,
        in_recovery,
        connections: usize::try_from(row.try_get::<_, i32>(3)?).unwrap_or(0),
        superuser: row.try_get(4)?,
        monitor: row.try_get(5)?,
        roles: roles.iter().map(role).collect::<Result<_, _>>()?,
        member_of,
        system: system(client).await,
        verifiers,
        auth_query,
        shard,
    })
}

/// `None` where it may not be asked.
async fn system(client: &Client) -> Option<i64> {
    client.query_one("SELECT system_identifier FROM pg_control_system()", &[]).await.ok()?.try_get(0).ok()
}

/// The servers' verifiers of users for whom the configuration has only one.
async fn verifiers(client: &Client, config: &Config) -> Option<BTreeMap<String, Option<String>>> {
    let names: Vec<&str> =
        config.users.iter().filter(|(_, user)| has_verifier(user)).map(|(n, _)| n.as_str()).collect();
    if names.is_empty() {
        return Some(BTreeMap::new());
    }
    let query = "SELECT rolname::text, rolpassword FROM pg_authid WHERE rolname = ANY ($1::text[])";
    let rows = client.query(query, &[&names]).await.ok()?;
    rows.iter().map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?))).collect()
}

/// Whether a user's password is a SCRAM verifier.
pub(super) fn has_verifier(user: &User) -> bool {
    user.password.as_ref().is_some_and(|password| stored_password(password) == StoredPassword::Scram)
}

/// Why the query fails for a name that nobody has, if it does.
async fn auth_query(client: &Client, config: &Config) -> Option<String> {
    let query = config.auth.query.as_deref()?;
    let statement = match client.prepare(query).await {
        Ok(statement) => statement,
        Err(error) => return Some(words(&error)),
    };
    if statement.params().len() != 1 || statement.columns().len() < 2 {
        return Some(format!(
            "it has {} parameters and {} columns; it must have one parameter, and the columns name and password",
            statement.params().len(),
            statement.columns().len()
        ));
    }
    client.query(&statement, &[&""]).await.err().map(|error| words(&error))
}
