//! The settings of a session, and of a server connection: what was SET, with transactions and savepoints.
//!
//! Two trackers see the same statements: one for the session (whose RESET returns to the client's start-up parameters)
//! and one for the server connection that it is on (whose RESET returns to the connection's own login). Where the two
//! differ, [`script`] says what to send.

use std::sync::Arc;

use crate::sql::parse::needs_quotes;

/// A value as it is handed to the server again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// As in the start-up packet or from `current_setting`: one string in the setting's own notation.
    Config(String),
    /// As in `SET name TO a, b`: elements without their quotes.
    List(Vec<String>),
}

/// Settings by name (lower case), in order of name. Shared; compared by pointer first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Settings(Vec<(String, Value)>);

/// `role` and `session_authorization` aren't reset by RESET ALL, and are set last.
pub const ROLE: &str = "role";
pub const SESSION_AUTHORIZATION: &str = "session_authorization";

impl Settings {
    /// From names and values as in a start-up packet.
    pub fn from_startup(parameters: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut settings = Self::default();
        for (name, value) in parameters {
            settings.set(name.to_ascii_lowercase(), Value::Config(value));
        }
        settings
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        let at = self.0.binary_search_by(|(other, _)| other.as_str().cmp(name)).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    pub fn set(&mut self, name: String, value: Value) {
        match self.0.binary_search_by(|(other, _)| other.as_str().cmp(&name)) {
            Ok(at) => {
                if let Some(entry) = self.0.get_mut(at) {
                    entry.1 = value;
                }
            }
            Err(at) => self.0.insert(at, (name, value)),
        }
    }

    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(other, _)| other != name);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A change of the session's user puts an end to its role (`SetSessionUserId`).
    fn forget_role_with(&mut self, name: &str) {
        if name == SESSION_AUTHORIZATION {
            self.remove(ROLE);
        }
    }

    /// Only what RESET ALL leaves.
    pub fn identity(&self) -> Self {
        Self(self.0.iter().filter(|(name, _)| is_identity(name)).cloned().collect())
    }
}

/// Whether two sets are the same; almost always told by the pointer.
#[inline]
pub fn same(a: &Arc<Settings>, b: &Arc<Settings>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

pub fn is_identity(name: &str) -> bool {
    name == ROLE || name == SESSION_AUTHORIZATION
}

/// What happened to settings, as the server confirmed it.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Set(String, Value),
    /// RESET name, SET name TO DEFAULT
    Reset(String),
    ResetAll,
    /// DISCARD ALL
    DiscardAll,
    Savepoint(String),
    RollbackTo(String),
    Release(String),
    /// The transaction's changes stay.
    Commit,
    /// They don't.
    Rollback,
}

/// Settings with what a transaction has done to them so far.
#[derive(Debug)]
pub struct Tracker {
    /// What RESET returns to.
    base: Arc<Settings>,
    committed: Arc<Settings>,
    current: Arc<Settings>,
    savepoints: Vec<(String, Arc<Settings>)>,
}

impl Tracker {
    /// A tracker whose RESET returns to `base`, and which has `base` now.
    pub fn new(base: Arc<Settings>) -> Self {
        Self { committed: base.clone(), current: base.clone(), base, savepoints: Vec::new() }
    }

    #[inline]
    pub fn current(&self) -> &Arc<Settings> {
        &self.current
    }

    pub fn base(&self) -> &Arc<Settings> {
        &self.base
    }

    /// Settings known from elsewhere (a probe, a replay): they are in force, and committed.
    pub fn replace(&mut self, settings: Arc<Settings>) {
        self.committed = settings.clone();
        self.current = settings;
        self.savepoints.clear();
    }

    /// Whether a commit or rollback would change anything.
    #[inline]
    pub fn in_flux(&self) -> bool {
        !self.savepoints.is_empty() || !Arc::ptr_eq(&self.current, &self.committed)
    }

    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Set(name, value) => self.change(|settings, _| {
                settings.forget_role_with(name);
                settings.set(name.clone(), value.clone());
            }),
            Event::Reset(name) => self.change(|settings, base| {
                settings.forget_role_with(name);
                match base.get(name) {
                    Some(value) => settings.set(name.clone(), value.clone()),
                    None => settings.remove(name),
                }
            }),
            Event::ResetAll => self.change(|settings, base| {
                let identity = settings.identity();
                *settings = base.clone();
                settings.0.retain(|(name, _)| !is_identity(name));
                for (name, value) in identity.0 {
                    settings.set(name, value);
                }
            }),
            // DISCARD ALL can't run in a transaction block: it is committed at once.
            Event::DiscardAll => self.replace(self.base.clone()),
            Event::Savepoint(name) => self.savepoints.push((name.clone(), self.current.clone())),
            Event::RollbackTo(name) => {
                if let Some(at) = self.savepoint(name) {
                    self.savepoints.truncate(at + 1);
                    if let Some((_, settings)) = self.savepoints.last() {
                        self.current = settings.clone();
                    }
                }
            }
            Event::Release(name) => {
                if let Some(at) = self.savepoint(name) {
                    self.savepoints.truncate(at);
                }
            }
            Event::Commit => {
                self.committed = self.current.clone();
                self.savepoints.clear();
            }
            Event::Rollback => {
                self.current = self.committed.clone();
                self.savepoints.clear();
            }
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Settings, &Settings)) {
        change(Arc::make_mut(&mut self.current), &self.base);
    }

    /// The latest savepoint of that name: an older one of the same name is hidden by it.
    fn savepoint(&self, name: &str) -> Option<usize> {
        self.savepoints.iter().rposition(|(other, _)| other == name)
    }
}

/// What takes a server connection from the settings it has to those it shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub sql: String,
    /// No statement of it can fail, as the same value was accepted before and what it means can't have gone: it may be
    /// sent ahead without waiting for the answer. Others (a role may have been dropped) must be seen to succeed first.
    pub certain: bool,
}

/// The statements that turn `have` into `want`; `None` if nothing differs.
pub fn script(have: &Settings, want: &Settings) -> Option<Script> {
    script_in(have, want, charset(have))
}

/// The same where there may be more than is known: RESET ALL first.
pub fn script_from_scratch(have: &Settings, want: &Settings) -> Script {
    let mut script = script_in(&have.identity(), want, charset(have))
        .unwrap_or_else(|| Script { sql: String::new(), certain: true });
    script.sql.insert_str(0, "RESET ALL;");
    script
}

fn script_in(have: &Settings, want: &Settings, now: Charset) -> Option<Script> {
    let mut sql = String::new();
    let mut certain = true;
    // The encoding may change in the midst of it, while all of it is read in the one before.
    let charset = if now == Charset::Utf8 { charset(want) } else { Charset::Ascii };
    let new_user = have.get(SESSION_AUTHORIZATION) != want.get(SESSION_AUTHORIZATION);
    let new_role = new_user || have.get(ROLE) != want.get(ROLE);
    // The login user first: what the former role may not set, it may.
    if new_user && have.get(SESSION_AUTHORIZATION).is_some() {
        sql.push_str("RESET SESSION AUTHORIZATION;");
    }
    if new_role && have.get(ROLE).is_some() {
        sql.push_str("RESET ROLE;");
    }
    for (name, _) in have.iter().filter(|(name, _)| !is_identity(name) && want.get(name).is_none()) {
        sql.push_str("RESET ");
        push_name(&mut sql, name);
        sql.push(';');
    }
    for (name, value) in want.iter().filter(|(name, value)| !is_identity(name) && have.get(name) != Some(value)) {
        certain &= CERTAIN.binary_search(&name).is_ok();
        push_set(&mut sql, name, value, charset);
    }
    for (name, change, keyword) in
        [(SESSION_AUTHORIZATION, new_user, "SESSION AUTHORIZATION"), (ROLE, new_role, "ROLE")]
    {
        if let Some(value) = want.get(name).filter(|_| change) {
            certain = false;
            sql.push_str("SET ");
            sql.push_str(keyword);
            sql.push(' ');
            push_literal_in(&mut sql, value.first(), charset);
            sql.push(';');
        }
    }
    (!sql.is_empty()).then_some(Script { sql, certain })
}

/// The statement that puts a value of the start-up packet in force, in a transaction perhaps: no query, where that can be
/// helped, as a query takes the transaction's snapshot.
pub fn set_again(name: &str, value: &Value, local: bool, charset: Charset) -> String {
    let mut sql = String::new();
    let elements = match value {
        Value::Config(text) if QUOTED_LISTS.contains(&name) => match elements(text) {
            Some(elements) => elements,
            None => {
                sql.push_str("SELECT pg_catalog.set_config(");
                push_literal(&mut sql, name);
                sql.push(',');
                push_literal_in(&mut sql, text, charset);
                sql.push_str(if local { ",true)" } else { ",false)" });
                return sql;
            }
        },
        Value::Config(text) => vec![text.clone()],
        Value::List(elements) => elements.clone(),
    };
    sql.push_str(if local { "SET LOCAL " } else { "SET " });
    match name {
        SESSION_AUTHORIZATION => sql.push_str("SESSION AUTHORIZATION "),
        ROLE => sql.push_str("ROLE "),
        _ => {
            push_name(&mut sql, name);
            sql.push_str(" TO ");
        }
    }
    for (at, element) in elements.iter().enumerate() {
        if at > 0 {
            sql.push(',');
        }
        push_literal_in(&mut sql, element, charset);
    }
    sql
}

/// What asks for a setting's value without being a query.
pub fn show(name: &str) -> String {
    let mut sql = String::from("SHOW ");
    push_name(&mut sql, name);
    sql
}

/// Lists whose elements SET puts in quotes where they need them, and which it writes in its own way (`GUC_LIST_QUOTE`).
const QUOTED_LISTS: &[&str] =
    &["local_preload_libraries", "search_path", "session_preload_libraries", "temp_tablespaces"];

/// The elements of such a list, if SET makes the very same text of them.
fn elements(text: &str) -> Option<Vec<String>> {
    let quoted = |element: &str| element.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map(str::to_owned);
    let mut elements = Vec::new();
    for element in text.split(", ") {
        let name = quoted(element).unwrap_or_else(|| element.to_owned());
        if name.contains('"') || name.contains(',') || needs_quotes(&name) != (name != element) {
            return None;
        }
        elements.push(name);
    }
    Some(elements)
}

/// Settings whose value, once accepted, is accepted again: it names nothing that can be dropped. In order.
const CERTAIN: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "enable_seqscan",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "jit",
    "lock_timeout",
    "plan_cache_mode",
    "search_path",
    "standard_conforming_strings",
    "statement_timeout",
    "synchronous_commit",
    "timezone",
    "work_mem",
];

impl Value {
    fn first(&self) -> &str {
        match self {
            Self::Config(text) => text,
            Self::List(elements) => elements.first().map_or("", String::as_str),
        }
    }
}

fn push_set(sql: &mut String, name: &str, value: &Value, charset: Charset) {
    match value {
        Value::Config(text) => {
            sql.push_str("SELECT pg_catalog.set_config(");
            push_literal(sql, name);
            sql.push(',');
            push_literal_in(sql, text, charset);
            sql.push_str(",false);");
        }
        Value::List(elements) => {
            sql.push_str("SET ");
            push_name(sql, name);
            sql.push_str(" TO ");
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    sql.push(',');
                }
                push_literal_in(sql, element, charset);
            }
            sql.push(';');
        }
    }
}

/// A setting's name, its parts quoted (`variable.c`'s lookup ignores case).
fn push_name(sql: &mut String, name: &str) {
    for (at, part) in name.split('.').enumerate() {
        if at > 0 {
            sql.push('.');
        }
        sql.push('"');
        sql.push_str(&part.replace('"', "\"\""));
        sql.push('"');
    }
}

/// A string literal that means the same whatever `standard_conforming_strings` is.
pub fn push_literal(sql: &mut String, text: &str) {
    push_literal_in(sql, text, Charset::Utf8);
}

/// What a statement of ours is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    Utf8,
    /// Anything that has ASCII in it.
    Ascii,
}

/// How a session with these settings is read.
pub fn charset(settings: &Settings) -> Charset {
    let utf8 = |value: &Value| {
        let plain: String = value.first().chars().filter(char::is_ascii_alphanumeric).collect();
        ["utf8", "unicode"].contains(&plain.to_ascii_lowercase().as_str())
    };
    if settings.get("client_encoding").is_none_or(utf8) { Charset::Utf8 } else { Charset::Ascii }
}

fn push_literal_in(sql: &mut String, text: &str, charset: Charset) {
    let escaped = charset == Charset::Ascii && !text.is_ascii();
    if text.contains('\\') || escaped {
        sql.push_str(" E");
    }
    sql.push('\'');
    for char in text.chars() {
        match char {
            '\\' => sql.push_str("\\\\"),
            '\'' => sql.push_str("''"),
            '\0' => {}
            char if escaped && !char.is_ascii() => sql.push_str(&format!("\\U{:08X}", u32::from(char))),
            char => sql.push(char),
        }
    }
    sql.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Arc<Settings> {
        Arc::new(Settings::from_startup(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()))))
    }

    fn set(name: &str, value: &str) -> Event {
        Event::Set(name.into(), Value::Config(value.into()))
    }

    #[test]
    fn certain_names_are_in_order() {
        assert!(CERTAIN.is_sorted());
    }

    #[test]
    fn transactions_and_savepoints_undo_what_they_should() {
        let mut tracker = Tracker::new(settings(&[("timezone", "UTC")]));
        let value = |tracker: &Tracker| tracker.current().get("timezone").map(|value| value.first().to_owned());
        tracker.apply(&set("timezone", "A"));
        tracker.apply(&Event::Savepoint("s".into()));
        tracker.apply(&set("timezone", "B"));
        tracker.apply(&Event::Savepoint("s".into()));
        tracker.apply(&set("timezone", "C"));
        tracker.apply(&Event::RollbackTo("s".into()));
        assert_eq!(value(&tracker).as_deref(), Some("B"));
        tracker.apply(&Event::Release("s".into()));
        tracker.apply(&Event::RollbackTo("s".into()));
        assert_eq!(value(&tracker).as_deref(), Some("A"));
        tracker.apply(&Event::Rollback);
        assert_eq!(value(&tracker).as_deref(), Some("UTC"));
        tracker.apply(&set("timezone", "D"));
        tracker.apply(&Event::Commit);
        tracker.apply(&Event::Rollback);
        assert_eq!(value(&tracker).as_deref(), Some("D"));
        tracker.apply(&Event::Reset("timezone".into()));
        assert_eq!(value(&tracker).as_deref(), Some("UTC"), "RESET returns to the start-up value");
    }

    #[test]
    fn reset_all_leaves_the_role() {
        let mut tracker = Tracker::new(settings(&[("timezone", "UTC")]));
        tracker.apply(&set("role", "r"));
        tracker.apply(&set("work_mem", "1MB"));
        tracker.apply(&Event::ResetAll);
        assert_eq!(**tracker.current(), *settings(&[("timezone", "UTC"), ("role", "r")]));
        tracker.apply(&Event::DiscardAll);
        assert_eq!(**tracker.current(), *settings(&[("timezone", "UTC")]));
    }

    #[test]
    fn statements_that_put_a_value_back() {
        let again = |name: &str, text: &str| set_again(name, &Value::Config(text.into()), false, Charset::Utf8);
        assert_eq!(again("datestyle", "SQL, DMY"), "SET \"datestyle\" TO 'SQL, DMY'");
        assert_eq!(again("search_path", "\"$user\", public"), "SET \"search_path\" TO '$user','public'");
        for text in ["a,b", "user", "\"a\", b", "A", "", "a ", "\"x, y\"", "\"x\"\"y\""] {
            let query = format!("SELECT pg_catalog.set_config('search_path','{text}',false)");
            assert_eq!(again("search_path", text), query);
        }
        assert_eq!(set_again("role", &Value::Config("x".into()), true, Charset::Utf8), "SET LOCAL ROLE 'x'");
    }

    #[test]
    fn scripts() {
        let text = |have: &[(&str, &str)], want: &[(&str, &str)]| {
            script(&settings(have), &settings(want)).map(|script| (script.sql, script.certain))
        };
        assert_eq!(text(&[("a.b", "1")], &[("a.b", "1")]), None);
        assert_eq!(text(&[("a.b", "1")], &[]), Some(("RESET \"a\".\"b\";".into(), true)));
        assert_eq!(
            text(&[], &[("timezone", "it's")]),
            Some(("SELECT pg_catalog.set_config('timezone','it''s',false);".into(), true))
        );
        assert_eq!(
            text(&[("client_encoding", "latin1")], &[("a.b", "it's \\ é"), ("client_encoding", "utf8")]),
            Some((
                "SELECT pg_catalog.set_config('a.b', E'it''s \\\\ \\U000000E9',false);\
                 SELECT pg_catalog.set_config('client_encoding','utf8',false);"
                    .into(),
                false
            ))
        );
        assert_eq!(
            text(&[("role", "x"), ("work_mem", "1")], &[("role", "y"), ("session_authorization", "u")]),
            Some(("RESET ROLE;RESET \"work_mem\";SET SESSION AUTHORIZATION 'u';SET ROLE 'y';".into(), false))
        );
    }
}
