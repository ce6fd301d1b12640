//! Reads a configuration's text against the table of keys; collects mistakes and goes on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::Environment;
use super::keys::{self, Key, Section};
use super::mistake::{Mistake, Mistakes, Places};
use super::model::*;
use super::value::{Kind, Value, read_time, show_time};
use super::{checks, secrets, sharding, shards, unknown};

/// Reads and checks a configuration.
///
/// `origin` is the file's path: relative paths in the text are found from its folder.
///
/// # Errors
/// Every mistake, in order of place.
pub fn parse(text: &str, origin: &str, env: &dyn Environment) -> Result<Config, Vec<Mistake>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut syntax = Mistakes::default();
    for error in &errors {
        syntax.add(error.span().map_or(text.len(), |span| span.start), error.message());
    }

    let folder = Path::new(origin).parent().unwrap_or(Path::new("")).to_path_buf();
    let mut reader = Reader { folder, env, mistakes: Mistakes::default(), places: Places::default() };
    let config = reader.document(document.get_ref());
    if syntax.is_empty() {
        checks::check(&config, &reader.places, &mut reader.mistakes);
    }

    let mistakes = reader.mistakes.after(syntax, text);
    if mistakes.is_empty() { Ok(config) } else { Err(mistakes.finish(text)) }
}

/// Reads and checks the configuration in a file.
///
/// # Errors
/// As [`parse`]; a file that can't be read is a mistake at its first line.
pub fn load(path: &Path, env: &dyn Environment) -> Result<Config, Vec<Mistake>> {
    match env.read_file(path) {
        Ok(text) => parse(&text, &path.to_string_lossy(), env),
        Err(error) => {
            Err(vec![Mistake { line: 1, column: 1, message: format!("the file can't be read: {error}"), hint: None }])
        }
    }
}

/// What reading needs along the way.
pub(super) struct Reader<'a> {
    /// Where relative paths begin.
    pub folder: PathBuf,
    pub env: &'a dyn Environment,
    pub mistakes: Mistakes,
    pub places: Places,
}

impl Reader<'_> {
    fn document(&mut self, document: &DeTable<'_>) -> Config {
        let mut config = blank_config();
        for (name, node) in document {
            self.places.note(&[name.get_ref()], name.span().start);
            match name.get_ref().as_ref() {
                "server" | "log" | "auth" | "users" | "databases" => {}
                other => unknown::section(other, name.span().start, &mut self.mistakes),
            }
            if !node.get_ref().is_table() && unknown::SECTIONS.contains(&name.get_ref().as_ref()) {
                let message = format!("`{}` is {}; it must be a section", name.get_ref(), kind_of(node.get_ref()));
                self.mistakes.hinted(node.span().start, message, unknown::how_to_open(name.get_ref()));
            }
        }
        let table = |name: &str| document.get(name).and_then(|node| node.get_ref().as_table());
        self.section(&["server"], Section::Server, keys::SERVER, &mut config.server, table("server"));
        self.section(&["log"], Section::Log, keys::LOG, &mut config.log, table("log"));
        self.section(&["auth"], Section::Auth, keys::AUTH, &mut config.auth, table("auth"));
        for (name, entries) in self.named("users", table("users")) {
            let mut user = blank_user();
            self.section(&["users", name], Section::User, keys::USER, &mut user, Some(entries));
            config.users.insert(name.to_owned(), user);
        }
        for (name, entries) in self.named("databases", table("databases")) {
            let mut database = blank_database(name);
            self.section(&["databases", name], Section::Database, keys::DATABASE, &mut database, Some(entries));
            database.shards = shards::read(self, name, entries);
            sharding::read(self, &mut database, entries);
            config.databases.insert(name.to_owned(), Arc::new(database));
        }
        // Without a certificate there is no TLS to allow.
        if config.server.tls == ClientTls::Allow && !self.places.is_set(&["server", "tls_cert"]) {
            config.server.tls = ClientTls::Disable;
        }
        config
    }

    /// The named sections in `[users.…]` or `[databases.…]`.
    fn named<'t>(&mut self, kind: &str, table: Option<&'t DeTable<'t>>) -> BTreeMap<&'t str, &'t DeTable<'t>> {
        let mut found = BTreeMap::new();
        for (name, node) in table.into_iter().flatten() {
            self.places.note(&[kind, name.get_ref()], name.span().start);
            match node.get_ref().as_table() {
                Some(entries) => {
                    found.insert(name.get_ref().as_ref(), entries);
                }
                None => {
                    let message = format!("`{kind}.{}` is {}", name.get_ref(), kind_of(node.get_ref()));
                    self.mistakes.hinted(
                        name.span().start,
                        message,
                        format!("each has a section of its own: {}", unknown::how_to_open(kind)),
                    );
                }
            }
        }
        found
    }

    /// Fills `target` with the defaults of a section, then with what `table` says.
    fn section<T>(
        &mut self,
        path: &[&str],
        section: Section,
        keys: &[Key<T>],
        target: &mut T,
        table: Option<&DeTable<'_>>,
    ) {
        for key in keys {
            (key.set)(target, default_of(key.kind, key.default));
        }
        for (name, node) in table.into_iter().flatten() {
            let Some(key) = keys.iter().find(|key| key.name == name.get_ref()) else {
                unknown::key(section, name.get_ref(), name.span().start, &mut self.mistakes);
                continue;
            };
            let mut place = path.to_vec();
            place.push(key.name);
            self.places.note(&place, node.span().start);
            if let Some(value) = self.value(key.name, key.kind, node) {
                (key.set)(target, value);
            }
        }
    }

    /// One value of a kind, or `None` after noting what is wrong with it.
    fn value(&mut self, key: &str, kind: Kind, node: &Spanned<DeValue<'_>>) -> Option<Value> {
        match (kind, node.get_ref()) {
            // Read by `shards` and `sharding`.
            (Kind::Shards | Kind::Weights | Kind::Tables | Kind::Functions, _) => None,
            (Kind::Text | Kind::Address, DeValue::String(text)) => Some(Value::Text(text.clone().into_owned())),
            (Kind::Choice(names), DeValue::String(text)) => self.choice(key, names, text, node.span().start),
            (Kind::Path, DeValue::String(text)) => {
                Some(Value::Text(self.folder.join(text.as_ref()).to_string_lossy().into_owned()))
            }
            (Kind::Texts | Kind::Addresses | Kind::Paths, DeValue::String(_) | DeValue::Array(_)) => {
                self.list(key, kind, node).map(Value::List)
            }
            (Kind::Flag, DeValue::Boolean(flag)) => Some(Value::Flag(*flag)),
            (Kind::Count { least, most }, DeValue::Integer(number)) => {
                let count = usize::from_str_radix(number.as_str(), number.radix());
                match count {
                    Ok(count) if (least..=most).contains(&count) => Some(Value::Count(count)),
                    _ => {
                        let message = format!("`{key}` is {number}; it must be from {least} to {most}");
                        self.mistakes.add(node.span().start, message);
                        None
                    }
                }
            }
            (Kind::Time { least, most, off }, DeValue::String(text)) => {
                self.time(key, text, (least, most, off), node.span().start)
            }
            (Kind::Time { off, .. }, DeValue::Integer(number)) if number.as_str() == "0" && off => {
                Some(Value::Time(Duration::ZERO))
            }
            (Kind::Time { .. }, DeValue::Integer(number)) => {
                let message = format!("`{key}` is {number} without a unit");
                let hint = format!("write {key} = \"{number}s\" for seconds; the units are ms, s, m, h, d");
                self.mistakes.hinted(node.span().start, message, hint);
                None
            }
            (Kind::Secret, DeValue::String(text)) => {
                secrets::resolve(text, &self.folder, self.env, node.span().start, &mut self.mistakes).map(Value::Secret)
            }
            (_, other) => {
                let message = format!("`{key}` is {}; it must be {}", kind_of(other), expected(kind));
                self.mistakes.add(node.span().start, message);
                None
            }
        }
    }

    fn choice(&mut self, key: &str, names: &[&str], text: &str, offset: usize) -> Option<Value> {
        if names.contains(&text) {
            return Some(Value::Text(text.to_owned()));
        }
        let message = format!("`{key}` is \"{text}\"; it must be one of {}", names.join(", "));
        match unknown::nearest(text, names.iter().copied()) {
            Some(near) => self.mistakes.hinted(offset, message, format!("did you mean \"{near}\"?")),
            None => self.mistakes.add(offset, message),
        }
        None
    }

    fn time(&mut self, key: &str, text: &str, bounds: (Duration, Duration, bool), offset: usize) -> Option<Value> {
        let (least, most, off) = bounds;
        let Some(time) = read_time(text).or((text == "0").then_some(Duration::ZERO)) else {
            let message = format!("`{key}` is \"{text}\", which isn't a time");
            self.mistakes.hinted(
                offset,
                message,
                "write a whole number and a unit: \"250ms\", \"5s\", \"2m\", \"1h\", \"1d\"",
            );
            return None;
        };
        if (least..=most).contains(&time) || (off && time.is_zero()) {
            return Some(Value::Time(time));
        }
        let or_off = if off { ", or 0" } else { "" };
        let message =
            format!("`{key}` is \"{text}\"; it must be from {} to {}{or_off}", show_time(least), show_time(most));
        self.mistakes.add(offset, message);
        None
    }

    /// One text or a list of texts.
    fn list(&mut self, key: &str, kind: Kind, node: &Spanned<DeValue<'_>>) -> Option<Vec<String>> {
        let nodes = match node.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![node],
        };
        let mut texts = Vec::new();
        let mut sound = true;
        for item in nodes {
            match item.get_ref() {
                DeValue::String(text) if texts.contains(&text.to_string()) => {
                    self.mistakes.add(item.span().start, format!("`{key}` names \"{text}\" twice"));
                    sound = false;
                }
                DeValue::String(text) => texts.push(text.to_string()),
                other => {
                    let message = format!("`{key}` has {} in it; it must be {}", kind_of(other), expected(kind));
                    self.mistakes.add(item.span().start, message);
                    sound = false;
                }
            }
        }
        if matches!(kind, Kind::Paths) {
            texts = texts.iter().map(|text| self.folder.join(text).to_string_lossy().into_owned()).collect();
        }
        sound.then_some(texts)
    }
}

/// A default of the table as a value.
fn default_of(kind: Kind, text: &str) -> Value {
    struct Nothing;
    impl Environment for Nothing {
        fn var(&self, _: &str) -> Option<String> {
            None
        }
        fn read_file(&self, _: &Path) -> std::io::Result<String> {
            Err(std::io::ErrorKind::NotFound.into())
        }
    }
    let mut reader =
        Reader { folder: PathBuf::new(), env: &Nothing, mistakes: Mistakes::default(), places: Places::default() };
    let node = if text.is_empty() { None } else { DeValue::parse(text).ok() };
    node.and_then(|node| reader.value("", kind, &node)).unwrap_or(Value::Absent)
}

/// What a TOML value is, with its article.
pub(super) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// What a kind wants, in words.
fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Choice(_) => "a text in quotes",
        Kind::Texts => "a text in quotes, or a list of them",
        Kind::Address => "an address such as \"127.0.0.1:6432\"",
        Kind::Addresses => "an address such as \"127.0.0.1:6432\", or a list of them",
        Kind::Path => "a file's path in quotes",
        Kind::Paths => "a folder's path in quotes, or a list of them",
        Kind::Flag => "true or false",
        Kind::Count { .. } => "a whole number without quotes",
        Kind::Time { .. } => "a time such as \"5s\" or \"250ms\"",
        Kind::Secret => "a text in quotes",
        Kind::Shards => "a table of lists of servers",
        Kind::Weights => "a table of whole numbers by shard",
        Kind::Tables => "a table of placements",
        Kind::Functions => "a table of promises",
    }
}

// The blank sections exist only to be filled from the table; a test checks that it names every field.

fn blank_config() -> Config {
    Config {
        server: Server {
            listen: Vec::new(),
            unix_socket_dirs: Vec::new(),
            http: None,
            workers: 0,
            scheduling: Scheduling::Auto,
            max_clients: 0,
            tls: ClientTls::Disable,
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            login_timeout: Duration::ZERO,
            shutdown_timeout: Duration::ZERO,
            admin_users: Vec::new(),
        },
        log: Log { json: false, level: LogLevel::Info, connections: false },
        auth: Auth { method: AuthMethod::ScramSha256, query: None, query_cache: Duration::ZERO },
        users: BTreeMap::new(),
        databases: BTreeMap::new(),
    }
}

fn blank_user() -> User {
    User { password: None, pool_mode: None, pool_size: None, max_clients: None }
}

fn blank_database(name: &str) -> Database {
    Database {
        name: name.to_owned(),
        service_user: None,
        shards: Vec::new(),
        shard_weights: BTreeMap::new(),
        home: None,
        tables: Vec::new(),
        functions: Vec::new(),
        buckets: 0,
        cross_shard_commit: CrossShardCommit::TwoPhase,
        cross_shard_reads: CrossShardReads::Fast,
        unique_per_shard: false,
        pool: Pool {
            mode: PoolMode::Transaction,
            size: 0,
            min_size: 0,
            wait: Duration::ZERO,
            max_waiting: 0,
            idle_timeout: Duration::ZERO,
            max_lifetime: Duration::ZERO,
            connect_timeout: Duration::ZERO,
            idle_transaction_timeout: Duration::ZERO,
            query_timeout: Duration::ZERO,
        },
        gather: Gather::default(),
        replicas: Replicas {
            consistency: Consistency::Proxy,
            max_lag: Duration::ZERO,
            wait: Duration::ZERO,
            health_interval: Duration::ZERO,
        },
    }
}
