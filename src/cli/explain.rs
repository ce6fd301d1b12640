//! `pgbraid explain`: how a statement would run, without running it.

use std::process::ExitCode;
use std::time::Duration;

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::cluster::text;
use super::failure::Failure;
use super::{args, explain_shards, load};
use crate::catalog::{Catalog, QUERIES, Rows};
use crate::config::{Config, Database, ServerAddress};
use crate::net;
use crate::plan::{Context, Kind, Plan, ReadSet, Step, WriteSet, plan};

/// Time to read the catalog.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads the catalog of the database and prints the plan.
///
/// # Errors
/// A mistake in the configuration, no such database, no server that answers.
pub async fn run(args: args::Explain) -> Result<ExitCode, Failure> {
    let config = load(&args.config)?;
    let database = choose(&config, args.database.as_deref())?;
    let mut refusals = Vec::new();
    let sharded = database.shards.len() > 1 || !database.tables.is_empty();
    let home = database.home_shard();
    for server in database.shards.iter().filter(|shard| !sharded || shard.name == home).flat_map(|shard| &shard.servers)
    {
        if sharded {
            let known = connected(&config, database, server, async |client| explain_shards::read(client).await);
            match tokio::time::timeout(PATIENCE, known).await {
                Ok(Ok(known)) => {
                    print!("{}", explain_shards::told(database, &known, &args.sql)?);
                    return Ok(ExitCode::SUCCESS);
                }
                Ok(Err(failure)) => refusals.push(format!("{server}: {failure}")),
                Err(_) => refusals.push(format!("{server}: no answer within {PATIENCE:?}")),
            }
            continue;
        }
        let asked = catalog(&config, database, server);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(catalog)) => {
                let context =
                    Context { catalog: &catalog, search_path_is_default: true, standard_conforming_strings: true };
                print!("{}", told(&args.sql, &plan(args.sql.as_bytes(), &context)));
                return Ok(ExitCode::SUCCESS);
            }
            Ok(Err(failure)) => refusals.push(format!("{server}: {failure}")),
            Err(_) => refusals.push(format!("{server}: no answer within {PATIENCE:?}")),
        }
    }
    Err(Failure::new(format!("no server of {:?} tells its catalog:\n{}", database.name, refusals.join("\n")))
        .hint("`pgbraid check` says more."))
}

fn choose<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Database, Failure> {
    let mut databases = config.databases.values();
    match (name, databases.next(), databases.next()) {
        (Some(name), ..) => config
            .databases
            .get(name)
            .map(|database| &**database)
            .ok_or_else(|| Failure::new(format!("the configuration has no database {name:?}"))),
        (None, Some(only), None) => Ok(only),
        (None, ..) => Err(Failure::new("which database?").hint("Say it with --database NAME.")),
    }
}

/// A server's catalog.
async fn catalog(config: &Config, database: &Database, server: &ServerAddress) -> Result<Catalog, Failure> {
    connected(config, database, server, async |client| read(client).await.map_err(|e| Failure::new(text(&e)))).await
}

/// What a server is asked as the service user.
async fn connected<T>(
    config: &Config,
    database: &Database,
    server: &ServerAddress,
    ask: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let user = database.service_user.as_deref();
    let password = user.and_then(|name| config.users.get(name)).and_then(|user| user.password.as_ref());
    let (Some(user), Some(password)) = (user, password) else {
        return Err(Failure::new("the database has no service_user with a password"));
    };
    let limit = database.pool.connect_timeout;
    let stream = net::connect(server, limit).await.map_err(|e| Failure::new(e.message()))?;
    let mut login = tokio_postgres::Config::new();
    login.user(user).password(password.reveal()).dbname(&server.dbname).application_name("pgbraid explain");
    // The stream speaks TLS already where it should.
    login.ssl_mode(tokio_postgres::config::SslMode::Disable);
    let login = tokio::time::timeout(limit, login.connect_raw(stream, NoTls));
    let (client, connection) =
        login.await.map_err(|_| Failure::new("no login in time"))?.map_err(|e| Failure::new(text(&e)))?;
    tokio::select! {
        answer = ask(&client) => answer,
        _ = connection => Err(Failure::new("the server closed the connection")),
    }
}

async fn read(client: &Client) -> Result<Catalog, tokio_postgres::Error> {
    client
        .batch_execute(
            "SET standard_conforming_strings = on; SET search_path = pg_catalog; SET statement_timeout = 0; \
             BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        )
        .await?;
    let mut answers: Vec<(&str, Rows)> = Vec::new();
    for query in QUERIES {
        let messages = client.simple_query(query.sql).await?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()),
            _ => None,
        });
        answers.push((query.name, rows.collect()));
    }
    Ok(Catalog::from_rows(&answers))
}

/// The plan in words.
fn told(sql: &str, plan: &Plan) -> String {
    let mut lines = vec![match (&plan.replica, plan.steps.len()) {
        (_, 0) => "nothing to run".to_owned(),
        (Some(ReadSet::Tables(tables)), _) if tables.is_empty() => "any server: it reads no table".to_owned(),
        (Some(ReadSet::Tables(tables)), _) => {
            let n = tables.len();
            let of = if n == 1 { "the table" } else { "each of the tables" };
            format!("a replica that has replayed the last write to {of} that it names ({n}); else the primary")
        }
        (Some(ReadSet::All), _) => "a replica that has replayed every write; else the primary".to_owned(),
        (None, _) => format!("the primary: {}", plan.primary_reason),
    }];
    lines.extend(plan.steps.iter().map(|step| format!("  {}: {}", shortened(sql, step), effects(step))));
    if plan.opaque {
        lines.push("  may run code that changes the session: probed at the end of the transaction".to_owned());
    }
    lines.join("\n") + "\n"
}

/// The beginning of a statement, on one line.
fn shortened(sql: &str, step: &Step) -> String {
    const WIDTH: usize = 60;
    let text = sql.get(step.span.clone()).unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn effects(step: &Step) -> String {
    let kind = match step.kind {
        Kind::Unknown => "not understood".to_owned(),
        Kind::Read => "reads".to_owned(),
        Kind::Write => "writes".to_owned(),
        // `Begin(TransactionModes { … })`: the name alone.
        ref other => {
            let name = format!("{other:?}");
            name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_lowercase()
        }
    };
    let writes = match &step.writes {
        WriteSet::None => String::new(),
        WriteSet::Tables(tables) => format!(", raises the tokens of {} tables", tables.len()),
        WriteSet::All => ", raises the tokens of all tables".to_owned(),
    };
    let pins = step.pins.map(|pin| format!(", the session keeps its connection ({pin:?})")).unwrap_or_default();
    format!("{kind}{writes}{pins}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_told_in_words() {
        let catalog = Catalog::unknown();
        let context = Context { catalog: &catalog, search_path_is_default: true, standard_conforming_strings: true };
        let say = |sql: &str| told(sql, &plan(sql.as_bytes(), &context));
        assert_eq!(say(""), "nothing to run\n");
        assert!(say("BEGIN").ends_with("BEGIN: begin\n"), "{}", say("BEGIN"));
        let two = say("INSERT INTO t VALUES (1); LISTEN x");
        assert!(two.starts_with("the primary: ") && two.lines().count() >= 3, "{two}");
        assert!(two.contains("LISTEN x: listen, the session keeps its connection (Listen)"), "{two}");
    }
}
