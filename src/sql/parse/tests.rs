//! What is read and how: precedence by printing with parentheses, bytes of nodes, refusals, depth.

use super::explicit::{each_expr, explicit};
use super::parse;
use crate::sql::ast::{QueryBody, SelectItemKind, Statement};

/// The expression as it is read, with parentheses around each operator.
fn read(expression: &str) -> String {
    let sql = format!("select {expression}");
    match parse(&sql, true) {
        Ok(statement) => explicit(&sql, &statement)["select ".len()..].to_owned(),
        Err(stopped) => format!("stopped at {}: {}", stopped.at, stopped.expected),
    }
}

#[test]
fn precedence_is_postgresqls() {
    for (expression, wanted) in [
        ("1 + 2 * 3", "(1 + (2 * 3))"),
        ("1 - 2 - 3", "((1 - 2) - 3)"),
        ("2 ^ 3 ^ 2", "((2 ^ 3) ^ 2)"),
        ("-2 ^ 2", "((-2) ^ 2)"),
        ("- a::int", "(- (a::int))"),
        ("@ a + b", "(@ (a + b))"),
        ("a || b + c", "(a || (b + c))"),
        ("a or b and not c = d", "(a or (b and (not (c = d))))"),
        ("a is null is null", "((a is null) is null)"),
        ("a = b is null", "((a = b) is null)"),
        ("a < b = any (c)", "stopped at 13: parentheses: the operator isn't associative"),
        ("a = any (b) = c", "((a = any (b)) = c)"),
        ("a between 1 and 2 and b", "((a between 1 and 2) and b)"),
        ("a = b in (c, d)", "(a = (b in (c, d)))"),
        ("a like b || c escape d", "(a like (b || c) escape d)"),
        ("a at time zone b at time zone c", "((a at time zone b) at time zone c)"),
        ("a || b collate c", "(a || (b collate c))"),
        ("- a collate c", "((- a) collate c)"),
        ("a operator(s.*) b + c", "(a operator(s.*) (b + c))"),
        ("not a in (select 1) or b", "((not (a in (select 1))) or b)"),
        ("a isnull and b", "((a isnull) and b)"),
    ] {
        assert_eq!(read(expression), wanted, "{expression}");
    }
}

#[test]
fn what_isnt_known_is_stopped_at() {
    for sql in [
        "",
        ";",
        "select 1; select 2",
        "select a b c",
        "select select",
        "select 1 < 2 < 3",
        "select a from",
        "selec 1",
        "select 1 day",
        "select * from t left",
        "select f(1) 'x'",
        "select array[1][1]",
        "select system_user",
        "insert into t",
        "update t set",
        "delete t",
        "select 1 limit 1, 2",
        "values",
        "select 'a' 'b'",
        "select (1",
        "create table t (a int)",
        "select * from (t)",
        "select a from t where",
        "select x as",
        "with a as select 1",
        "select 1 from t join u",
        "select 1 is 2",
        "select user.a",
        "select 1 a.b",
        "merge into t using u on true",
    ] {
        assert!(parse(sql, true).is_err(), "{sql}: {:?}", parse(sql, true));
    }
}

#[test]
fn the_corpus_is_read_and_its_bytes_nest() {
    let corpus = include_str!("../../../tests/corpus/parser.sql");
    let mut count = 0;
    for sql in corpus.lines().filter(|line| !line.starts_with("-- ")) {
        let statement = parse(sql, true).unwrap_or_else(|stopped| panic!("{sql}: {stopped:?}"));
        each_expr(&statement, &mut |expr| {
            let text = expr.span.of(sql);
            assert!(!text.is_empty() && text.trim() == text, "{sql}: {text:?}");
            // Only FROM takes XMLTABLE. The inner list of ARRAY[[…]] is no expression by itself.
            if text.starts_with("xmltable") {
                return;
            }
            let again = if text.starts_with('[') { format!("select array{text}") } else { format!("select {text}") };
            assert!(parse(&again, true).is_ok(), "{again}");
        });
        let again = explicit(sql, &statement);
        assert!(parse(&again, true).is_ok(), "{again}");
        count += 1;
    }
    assert!(count > 150, "{count}");
}

#[test]
fn items_tell_their_labels() {
    let sql = "select a, b isnull, c as \"X y\", t.*, *, d value from t";
    let Ok(Statement::Query(query)) = parse(sql, true) else { panic!("{:?}", parse(sql, true)) };
    let QueryBody::Select(select) = &query.body else { panic!("{query:?}") };
    let labels: Vec<_> =
        select.items.iter().map(|item| item.alias.as_ref().map(|alias| alias.value.as_str())).collect();
    assert_eq!(labels, [None, None, Some("X y"), None, None, Some("value")]);
    assert!(matches!(&select.items[3].kind, SelectItemKind::Star(Some(name)) if name.span.of(sql) == "t"));
    assert_eq!(select.items_span.of(sql), "a, b isnull, c as \"X y\", t.*, *, d value");
}

#[test]
fn deep_and_tall_statements_are_stopped_at_on_a_small_stack() {
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(|| {
        let deep = 20_000;
        for (open, middle, close) in [
            ("(", "1", ")"),
            ("(select ", "1", ")"),
            ("array[", "1", "]"),
            ("f(", "1", ")"),
            ("- ", "1", ""),
            ("not ", "a", ""),
            ("case when ", "1", " then 1 end"),
            ("", "a", "[1]"),
            ("", "a", " + 1"),
            ("", "a", "::int"),
            ("", "a", " is null"),
            ("a ^ (", "1", ")"),
            ("", "1 from a", " cross join b"),
            ("1 from (", "a", " cross join b)"),
            ("", "1", " union select 1"),
            ("1 = any (", "a", ")"),
            ("1 from a where exists (select ", "1", ")"),
            ("1 in (1, ", "1", ")"),
            ("1 between - ", "1", " and 2"),
        ] {
            for count in [30, 90, 240, deep] {
                let sql = format!("select {}{middle}{}", open.repeat(count), close.repeat(count));
                let read = parse(&sql, true);
                assert!(count < deep || read.is_err(), "{open}{middle}{close}");
                drop(read);
            }
        }
    });
    thread.unwrap().join().unwrap();
    // Conditions in a row don't grow the tree.
    assert!(parse(&format!("select {}", vec!["a = 1"; 5_000].join(" or ")), true).is_ok());
}
