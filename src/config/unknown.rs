//! What to say of a name that isn't known: the nearest right one, the section where it belongs, PgBouncer's word for it.

use super::keys::{self, Section};
use super::mistake::Mistakes;

/// The sections at the top of the file.
pub(super) const SECTIONS: &[&str] = &["server", "log", "auth", "users", "databases"];

/// Names that people bring from PgBouncer, and where the same thing is set here.
const PGBOUNCER: &[(&str, &str)] = &[
    ("admin_users", "[server] admin_users"),
    ("auth_file", "[users.NAME] password"),
    ("auth_query", "[auth] query"),
    ("auth_type", "[auth] method"),
    ("auth_user", "[databases.NAME] service_user"),
    ("client_login_timeout", "[server] login_timeout"),
    ("client_tls_ca_file", "[server] tls_client_ca"),
    ("client_tls_cert_file", "[server] tls_cert"),
    ("client_tls_key_file", "[server] tls_key"),
    ("client_tls_sslmode", "[server] tls"),
    ("default_pool_size", "[databases.NAME] pool_size"),
    ("idle_transaction_timeout", "[databases.NAME] idle_transaction_timeout"),
    ("listen_addr", "[server] listen = \"host:port\""),
    ("listen_port", "[server] listen = \"host:port\""),
    ("max_client_conn", "[server] max_clients"),
    ("query_wait_timeout", "[databases.NAME] pool_wait"),
    ("server_check_delay", "[databases.NAME] health_interval"),
    ("server_connect_timeout", "[databases.NAME] connect_timeout"),
    ("server_idle_timeout", "[databases.NAME] idle_timeout"),
    ("server_lifetime", "[databases.NAME] max_lifetime"),
    ("server_tls_sslmode", "?sslmode=… in a server's URL"),
    ("server_tls_ca_file", "?sslrootcert=… in a server's URL"),
];

/// Notes a key that its section doesn't have.
pub(super) fn key(section: Section, name: &str, offset: usize, mistakes: &mut Mistakes) {
    let message = format!("{} has no key `{name}`", section.header());
    let mine = || keys::all().into_iter().filter(move |key| key.section == section).map(|key| key.name);
    let hint = if section == Section::Database && name == "users" {
        "users are the same for all databases: write a section [users.NAME]".to_owned()
    } else if let Some(near) = nearest(name, mine()).filter(|near| close(name, near)) {
        format!("did you mean `{near}`?")
    } else if let Some(place) = elsewhere(name) {
        place
    } else {
        format!("its keys are {}", mine().collect::<Vec<_>>().join(", "))
    };
    mistakes.hinted(offset, message, hint);
}

/// Notes a name at the top of the file that isn't a section.
pub(super) fn section(name: &str, offset: usize, mistakes: &mut Mistakes) {
    let message = format!("there is no section [{name}]");
    let hint = if let Some(near) = nearest(name, SECTIONS.iter().copied()) {
        format!("did you mean {}?", how_to_open(near))
    } else if let Some(place) = elsewhere(name) {
        place
    } else {
        "the sections are [server], [log], [auth], [users.NAME], [databases.NAME]".to_owned()
    };
    mistakes.hinted(offset, message, hint);
}

/// The header that opens a section.
pub(super) fn how_to_open(section: &str) -> String {
    match section {
        "users" | "databases" => format!("[{section}.NAME]"),
        _ => format!("[{section}]"),
    }
}

/// Where a name that doesn't belong here does.
fn elsewhere(name: &str) -> Option<String> {
    let homes: Vec<&str> = keys::all().iter().filter(|key| key.name == name).map(|key| key.section.header()).collect();
    if !homes.is_empty() {
        return Some(format!("`{name}` belongs in {}", homes.join(" or ")));
    }
    if let Some((_, place)) = PGBOUNCER.iter().find(|(theirs, _)| *theirs == name) {
        return Some(format!("PgBouncer's `{name}` is {place} here"));
    }
    let all = keys::all();
    let near = nearest(name, all.iter().map(|key| key.name))?;
    let key = all.iter().find(|key| key.name == near)?;
    Some(format!("did you mean `{near}` in {}?", key.section.header()))
}

/// The candidate most like `name`, if any is like it at all.
pub(super) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(&name.to_lowercase(), candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// A slip of the fingers rather than another word.
fn close(name: &str, candidate: &str) -> bool {
    // Words that begin alike (`server_lifetime`, `server_idle_timeout`) score high: a name known elsewhere goes first.
    strsim::damerau_levenshtein(&name.to_lowercase(), candidate) <= 2
        || !(PGBOUNCER.iter().any(|(theirs, _)| *theirs == name) || keys::all().iter().any(|key| key.name == name))
}
