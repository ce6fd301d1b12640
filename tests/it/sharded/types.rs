//! Types of users, which have other OIDs on every shard: binary values say the home shard's, both ways.

use super::defined::{PLACES, Three, all};
use crate::support::build;
use crate::support::raw::{Frame, Raw};

const TYPES: &str = "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE DOMAIN moods AS mood[];
    CREATE TYPE pair AS (a mood, b moods, n int); CREATE TYPE span AS RANGE (SUBTYPE = pair);
    CREATE TABLE customers (id bigint PRIMARY KEY, m mood[], d moods, p pair, ps pair[], r span)";

/// One of each, as the home shard itself says it.
const VALUES: &str = "'{sad,NULL,happy}'::mood[], '{ok}'::moods, '(ok,\"{sad,ok}\",7)'::pair, \
    ARRAY['(ok,\"{sad}\",1)', NULL, '(,,)']::pair[], span('(sad,,1)'::pair, '(ok,\"{}\",2)'::pair)";

const COLUMNS: &str = "m, d, p, ps, r";

/// Asks with binary parameters and results; the rows' values.
async fn rows(raw: &mut Raw, sql: &str, values: &[Option<&[u8]>], limit: u32) -> Vec<Vec<Option<Vec<u8>>>> {
    let bind = build::bind_formats("", "", &[1], values, &[1]);
    let executes = build::execute("", limit).repeat(if limit == 0 { 1 } else { 40 });
    let message = [build::parse("", sql, &[]), bind, build::describe(b'P', ""), executes, build::sync()].concat();
    raw.send(&message).await.unwrap();
    let frames = raw.until_ready(1).await.unwrap();
    let error = frames.iter().find(|frame| frame.kind == b'E').map(Frame::fields);
    assert_eq!(error, None, "{sql}");
    frames.iter().filter(|frame| frame.kind == b'D').map(Frame::bytes).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_types_within_binary_values_are_the_home_shards() {
    let three = Three::start("within", PLACES).await;
    // The same types are made in another order everywhere, so that no OID is another type's by chance.
    for (shard, before) in [("s1", 0), ("s2", 3), ("s3", 7)] {
        let others: String = (0..before).map(|n| format!("CREATE TYPE before{n} AS ENUM ();")).collect();
        three.run(shard, &format!("{others} {TYPES}")).await;
        three.run(shard, &others.replace("CREATE", "DROP").replace(" AS ENUM ()", "")).await;
    }
    let mut raw = three.client().await;
    let home = rows(&mut raw, &format!("SELECT {VALUES}"), &[], 0).await.remove(0);
    assert!(home.iter().all(Option::is_some));
    let given: Vec<Option<&[u8]>> = home.iter().map(Option::as_deref).collect();
    let one = vec![home.clone()];
    let ids: Vec<[u8; 8]> = (1i64..=24).map(i64::to_be_bytes).collect();
    let insert = "INSERT INTO customers VALUES ($1, $2, $3, $4, $5, $6) RETURNING m, d, p, ps, r";
    for id in &ids {
        let values: Vec<_> = std::iter::once(Some(&id[..])).chain(given.iter().copied()).collect();
        assert_eq!(rows(&mut raw, insert, &values, 0).await, one, "a routed write");
    }
    let spread = ["s1", "s2", "s3"];
    for shard in spread {
        assert_ne!(three.on(shard, "SELECT count(*) FROM customers").await, "0", "{shard}");
    }
    for id in &ids {
        let sql = format!("SELECT {COLUMNS} FROM customers WHERE id = $1");
        assert_eq!(rows(&mut raw, &sql, &[Some(id)], 0).await, one, "routed");
        let sql = format!("SELECT {COLUMNS} FROM customers WHERE id = $1 AND m = $2 AND p = $3::pair");
        assert_eq!(rows(&mut raw, &sql, &[Some(id), given[0], given[2]], 0).await, one, "by parameters");
        assert_eq!(rows(&mut raw, &sql, &[Some(id), given[0], given[2]], 1).await, one, "a routed portal");
    }
    let every = vec![home.clone(); ids.len()];
    for (sql, limit) in [
        (format!("SELECT {COLUMNS} FROM customers"), 0),
        (format!("SELECT {COLUMNS} FROM customers ORDER BY id DESC"), 0),
        (format!("SELECT {COLUMNS} FROM customers"), 3),
        (format!("SELECT {COLUMNS} FROM customers ORDER BY id"), 5),
        (format!("SELECT {COLUMNS} FROM (SELECT *, count(*) OVER () FROM customers) x"), 0),
        (format!("UPDATE customers SET m = m RETURNING {COLUMNS}"), 0),
    ] {
        assert_eq!(rows(&mut raw, &sql, &[], limit).await, every, "{sql}");
    }
    let sql = format!("SELECT {COLUMNS} FROM customers WHERE m = $1 AND ps = $2::pair[] AND r = $3::span");
    assert_eq!(rows(&mut raw, &sql, &[given[0], given[3], given[4]], 0).await, every, "parameters of a scatter");
    let record = rows(&mut raw, "SELECT ROW('ok'::mood, '{ok}'::moods)", &[], 0).await;
    let sql = "SELECT ROW('ok'::mood, '{ok}'::moods) FROM customers";
    assert_eq!(rows(&mut raw, sql, &[], 0).await, vec![record[0].clone(); ids.len()], "{sql}");
    let sql = "SELECT ROW('ok'::mood, '{ok}'::moods) FROM customers WHERE id = $1";
    for id in &ids {
        assert_eq!(rows(&mut raw, sql, &[Some(id)], 0).await, record, "{sql}");
    }
    // A cursor that is BINARY, over all and on one shard.
    for (name, rest) in [("c", String::new()), ("d", " WHERE id = 5".to_owned()), ("e", " WHERE id = 6".to_owned())] {
        let declare = format!("DECLARE {name} BINARY CURSOR FOR SELECT {COLUMNS} FROM customers{rest}");
        all(&mut raw, &["BEGIN", &declare]).await;
        let frames = raw.query(&format!("FETCH 2 FROM {name}")).await.unwrap();
        let fetched: Vec<_> = frames.iter().filter(|frame| frame.kind == b'D').map(Frame::bytes).collect();
        assert!(!fetched.is_empty() && fetched.iter().all(|row| *row == home), "{declare}");
        all(&mut raw, &["COMMIT"]).await;
    }
}
