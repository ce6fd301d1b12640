//! EXPLAIN over shards: what pgbraid says of its own work is kept in a file; the shards' own plans follow.

use crate::oracle::system::System;
use crate::sharded::talk::systems;
use crate::support::build;
use crate::support::raw::{Frame, Raw};

/// Set, the file is written; else it is compared.
const WRITE: &str = "PGBRAID_EXPLAIN_WRITE";

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/sharded/explain.txt");

#[test]
fn plans_in_words() {
    let system = systems();
    let text = std::fs::read_to_string(FILE).unwrap();
    let mut written = String::new();
    for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let sql = block.trim_start().lines().next().unwrap();
        let lines = system.block_on(explained(system, &format!("EXPLAIN (COSTS OFF) {sql}")));
        assert!(!lines.is_empty(), "{sql}");
        written += &format!("{sql}\n");
        for (at, line) in lines.iter().enumerate() {
            if line.starts_with("On ") {
                let below = lines.get(at + 1).is_some_and(|next| next.starts_with("  "));
                assert!(below, "{sql}: no plan below {line:?}");
            }
            // A shard's own plan hangs on its statistics.
            let own =
                lines[..=at].iter().rfind(|line| !line.starts_with("  ")).is_some_and(|line| line.starts_with("On "));
            if !own || line.starts_with("On ") {
                written += &format!("    {line}\n");
            }
        }
        written.push('\n');
    }
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(FILE, written).unwrap();
        return;
    }
    assert_eq!(text, written, "set {WRITE}=1 to write it anew");
}

async fn explained(system: &System, sql: &str) -> Vec<String> {
    let mut raw = Raw::login(&system.sharded()).await;
    lines(&raw.query(sql).await.unwrap())
}

fn lines(frames: &[Frame]) -> Vec<String> {
    assert!(!frames.iter().any(|frame| frame.kind == b'E'), "{frames:?}");
    let rows = frames.iter().filter(|frame| frame.kind == b'D');
    rows.map(|row| row.values().remove(0).unwrap_or_default()).collect()
}

#[test]
fn options_and_formats_are_the_servers() {
    let system = systems();
    system.block_on(async {
        let all = "SELECT status, count(*) FROM orders GROUP BY 1 ORDER BY 2";
        let join = "SELECT count(*) FROM orders o JOIN events e ON e.level = o.small";
        let one = "SELECT id FROM orders WHERE customer_id = 5";
        for sql in [all, join, one, "SELECT id FROM orders ORDER BY id LIMIT 3", "SELECT code FROM countries"] {
            let analyzed = explained(system, &format!("EXPLAIN ANALYZE {sql}")).await.join("\n");
            assert!(analyzed.contains("actual time=") && analyzed.contains("cost="), "{analyzed}");
            let verbose = explained(system, &format!("EXPLAIN (VERBOSE, COSTS OFF) {sql}")).await.join("\n");
            assert!(verbose.contains("Output:") && !verbose.contains("cost="), "{verbose}");
            let buffers = explained(system, &format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {sql}")).await.join("\n");
            assert!(buffers.contains("Buffers:") && !buffers.contains("actual time="), "{buffers}");
            for options in ["FORMAT JSON", "FORMAT JSON, ANALYZE", "FORMAT JSON, COSTS OFF, VERBOSE"] {
                let document = explained(system, &format!("EXPLAIN ({options}) {sql}")).await;
                assert_eq!(document.len(), 1, "one document in one row");
                let plain = system.plain().connect().await.unwrap();
                let valid = format!(
                    "SELECT jsonb_array_length(d), d->0->'pgbraid'->>0, coalesce(d->0->'Plan'->>'Node Type', \
                     d->0->'Shards'->0->'Plan'->>'Node Type') FROM (SELECT {}::jsonb) AS t(d)",
                    postgres_literal(&document[0])
                );
                let row = plain.query_one(&valid, &[]).await.unwrap_or_else(|error| panic!("{error}: {}", document[0]));
                assert_eq!(row.get::<_, i32>(0), 1, "{}", document[0]);
                assert!(row.get::<_, Option<String>>(1).is_some() && row.get::<_, Option<String>>(2).is_some());
            }
        }
        let rest = explained(system, &format!("EXPLAIN (ANALYZE, COSTS OFF) {join}")).await.join("\n");
        assert!(rest.contains("Rest:") && rest.contains("Function Scan"), "{rest}");
    });
}

fn postgres_literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[test]
fn parameters_of_the_extended_protocol_show_their_shards() {
    let system = systems();
    system.block_on(async {
        let mut raw = Raw::login(&system.sharded()).await;
        let sql = "EXPLAIN (COSTS OFF) SELECT id FROM orders WHERE customer_id = $1";
        let parse = [build::parse("", sql, &[20]), build::describe(b'S', "")].concat();
        let bind = [build::bind("", "", &[Some("5")]), build::describe(b'P', ""), build::execute("", 0), build::sync()];
        raw.send(&[parse, bind.concat()].concat()).await.unwrap();
        let frames = raw.until_ready(1).await.unwrap();
        let kinds: String = frames.iter().map(|frame| char::from(frame.kind)).filter(|kind| *kind != 'D').collect();
        assert_eq!(kinds, "1tT2TCZ");
        let lines = lines(&frames);
        assert!(
            lines[0].starts_with("Route to s") && lines[1].contains("orders.customer_id = $1 → bucket "),
            "{lines:?}"
        );
        assert_eq!(frames[frames.len() - 2].tag().as_deref(), Some("EXPLAIN"));
        // What ANALYZE writes is written, and rolled back here.
        let analyze = "BEGIN; EXPLAIN ANALYZE UPDATE customers SET name = 'analyzed' WHERE id = 5";
        let frames = raw.query(analyze).await.unwrap();
        assert!(frames.iter().any(|frame| frame.tag().as_deref() == Some("EXPLAIN")), "{frames:?}");
        assert_eq!(raw.value("SELECT name FROM customers WHERE id = 5").await, "analyzed");
        raw.query("ROLLBACK").await.unwrap();
        assert_ne!(raw.value("SELECT name FROM customers WHERE id = 5").await, "analyzed");
    });
}
