//! Any text: read or stopped at without a panic; each span of the tree lies on characters of the text and inside its
//! parent's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgbraid::sql::parse::parse;

type Span = (usize, usize);

/// Of a node whose printed form isn't closed yet: its own span, and those inside.
#[derive(Default)]
struct Open {
    own: Option<Span>,
    inside: Vec<Span>,
}

/// Checks the spans of a printed tree (`{:?}` shows every field of every node, so none is forgotten here).
fn check(printed: &str, sql: &str) {
    let mut open = vec![Open::default()];
    let mut rest = printed;
    while let Some(at) = rest.find(['{', '}', '"']) {
        let (before, after) = rest.split_at(at);
        rest = &after[1..];
        match after.as_bytes()[0] {
            b'"' => rest = behind_text(rest),
            b'{' if before.ends_with("Span ") => {
                let end = rest.find('}').unwrap();
                let numbers: Vec<usize> = rest[..end].split(|c: char| !c.is_ascii_digit()).flat_map(str::parse).collect();
                let span = (numbers[0], numbers[1]);
                assert!(sql.get(span.0..span.1).is_some(), "{span:?} of {sql:?}: {printed}");
                let node = open.last_mut().unwrap();
                if before.ends_with(" span: Span ") {
                    node.own = Some(span);
                } else if before.ends_with(" modifiers: Some(Span ") {
                    // `interval '1' day`: the fields stand behind the value, outside the type's name.
                } else {
                    node.inside.push(span);
                }
                rest = &rest[end + 1..];
            }
            b'{' => open.push(Open::default()),
            _ => {
                let node = open.pop().unwrap();
                let parent = open.last_mut().unwrap();
                let Some(own) = node.own else {
                    parent.inside.extend(node.inside);
                    continue;
                };
                for span in node.inside {
                    assert!(own.0 <= span.0 && span.1 <= own.1, "{span:?} isn't in {own:?} of {sql:?}: {printed}");
                }
                parent.inside.push(own);
            }
        }
    }
}

/// What follows the text constant that `rest` is in.
fn behind_text(rest: &str) -> &str {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return &rest[at + 1..],
            _ => {}
        }
    }
    ""
}

fuzz_target!(|data: &[u8]| {
    let Ok(sql) = std::str::from_utf8(data) else { return };
    for standard_strings in [true, false] {
        match parse(sql, standard_strings) {
            Ok(statement) => check(&format!("{statement:?}"), sql),
            Err(stopped) => assert!(sql.is_char_boundary(stopped.at as usize)),
        }
    }
});
