//! Tables of cases: how definitions run, what comments place.

use super::*;

fn how(sql: &str) -> String {
    match definition(sql, true) {
        None => "-".to_owned(),
        Some(Definition::All(all)) => {
            let mut words = vec!["all".to_owned()];
            if let Some(table) = all.table {
                words.push(format!("table {}.{}", table.schema.unwrap_or_default(), table.name));
            }
            if let Some(truncated) = &all.truncates {
                let names = truncated.tables.iter().map(|(schema, name)| match schema {
                    Some(schema) => format!("{schema}.{name}"),
                    None => name.clone(),
                });
                words.push(format!("empties {}", names.collect::<Vec<_>>().join(" ")));
                words.extend(truncated.cascade.then(|| "cascade".to_owned()));
            }
            words.extend(all.password.map(|span| sql[span].to_owned()));
            let flags = [
                (all.of_servers, "servers"),
                (all.names_database, "database"),
                (all.computes, "computes"),
                (all.harmless, "harmless"),
                (all.in_block, "block"),
            ];
            words.extend(flags.into_iter().filter(|(set, _)| *set).map(|(_, word)| word.to_owned()));
            words.join(" ")
        }
        Some(Definition::Filled(filled)) => {
            format!("filled {} {} {}", filled.table.name, &sql[filled.query], filled.with_data.is_some())
        }
        Some(Definition::Refresh(table)) => format!("refresh {:?} {}", table.schema, table.name),
        Some(Definition::Each(each)) => {
            let index = each.index.map(|index| format!(" {} {}", index.name, index.table)).unwrap_or_default();
            format!("each {} {}{index}", each.what, each.in_block)
        }
        Some(Definition::Refused(_, _, reason)) => format!("refused {reason}"),
    }
}

#[test]
fn definitions_run_as_their_words_say() {
    for (sql, expected) in [
        ("CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY)", "all table .t"),
        ("create unlogged table if not exists s.\"T x\" (a int)", "all table s.T x"),
        ("CREATE TABLE p PARTITION OF t FOR VALUES IN (1)", "all table .p"),
        ("CREATE TABLE t AS SELECT 1 AS a", "filled t SELECT 1 AS a false"),
        ("CREATE TABLE t (a) WITH (fillfactor = 70) AS (SELECT 1) WITH DATA", "filled t (SELECT 1) true"),
        ("CREATE TABLE t AS TABLE u WITH NO DATA", "all table .t"),
        ("CREATE TABLE t AS EXECUTE e", "refused statement"),
        ("CREATE MATERIALIZED VIEW m AS SELECT 1", "filled m SELECT 1 false"),
        ("CREATE TEMP TABLE t (a int)", "refused temporary"),
        ("CREATE OR REPLACE TEMPORARY VIEW v AS SELECT 1", "refused temporary"),
        ("CREATE TABLE pg_temp.t (a int)", "refused temporary"),
        ("CREATE VIEW v AS SELECT 1", "all"),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END", "all"),
        ("CREATE TYPE mood AS ENUM ('a')", "all"),
        ("CREATE EXTENSION IF NOT EXISTS citext", "all"),
        ("CREATE CONSTRAINT TRIGGER t AFTER INSERT ON x DEFERRABLE EXECUTE FUNCTION f()", "all"),
        ("CREATE DATABASE d", "refused server-object"),
        ("CREATE TABLESPACE t LOCATION '/x'", "refused server-object"),
        ("CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p", "refused server-object"),
        ("CREATE ROLE r LOGIN PASSWORD 'secret'", "all 'secret' servers harmless"),
        ("CREATE USER MAPPING FOR r SERVER s", "all"),
        ("ALTER USER r WITH PASSWORD 'a'", "all 'a' servers harmless"),
        ("ALTER ROLE r IN DATABASE d SET search_path = x", "all database harmless"),
        ("ALTER ROLE r PASSWORD NULL", "all servers harmless"),
        ("CREATE UNIQUE INDEX i ON t (a)", "all"),
        ("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON ONLY s.t (a)", "each CREATE INDEX CONCURRENTLY false i s.t"),
        ("CREATE INDEX CONCURRENTLY ON t (a)", "refused index-name"),
        ("CREATE WIDGET w", "-"),
        ("ALTER TABLE t ADD COLUMN a int", "all"),
        ("ALTER TABLE t ALTER a TYPE bigint USING a * 2", "all computes"),
        ("ALTER TABLE t DETACH PARTITION p CONCURRENTLY", "refused statement"),
        ("ALTER TABLE ALL IN TABLESPACE a SET TABLESPACE b", "refused server-object"),
        ("ALTER SYSTEM SET work_mem = '1MB'", "refused server-object"),
        ("ALTER DATABASE shop SET work_mem = '1MB'", "all database harmless"),
        ("ALTER TYPE mood ADD VALUE 'b'", "all"),
        ("ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO r", "all"),
        ("DROP TABLE IF EXISTS a, b CASCADE", "all"),
        ("DROP INDEX CONCURRENTLY i", "each DROP INDEX CONCURRENTLY false"),
        ("DROP ROLE r", "all servers harmless"),
        ("DROP DATABASE d", "refused server-object"),
        ("COMMENT ON COLUMN t.a IS 'x'", "all harmless"),
        ("COMMENT ON DATABASE d IS 'x'", "all database harmless"),
        ("COMMENT ON LARGE OBJECT 1 IS 'x'", "refused server-object"),
        ("GRANT SELECT (a, b) ON t TO r", "all harmless"),
        ("GRANT r TO s", "all servers harmless"),
        ("GRANT CONNECT ON DATABASE d TO r", "all database harmless"),
        ("REASSIGN OWNED BY a TO b", "all harmless"),
        ("REFRESH MATERIALIZED VIEW m", "refresh None m"),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY s.m WITH NO DATA", "refresh Some(\"s\") m"),
        ("VACUUM (ANALYZE) t", "each VACUUM false"),
        ("ANALYZE t", "each ANALYZE true"),
        ("REINDEX TABLE t", "each REINDEX true"),
        ("REINDEX TABLE CONCURRENTLY t", "each REINDEX CONCURRENTLY false"),
        ("REINDEX (CONCURRENTLY) INDEX i", "each REINDEX CONCURRENTLY false"),
        ("REINDEX DATABASE d", "refused server-object"),
        ("IMPORT FOREIGN SCHEMA s FROM SERVER x INTO y", "refused definition"),
        ("TRUNCATE a, b RESTART IDENTITY CASCADE", "all empties a b cascade harmless"),
        ("truncate table only s.a *, \"B\"", "all empties s.a B harmless"),
        ("LOCK TABLE a IN SHARE MODE", "all harmless block"),
        ("SELECT 1", "-"),
        ("CREATE TABLE t (a int); DROP TABLE u", "-"),
    ] {
        assert_eq!(how(sql), expected, "{sql}");
    }
}

#[test]
fn comments_place_tables() {
    let says = |sql: &str| placing(sql, true);
    let key =
        |key: &str, with: Option<&str>| Ok(Some(Placing::Key { key: key.to_owned(), with: with.map(str::to_owned) }));
    assert_eq!(says("CREATE TABLE t (a int)"), Ok(None));
    assert_eq!(says("CREATE TABLE t (a int) /* pgbraid: key=a */"), key("a", None));
    assert_eq!(says("/* pgbraid: key = a , with = s.u */ CREATE TABLE t (a int)"), key("a", Some("s.u")));
    assert_eq!(says("CREATE TABLE t (a int) -- pgbraid: reference"), Ok(Some(Placing::Reference)));
    assert_eq!(says("CREATE TABLE t (a int) /* pgbraid: role=primary */"), Ok(None));
    for wrong in ["key=", "key=a b", "with=b", "key=a, reference", "list=x"] {
        assert!(says(&format!("CREATE TABLE t (a int) /* pgbraid: {wrong} */")).is_err(), "{wrong}");
    }
}
