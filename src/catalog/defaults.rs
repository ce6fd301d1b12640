//! What a session's settings are before it sets any: a server's own, and those of ALTER ROLE and ALTER DATABASE.

use std::collections::BTreeMap;

/// The settings that answers hang on, as far as any role may set them. What shards have differently, sessions get from
/// the home shard.
const ANSWERS: &[&str] = &[
    "array_nulls",
    "backslash_quote",
    "bytea_output",
    "client_encoding",
    "datestyle",
    "default_text_search_config",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "intervalstyle",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "quote_all_identifiers",
    "role",
    "row_security",
    "search_path",
    "standard_conforming_strings",
    "timezone",
    "timezone_abbreviations",
    "transform_null_equals",
    "xmlbinary",
    "xmloption",
];

/// Those of them by which statements are read and transactions run: a session says them aloud where they aren't PostgreSQL's own.
const READING: &[(&str, &str)] = &[
    ("client_encoding", ""),
    ("default_transaction_isolation", "read committed"),
    ("role", ""),
    ("standard_conforming_strings", "on"),
];

/// PostgreSQL's own search path.
pub const SEARCH_PATH: &str = "\"$user\", public";

/// One database's defaults, as its server has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// For everybody, by name.
    server: BTreeMap<String, String>,
    /// Of ALTER ROLE and ALTER DATABASE: how near it is (`process_settings`), the role ("": all), name, value.
    own: Vec<(u8, String, String, String)>,
}

impl Defaults {
    /// From the rows of the catalog's query: kind, role, name, value.
    pub(super) fn from_rows(rows: &[Vec<Option<String>>]) -> Self {
        let mut defaults = Self::default();
        for row in rows {
            let text = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
            let name = text(2).to_ascii_lowercase();
            if !ANSWERS.contains(&name.as_str()) {
                continue;
            }
            match text(0).parse() {
                Ok(0) | Err(_) => {
                    defaults.server.insert(name, text(3).to_owned());
                }
                Ok(near) => defaults.own.push((near, text(1).to_owned(), name, text(3).to_owned())),
            }
        }
        defaults.own.sort();
        defaults
    }

    /// A role's, when it logs in.
    fn of(&self, user: &str) -> BTreeMap<&str, &str> {
        let mut found: BTreeMap<&str, &str> = self.server.iter().map(|(name, value)| (&**name, &**value)).collect();
        for (_, role, name, value) in &self.own {
            if role.is_empty() || role == user {
                found.insert(name, value);
            }
        }
        found
    }
}

/// What a session of `user` over these shards must say when it starts, so that it is the same on all of them and is read
/// as the home shard reads it.
pub fn spoken(home: &Defaults, shards: &[&Defaults], user: &str) -> Vec<(String, String)> {
    let ours = home.of(user);
    let others: Vec<_> = shards.iter().map(|shard| shard.of(user)).collect();
    let mut spoken =
        vec![("search_path".to_owned(), ours.get("search_path").copied().unwrap_or(SEARCH_PATH).to_owned())];
    for (name, value) in &ours {
        let differs = others.iter().any(|other| other.get(name) != Some(value));
        let reads = READING.iter().any(|(reading, own)| reading == name && own != value);
        if *name != "search_path" && (differs || reads) {
            spoken.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    // No server lists a role: where a shard has one by ALTER ROLE, and the home shard none, there is to be none.
    if !ours.contains_key("role") && others.iter().any(|other| other.contains_key("role")) {
        spoken.push(("role".to_owned(), "none".to_owned()));
    }
    spoken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults(rows: &[[&str; 4]]) -> Defaults {
        let rows: Vec<_> = rows.iter().map(|row| row.iter().map(|text| Some((*text).to_owned())).collect()).collect();
        Defaults::from_rows(&rows)
    }

    fn said(home: &Defaults, other: &Defaults, user: &str) -> String {
        let spoken = spoken(home, &[home, other], user);
        spoken.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_nearest_counts_and_what_is_alike_is_left_out() {
        let home = defaults(&[
            ["0", "", "TimeZone", "UTC"],
            ["0", "", "search_path", SEARCH_PATH],
            ["0", "", "work_mem", "1"],
            ["3", "ann", "search_path", "b"],
            ["1", "", "search_path", "a"],
            ["2", "ann", "search_path", "x"],
        ]);
        assert_eq!(said(&home, &home, "ann"), "search_path=b");
        assert_eq!(said(&home, &home, "bob"), "search_path=a");
        let other = defaults(&[["0", "", "TimeZone", "CET"], ["0", "", "work_mem", "2"]]);
        assert_eq!(said(&home, &other, "bob"), "search_path=a timezone=UTC");
        assert_eq!(said(&other, &home, "bob"), format!("search_path={SEARCH_PATH} timezone=CET"));
    }

    #[test]
    fn a_role_of_another_shards_is_none_here() {
        let (home, other) = (defaults(&[]), defaults(&[["2", "ann", "role", "clerk"]]));
        assert_eq!(said(&home, &other, "ann"), format!("search_path={SEARCH_PATH} role=none"));
        assert_eq!(said(&home, &other, "bob"), format!("search_path={SEARCH_PATH}"));
        assert_eq!(said(&other, &home, "ann"), format!("search_path={SEARCH_PATH} role=clerk"));
    }

    #[test]
    fn what_statements_are_read_by_is_said_aloud() {
        let off = ["2", "ann", "standard_conforming_strings", "off"];
        let home = defaults(&[["0", "", "standard_conforming_strings", "on"], off]);
        assert_eq!(said(&home, &home, "ann"), format!("search_path={SEARCH_PATH} standard_conforming_strings=off"));
        assert_eq!(said(&home, &home, "bob"), format!("search_path={SEARCH_PATH}"));
    }
}
