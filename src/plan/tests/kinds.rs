//! What statements are.

use super::*;

fn kinds(sql: &str) -> String {
    let plan = planned(sql);
    let of = |step: &Step| {
        let pin = step.pins.map(|pin| format!(" pins {pin:?}")).unwrap_or_default();
        format!("{:?}{pin}", step.kind)
    };
    plan.steps.iter().map(of).collect::<Vec<_>>().join("; ")
}

fn check(cases: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (sql, expected) in cases {
        let got = kinds(sql);
        if got != *expected {
            wrong += &format!("{sql}\n   got      {got}\n   expected {expected}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn transactions() {
    let none = "Begin(TransactionModes { read_only: None, isolation: None })";
    check(&[
        ("begin", none),
        ("BEGIN WORK", none),
        ("begin transaction", none),
        ("start transaction", none),
        ("begin read only", "Begin(TransactionModes { read_only: Some(true), isolation: None })"),
        (
            "begin isolation level repeatable read, read write, not deferrable",
            "Begin(TransactionModes { read_only: Some(false), isolation: Some(RepeatableRead) })",
        ),
        (
            "start transaction isolation level serializable read only deferrable",
            "Begin(TransactionModes { read_only: Some(true), isolation: Some(Serializable) })",
        ),
        (
            "begin isolation level read uncommitted",
            "Begin(TransactionModes { read_only: None, isolation: Some(ReadUncommitted) })",
        ),
        ("begin isolation level chaos", "Unknown"),
        ("begin read only,", "Unknown"),
        ("start", "Unknown"),
        ("commit", "Commit { chain: false }"),
        ("end work", "Commit { chain: false }"),
        ("commit and chain", "Commit { chain: true }"),
        ("commit transaction and no chain", "Commit { chain: false }"),
        ("commit foo", "Unknown"),
        ("rollback", "Rollback { chain: false }"),
        ("abort", "Rollback { chain: false }"),
        ("rollback work and chain", "Rollback { chain: true }"),
        ("savepoint a", "Savepoint(\"a\")"),
        ("savepoint \"A b\"", "Savepoint(\"A b\")"),
        ("release a", "Release(\"a\")"),
        ("release savepoint a", "Release(\"a\")"),
        ("release savepoint", "Release(\"savepoint\")"),
        ("rollback to a", "RollbackTo(\"a\")"),
        ("rollback transaction to savepoint A", "RollbackTo(\"a\")"),
        ("prepare transaction 'x'", "PrepareTransaction"),
        ("commit prepared 'x'", "FinishPrepared"),
        ("rollback prepared 'x'", "FinishPrepared"),
        ("set transaction read only", "SetTransaction(TransactionModes { read_only: Some(true), isolation: None })"),
        (
            "set local transaction isolation level serializable",
            "SetTransaction(TransactionModes { read_only: None, isolation: Some(Serializable) })",
        ),
        ("set transaction snapshot '1-1'", "SetTransaction(TransactionModes { read_only: None, isolation: None })"),
        ("begin; select 1; commit", &format!("{none}; Read; Commit {{ chain: false }}")),
    ]);
}

fn set(local: bool, name: &str, value: &str) -> String {
    format!("Set(Set {{ local: {local}, name: {name:?}, value: {value} }})")
}

#[test]
fn settings() {
    let cases: &[(&str, String)] = &[
        ("set x = 1", set(false, "x", r#"List(["1"])"#)),
        ("SET Work_Mem TO '1 MB'", set(false, "work_mem", r#"List(["1 MB"])"#)),
        ("set session x to -1.5", set(false, "x", r#"List(["-1.5"])"#)),
        ("set local x to on", set(true, "x", r#"List(["on"])"#)),
        ("set x to default", set(false, "x", "Default")),
        ("set x from current", set(false, "x", "Other")),
        ("set app.User_Id = E'a\\'b'", set(false, "app.user_id", r#"List(["a'b"])"#)),
        ("set \"app\".\"X\" = true", set(false, "app.x", r#"List(["true"])"#)),
        ("set search_path = a, \"B c\", 'd'", set(false, "search_path", r#"List(["a", "B c", "d"])"#)),
        (
            "set search_path to pg_temp, public",
            set(false, "search_path", r#"List(["pg_temp", "public"])"#) + " pins TemporaryTable",
        ),
        ("set x = U&'a'", set(false, "x", "Other")),
        ("set time zone 'UTC'", set(false, "timezone", r#"List(["UTC"])"#)),
        ("set time zone -3", set(false, "timezone", r#"List(["-3"])"#)),
        ("set local time zone local", set(true, "timezone", "Default")),
        ("set time zone interval '1' hour to minute", set(false, "timezone", "Other")),
        ("set names 'utf8'", set(false, "client_encoding", r#"List(["utf8"])"#)),
        ("set names", set(false, "client_encoding", "Default")),
        ("set role bob", set(false, "role", r#"List(["bob"])"#)),
        ("set local role 'Bob'", set(true, "role", r#"List(["Bob"])"#)),
        ("set role none", set(false, "role", "List([\"none\"])")),
        ("set role to bob", set(false, "role", r#"List(["bob"])"#)),
        ("set role = 'bob'", set(false, "role", r#"List(["bob"])"#)),
        ("set session authorization bob", set(false, "session_authorization", r#"List(["bob"])"#)),
        ("set session session authorization default", set(false, "session_authorization", "Default")),
        ("set local session authorization 'x'", set(true, "session_authorization", r#"List(["x"])"#)),
        (
            "set session characteristics as transaction isolation level serializable, read only, not deferrable",
            set(
                false,
                "session characteristics",
                r#"List(["default_transaction_isolation", "serializable", "default_transaction_read_only", "on", "default_transaction_deferrable", "off"])"#,
            ),
        ),
        ("set xml option document", set(false, "xmloption", r#"List(["document"])"#)),
        ("set schema 'x'", set(false, "search_path", r#"List(["x"])"#)),
        ("set seed to 0.5", set(false, "seed", r#"List(["0.5"])"#)),
        ("set constraints all deferred", "SetConstraints".into()),
        ("set constraints = 1", set(false, "constraints", r#"List(["1"])"#)),
        ("set", "Unknown".into()),
        ("set x", "Unknown".into()),
        ("set U&\"x\" = 1", "Unknown".into()),
        ("reset x", "Reset(\"x\")".into()),
        ("reset all", "ResetAll".into()),
        ("reset role", "Reset(\"role\")".into()),
        ("reset time zone", "Reset(\"timezone\")".into()),
        ("reset session authorization", "Reset(\"session_authorization\")".into()),
        ("show Work_Mem", "Show(\"work_mem\")".into()),
        ("show time zone", "Show(\"timezone\")".into()),
        ("show transaction isolation level", "Show(\"transaction_isolation\")".into()),
        ("show all", "Show(\"all\")".into()),
        ("show pgbraid.token", "Show(\"pgbraid.token\")".into()),
        ("discard all", "Discard(All)".into()),
        ("discard temp", "Discard(Temporary)".into()),
        ("discard plans", "Discard(Plans)".into()),
        ("discard sequences", "Discard(Sequences)".into()),
        ("discard x", "Unknown".into()),
    ];
    let cases: Vec<_> = cases.iter().map(|(sql, expected)| (*sql, expected.as_str())).collect();
    check(&cases);
}

#[test]
fn objects_of_the_session() {
    check(&[
        ("prepare p as select 1", "Prepare { name: \"p\", name_span: 8..9 }"),
        ("prepare \"P q\" (int, numeric(1, 2)) as select $1", "Prepare { name: \"P q\", name_span: 8..13 }"),
        ("prepare transaction as select 1", "Prepare { name: \"transaction\", name_span: 8..19 }"),
        ("execute P (1)", "Execute { name: \"p\", name_span: 8..9 }"),
        ("explain analyze execute p", "Execute { name: \"p\", name_span: 24..25 }"),
        (
            "create temp table x as execute p with no data",
            "Execute { name: \"p\", name_span: 31..32 } pins TemporaryTable",
        ),
        ("deallocate p", "Deallocate(Some((\"p\", 11..12)))"),
        ("deallocate prepare p", "Deallocate(Some((\"p\", 19..20)))"),
        ("deallocate prepare", "Deallocate(Some((\"prepare\", 11..18)))"),
        ("deallocate all", "Deallocate(None)"),
        ("deallocate prepare all", "Deallocate(None)"),
        ("listen Chan", "Listen(\"chan\") pins Listen"),
        ("unlisten chan", "Unlisten(Some(\"chan\"))"),
        ("unlisten *", "Unlisten(None)"),
        ("notify chan, 'x'", "Notify"),
        ("declare c cursor for select 1", "Declare { hold: false }"),
        ("declare c no scroll cursor with hold for select 1", "Declare { hold: true } pins HoldCursor"),
        ("declare c cursor without hold for select 1 with", "Declare { hold: false }"),
        ("fetch 10 from c", "Fetch"),
        ("move all in c", "Fetch"),
        ("close c", "Close(Some(\"c\"))"),
        ("close all", "Close(None)"),
        ("load 'x'", "Load pins Load"),
        ("do $$ begin end $$", "Call"),
        ("call proc()", "Call"),
    ]);
}

#[test]
fn data() {
    check(&[
        ("select 1", "Read"),
        ("select 1;;", "Read"),
        ("", ""),
        ("-- nothing", ""),
        ("select nextval('s')", "Write"),
        ("select * from t for share", "Write"),
        ("select vol(1)", "Write"),
        ("with x as (delete from t) select 1", "Write"),
        ("select 1 into temp n", "Write pins TemporaryTable"),
        ("select 1 into local temporary table n", "Write pins TemporaryTable"),
        ("select 1 into n", "Write"),
        ("create temp table x (a int)", "Write pins TemporaryTable"),
        ("create or replace temporary view x as select 1", "Write pins TemporaryTable"),
        ("create global temp sequence x", "Write pins TemporaryTable"),
        ("create table pg_temp.x (a int)", "Write pins TemporaryTable"),
        ("create function pg_temp.x() returns int language sql as 'select 1'", "Write pins TemporaryTable"),
        ("create table temp (a int)", "Write"),
        ("select pg_advisory_lock(1)", "Read pins AdvisoryLock"),
        ("select pg_catalog.pg_try_advisory_lock_shared(1, 2)", "Read pins AdvisoryLock"),
        ("select (1::bigint).pg_advisory_lock", "Read pins AdvisoryLock"),
        ("update t set a = 1 where \"pg_try_advisory_lock\"(1)", "Write pins AdvisoryLock"),
        ("prepare p as select pg_advisory_lock(1)", "Prepare { name: \"p\", name_span: 8..9 } pins AdvisoryLock"),
        ("select pg_advisory_xact_lock(1)", "Read"),
        ("select setseed(0.5)", "Read pins Function"),
        ("copy t from stdin", "CopyIn"),
        ("copy t (a) to stdout (format binary)", "CopyOut"),
        ("copy binary t from stdin", "CopyIn"),
        ("copy (select 1) to stdout", "CopyOut"),
        ("copy t to program 'x'", "Read"),
        ("copy t from '/x' csv", "Write"),
        ("explain select 1", "Read"),
        ("explain (select 1)", "Read"),
        ("explain ((select 1)) ", "Read"),
        ("explain delete from t", "Read"),
        ("explain analyze select 1", "Read"),
        ("explain analyze delete from t", "Write"),
        ("explain (verbose, analyze true) delete from t", "Write"),
        ("explain verbose delete from t", "Read"),
        ("drop table t", "Write"),
        ("lock t", "Write"),
        ("checkpoint", "Write"),
        (
            "create function f() returns int begin atomic select 1; end; begin",
            "Write; Begin(TransactionModes { read_only: None, isolation: None })",
        ),
        ("selec 1", "Unknown"),
        ("select 1; selec 2", "Read; Unknown"),
        ("1", "Unknown"),
        ("'select'", "Unknown"),
        ("\"select\" 1", "Unknown"),
    ]);
}

#[test]
fn definitions() {
    let defines = |sql: &str| planned(sql).steps.iter().any(|step| step.defines);
    for sql in [
        "CREATE TABLE x (n int)",
        "CREATE OR REPLACE VIEW v AS SELECT 1",
        "create or replace function f() returns int language sql as 'select 1'",
        "ALTER TABLE orders RENAME TO o",
        "DROP VIEW v",
        "SELECT * INTO copy FROM orders",
        "CREATE TABLE copy AS TABLE orders",
        "SELECT 1; DROP VIEW v",
        "SELECT 'not closed",
    ] {
        assert!(defines(sql), "{sql}");
    }
    for sql in [
        "CREATE INDEX ON orders (id)",
        "CREATE UNIQUE INDEX CONCURRENTLY i ON orders (id)",
        "CREATE TEMP TABLE x (n int)",
        "SELECT * INTO TEMP copy FROM orders",
        "VACUUM orders",
        "ANALYZE",
        "REFRESH MATERIALIZED VIEW m",
        "INSERT INTO orders DEFAULT VALUES",
        "DO $$BEGIN END$$",
        "SELECT * FROM orders",
    ] {
        assert!(!defines(sql), "{sql}");
    }
}
