//! Names of settings of users' own making (`app.tenant`) that a piece of code sets.

/// The names with a dot that the text hands to `set_config` as literals, or names behind SET, wherever they stand: in a
/// function's body, in a DO block. Names that are computed aren't found.
pub fn custom_settings(text: &str) -> Vec<String> {
    let lower = text.to_ascii_lowercase();
    let mut names = Vec::new();
    for (at, _) in lower.match_indices("set_config") {
        let rest = lower.get(at + "set_config".len()..).unwrap_or_default().trim_start();
        let quoted = rest.strip_prefix('(').map(str::trim_start).and_then(|rest| rest.strip_prefix('\''));
        // Within a quoted body each quote stands twice.
        let name = quoted.map(|rest| rest.trim_start_matches('\'')).and_then(|rest| rest.split('\'').next());
        names.extend(name.filter(|name| is_custom(name)).map(str::to_owned));
    }
    let mut words = lower.split_ascii_whitespace().peekable();
    while let Some(word) = words.next() {
        if word != "set" && !word.ends_with("$set") && !word.ends_with(";set") {
            continue;
        }
        if matches!(words.peek(), Some(&("session" | "local"))) {
            words.next();
        }
        let name = words.peek().and_then(|word| word.split(['=', ';']).next());
        names.extend(name.filter(|name| is_custom(name)).map(str::to_owned));
    }
    names.sort();
    names.dedup();
    names
}

/// Identifiers with dots between them (`valid_custom_variable_name`).
fn is_custom(name: &str) -> bool {
    let sound = |part: &str| {
        part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_$".contains(&b))
            && part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    };
    name.contains('.') && name.len() < 64 && name.split('.').all(sound)
}

#[cfg(test)]
mod tests {
    use super::custom_settings;

    #[test]
    fn names_are_found_wherever_they_stand() {
        for (text, names) in [
            ("select set_config('app.Tenant', $1, false)", &["app.tenant"][..]),
            ("perform pg_catalog.SET_CONFIG ( 'a.b', x, true); set local c.d = 1;set e.f to 2", &["a.b", "c.d", "e.f"]),
            ("execute 'select set_config(''a.b'', ''x'', false)'", &["a.b"]),
            ("update t set x.y = 1", &["x.y"]),
            ("set b.c..0 = 1; set d.7 = 1; set 7.e = 1; set .f = 1", &[]),
            ("select set_config('work_mem', '1MB', false), set_config(name, v, false)", &[]),
        ] {
            assert_eq!(custom_settings(text), names, "{text}");
        }
    }
}
