//! What is stored of a sharded database's placement, and whether the configuration agrees with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::backend::exchange::TextRows;
use crate::backend::settings::push_literal;
use crate::base::{PgError, SqlState};
use crate::catalog::schema::Schema;
use crate::config::{Database, Table, TableRule};

use super::rules::position;

/// Held, for the length of a transaction, by whoever changes what is stored.
pub(super) const LOCK: &str = "SELECT pg_catalog.pg_advisory_xact_lock(8245931987826405)";

/// Where what is stored may be seen, and a shard's own stamp.
pub(super) const PRESENT: &str = "SELECT (pg_catalog.to_regclass('pgbraid.map') IS NOT NULL)::text, (pg_catalog.to_regnamespace('pgbraid') IS NOT NULL)::text, \
            (pg_catalog.to_regclass('pgbraid.shard') IS NOT NULL)::text, \
            (pg_catalog.to_regclass('pgbraid.commits') IS NOT NULL)::text";

/// What is stored, in rows that begin with their kind.
pub(super) const READ: &str = "\
SELECT 'map', id::text, epoch::text, home, NULL FROM pgbraid.map
UNION ALL SELECT 'bucket', bucket::text, shard, NULL, NULL FROM pgbraid.buckets
UNION ALL SELECT 'table', t.schema_name, t.table_name, t.rule, to_jsonb(t) ->> 'declared' FROM pgbraid.tables t";

/// The rows of it that tables are.
pub(super) const READ_TABLES: &str = "\
SELECT 'table', t.schema_name, t.table_name, t.rule, pg_catalog.to_jsonb(t) ->> 'declared' FROM pgbraid.tables t";

/// The tables on the home shard.
pub(super) const CREATE: &str = "\
CREATE TABLE pgbraid.map (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    epoch bigint NOT NULL,
    home text NOT NULL,
    made timestamptz NOT NULL DEFAULT pg_catalog.now());
CREATE TABLE pgbraid.buckets (bucket int PRIMARY KEY, shard text NOT NULL);
CREATE TABLE pgbraid.tables (
    schema_name text, table_name text, rule text NOT NULL, PRIMARY KEY (schema_name, table_name));
COMMENT ON SCHEMA pgbraid IS 'pgbraid: where the rows of sharded tables are. Not to be changed by hand.'";

/// What `declared` says of a table that a statement declared.
const BY_STATEMENT: &str = "statement";

/// Whether statements can place tables: the functions are there.
pub(super) const HAS_FUNCTIONS: &str = "\
SELECT (pg_catalog.to_regprocedure('pgbraid.place(text,text,text)') IS NOT NULL
    AND pg_catalog.to_regprocedure('pgbraid.rename(text,text,text,text)') IS NOT NULL
    AND pg_catalog.to_regprocedure('pgbraid.forget(text,text)') IS NOT NULL)::text";

/// By these a transaction that defines tables changes their placements with them, as its own role: who owns an empty
/// table may place it; what is gone may be forgotten.
pub(super) const CREATE_FUNCTIONS: &str = "\
ALTER TABLE pgbraid.tables ADD COLUMN IF NOT EXISTS declared text NOT NULL DEFAULT 'configuration';
CREATE OR REPLACE FUNCTION pgbraid.place(schema_name text, table_name text, rule text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE relation record;
BEGIN
    SELECT c.oid, c.relowner INTO relation FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = place.schema_name AND c.relname = place.table_name AND c.relkind IN ('r', 'p');
    IF relation.oid IS NULL OR NOT pg_has_role(session_user, relation.relowner, 'MEMBER')
        OR pg_relation_size(relation.oid) > 0 THEN
        RAISE EXCEPTION 'only the owner of an empty table can place it' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO pgbraid.tables AS t VALUES (place.schema_name, place.table_name, place.rule, 'statement')
        ON CONFLICT ON CONSTRAINT tables_pkey DO UPDATE SET rule = excluded.rule, declared = 'statement';
END $body$;
CREATE OR REPLACE FUNCTION pgbraid.rename(old_schema text, old_name text, new_schema text, new_name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE tail text := ' with ' || old_schema || '.' || old_name;
BEGIN
    IF to_regclass(format('%I.%I', old_schema, old_name)) IS NOT NULL OR NOT EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = new_schema AND c.relname = new_name AND pg_has_role(session_user, c.relowner, 'MEMBER')) THEN
        RAISE EXCEPTION 'only the owner of a renamed table can rename its placement'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    DELETE FROM pgbraid.tables t WHERE (t.schema_name, t.table_name) = (new_schema, new_name);
    UPDATE pgbraid.tables t SET schema_name = new_schema, table_name = new_name
     WHERE (t.schema_name, t.table_name) = (old_schema, old_name) AND t.declared = 'statement';
    UPDATE pgbraid.tables t SET rule = left(t.rule, -length(tail)) || ' with ' || new_schema || '.' || new_name
     WHERE t.declared = 'statement' AND right(t.rule, length(tail)) = tail;
END $body$;
CREATE OR REPLACE FUNCTION pgbraid.forget(schema_name text, table_name text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    DELETE FROM pgbraid.tables t WHERE (t.schema_name, t.table_name) = (forget.schema_name, forget.table_name)
        AND to_regclass(format('%I.%I', forget.schema_name, forget.table_name)) IS NULL
$body$;
GRANT USAGE ON SCHEMA pgbraid TO PUBLIC;
GRANT SELECT ON pgbraid.tables TO PUBLIC";

/// The stamp on every shard.
pub(super) const CREATE_STAMP: &str = "\
CREATE TABLE pgbraid.shard (single boolean PRIMARY KEY DEFAULT true CHECK (single), map uuid NOT NULL, name text NOT NULL)";

/// Two queries: whether a map is stored (its first column is `true`), and what [`Stored::from_rows`] reads.
pub fn read_stored() -> (&'static str, &'static str) {
    (PRESENT, READ)
}

/// What transactions over shards need on every shard: the decisions of those whose anchor it is, and a view of all that
/// it knows. Any role may put a decision, for that is done in its own transaction. However it is put, its commit is
/// flushed before it is acknowledged: a default sees to it, for `synchronous_commit` is the session's.
pub(super) const CREATE_COMMITS: &str = "\
CREATE TABLE IF NOT EXISTS pgbraid.commits (
    gid text CONSTRAINT pgbraid_commits_gid PRIMARY KEY,
    verdict text NOT NULL DEFAULT 'committed' CHECK (verdict IN ('committed', 'aborted')),
    participants text[] NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    synchronous text NOT NULL DEFAULT pg_catalog.set_config('synchronous_commit',
        CASE pg_catalog.current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true));
CREATE TABLE IF NOT EXISTS pgbraid.gate ();
CREATE OR REPLACE VIEW pgbraid.transactions AS
    SELECT gid, 'prepared' AS state, owner::text AS owner, prepared AS at, NULL::text[] AS participants
    FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database() AND gid LIKE 'pgbraid:%'
    UNION ALL SELECT gid, verdict, NULL, at, participants FROM pgbraid.commits;
GRANT USAGE ON SCHEMA pgbraid TO PUBLIC;
GRANT INSERT ON pgbraid.commits TO PUBLIC;
GRANT SELECT ON pgbraid.transactions TO PUBLIC";

/// Whether readers of several shards may rely on this shard's gate.
pub(super) const HAS_GATE: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conname = 'pgbraid_gated' \
            AND conrelid = pg_catalog.to_regclass('pgbraid.commits'))::text";

/// From here on no transaction whose anchor the shard is commits unless its parts hold their shards' gates, whichever
/// proxy it is from. INSERT is what LOCK TABLE IN ROW EXCLUSIVE MODE asks for; no stronger lock can be had by it, and the
/// table takes no row.
pub(super) const CREATE_GATE: &str = "\
ALTER TABLE pgbraid.gate DROP CONSTRAINT IF EXISTS pgbraid_no_row, ADD CONSTRAINT pgbraid_no_row CHECK (false);
GRANT INSERT ON pgbraid.gate TO PUBLIC;
ALTER TABLE pgbraid.commits ADD COLUMN IF NOT EXISTS gated boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT pgbraid_gated CHECK (gated OR verdict = 'aborted') NOT VALID";

/// A part that was prepared without holding the gate. Behind it: what parts' names begin with, as a literal.
pub(super) const UNGATED: &str = "\
SELECT p.gid FROM pg_catalog.pg_prepared_xacts p WHERE p.database = pg_catalog.current_database() \
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.virtualtransaction = '-1/' || p.transaction::text \
        AND l.relation = pg_catalog.to_regclass('pgbraid.gate') AND l.database = (SELECT oid FROM pg_catalog.pg_database \
            WHERE datname = pg_catalog.current_database())) \
    AND pg_catalog.starts_with(p.gid, ";

type Name = (String, String);

/// The stored placement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// Which map it is; every shard's stamp has it.
    pub id: String,
    pub epoch: u64,
    pub home: String,
    /// Shards' names by bucket.
    pub buckets: Vec<String>,
    /// Rules, as the configuration's are shown, by table.
    pub tables: BTreeMap<Name, String>,
    /// Those of them that a statement declared, by a comment in CREATE TABLE.
    pub by_statement: BTreeMap<Name, TableRule>,
}

impl Stored {
    /// From the answer to [`READ`]. None: there is no map in it.
    pub fn from_rows(rows: &TextRows) -> Option<Self> {
        let mut stored = Self::default();
        let mut buckets: BTreeMap<usize, String> = BTreeMap::new();
        for row in rows {
            let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
            match text(0).as_str() {
                "map" => {
                    stored.id = text(1);
                    stored.epoch = text(2).parse().ok()?;
                    stored.home = text(3);
                }
                "bucket" => {
                    buckets.insert(text(1).parse().ok()?, text(2));
                }
                "table" => stored.add_table(row)?,
                _ => return None,
            }
        }
        let whole = buckets.keys().copied().eq(0..buckets.len());
        stored.buckets = buckets.into_values().collect();
        (!stored.id.is_empty() && whole).then_some(stored)
    }

    fn add_table(&mut self, row: &[Option<String>]) -> Option<()> {
        let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        let name = (text(1), text(2));
        if text(4) == BY_STATEMENT {
            self.by_statement.insert(name.clone(), read_rule(&text(3))?);
        }
        self.tables.insert(name, text(3));
        Some(())
    }

    /// What statements declared, as of the answer to [`READ_TABLES`]. None: a rule can't be read.
    pub fn statements(rows: &TextRows) -> Option<BTreeMap<Name, TableRule>> {
        let mut stored = Self::default();
        rows.iter().try_for_each(|row| stored.add_table(row))?;
        Some(stored.by_statement)
    }

    /// The map as indexes of the configuration's shards. None: a shard isn't in the configuration.
    pub fn map(&self, config: &Database) -> Option<Vec<u16>> {
        let index = |shard: &String| position(config, shard).and_then(|at| u16::try_from(at).ok());
        self.buckets.iter().map(index).collect()
    }

    /// Whether the configuration says the same. `schema`: the home shard's; a stored table that is neither there nor in
    /// the configuration any more was dropped.
    ///
    /// # Errors
    /// What disagrees, and what to do.
    pub fn agrees(&self, config: &Database, schema: &Schema) -> Result<(), PgError> {
        let name = &config.name;
        let refuse = |text: String, hint: String| {
            Err(PgError::error(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, text).hint(hint))
        };
        if self.home != config.home_shard() {
            let text = format!(
                "the configuration of \"{name}\" says home = \"{}\", and the stored map says \"{}\"",
                config.home_shard(),
                self.home
            );
            return refuse(text, format!("Write home = \"{}\" again.", self.home));
        }
        if let Some(shard) = self.buckets.iter().find(|shard| position(config, shard).is_none()) {
            let text =
                format!("the stored map of \"{name}\" has keys on the shard {shard}, which the configuration lacks");
            return refuse(text, format!("Put shards.{shard} back: rows with those keys are there."));
        }
        if self.buckets.len() != config.buckets {
            let (stored, says) = (self.buckets.len(), config.buckets);
            let text =
                format!("the configuration of \"{name}\" says buckets = {says}, and the stored map has {stored}");
            return refuse(text, format!("Write buckets = {stored} again: the number is fixed at the first start."));
        }
        for ((schema_name, table), rule) in &self.tables {
            let entry = config.tables.iter().find(|t| t.schema == *schema_name && t.name == *table);
            let forget = format!(
                "once the table is empty on all shards, run on {}: DELETE FROM pgbraid.tables WHERE (schema_name, \
                 table_name) = ({}, {})",
                self.home,
                literal(schema_name),
                literal(table)
            );
            match entry {
                Some(entry) if entry.rule.to_string() != *rule => {
                    let text = format!(
                        "the configuration places the table {schema_name}.{table} by `{}`, and its rows are stored as \
                         `{rule}`",
                        entry.rule
                    );
                    return refuse(text, format!("Write it as it was; or, {forget}."));
                }
                None if self.by_statement.contains_key(&(schema_name.clone(), table.clone())) => {}
                None if schema.relations.contains_key(&(schema_name.clone(), table.clone())) => {
                    let text = format!(
                        "the table {schema_name}.{table} has no entry in [databases.{name}.tables], and its rows are \
                         stored as `{rule}`"
                    );
                    return refuse(text, format!("Put the entry back; or, {forget}."));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The configuration, and the tables that statements declared. An entry of the configuration's wins.
pub fn with_statements(config: &Arc<Database>, by_statement: &BTreeMap<Name, TableRule>) -> Arc<Database> {
    let is_new = |name: &Name| !config.tables.iter().any(|table| table.schema == name.0 && table.name == name.1);
    let new: Vec<Table> = (by_statement.iter().filter(|(name, _)| is_new(name)))
        .map(|((schema, name), rule)| Table { schema: schema.clone(), name: name.clone(), rule: rule.clone() })
        .collect();
    if new.is_empty() {
        return config.clone();
    }
    let mut config = Database::clone(config);
    config.tables.extend(new);
    config.tables.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    Arc::new(config)
}

/// A rule that a statement declared, from its stored form. Its names are plain.
fn read_rule(text: &str) -> Option<TableRule> {
    let words: Vec<&str> = text.split(' ').collect();
    Some(match words.as_slice() {
        ["reference"] => TableRule::Reference,
        ["key", key] => TableRule::Hash { key: (*key).to_owned(), with: None },
        ["key", key, "with", with] => {
            let (schema, name) = with.split_once('.')?;
            TableRule::Hash { key: (*key).to_owned(), with: Some((schema.to_owned(), name.to_owned())) }
        }
        _ => return None,
    })
}

/// A literal of SQL.
pub fn literal(text: &str) -> String {
    let mut sql = String::new();
    push_literal(&mut sql, text);
    sql
}

/// Statements that store a new map.
pub(super) fn insert_map(config: &Database, buckets: &[u16]) -> String {
    let name = |shard: &u16| config.shards.get(usize::from(*shard)).map_or_else(String::new, |s| literal(&s.name));
    let rows: Vec<String> = (0..).zip(buckets).map(|(bucket, shard)| format!("({bucket},{})", name(shard))).collect();
    format!(
        "INSERT INTO pgbraid.map (epoch, home) VALUES (1, {}); INSERT INTO pgbraid.buckets VALUES {}",
        literal(config.home_shard()),
        rows.join(",")
    )
}

/// A statement that stores a table's rule.
pub(super) fn insert_table(name: &Name, rule: &str) -> String {
    format!(
        "INSERT INTO pgbraid.tables (schema_name, table_name, rule) VALUES ({}, {}, {}) ON CONFLICT DO NOTHING",
        literal(&name.0),
        literal(&name.1),
        literal(rule)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::schema::{Relation, RelationKind};
    use crate::config::{ProcessEnvironment, parse};

    fn config(lines: &str) -> std::sync::Arc<Database> {
        let text = format!(
            "[users.u]\npassword = \"p\"\n[databases.shop]\nservice_user = \"u\"\nbuckets = 16\n\
             shards.s1 = \"postgres://a\"\nshards.s2 = \"postgres://b\"\n{lines}"
        );
        parse(&text, "", &ProcessEnvironment).unwrap().databases["shop"].clone()
    }

    fn stored() -> Stored {
        let mut rows: TextRows = vec![["map", "the-id", "7", "s1"].map(|text| Some(text.to_owned())).to_vec()];
        // In the order in which a server may give them.
        for bucket in (0..16).rev() {
            let shard = if bucket % 3 == 0 { "s1" } else { "s2" };
            rows.push(vec![Some("bucket".into()), Some(bucket.to_string()), Some(shard.into()), None]);
        }
        rows.push(["table", "public", "orders", "key id"].map(|text| Some(text.to_owned())).to_vec());
        Stored::from_rows(&rows).unwrap()
    }

    fn with_orders() -> Schema {
        let orders = Relation {
            schema: "public".into(),
            name: "orders".into(),
            kind: RelationKind::Table,
            columns: Vec::new(),
            guards: Vec::new(),
            inherited_guards: Vec::new(),
            primary_key: None,
            foreign_keys: Vec::new(),
            parent: None,
            definition: None,
            row_security: false,
            code: Vec::new(),
            transitions: false,
            also: Vec::new(),
            rules: false,
            policies_read: Vec::new(),
            triggers: false,
        };
        let mut schema = Schema::default();
        schema.relations.insert(("public".into(), "orders".into()), orders);
        schema
    }

    #[test]
    fn what_was_stored_is_read() {
        let stored = stored();
        assert_eq!((stored.id.as_str(), stored.epoch, stored.buckets.len()), ("the-id", 7, 16));
        let map = stored.map(&config("home = \"s1\"\n")).unwrap();
        assert_eq!(map[..4], [0, 1, 1, 0]);
        assert_eq!(Stored::from_rows(&Vec::new()), None);
        let gap = Some("bucket".to_owned());
        let rows = vec![
            vec![Some("map".into()), Some("id".into()), Some("1".into()), Some("s1".into())],
            vec![gap, Some("1".into()), Some("s1".into()), None],
        ];
        assert_eq!(Stored::from_rows(&rows), None, "a bucket is missing");
    }

    #[test]
    fn a_configuration_that_disagrees_is_refused_by_name() {
        let says = |lines: &str| stored().agrees(&config(lines), &with_orders()).map_err(|e| e.message().to_owned());
        let orders = "[databases.shop.tables]\norders = { key = \"id\" }\n";
        assert_eq!(says(&format!("home = \"s1\"\n{orders}")), Ok(()));
        let wrong = |lines: &str, part: &str| {
            let said = says(lines).unwrap_err();
            assert!(said.contains(part), "{said}");
        };
        wrong(&format!("home = \"s2\"\n{orders}"), "says home = \"s2\", and the stored map says \"s1\"");
        wrong("home = \"s1\"\n", "the table public.orders has no entry");
        wrong(
            "home = \"s1\"\n[databases.shop.tables]\norders = { key = \"customer_id\" }\n",
            "by `key customer_id`, and its rows are stored as `key id`",
        );
        assert!(stored().agrees(&config("home = \"s1\"\n"), &Schema::default()).is_ok(), "it was dropped");
        let mut other = stored();
        other.buckets[3] = "s3".into();
        let said = other.agrees(&config(&format!("home = \"s1\"\n{orders}")), &with_orders()).unwrap_err();
        assert!(said.message().contains("has keys on the shard s3"), "{said}");
        let mut other = stored();
        other.buckets.truncate(8);
        let said = other.agrees(&config(&format!("home = \"s1\"\n{orders}")), &with_orders()).unwrap_err();
        assert!(said.message().contains("says buckets = 16, and the stored map has 8"), "{said}");
    }
}
