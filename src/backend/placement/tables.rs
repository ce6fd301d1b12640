//! What a transaction that defines tables sees of those that placements hang on: read before a definition and after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::stored::{READ_TABLES, Stored, literal, with_statements};
use crate::backend::exchange::TextRows;
use crate::catalog::schema::Oid;
use crate::config::{self, Table, TableRule};

/// Tables with what constrains them, and where they are declared to be.
#[derive(Clone, Debug)]
pub struct Tables {
    /// The configuration, with what statements declared.
    pub config: Arc<config::Database>,
    /// Of these, what the configuration itself says.
    pub by_configuration: Arc<config::Database>,
    pub(super) relations: BTreeMap<Oid, Relation>,
    /// Columns that bear a key's name, by relation and name.
    pub(super) columns: BTreeMap<(Oid, String), Column>,
    pub(super) uniques: Vec<Unique>,
    pub(super) foreign: Vec<Foreign>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Relation {
    pub schema: String,
    pub name: String,
    pub parents: Vec<Oid>,
    pub is_partition: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub number: i32,
    pub type_oid: Oid,
    pub typmod: i32,
    pub type_name: String,
    pub deterministic: bool,
}

/// A unique index, or an exclusion: the columns that it compares by equality.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unique {
    pub of: Oid,
    pub name: String,
    pub columns: Vec<i32>,
    pub exclusion: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Foreign {
    pub of: Oid,
    pub name: String,
    pub columns: Vec<i32>,
    pub target: Oid,
    pub target_columns: Vec<i32>,
    /// ON DELETE or ON UPDATE empties columns (SET NULL, SET DEFAULT).
    pub empties: bool,
}

/// Reads what statements have declared, as any role; where they may.
pub fn declared_by() -> &'static str {
    READ_TABLES
}

/// The question whose answer [`Tables::from_rows`] reads. `keys`: names of sharding keys.
pub fn questions(keys: &[&str]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| literal(key)).collect();
    let keys = if keys.is_empty() { "NULL".to_owned() } else { keys.join(", ") };
    format!(
        "SELECT 'relation', c.oid::pg_catalog.text, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, \
         (SELECT pg_catalog.string_agg(i.inhparent::pg_catalog.text, ' ' ORDER BY i.inhseqno) \
            FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid), c.relispartition::pg_catalog.text, NULL \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.relpersistence <> 't' \
         UNION ALL SELECT 'column', a.attrelid::pg_catalog.text, a.attname::pg_catalog.text, \
         a.attnum::pg_catalog.text || ' ' || a.atttypid::pg_catalog.text || ' ' || a.atttypmod::pg_catalog.text, \
         pg_catalog.format_type(a.atttypid, a.atttypmod), \
         coalesce((SELECT l.collisdeterministic FROM pg_catalog.pg_collation l WHERE l.oid = a.attcollation), \
         true)::pg_catalog.text, NULL FROM pg_catalog.pg_attribute a \
         WHERE a.attrelid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped AND a.attname IN ({keys}) \
         UNION ALL SELECT 'unique', i.indrelid::pg_catalog.text, c.relname::pg_catalog.text, \
         (SELECT pg_catalog.string_agg(k.number::pg_catalog.text, ' ' ORDER BY k.at) \
            FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY k(number, at) WHERE k.at <= i.indnkeyatts \
             AND (NOT i.indisexclusion OR EXISTS (SELECT FROM pg_catalog.pg_constraint x JOIN pg_catalog.pg_operator o \
                   ON o.oid = x.conexclop[k.at] WHERE x.conindid = i.indexrelid AND x.contype = 'x' AND o.oprname = '='))), \
         i.indisexclusion::pg_catalog.text, NULL, NULL \
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
         WHERE (i.indisunique OR i.indisexclusion) AND i.indrelid >= 16384 \
         UNION ALL SELECT 'foreign', k.conrelid::pg_catalog.text, k.conname::pg_catalog.text, \
         pg_catalog.array_to_string(k.conkey, ' '), k.confrelid::pg_catalog.text, \
         pg_catalog.array_to_string(k.confkey, ' '), \
         (k.confdeltype IN ('n', 'd') OR k.confupdtype IN ('n', 'd'))::pg_catalog.text \
         FROM pg_catalog.pg_constraint k WHERE k.contype = 'f'"
    )
}

impl Tables {
    /// What the configuration and these rows of the stored placement declare, without the tables themselves. `None`: a
    /// stored rule can't be read.
    pub fn declared(config: &Arc<config::Database>, stored: &TextRows) -> Option<Self> {
        let by_statement = Stored::statements(stored)?;
        Some(Self::of(config.clone(), with_statements(config, &by_statement)))
    }

    /// The same where what is stored can't be read: as it was known last.
    pub fn known(config: &Arc<config::Database>, effective: &Arc<config::Database>) -> Self {
        Self::of(config.clone(), effective.clone())
    }

    fn of(by_configuration: Arc<config::Database>, config: Arc<config::Database>) -> Self {
        Self {
            config,
            by_configuration,
            relations: BTreeMap::new(),
            columns: BTreeMap::new(),
            uniques: Vec::new(),
            foreign: Vec::new(),
        }
    }

    /// Names of sharding keys.
    pub fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = (self.config.tables.iter())
            .filter_map(|table| match &table.rule {
                TableRule::Hash { key, .. } | TableRule::List { key, .. } => Some(key.as_str()),
                TableRule::Reference => None,
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Only what is declared.
    #[must_use]
    pub fn bare(self) -> Self {
        Self::of(self.by_configuration, self.config)
    }

    /// Declares one more table.
    pub fn declare(&mut self, table: Table) {
        let mut config = config::Database::clone(&self.config);
        config.tables.retain(|other| (&other.schema, &other.name) != (&table.schema, &table.name));
        config.tables.push(table);
        self.config = Arc::new(config);
    }

    /// Reads the answer to [`questions`].
    #[must_use]
    pub fn filled(mut self, rows: &TextRows) -> Self {
        let numbers = |text: &str| text.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<i32>>();
        for row in rows {
            let text = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
            let oid = |at: usize| text(at).parse::<Oid>().unwrap_or(0);
            match text(0) {
                "relation" => {
                    let parents = text(4).split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect();
                    let (schema, name) = (text(2).to_owned(), text(3).to_owned());
                    let relation = Relation { schema, name, parents, is_partition: text(5) == "true" };
                    self.relations.insert(oid(1), relation);
                }
                "column" => {
                    let mut parts = text(3).split(' ');
                    let mut next = || parts.next().unwrap_or_default();
                    let column = Column {
                        number: next().parse().unwrap_or(0),
                        type_oid: next().parse().unwrap_or(0),
                        typmod: next().parse().unwrap_or(-1),
                        type_name: text(4).to_owned(),
                        deterministic: text(5) == "true",
                    };
                    self.columns.insert((oid(1), text(2).to_owned()), column);
                }
                "unique" => self.uniques.push(Unique {
                    of: oid(1),
                    name: text(2).to_owned(),
                    columns: numbers(text(3)),
                    exclusion: text(4) == "true",
                }),
                "foreign" => self.foreign.push(Foreign {
                    of: oid(1),
                    name: text(2).to_owned(),
                    columns: numbers(text(3)),
                    target: oid(4),
                    target_columns: numbers(text(5)),
                    empties: text(6) == "true",
                }),
                _ => {}
            }
        }
        self
    }

    /// The tables of that name that `before` hasn't: schema and name of each.
    pub fn new_since<'a>(&'a self, before: &'a Self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let is_new =
            move |(oid, relation): &(&Oid, &Relation)| relation.name == name && !before.relations.contains_key(oid);
        self.relations.iter().filter(is_new).map(|(_, relation)| (relation.schema.as_str(), relation.name.as_str()))
    }

    /// Whether rows of this table are elsewhere than on the home shard alone.
    pub fn is_placed(&self, schema: &str, name: &str) -> bool {
        let found = self.relations.iter().find(|(_, relation)| relation.schema == schema && relation.name == name);
        found.is_some_and(|(oid, _)| self.place(*oid).is_some())
    }

    /// A relation's declaration: its own, or that of what it is a part of.
    pub(super) fn place(&self, of: Oid) -> Option<&Table> {
        let mut at = of;
        for _ in 0..=self.relations.len() {
            let relation = self.relations.get(&at)?;
            if let Some(table) = self.own_place(relation) {
                return Some(table);
            }
            at = *relation.parents.first()?;
        }
        None
    }

    pub(super) fn own_place(&self, relation: &Relation) -> Option<&Table> {
        self.config.tables.iter().find(|table| table.schema == relation.schema && table.name == relation.name)
    }
}
