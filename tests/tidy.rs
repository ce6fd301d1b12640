//! The house rules, kept by reading the sources as text. Each list of exceptions gives a reason; one that is no longer
//! needed is a failure too.

use std::collections::BTreeSet;

use source::{Source, files, functions, is_word, sources, text_of, words};

#[path = "tidy/source.rs"]
mod source;

/// The modules and their floors (`docs/architecture.md`): the floor times ten, the last digit orders neighbours on one
/// floor of which one may use the other.
const FLOORS: &[(&str, u32)] = &[
    ("base", 0),
    ("config", 1),
    ("telemetry", 2),
    ("wire", 10),
    ("value", 10),
    ("sql", 10),
    ("catalog", 20),
    ("topology", 20),
    ("net", 20),
    ("plan", 30),
    ("backend", 30),
    ("execute", 40),
    ("cache", 50),
    ("jobs", 50),
    ("reshard", 50),
    ("session", 60),
    ("admin", 70),
    ("http", 70),
    ("server", 71),
    ("cli", 80),
];

/// Modules without input or output, clock, or chance.
const PURE: &[&str] = &["wire", "value", "sql", "catalog", "topology", "plan"];

/// What a pure module doesn't name.
const IMPURE: &[&str] = &["tokio", "socket2", "std::net", "Instant", "SystemTime", "rand", "getrandom", "SystemRandom"];

/// `(file, what, reason)`
type Exceptions = &'static [(&'static str, &'static str, &'static str)];

/// Names from a higher floor.
const HIGHER: Exceptions = &[];

/// Impure names in pure modules.
const NOT_PURE: Exceptions = &[];

/// State that the whole process shares: what, is the name as declared.
const SHARED_STATE: Exceptions = &[];

/// Longest file, in lines.
const FILE_LINES: usize = 700;

/// Files that may be longer.
const LONG_FILES: Exceptions = &[];

/// Longest function, in lines.
const FUNCTION_LINES: usize = 80;

/// Functions that may be longer.
const LONG_FUNCTIONS: Exceptions = &[
    ("tests/it/sessions/scripts.rs", "statements", "a table of scripts"),
    ("tests/it/sessions/scripts.rs", "what_is_said", "a table of scripts"),
    ("tests/it/sessions/scripts.rs", "pins", "a table of scripts"),
    ("tests/it/sessions/settings_scripts.rs", "settings", "a table of scripts"),
];

/// What ends the process where an error was meant.
const PANICS: &[&str] = &[
    ".unwrap()",
    ".unwrap_err()",
    ".expect(\"",
    ".expect(&",
    ".expect_err(\"",
    "panic!",
    "unreachable!",
    "todo!",
    "unimplemented!",
    "unwrap_unchecked",
];

/// Where they may stay.
const MAY_PANIC: Exceptions = &[];

/// What may be indexed without a check: what, is the indexed name.
const MAY_INDEX: Exceptions = &[
    ("src/sql/lexer.rs", "table", "a table of 256, filled in a constant"),
    ("src/sql/lexer.rs", "CLASS", "a table of 256, by a byte"),
    ("src/sql/parse/keywords.rs", "KEYWORDS", "filling a table in a constant"),
    ("src/sql/parse/keywords.rs", "table", "a table filled in a constant"),
    ("src/sql/parse/keywords.rs", "word", "filling a table in a constant"),
    ("src/sql/siphash.rs", "v", "an array of four, by constants"),
];

/// Files with `unsafe`.
const UNSAFE: Exceptions = &[
    ("src/value/libc_collation.rs", "unsafe", "strcoll_l, which no safe interface has"),
    ("src/server/turns/kernel.rs", "unsafe", "sched_setscheduler, which no safe interface has"),
];

/// Tracked text with an absolute path of one machine.
const ABSOLUTE_PATHS: Exceptions = &[("src/cli/cluster/account.rs", "/root", "lines of a passwd file in a test")];

/// Fields of `config::model` that nothing outside `config` reads yet, each with what will.
const UNREAD_SETTINGS: &[(&str, &str)] = &[];

/// The house, and whether each of its files is reached.
fn house() -> (Vec<Source>, BTreeSet<String>) {
    sources("src", &["src/lib.rs", "src/main.rs"])
}

/// Fails with what was found and isn't excepted, and with exceptions that fit nothing. `found`: file, what, where.
fn judge(rule: &str, found: &[(String, String, String)], exceptions: Exceptions) {
    let excepted =
        |(file, what, _): &&(String, String, String)| exceptions.iter().any(|(f, w, _)| f == file && w == what);
    let mut faults: Vec<String> =
        found.iter().filter(|f| !excepted(f)).map(|(file, what, place)| format!("{file}:{place}: {what}")).collect();
    for (file, what, reason) in exceptions {
        if !found.iter().any(|(f, w, _)| f == file && w == what) {
            faults.push(format!("{file}: the exception for {what} ({reason}) isn't needed any more"));
        }
    }
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

fn fault(source: &Source, what: &str, offset: usize) -> (String, String, String) {
    (source.path.clone(), what.to_owned(), source.line(offset).to_string())
}

#[test]
fn modules_import_from_lower_floors_only() {
    let floor = |module: &str| FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor);
    let mut found = Vec::new();
    for source in house().0 {
        let Some(module) = source.module() else { continue };
        let Some(own) = floor(module) else {
            panic!("{}: `{module}` has no floor; give it one in FLOORS", source.path)
        };
        for (used, offset) in names_from_the_root(&source) {
            if used != module && floor(&used).is_some_and(|theirs| theirs >= own) {
                found.push(fault(&source, &used, offset));
            }
        }
    }
    judge("a module uses one that isn't on a lower floor", &found, HIGHER);
}

/// The modules at the crate's root that a file names: `crate::x`, `crate::{x, y::z}`, or by enough `super`.
fn names_from_the_root(source: &Source) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let folders = source.path.matches('/').count();
    let inner = !source.path.ends_with("/mod.rs");
    let depth = folders - 1 + usize::from(inner);
    for root in ["crate::".to_owned(), "super::".repeat(depth.max(1))] {
        for (offset, _) in source.code.match_indices(&root) {
            let before = source.code.get(..offset).unwrap_or("");
            if before.ends_with(is_word) || before.ends_with("::") || (depth == 0 && root != "crate::") {
                continue;
            }
            let rest = source.code.get(offset + root.len()..).unwrap_or("");
            found.extend(first_names(rest).into_iter().map(|name| (name, offset)));
        }
    }
    found
}

/// The first name of a path, or of each path of a group in braces.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| text.trim_start().chars().take_while(|c| is_word(*c)).collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let mut names = vec![name(group)];
    let mut depth = 1;
    for (offset, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => names.push(name(group.get(offset + 1..).unwrap_or(""))),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

#[test]
fn names_from_the_root_are_found() {
    assert_eq!(first_names("wire::x"), ["wire"]);
    assert_eq!(first_names("{base::{Lsn, Secret}, net,\n plan::x};"), ["base", "net", "plan"]);
}

#[test]
fn pure_modules_have_no_input_output_clock_or_chance() {
    let mut found = Vec::new();
    for source in house().0.iter().filter(|source| source.module().is_some_and(|module| PURE.contains(&module))) {
        for name in IMPURE {
            found.extend(words(&source.code, name).take(1).map(|offset| fault(source, name, offset)));
        }
    }
    judge("a pure module names what isn't pure", &found, NOT_PURE);
}

#[test]
fn no_state_is_shared_by_the_whole_process() {
    let mut found = Vec::new();
    for source in &house().0 {
        for name in ["OnceLock", "LazyLock", "thread_local!", "lazy_static!", "static mut"] {
            found.extend(words(&source.code, name).take(1).map(|offset| fault(source, name, offset)));
        }
        for offset in words(&source.code, "static") {
            let declaration = source.code.get(offset..).unwrap_or("").split(['=', ';']).next().unwrap_or("");
            let mutable = ["Atomic", "Mutex", "RwLock", "Cell", "ArcSwap", "DashMap"];
            if declaration.contains(':') && mutable.iter().any(|kind| declaration.contains(kind)) {
                let name = declaration.split(':').next().unwrap_or("").trim_start_matches("static").trim();
                if !name.is_empty() && name.chars().all(is_word) {
                    found.push(fault(source, name, offset));
                }
            }
        }
    }
    judge("two proxies must run in one process, so nothing is process-wide", &found, SHARED_STATE);
}

#[test]
fn files_and_functions_are_short() {
    let mut long = Vec::new();
    let mut functions_found = Vec::new();
    for source in house().0.iter().chain(&sources("tests", &[]).0) {
        let lines = source.text.lines().count();
        if lines > FILE_LINES {
            long.push((source.path.clone(), "file".to_owned(), format!("{lines} lines")));
        }
        for (name, offset, lines) in functions(&source.masked) {
            if lines > FUNCTION_LINES {
                functions_found.push((source.path.clone(), name, format!("{} has {lines} lines", source.line(offset))));
            }
        }
    }
    judge(&format!("a file has more than {FILE_LINES} lines"), &long, LONG_FILES);
    judge(&format!("a function has more than {FUNCTION_LINES} lines"), &functions_found, LONG_FUNCTIONS);
}

#[test]
fn nothing_panics_where_an_error_was_meant() {
    let mut found = Vec::new();
    for source in &house().0 {
        for word in PANICS {
            found.extend(words(&source.code, word).map(|offset| fault(source, word, offset)));
        }
    }
    judge("return an error instead, or write why it can't happen in MAY_PANIC", &found, MAY_PANIC);
}

#[test]
fn nothing_is_indexed_without_a_check() {
    let mut found = Vec::new();
    for source in &house().0 {
        for (offset, _) in source.code.match_indices('[') {
            let before = source.code.get(..offset).unwrap_or("");
            if before.ends_with(|c: char| is_word(c) || c == ')' || c == ']') {
                let name: String = before.chars().rev().take_while(|c| is_word(*c)).collect();
                let name: String = name.chars().rev().collect();
                found.push(fault(source, if name.is_empty() { "[…]" } else { &name }, offset));
            }
        }
    }
    judge("use get, or write in MAY_INDEX why it can't be out of bounds", &found, MAY_INDEX);
}

#[test]
fn unsafe_code_is_named() {
    let mut found = Vec::new();
    for source in &house().0 {
        found.extend(words(&source.masked, "unsafe").take(1).map(|offset| fault(source, "unsafe", offset)));
    }
    judge("name the file in UNSAFE, with the reason", &found, UNSAFE);
}

#[test]
fn every_file_says_what_it_is_for() {
    for source in house().0.iter().chain(&sources("tests", &[]).0) {
        let first = source.text.lines().next().unwrap_or("");
        assert!(first.starts_with("//! "), "{}:1: begin with a `//!` sentence", source.path);
    }
}

#[test]
fn no_file_is_dead() {
    let trees = [("src", vec!["src/lib.rs", "src/main.rs"]), ("tests", vec!["tests/tidy.rs", "tests/it/main.rs"])];
    for (folder, roots) in trees {
        let (all, reached) = sources(folder, &roots);
        let dead: Vec<&str> = all.iter().map(|s| s.path.as_str()).filter(|path| !reached.contains(*path)).collect();
        assert!(dead.is_empty(), "no `mod` reaches {dead:?}");
    }
}

/// Text files of the package that people write.
fn tracked() -> Vec<(String, String)> {
    let tops = ["src", "tests", "config", "docs", "docker", "fuzz", ".ci", "benches", "scripts"];
    let single = ["Cargo.toml", "Makefile", "README.md", "deny.toml", "clippy.toml", "rustfmt.toml", ".gitignore"];
    let paths = tops.iter().flat_map(|top| files(top)).chain(single.iter().map(|name| (*name).to_owned()));
    let own = ["tests/tidy.rs", "Cargo.lock", "package-lock.json"];
    let skipped = move |path: &String| own.iter().any(|name| path.ends_with(name)) || path.contains("/corpus/");
    paths
        .filter(move |path| !skipped(path))
        .map(|path| (text_of(&path), path))
        .map(|(text, path)| (path, text))
        .collect()
}

#[test]
fn nothing_is_left_to_do_in_comments() {
    for (path, text) in tracked() {
        for word in ["TODO", "FIXME", "XXX"] {
            if let Some(offset) = words(&text, word).next() {
                let line = text.get(..offset).unwrap_or("").matches('\n').count() + 1;
                panic!("{path}:{line}: {word}; refuse what isn't there with a clear error instead");
            }
        }
    }
}

#[test]
fn no_path_of_one_machine_is_written_down() {
    let mut found = Vec::new();
    for (path, text) in tracked() {
        for root in ["/work", "/root", "/tmp"] {
            for offset in words(&text, root) {
                let before = text.get(..offset).and_then(|t| t.chars().next_back());
                // A part of a longer path, or of an address or a word: `$HOME/tmp`, `a/root`.
                if before.is_none_or(|c| !is_word(c) && !['}', ')', '.', '/', '-', '>'].contains(&c)) {
                    let line = text.get(..offset).unwrap_or("").matches('\n').count() + 1;
                    found.push((path.clone(), root.to_owned(), line.to_string()));
                }
            }
        }
    }
    judge("an absolute path of one machine", &found, ABSOLUTE_PATHS);
}

#[test]
fn every_setting_is_in_the_table_and_is_read() {
    let house = house().0;
    let model = house.iter().find(|source| source.path == "src/config/model.rs").expect("the model");
    let keys = house.iter().find(|source| source.path == "src/config/keys.rs").expect("the table of keys");
    let mut unread = Vec::new();
    for (owner, field, offset) in fields(model) {
        let settings = ["Server", "Log", "Auth", "User", "Database", "Pool", "Replicas"].contains(&owner.as_str());
        let structure = ["name", "pool", "replicas"].contains(&field.as_str());
        if settings && !structure {
            let in_table = words(&keys.code, &field)
                .any(|at| keys.code.get(..at).is_some_and(|before| before.trim_end().ends_with(['.', '>'])));
            assert!(in_table, "{}:{}: `{owner}.{field}` has no key in the table", model.path, model.line(offset));
        }
        let outside = |source: &&Source| source.module().is_some_and(|module| module != "config");
        let read = house.iter().filter(outside).any(|source| reads(&source.code, &field));
        if !read {
            unread.push(fault(model, &format!("{owner}.{field}"), offset));
        }
    }
    unread.retain(|(_, field, _)| !UNREAD_SETTINGS.iter().any(|(excepted, _)| excepted == field));
    judge("a setting that nothing reads", &unread, &[]);
}

/// The public fields of a file's structs: owner, field, place.
fn fields(source: &Source) -> Vec<(String, String, usize)> {
    let name = |text: &str| text.trim_start().chars().take_while(|c| is_word(*c)).collect::<String>();
    let mut found = Vec::new();
    let mut owner = String::new();
    let mut offset = 0;
    for line in source.code.split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix("pub struct ") {
            owner = name(rest);
        } else if let Some(rest) = line.strip_prefix("    pub ")
            && rest.get(name(rest).len()..).is_some_and(|rest| rest.starts_with(':'))
        {
            found.push((owner.clone(), name(rest), offset));
        }
        offset += line.len();
    }
    found
}

/// Whether code takes a field of that name out of something: `.field` not followed by a call, or in a pattern.
fn reads(code: &str, field: &str) -> bool {
    words(code, field).any(|at| {
        let before = code.get(..at).unwrap_or("");
        let after = code.get(at + field.len()..).unwrap_or("").trim_start();
        before.ends_with('.') && !before.ends_with("..") && !after.starts_with('(')
    })
}
