//! What the documents show works: their configurations are read by the same code as any other.

use std::path::Path;

use pgbraid::config::{Environment, parse};

/// Answers whatever is asked.
struct Anything;

impl Environment for Anything {
    fn var(&self, _name: &str) -> Option<String> {
        Some("anything".to_owned())
    }

    fn read_file(&self, _path: &Path) -> std::io::Result<String> {
        Ok("anything".to_owned())
    }
}

fn document(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn configurations_in_the_documents_have_no_mistakes() {
    let readme = document("README.md");
    let blocks: Vec<&str> =
        readme.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let parsed = parse(block, "README.md", &Anything);
        assert!(parsed.is_ok(), "{parsed:?}\n{block}");
    }
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    for (path, folder) in [("README.md", ""), ("docs/getting-started.md", "docs/")] {
        for link in document(path).split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let target = format!("{folder}{link}");
            let there = link.starts_with("https://") || Path::new(env!("CARGO_MANIFEST_DIR")).join(&target).exists();
            assert!(there, "{path}: {link}");
        }
    }
}

/// `sharded::bank::the_sum_never_changes` is a test; `conversation …` has a talk of that name.
#[test]
fn tests_that_are_named_in_the_documents_are_there() {
    let text = document("docs/transactions.md");
    let named: Vec<&str> = text.split('`').skip(1).step_by(2).filter(|name| name.starts_with("sharded::")).collect();
    assert!(named.len() > 10);
    for name in named {
        let (path, test) = name.rsplit_once("::").unwrap();
        let file = format!("tests/it/{}.rs", path.replace("::", "/"));
        assert!(document(&file).contains(&format!("fn {test}(")), "{name}");
    }
    let talks: String =
        ["session", "extended", "cursors"].map(|file| document(&format!("tests/corpus/sharded/{file}.talk"))).concat();
    let rows = text.lines().filter_map(|line| line.split_once("conversation")).map(|(_, rest)| rest);
    for name in rows.flat_map(|rest| rest.split('`').skip(1).step_by(2)).filter(|name| !name.ends_with(".sql")) {
        assert!(name.contains('*') || talks.contains(&format!("== {name}\n")), "{name}");
    }
}

/// `tests/corpus/traps.txt` says where each known mistake is tested.
#[test]
fn every_trap_has_its_test() {
    let mut traps = 0;
    for line in document("tests/corpus/traps.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (trap, places) = line.split_once(" | ").expect(line);
        traps += 1;
        for place in places.split(" | ") {
            let (file, names) = place.split_once(": ").expect(line);
            for name in names.split("; ") {
                let there = match file {
                    "it" => {
                        let (path, test) = name.rsplit_once("::").expect(line);
                        document(&format!("tests/it/{}.rs", path.replace("::", "/"))).contains(&format!("fn {test}("))
                    }
                    _ if file.ends_with(".talk") => {
                        document(&format!("tests/corpus/sharded/{file}")).contains(&format!("== {name}\n"))
                    }
                    _ => document(&format!("tests/corpus/oracle/{file}")).contains(&format!("-- name: {name}\n")),
                };
                assert!(there, "{trap}: {name}");
            }
        }
    }
    assert!(traps > 50, "only {traps} traps");
}
