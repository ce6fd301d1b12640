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
