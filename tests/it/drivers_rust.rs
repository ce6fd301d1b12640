//! Rust's drivers through the proxy: tokio-postgres pipelining, sqlx with its statement cache. Each scenario gives lines
//! of what it saw; PostgreSQL itself and the proxy must give the same.

use std::fmt::Write as _;
use std::pin::pin;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, TryStreamExt, future, stream};
use sqlx::{Connection, Executor, Row};
use tokio_postgres::{AsyncMessage, Client, IsolationLevel, NoTls};

use crate::drivers::{DriverServers, servers};
use crate::support::raw::Target;

type Seen = Result<Vec<String>, Box<dyn std::error::Error + Send + Sync>>;

/// Runs a scenario on PostgreSQL and through the proxy, each with a schema of its own by the same name, one after the
/// other.
async fn same<F, Fut>(name: &str, scenario: F)
where
    F: Fn(Target, String) -> Fut,
    Fut: Future<Output = Seen>,
{
    let servers: DriverServers = servers().await;
    let schema = format!("rust_{name}");
    let mut seen = Vec::new();
    for target in [servers.direct(), servers.proxied()] {
        let admin = target.connect().await.unwrap();
        admin.batch_execute(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")).await.unwrap();
        let lines = scenario(target, schema.clone()).await;
        seen.push(
            lines.unwrap_or_else(|error| {
                panic!("{name}, {}: {error}", if seen.is_empty() { "direct" } else { "proxy" })
            }),
        );
        admin.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).await.unwrap();
    }
    assert!(!seen[0].is_empty(), "{name} noted nothing");
    assert_eq!(seen[0], seen[1], "{name}: left PostgreSQL, right the proxy");
}

fn state(error: &tokio_postgres::Error) -> String {
    error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned())
}

fn sqlx_state(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(|e| e.code()).map_or_else(|| error.to_string(), |code| code.into_owned())
}

#[tokio::test]
async fn tokio_postgres_pipelines() {
    same("pipelines", |target, schema| async move {
        let client = target.connect().await?;
        let mut seen = Vec::new();
        // Futures polled together go out without waiting for one another.
        let values = future::try_join_all((0..500_i32).map(|i| {
            let client = &client;
            async move { client.query_one("SELECT $1::int4 * 2", &[&i]).await.map(|row| row.get::<_, i32>(0)) }
        }))
        .await?;
        seen.push(format!("{}", values.iter().sum::<i32>()));
        client.batch_execute(&format!("CREATE TABLE {schema}.p (id int PRIMARY KEY, v text)")).await?;
        let insert = client.prepare(&format!("INSERT INTO {schema}.p VALUES ($1, $2)")).await?;
        let results = future::join_all((0..200_i32).map(|i| {
            let (client, insert) = (&client, &insert);
            async move { client.execute(insert, &[&(i % 150), &"x"]).await }
        }))
        .await;
        seen.push(format!("{} failed", results.iter().filter(|r| r.is_err()).count()));
        let (good, bad, after) = tokio::join!(
            client.query_one("SELECT 1", &[]),
            client.query_one("SELECT 1/0", &[]),
            client.query_one("SELECT 2", &[])
        );
        seen.push(format!("{:?} {} {:?}", good?.get::<_, i32>(0), state(&bad.unwrap_err()), after?.get::<_, i32>(0)));
        let row = client.query_one(&format!("SELECT count(*), sum(id)::int8 FROM {schema}.p"), &[]).await?;
        seen.push(format!("{} {}", row.get::<_, i64>(0), row.get::<_, i64>(1)));
        Ok(seen)
    })
    .await;
}

#[tokio::test]
async fn tokio_postgres_statements_and_portals() {
    same("portals", |target, schema| async move {
        let mut client = target.connect().await?;
        let mut seen = Vec::new();
        let statement = client.prepare("SELECT i, i::text AS t FROM generate_series(1, $1::int4) i").await?;
        for column in statement.columns() {
            seen.push(format!("{} {}", column.name(), column.type_()));
        }
        let transaction = client.transaction().await?;
        let (one, two) = (transaction.bind(&statement, &[&10]).await?, transaction.bind(&statement, &[&7]).await?);
        for rows in [3, 3, 100] {
            let a = transaction.query_portal(&one, rows).await?;
            let b = transaction.query_portal(&two, 2).await?;
            seen.push(format!("{:?} {:?}", a.iter().map(|r| r.get::<_, i32>(0)).collect::<Vec<_>>(), b.len()));
        }
        transaction.commit().await?;
        seen.push(format!("{}", client.query(&statement, &[&4]).await?.len()));
        client.batch_execute(&format!("CREATE TABLE {schema}.d AS SELECT 1 AS a")).await?;
        let star = client.prepare(&format!("SELECT * FROM {schema}.d")).await?;
        seen.push(format!("{}", client.query_one(&star, &[]).await?.len()));
        client.batch_execute(&format!("ALTER TABLE {schema}.d ADD COLUMN b int")).await?;
        seen.push(client.query_one(&star, &[]).await.map_or_else(|e| state(&e), |row| format!("{}", row.len())));
        for i in 0..60 {
            let made = client.prepare(&format!("SELECT $1::int4 + {i}")).await?;
            seen.push(format!("{}", client.query_one(&made, &[&i]).await?.get::<_, i32>(0)));
        }
        seen.push(state(&client.prepare("SELECT nothing").await.unwrap_err()));
        seen.push(state(&client.query("SELECT * FROM nowhere", &[]).await.unwrap_err()));
        Ok(seen)
    })
    .await;
}

#[tokio::test]
async fn tokio_postgres_transactions() {
    same("transactions", |target, schema| async move {
        let mut client = target.connect().await?;
        let other = target.connect().await?;
        let mut seen = Vec::new();
        client.batch_execute(&format!("CREATE TABLE {schema}.t (v int PRIMARY KEY)")).await?;
        let count = format!("SELECT count(*) FROM {schema}.t");
        let mut transaction =
            client.build_transaction().isolation_level(IsolationLevel::Serializable).read_only(false).start().await?;
        transaction.execute(&format!("INSERT INTO {schema}.t VALUES (1)"), &[]).await?;
        seen.push(format!("unseen {}", other.query_one(&count, &[]).await?.get::<_, i64>(0)));
        let savepoint = transaction.savepoint("s").await?;
        seen.push(state(&savepoint.execute(&format!("INSERT INTO {schema}.t VALUES (1)"), &[]).await.unwrap_err()));
        seen.push(state(&savepoint.query("SELECT 1", &[]).await.unwrap_err()));
        savepoint.rollback().await?;
        transaction.execute(&format!("INSERT INTO {schema}.t VALUES (2)"), &[]).await?;
        transaction.commit().await?;
        seen.push(format!("seen {}", other.query_one(&count, &[]).await?.get::<_, i64>(0)));
        let dropped = client.transaction().await?;
        dropped.execute(&format!("DELETE FROM {schema}.t"), &[]).await?;
        drop(dropped); // rolls back behind our back
        seen.push(format!("kept {}", client.query_one(&count, &[]).await?.get::<_, i64>(0)));
        let read_only = client.build_transaction().read_only(true).start().await?;
        seen.push(state(&read_only.execute(&format!("DELETE FROM {schema}.t"), &[]).await.unwrap_err()));
        drop(read_only);
        for message in client.simple_query("SELECT 1 AS a; SELECT 2 AS b; SELECT 3 WHERE false").await? {
            seen.push(match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => format!("row {:?}", row.get(0)),
                tokio_postgres::SimpleQueryMessage::CommandComplete(n) => format!("complete {n}"),
                _ => "description".to_owned(),
            });
        }
        Ok(seen)
    })
    .await;
}

#[tokio::test]
async fn tokio_postgres_copies() {
    same("copies", |target, schema| async move {
        let client = target.connect().await?;
        let mut seen = Vec::new();
        client.batch_execute(&format!("CREATE TABLE {schema}.c (id int PRIMARY KEY, v text)")).await?;
        let into = format!("COPY {schema}.c FROM STDIN");
        let mut sink = pin!(client.copy_in::<_, Bytes>(&into).await?);
        let mut chunks = stream::iter((0..200).map(|block| {
            let mut text = String::new();
            for i in 0..100 {
                let _ = writeln!(text, "{}\tline {i}", block * 100 + i);
            }
            Ok(Bytes::from(text))
        }));
        sink.send_all(&mut chunks).await?;
        seen.push(format!("in {}", sink.finish().await?));
        let out = client.copy_out(&format!("COPY (SELECT * FROM {schema}.c ORDER BY id) TO STDOUT")).await?;
        let bytes = out.try_fold(0, |n, chunk| future::ok(n + chunk.len())).await?;
        seen.push(format!("out {bytes}"));
        let mut bad = pin!(client.copy_in::<_, Bytes>(&into).await?);
        bad.send(Bytes::from_static(b"x\ty\n")).await?;
        seen.push(bad.finish().await.map_or_else(|e| state(&e), |n| format!("{n}")));
        {
            let mut left = Box::pin(client.copy_in::<_, Bytes>(&into).await?);
            left.send(Bytes::from_static(b"99999\ty\n")).await?;
        } // dropped: CopyFail
        let row = client.query_one(&format!("SELECT count(*) FROM {schema}.c"), &[]).await?;
        seen.push(format!("{}", row.get::<_, i64>(0)));
        Ok(seen)
    })
    .await;
}

#[tokio::test]
async fn tokio_postgres_cancels_and_listens() {
    same("cancels", |target, schema| async move {
        let (client, mut connection) = target.config().connect(NoTls).await?;
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notification(n) = message {
                    let _ = tell.send(n.payload().to_owned());
                }
            }
        });
        let mut seen = Vec::new();
        for _ in 0..3 {
            let token = client.cancel_token();
            let (slow, cancelled) = tokio::join!(client.query("SELECT pg_sleep(30)", &[]), async {
                tokio::time::sleep(std::time::Duration::from_millis(2000)).await;
                token.cancel_query(NoTls).await
            });
            cancelled?;
            seen.push(state(&slow.unwrap_err()));
            seen.push(format!("{}", client.query_one("SELECT 1", &[]).await?.get::<_, i32>(0)));
        }
        client.batch_execute(&format!("LISTEN {schema}")).await?;
        let other = target.connect().await?;
        other.execute("SELECT pg_notify($1, 'from another')", &[&schema]).await?;
        client.batch_execute(&format!("NOTIFY {schema}, 'own'")).await?;
        for _ in 0..2 {
            seen.push(tokio::time::timeout(crate::support::raw::PATIENCE, told.recv()).await?.unwrap_or_default());
        }
        Ok(seen)
    })
    .await;
}

#[tokio::test]
async fn tokio_postgres_many_sessions() {
    same("sessions", |target, _| async move {
        let workers = (0..16_i32).map(|worker| {
            let target = target.clone();
            tokio::spawn(async move {
                let client: Client = target.connect().await?;
                client.batch_execute(&format!("SET my.worker = '{worker}'")).await?;
                let both = client.prepare("SELECT current_setting('my.worker'), $1::int4 + $2::int4").await?;
                for i in 0..50_i32 {
                    let row = client.query_one(&both, &[&i, &worker]).await?;
                    assert_eq!((row.get::<_, String>(0), row.get::<_, i32>(1)), (worker.to_string(), i + worker));
                }
                Ok::<_, tokio_postgres::Error>(())
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await??;
        }
        Ok(vec!["all right".to_owned()])
    })
    .await;
}

#[tokio::test]
async fn sqlx_with_its_statement_cache() {
    same("sqlx", |target, schema| async move {
        let mut seen = Vec::new();
        let options: sqlx::postgres::PgConnectOptions = target.url().parse()?;
        let mut c = sqlx::PgConnection::connect_with(&options.clone().statement_cache_capacity(5)).await?;
        for round in 0..3 {
            for i in 0..12_i32 {
                let v: i32 =
                    sqlx::query_scalar(&format!("SELECT $1::int4 + {i}")).bind(round).fetch_one(&mut c).await?;
                assert_eq!(v, i + round);
            }
        }
        seen.push(format!("cached {}", c.cached_statements_size()));
        c.clear_cached_statements().await?;
        c.execute(
            format!(
                "CREATE TABLE {schema}.s (id int PRIMARY KEY, v text); CREATE TYPE {schema}.mood AS ENUM ('sad', 'ok')"
            )
            .as_str(),
        )
        .await?;
        let insert = format!("INSERT INTO {schema}.s VALUES ($1, $2)");
        for i in 0..100_i32 {
            sqlx::query(&insert).bind(i).bind(format!("v{i}")).execute(&mut c).await?;
        }
        let select = format!("SELECT * FROM {schema}.s WHERE id < $1 ORDER BY id");
        let rows = sqlx::query(&select).bind(3_i32).fetch_all(&mut c).await?;
        seen.push(format!("{:?}", rows.iter().map(|r| r.get::<String, _>("v")).collect::<Vec<_>>()));
        let mut stream = sqlx::query("SELECT generate_series(1, 20000)").fetch(&mut c);
        let mut sum = 0_i64;
        while let Some(row) = stream.try_next().await? {
            sum += i64::from(row.get::<i32, _>(0));
        }
        drop(stream);
        seen.push(format!("{sum}"));
        seen.push(sqlx_state(&sqlx::query(&insert).bind(1_i32).bind("x").execute(&mut c).await.unwrap_err()));
        seen.push(sqlx_state(&sqlx::query("SELECT nothing").execute(&mut c).await.unwrap_err()));
        let mut transaction = c.begin().await?;
        sqlx::query(&insert).bind(500_i32).bind("t").execute(&mut *transaction).await?;
        let mut nested = transaction.begin().await?;
        seen.push(sqlx_state(&sqlx::query(&insert).bind(500_i32).bind("t").execute(&mut *nested).await.unwrap_err()));
        nested.rollback().await?;
        transaction.commit().await?;
        drop(c.begin().await?); // rolls back at the next use
        let n: i64 = sqlx::query_scalar(&format!("SELECT count(*) FROM {schema}.s")).fetch_one(&mut c).await?;
        seen.push(format!("{n}"));
        let mut sink = c.copy_in_raw(&format!("COPY {schema}.s FROM STDIN")).await?;
        sink.send(&b"1000\ta\n1001\tb\n"[..]).await?;
        seen.push(format!("copied {}", sink.finish().await?));
        c.close().await?;
        Ok(seen)
    })
    .await;
}

#[tokio::test]
async fn sqlx_pool_and_listener() {
    same("sqlx_pool", |target, schema| async move {
        let pool = sqlx::postgres::PgPoolOptions::new().max_connections(10).connect(&target.url()).await?;
        sqlx::query(&format!("CREATE TABLE {schema}.n AS SELECT i AS id, 0 AS v FROM generate_series(1, 8) i"))
            .execute(&pool)
            .await?;
        let update = format!("UPDATE {schema}.n SET v = v + 1 WHERE id = $1");
        let workers = (0..16_i32).map(|worker| {
            let (pool, update) = (pool.clone(), update.clone());
            tokio::spawn(async move {
                for i in 0..30_i32 {
                    sqlx::query(&update).bind(worker % 8 + 1).execute(&pool).await?;
                    let back: i32 =
                        sqlx::query_scalar("SELECT $1::int4 * $2::int4").bind(i).bind(worker).fetch_one(&pool).await?;
                    assert_eq!(back, i * worker);
                    if i % 10 == 5 {
                        let mut transaction = pool.begin().await?;
                        sqlx::query(&update).bind(worker % 8 + 1).execute(&mut *transaction).await?;
                        transaction.rollback().await?;
                    }
                }
                Ok::<_, sqlx::Error>(())
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await??;
        }
        let row = sqlx::query(&format!("SELECT sum(v), min(v), max(v) FROM {schema}.n")).fetch_one(&pool).await?;
        let mut seen = vec![format!("{} {} {}", row.get::<i64, _>(0), row.get::<i32, _>(1), row.get::<i32, _>(2))];
        let mut listener = sqlx::postgres::PgListener::connect_with(&pool).await?;
        listener.listen(&schema).await?;
        sqlx::query("SELECT pg_notify($1, 'heard')").bind(&schema).execute(&pool).await?;
        let heard = tokio::time::timeout(crate::support::raw::PATIENCE, listener.recv()).await??;
        seen.push(heard.payload().to_owned());
        drop(listener);
        pool.close().await;
        Ok(seen)
    })
    .await;
}
