//! How a session reads texts: the settings that a statement's meaning hangs on, taken out once for each change of them.

use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::Arc;

use super::Coordinator;
use crate::backend::settings::{Settings, Value};
use crate::session::familiar::Manner;
use crate::session::value_text;

/// What a text's meaning hangs on besides the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reads {
    pub search_path: Option<Value>,
    /// Who it is: its role, whom it is authorized as, or who logged in. `$user` in the search path.
    pub user: String,
    pub standard_strings: bool,
    /// The shard that the session has chosen.
    pub shard: Option<Value>,
    /// The client speaks UTF-8.
    pub utf8: bool,
}

/// The same with its hash, for the settings that it was taken from. The hash is a secret's: nobody can choose settings so
/// that another's routes are found by them.
pub(super) struct Taken {
    from: Arc<Settings>,
    reads: Rc<Reads>,
    hash: u64,
}

impl Reads {
    fn of(settings: &Settings, login: &str) -> Self {
        let named = |name: &str, nobody: &str| {
            settings.get(name).map(value_text).filter(|value| !value.eq_ignore_ascii_case(nobody))
        };
        let user = named("role", "none").or_else(|| named("session_authorization", "default")).unwrap_or(login);
        let standard_strings = match settings.get("standard_conforming_strings") {
            None => true,
            Some(value) => ["on", "true", "yes", "1"].contains(&value_text(value)),
        };
        let utf8 = settings.get("client_encoding").is_none_or(|name| {
            let plain: String = value_text(name).chars().filter(char::is_ascii_alphanumeric).collect();
            ["utf8", "unicode"].contains(&plain.to_ascii_lowercase().as_str())
        });
        Self {
            search_path: settings.get("search_path").cloned(),
            user: user.to_owned(),
            standard_strings,
            shard: settings.get("pgbraid.shard").cloned(),
            utf8,
        }
    }
}

impl Coordinator {
    fn with_taken<T>(&self, look: impl FnOnce(&Taken) -> T) -> T {
        let settings = self.settings();
        let mut taken = self.reads.borrow_mut();
        match &*taken {
            Some(taken) if Arc::ptr_eq(&taken.from, &settings) => look(taken),
            _ => {
                let reads = Reads::of(&settings, &self.origin.user_name);
                let hash = self.worker.key.hash(format!("{reads:?}").as_bytes()) as u64;
                look(taken.insert(Taken { from: settings, reads: Rc::new(reads), hash }))
            }
        }
    }

    /// How the session reads texts now.
    pub(super) fn reads(&self) -> Rc<Reads> {
        self.with_taken(|taken| taken.reads.clone())
    }

    /// The same as a number, with the session's own temporary tables, to look routes up by. `None`: it has chosen its shard.
    pub(super) fn manner(&self) -> Option<Manner> {
        let own = self.own_names();
        self.with_taken(|taken| {
            let number = taken.hash ^ rustc_hash::FxBuildHasher.hash_one(own);
            taken.reads.shard.is_none().then_some(Manner { number, standard_strings: taken.reads.standard_strings })
        })
    }

    /// The session that has temporary tables, whose names mean nothing to others, and how often it has changed them.
    pub(super) fn own_names(&self) -> (i32, u32) {
        match self.temporary.is_empty() && self.sql_prepared.is_empty() {
            true => (0, 0),
            false => (self.client.process_id, self.temporary.revision()),
        }
    }

    pub(super) fn standard_strings(&self) -> bool {
        self.with_taken(|taken| taken.reads.standard_strings)
    }

    /// Whether the client's text has the bytes that the servers store and hash: both sides are UTF-8.
    pub(super) fn reads_utf8(&self) -> bool {
        self.with_taken(|taken| taken.reads.utf8) && self.last_view().is_none_or(|view| view.schema.encoding == "UTF8")
    }
}
