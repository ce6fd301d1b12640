//! What prepared statements mean after definitions changed.

use super::turns::{Script, Step, q, say, script, x};
use crate::support::build;

/// Definitions change under statements, which are prepared again by the same text under other names.
pub fn defined() -> Script {
    let query = "SELECT a, b FROM changing WHERE a > $1 ORDER BY a";
    let anew = |name: &str| {
        say([
            build::parse(name, query, &[]),
            build::describe(b'S', name),
            build::bind("", name, &[Some("0")]),
            build::describe(b'P', ""),
            build::execute("", 0),
            build::sync(),
        ])
    };
    let run = |name: &str| say([build::bind("", name, &[Some("0")]), build::execute("", 0), build::sync()]);
    script(
        "definitions change",
        [
            q("CREATE TABLE changing (a int, b text); INSERT INTO changing VALUES (1, 'x')"),
            anew("a"),
            x("ALTER TABLE changing ALTER b TYPE varchar(9)", &[]),
            anew("b"),
            run("a"),
            q("BEGIN"),
            x("ALTER TABLE changing ALTER a TYPE bigint", &[]),
            anew("c"),
            q("SAVEPOINT s"),
            q("ALTER TABLE changing ALTER a TYPE numeric"),
            anew("d"),
            x(query, &["0"]),
            q("ROLLBACK TO s"),
            anew("e"),
            run("c"),
            q("ROLLBACK"),
            anew("f"),
            run("b"),
            run("c"),
            q("BEGIN; DROP TABLE changing; CREATE TABLE changing (b text, a numeric)"),
            anew("g"),
            q("COMMIT"),
            run("g"),
            run("f"),
            q("ALTER TABLE changing ALTER a TYPE int USING a::int, ALTER b TYPE varchar(9)"),
            run("f"),
            run("b"),
            run("g"),
            q("BEGIN; ALTER TABLE changing ALTER a TYPE bigint"),
            run("f"),
            q("ROLLBACK"),
            run("f"),
            say([
                build::parse("", "ALTER TABLE changing ALTER a TYPE bigint", &[]),
                build::bind("", "", &[]),
                build::execute("", 0),
                build::parse("k", query, &[]),
                build::bind("", "k", &[Some("0")]),
                build::execute("", 0),
                build::bind("", "f", &[Some("0")]),
                build::execute("", 0),
                build::sync(),
            ]),
            run("f"),
            run("k"),
            q("CREATE TEMP TABLE changing (a int2, b \"char\")"),
            Step::Pinned,
            anew("h"),
            q("DROP TABLE pg_temp.changing"),
            anew("i"),
            q("DROP TABLE changing"),
            anew("j"),
            q("DISCARD ALL"),
            Step::Shared,
        ],
    )
}
