//! Reads `tables`, `functions` and `shard_weights` of a database, shows them, and checks what must hold between them.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Mistakes, Places};
use super::model::{Config, CrossShardCommit, CrossShardReads, Database, Function, Reads, Table, TableRule};
use super::read::{Reader, kind_of};
use super::unknown::nearest;
use super::value::Value;

const TABLE_EXAMPLE: &str = "write orders = { key = \"customer_id\" } or countries = { reference = true }";
const FUNCTION_EXAMPLE: &str = "write price_of = { reads = \"none\" } or { reads = \"key\" }";
const WEIGHT_EXAMPLE: &str = "write shard_weights.s1 = 2";
const LIST_EXAMPLE: &str = "write list = { s1 = [\"eu\"], s2 = [\"us\", \"ca\"] }, rest = \"s1\"";

/// Largest weight of a shard.
const MOST_WEIGHT: u32 = 1_000;

/// Fills what concerns sharding from the database's section.
pub(super) fn read(reader: &mut Reader<'_>, database: &mut Database, entries: &DeTable<'_>) {
    let path = Path { reader, database: database.name.clone() };
    let mut reading = path;
    database.shard_weights = reading.weights(entries);
    database.tables = reading.tables(entries);
    database.functions = reading.functions(entries);
}

struct Path<'r, 'a> {
    reader: &'r mut Reader<'a>,
    database: String,
}

impl Path<'_, '_> {
    fn note(&mut self, rest: &[&str], offset: usize) {
        let mut path = vec!["databases", self.database.as_str()];
        path.extend(rest);
        self.reader.places.note(&path, offset);
    }

    fn wrong(&mut self, offset: usize, message: impl Into<String>, hint: impl Into<String>) {
        self.reader.mistakes.hinted(offset, message, hint);
    }

    /// The entries of the table that `entries` has under `key`, in the order of the file.
    fn listed<'t>(
        &mut self,
        entries: &'t DeTable<'t>,
        key: &str,
        example: &str,
    ) -> Vec<(&'t str, usize, &'t Spanned<DeValue<'t>>)> {
        let Some(node) = entries.get(key) else { return Vec::new() };
        let Some(table) = node.get_ref().as_table() else {
            self.wrong(node.span().start, format!("`{key}` is {}", kind_of(node.get_ref())), example);
            return Vec::new();
        };
        let mut listed: Vec<_> =
            table.iter().map(|(name, node)| (name.get_ref().as_ref(), name.span().start, node)).collect();
        listed.sort_by_key(|(_, offset, _)| *offset);
        listed
    }

    fn weights(&mut self, entries: &DeTable<'_>) -> BTreeMap<String, u32> {
        let mut weights = BTreeMap::new();
        for (name, offset, node) in self.listed(entries, "shard_weights", WEIGHT_EXAMPLE) {
            self.note(&["shard_weights", name], offset);
            let weight = node.get_ref().as_integer().and_then(|n| u32::from_str_radix(n.as_str(), n.radix()).ok());
            match weight {
                Some(weight) if (1..=MOST_WEIGHT).contains(&weight) => {
                    weights.insert(name.to_owned(), weight);
                }
                _ => {
                    let message = format!("the weight of `{name}` must be a whole number from 1 to {MOST_WEIGHT}");
                    self.wrong(node.span().start, message, WEIGHT_EXAMPLE);
                }
            }
        }
        weights
    }

    fn tables(&mut self, entries: &DeTable<'_>) -> Vec<Table> {
        let mut tables: Vec<Table> = Vec::new();
        for (written, offset, node) in self.listed(entries, "tables", TABLE_EXAMPLE) {
            let Some((schema, name)) = self.qualified(written, offset) else { continue };
            self.note(&["tables", &format!("{schema}.{name}")], offset);
            let Some(properties) = node.get_ref().as_table() else {
                let message = format!("the table `{written}` is {}", kind_of(node.get_ref()));
                self.wrong(node.span().start, message, TABLE_EXAMPLE);
                continue;
            };
            if !properties.is_empty() && properties.iter().all(|(_, value)| value.get_ref().is_table()) {
                let inner = properties.iter().next().map_or("name", |(name, _)| name.get_ref());
                let hint = format!("a table of another schema stands in quotes: \"{written}.{inner}\" = {{ … }}");
                self.wrong(offset, format!("`{written}` holds tables"), hint);
                continue;
            }
            let Some(rule) = self.rule(written, &format!("{schema}.{name}"), offset, properties) else { continue };
            if tables.iter().any(|table| table.schema == schema && table.name == name) {
                self.wrong(offset, format!("the table `{schema}.{name}` is named twice"), "keep one of the entries");
                continue;
            }
            tables.push(Table { schema, name, rule });
        }
        tables.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        tables
    }

    /// `orders` or `schema.orders`.
    fn qualified(&mut self, written: &str, offset: usize) -> Option<(String, String)> {
        let parts: Vec<&str> = written.split('.').collect();
        match parts.as_slice() {
            [name] if !name.is_empty() => Some(("public".to_owned(), (*name).to_owned())),
            [schema, name] if !schema.is_empty() && !name.is_empty() => {
                Some(((*schema).to_owned(), (*name).to_owned()))
            }
            _ => {
                let hint = "write \"name\" or \"schema.name\", as they stand in the catalog: without quotes of SQL";
                self.wrong(offset, format!("`{written}` isn't a table's name"), hint);
                None
            }
        }
    }

    fn rule(&mut self, written: &str, name: &str, offset: usize, properties: &DeTable<'_>) -> Option<TableRule> {
        const KEYS: &[&str] = &["key", "with", "list", "rest", "reference"];
        let mut sound = true;
        for (property, node) in properties {
            let property_offset = property.span().start;
            self.note(&["tables", name, property.get_ref()], node.span().start);
            if !KEYS.contains(&property.get_ref().as_ref()) {
                let hint = match nearest(property.get_ref(), KEYS.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it may have {}", KEYS.join(", ")),
                };
                self.wrong(property_offset, format!("the table `{written}` has `{}`", property.get_ref()), hint);
                sound = false;
            }
        }
        let reference = match properties.get("reference").map(|node| (node.get_ref(), node.span().start)) {
            None => false,
            Some((DeValue::Boolean(flag), _)) => *flag,
            Some((other, at)) => {
                let message = format!("`reference` is {}; it must be true or false", kind_of(other));
                self.wrong(at, message, TABLE_EXAMPLE);
                return None;
            }
        };
        let [key, with, rest] = ["key", "with", "rest"].map(|property| self.text(property, properties, &mut sound));
        let list = properties.get("list");
        if reference {
            if key.is_some() || with.is_some() || rest.is_some() || list.is_some() {
                let hint = "a reference table is whole on every shard: take `key` and the rest away, or `reference`";
                self.wrong(offset, format!("the table `{written}` is a reference and has a key"), hint);
                return None;
            }
            return sound.then_some(TableRule::Reference);
        }
        let Some(key) = key else {
            if sound {
                self.wrong(offset, format!("the table `{written}` has no `key`"), TABLE_EXAMPLE);
            }
            return None;
        };
        match list {
            None => {
                if rest.is_some() {
                    self.wrong(offset, format!("the table `{written}` has `rest` and no `list`"), LIST_EXAMPLE);
                    return None;
                }
                let with = match with {
                    None => None,
                    Some(with) => {
                        let at = self.reader.places.at(&["databases", &self.database, "tables", name, "with"]);
                        Some(self.qualified(&with, at)?)
                    }
                };
                sound.then_some(TableRule::Hash { key, with })
            }
            Some(list) => {
                if with.is_some() {
                    let hint = "tables with one key and one list lie together anyway: take `with` away";
                    self.wrong(offset, format!("the table `{written}` has `with` and `list`"), hint);
                    return None;
                }
                let values = self.list(written, list)?;
                sound.then_some(TableRule::List { key, values, rest })
            }
        }
    }

    fn text(&mut self, property: &str, properties: &DeTable<'_>, sound: &mut bool) -> Option<String> {
        let node = properties.get(property)?;
        match node.get_ref() {
            DeValue::String(text) if !text.is_empty() => Some(text.to_string()),
            other => {
                let message = format!("`{property}` is {}; it must be a name in quotes", kind_of(other));
                self.wrong(node.span().start, message, TABLE_EXAMPLE);
                *sound = false;
                None
            }
        }
    }

    /// Shard by value.
    fn list(&mut self, written: &str, node: &Spanned<DeValue<'_>>) -> Option<BTreeMap<String, String>> {
        let Some(shards) = node.get_ref().as_table() else {
            let message = format!("`list` is {}; it must have the values of each shard", kind_of(node.get_ref()));
            self.wrong(node.span().start, message, LIST_EXAMPLE);
            return None;
        };
        let mut values = BTreeMap::new();
        let mut sound = true;
        for (shard, node) in shards {
            let items: Vec<_> = match node.get_ref() {
                DeValue::Array(items) => items.iter().collect(),
                _ => vec![node],
            };
            for item in items {
                let value = match item.get_ref() {
                    DeValue::String(text) => text.to_string(),
                    DeValue::Integer(number) => number.to_string(),
                    DeValue::Boolean(flag) => flag.to_string(),
                    other => {
                        let message = format!("the list of `{written}` has {} in it", kind_of(other));
                        self.wrong(item.span().start, message, LIST_EXAMPLE);
                        sound = false;
                        continue;
                    }
                };
                if values.contains_key(&value) {
                    let message = format!("the list of `{written}` has {value:?} twice");
                    self.wrong(item.span().start, message, "a value lies on one shard");
                    sound = false;
                }
                values.insert(value, shard.get_ref().to_string());
            }
        }
        sound.then_some(values)
    }

    fn functions(&mut self, entries: &DeTable<'_>) -> Vec<Function> {
        let mut functions = Vec::new();
        for (written, offset, node) in self.listed(entries, "functions", FUNCTION_EXAMPLE) {
            let reads = node.get_ref().as_table().and_then(|table| match table.len() {
                1 => table.get("reads")?.get_ref().as_str(),
                _ => None,
            });
            let reads = match reads {
                Some("none") => Reads::None,
                Some("key") => Reads::Key,
                _ => {
                    let message =
                        format!("the function `{written}` needs `reads`, \"none\" or \"key\", and nothing else");
                    self.wrong(node.span().start, message, FUNCTION_EXAMPLE);
                    continue;
                }
            };
            let (schema, name) = match written.split_once('.') {
                Some((schema, name)) => (Some(schema.to_owned()), name),
                None => (None, written),
            };
            if name.is_empty() || name.contains('.') {
                self.wrong(offset, format!("`{written}` isn't a function's name"), "write \"name\" or \"schema.name\"");
                continue;
            }
            functions.push(Function { schema, name: name.to_owned(), reads });
        }
        functions
    }
}

/// A list, or nothing where there is nothing.
fn list(items: Vec<String>) -> Value {
    if items.is_empty() { Value::Absent } else { Value::List(items) }
}

pub(super) fn show_weights(weights: &BTreeMap<String, u32>) -> Value {
    list(weights.iter().map(|(shard, weight)| format!("{shard} = {weight}")).collect())
}

pub(super) fn show_tables(tables: &[Table]) -> Value {
    list(tables.iter().map(|table| format!("{}.{} = {}", table.schema, table.name, table.rule)).collect())
}

pub(super) fn show_functions(functions: &[Function]) -> Value {
    let show = |function: &Function| {
        let schema = function.schema.as_ref().map_or_else(String::new, |schema| format!("{schema}."));
        let reads = match function.reads {
            Reads::None => "none",
            Reads::Key => "key",
        };
        format!("{schema}{} reads {reads}", function.name)
    };
    list(functions.iter().map(show).collect())
}

impl std::fmt::Display for TableRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reference => f.write_str("reference"),
            Self::Hash { key, with: None } => write!(f, "key {key}"),
            Self::Hash { key, with: Some((schema, name)) } => write!(f, "key {key} with {schema}.{name}"),
            Self::List { key, values, rest } => {
                write!(f, "key {key} list {values:?}")?;
                rest.iter().try_for_each(|rest| write!(f, " rest {rest}"))
            }
        }
    }
}

/// Notes what contradicts itself in one database's sharding.
pub(super) fn check(database: &Database, config: &Config, places: &Places, mistakes: &mut Mistakes) {
    let mut check = Check { database, places, mistakes };
    check.home();
    check.gather_on();
    check.shards_named();
    for table in &database.tables {
        check.table(table);
    }
    if !database.buckets.is_power_of_two() && database.buckets > 0 {
        let place = check.at(&["buckets"]);
        let near = database.buckets.next_power_of_two();
        let message = format!("`buckets` is {}, which isn't a power of two", database.buckets);
        check.mistakes.hinted(place, message, format!("write buckets = {near}"));
    }
    if database.cross_shard_reads == CrossShardReads::Atomic
        && database.cross_shard_commit == CrossShardCommit::BestEffort
    {
        let place = check.at(&["cross_shard_reads"]);
        let message = "`cross_shard_reads` is \"atomic\", and `cross_shard_commit` is \"best-effort\"";
        let hint = "what isn't committed in two phases can't be seen whole: write cross_shard_commit = \"two-phase\"";
        check.mistakes.hinted(place, message, hint);
    }
    if database.is_sharded() {
        check.service_user();
        for shard in &database.shards {
            let name = format!("{}/{}", database.name, shard.name);
            if config.databases.contains_key(&name) {
                let place = check.places.at(&["databases", &name]);
                let message = format!("the name `{name}` belongs to a shard of `{}`", database.name);
                check.mistakes.hinted(place, message, "give the database another name");
            }
        }
    }
}

struct Check<'a> {
    database: &'a Database,
    places: &'a Places,
    mistakes: &'a mut Mistakes,
}

impl Check<'_> {
    fn at(&self, rest: &[&str]) -> usize {
        let mut path = vec!["databases", self.database.name.as_str()];
        path.extend(rest);
        self.places.at(&path)
    }

    fn is_shard(&self, name: &str) -> bool {
        self.database.shards.iter().any(|shard| shard.name == name)
    }

    fn no_such_shard(&mut self, place: usize, what: &str, name: &str) {
        let shards = self.database.shards.iter().map(|shard| shard.name.as_str());
        let hint = match nearest(name, shards.clone()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("its shards are {}", shards.collect::<Vec<_>>().join(", ")),
        };
        let message = format!("{what} names `{name}`, which isn't a shard of `{}`", self.database.name);
        self.mistakes.hinted(place, message, hint);
    }

    fn home(&mut self) {
        let place = self.at(&["home"]);
        match &self.database.home {
            Some(home) if !self.is_shard(home) => self.no_such_shard(place, "`home`", home),
            None if self.database.shards.len() > 1
                && !self.places.is_set(&["databases", &self.database.name, "home"]) =>
            {
                let first = self.database.shards.first().map_or("s1", |shard| &shard.name);
                let message =
                    format!("`{}` has {} shards and no `home`", self.database.name, self.database.shards.len());
                let hint = format!(
                    "set home = \"{first}\", or another: the shard where tables without an entry in `tables` live"
                );
                self.mistakes.hinted(place, message, hint);
            }
            _ => {}
        }
    }

    fn gather_on(&mut self) {
        if let Some(shard) = self.database.gather.on.as_ref().filter(|shard| !self.is_shard(shard)) {
            let place = self.at(&["gather_on"]);
            self.no_such_shard(place, "`gather_on`", shard);
        }
    }

    fn shards_named(&mut self) {
        for shard in self.database.shard_weights.keys() {
            if !self.is_shard(shard) {
                let place = self.at(&["shard_weights", shard]);
                self.no_such_shard(place, "`shard_weights`", shard);
            }
        }
    }

    fn table(&mut self, table: &Table) {
        let name = format!("{}.{}", table.schema, table.name);
        match &table.rule {
            TableRule::Reference => {}
            TableRule::List { values, rest, .. } => {
                let mut shards: Vec<&String> = values.values().collect();
                shards.sort();
                shards.dedup();
                for shard in shards {
                    if !self.is_shard(shard) {
                        let place = self.at(&["tables", &name, "list"]);
                        self.no_such_shard(place, "`list`", shard);
                    }
                }
                if let Some(rest) = rest.as_ref().filter(|rest| !self.is_shard(rest)) {
                    let place = self.at(&["tables", &name, "rest"]);
                    self.no_such_shard(place, "`rest`", rest);
                }
            }
            TableRule::Hash { with, .. } => {
                if let Some(with) = with {
                    self.with(table, &name, with);
                }
            }
        }
    }

    /// `with` must lead, from table to table, to one with a key and no `with`.
    fn with(&mut self, table: &Table, name: &str, with: &(String, String)) {
        let place = self.at(&["tables", name, "with"]);
        let tables = &self.database.tables;
        let find = |wanted: &(String, String)| tables.iter().find(|t| t.schema == wanted.0 && t.name == wanted.1);
        let Some(partner) = find(with) else {
            // One that is there and wrong has its own mistake.
            let path = format!("{}.{}", with.0, with.1);
            if self.places.is_set(&["databases", &self.database.name, "tables", &path]) {
                return;
            }
            let message = format!("`with` names `{path}`, which has no entry in `tables`");
            let names = tables.iter().filter(|t| *t != table).map(|t| t.name.as_str());
            let hint = match nearest(&with.1, names) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("give it one: \"{path}\" = {{ key = \"…\" }}"),
            };
            self.mistakes.hinted(place, message, hint);
            return;
        };
        if !matches!(partner.rule, TableRule::Hash { .. }) {
            let message = format!("`with` names `{}`, whose rows aren't placed by the hash of a key", partner.name);
            self.mistakes.hinted(place, message, "co-locate it with a table that is `{ key = \"…\" }`");
            return;
        }
        let mut next = Some(with);
        for _ in 0..=tables.len() {
            let Some(current) = next.and_then(find) else { return };
            if current == table {
                let message = format!("`{}` is co-located with itself, round about", table.name);
                self.mistakes.hinted(place, message, "one table of the group has a `key` and no `with`");
                return;
            }
            next = match &current.rule {
                TableRule::Hash { with, .. } => with.as_ref(),
                _ => None,
            };
        }
    }

    fn service_user(&mut self) {
        let name = &self.database.name;
        let several = self.database.shards.iter().any(|shard| shard.servers.len() > 1);
        if self.database.service_user.is_none() && !several && !self.places.is_set(&["databases", name, "service_user"])
        {
            let place = self.places.at(&["databases", name]);
            let hint =
                "set service_user = \"NAME\", an entry of [users]: it keeps the map of keys and reads the schema";
            self.mistakes.hinted(place, format!("`{name}` is sharded and has no `service_user`"), hint);
        }
    }
}
