//! Cases of lexing, literals, splitting and fingerprints.

use super::literal::text_value;
use super::statement::split;
use super::*;
use proptest::prelude::*;

/// Kind letters and bytes of the tokens, spaces left out.
fn lex(sql: &str, scs: bool) -> String {
    let mut out = Vec::new();
    for token in Lexer::new(sql.as_bytes(), scs) {
        let letter = match token.kind {
            TokenKind::Space => continue,
            TokenKind::Comment => 'c',
            TokenKind::Word => 'w',
            TokenKind::Quoted => 'q',
            TokenKind::UnicodeQuoted => 'u',
            TokenKind::Text => 't',
            TokenKind::Bits => 'b',
            TokenKind::Number => 'n',
            TokenKind::Param => 'p',
            TokenKind::Operator => 'o',
            TokenKind::LeftParen | TokenKind::RightParen => '(',
            TokenKind::Comma => ',',
            TokenKind::Semicolon => ';',
            TokenKind::Dot => '.',
            TokenKind::Symbol => 's',
            TokenKind::Error => '!',
        };
        out.push(format!("{letter}{}", String::from_utf8_lossy(token.bytes(sql.as_bytes()))));
    }
    out.join("|")
}

#[test]
fn cuts_as_scan_l_does() {
    let cases: &[(&str, &str)] = &[
        ("select 1", "wselect|n1"),
        ("SELECT a.b, \"C d\"\"e\"", "wSELECT|wa|..|wb|,,|q\"C d\"\"e\""),
        ("a--b\nc", "wa|c--b|wc"),
        ("a--b\rc", "wa|c--b|wc"),
        ("/* a /* b */ c */d", "c/* a /* b */ c */|wd"),
        ("/* a /* b */", "!/* a /* b */"),
        ("/*/", "!/*/"),
        ("/**/a", "c/**/|wa"),
        ("1+-2", "n1|o+|o-|n2"),
        ("1*-2", "n1|o*|o-|n2"),
        ("1 @- 2", "n1|o@-|n2"),
        ("a<>-1", "wa|o<>|o-|n1"),
        ("a+/*x*/b", "wa|o+|c/*x*/|wb"),
        ("a@--x", "wa|o@|c--x"),
        ("a<--x", "wa|o<|c--x"),
        ("a*/b", "wa|o*/|wb"),
        ("a::int", "wa|s::|wint"),
        ("a:=1", "wa|s:=|n1"),
        ("a[1:2]", "wa|s[|n1|s:|n2|s]"),
        ("x=>1", "wx|o=>|n1"),
        ("$1 $23", "p$1|p$23"),
        ("$1a", "!$1a"),
        ("a$1", "wa$1"),
        ("1 1.5 .5 1. 1e5 1.e-5 1_000", "n1|n1.5|n.5|n1.|n1e5|n1.e-5|n1_000"),
        ("0x1F 0o17 0b10 0x_1", "n0x1F|n0o17|n0b10|n0x_1"),
        ("1..2", "n1|s..|n2"),
        ("1e", "!1e"),
        ("1a", "!1a"),
        ("0x", "!0x"),
        ("1_", "!1_"),
        ("1__0", "!1__0"),
        ("'a''b'", "t'a''b'"),
        ("'a\\'", "t'a\\'"),
        ("e'a\\'b'", "te'a\\'b'"),
        ("E'a\\\\'b", "tE'a\\\\'|wb"),
        ("'a'\n  'b'", "t'a'\n  'b'"),
        ("'a' -- c\n 'b'", "t'a' -- c\n 'b'"),
        ("'a' -- c 'b'", "t'a'|c-- c 'b'"),
        ("'a' 'b'", "t'a'|t'b'"),
        ("'a' /*\n*/ 'b'", "t'a'|c/*\n*/|t'b'"),
        ("E'a'\n'\\'b'", "tE'a'\n'\\'b'"),
        ("b'01' x'1F' B'a''b'", "bb'01'|bx'1F'|bB'a'|t'b'"),
        ("n'a\\'", "tn'a\\'"),
        ("U&'d\\0061'", "tU&'d\\0061'"),
        ("U&\"d\\0061\" u&x", "uU&\"d\\0061\"|wu|o&|wx"),
        ("\"\"", "!\"\""),
        ("\"a", "!\"a"),
        ("'a", "!'a"),
        ("e'a\\", "!e'a\\"),
        ("$$a'b$$", "t$$a'b$$"),
        ("$a$ $b$ $$ $a$c", "t$a$ $b$ $$ $a$|wc"),
        ("$a$ $a", "!$a$ $a"),
        ("$ab", "!$ab"),
        ("$a b$", "!$a b$"),
        ("$x$$$x$", "t$x$$$x$"),
        ("$$$x$$", "t$$$x$$"),
        ("a$$b$$", "wa$$b$$"),
        ("é=日本", "wé|o=|w日本"),
        ("a ISNULL;", "wa|wISNULL|;;"),
        ("{", "!{"),
        ("'a\0b'", "!'a\0b'"),
        ("e'\\\0'", "!e'\\\0'"),
        ("\0", "!\0"),
        ("a\u{b}b", "wa|wb"),
    ];
    for (sql, expected) in cases {
        assert_eq!(lex(sql, true), *expected, "{sql}");
    }
}

#[test]
fn backslashes_without_standard_strings() {
    assert_eq!(lex("'a\\'b' c", false), "t'a\\'b'|wc");
    assert_eq!(lex("n'a\\'b' c", false), "tn'a\\'b'|wc");
    assert_eq!(lex("b'a\\'", false), "bb'a\\'");
    assert_eq!(lex("U&'a'", false), "!U&'a'");
    assert_eq!(lex("$$\\$$", false), "t$$\\$$");
}

#[test]
fn reads_literals() {
    let cases: &[(&str, Option<&str>)] = &[
        ("'a''b'", Some("a'b")),
        ("'a\\n'", Some("a\\n")),
        ("E'a\\n\\'\\\\\\x41\\101\\u0042'", Some("a\n'\\AAB")),
        ("'a'\n'b'", Some("ab")),
        ("'a' -- it's\n'b'", Some("ab")),
        ("$$a'$$", Some("a'")),
        ("$q$a$$$q$", Some("a$$")),
        ("n'x'", Some("x")),
        ("U&'x'", None),
        ("e'\\xff'", None),
        ("''", Some("")),
    ];
    for (token, value) in cases {
        assert_eq!(text_value(token.as_bytes(), true).as_deref(), *value, "{token}");
    }
    assert_eq!(text_value(b"'a\\'b'", false).as_deref(), Some("a'b"));
}

fn pieces(sql: &str) -> Option<Vec<&str>> {
    let statements = split(sql.as_bytes(), true)?;
    let bytes = |at: usize| &statements.tokens[at];
    Some(
        statements
            .statements
            .iter()
            .map(|range| &sql[bytes(range.start).start as usize..bytes(range.end - 1).end as usize])
            .collect(),
    )
}

#[test]
fn splits_at_top_level_semicolons() {
    let body = "create or replace function f() returns int begin atomic select case a when 1 then 2 end; \
                select 1 as end; select 1 end; end";
    let cases: &[(&str, Option<&[&str]>)] = &[
        ("", Some(&[])),
        (" ; /* x */ ; -- y", Some(&[])),
        ("select 1", Some(&["select 1"])),
        ("select 1; ; select ';' ;", Some(&["select 1", "select ';'"])),
        ("create rule r as on insert to t do (a; b); c", Some(&["create rule r as on insert to t do (a; b)", "c"])),
        (&format!("{body}; set x = 1"), Some(&[body, "set x = 1"])),
        ("create function f() begin atomic end; a", Some(&["create function f() begin atomic end", "a"])),
        ("begin; atomic; end", Some(&["begin", "atomic", "end"])),
        ("select begin atomic from t; set x = 1", Some(&["select begin atomic from t", "set x = 1"])),
        ("create function f() begin atomic select begin atomic from t; end; drop table t", None),
        ("create function f() begin atomic select 1", None),
        ("select (1; 2", None),
        ("select 1)", None),
        ("select 'a", None),
    ];
    for (sql, expected) in cases {
        assert_eq!(pieces(sql).as_deref(), *expected, "{sql}");
    }
}

fn print(sql: &str) -> Option<u128> {
    fingerprint(sql.as_bytes(), &FingerprintKey::new(7), true)
}

#[test]
fn fingerprints_forget_values_only() {
    let same: &[(&str, &str)] = &[
        ("select a from t where x = 1", "select a from t where x = 23.5"),
        ("select a from t where x = 'a'", "select a\n from t /* c */ where x = $$b;$$ ;"),
        ("select 1 -- pgbraid: role=primary", "select 2 -- pgbraid: role=primary"),
        ("select E'a\\''", "select 'b'"),
    ];
    for (one, other) in same {
        assert!(print(one).is_some(), "{one}");
        assert_eq!(print(one), print(other), "{one}");
    }
    let distinct = [
        "select a from t",
        "select b from t",
        "select a, b from t",
        "select \"a\" from t",
        "select a.b from t",
        "select ab from t",
        "select a b from t",
        "select 1 from t",
        "select '1' from t",
        "select $1 from t",
        "select $12 from t",
        "select - 1 from t",
        "select (a) from t",
        "select a(from t)",
        "select a from t for update",
        "select a from t /* pgbraid: role=primary */",
        "select a from t /* pgbraid: role=replica */",
        "",
    ];
    for (at, one) in distinct.iter().enumerate() {
        assert!(print(one).is_some(), "{one}");
        for other in &distinct[..at] {
            assert_ne!(print(one), print(other), "{one} and {other}");
        }
    }
}

#[test]
fn no_fingerprint_where_text_decides() {
    for sql in [
        "set x = 1",
        "/* c */ SET x = 1",
        "reset all",
        "select 1; select 2",
        "prepare p as select 1",
        "execute p(1)",
        "explain execute p",
        "deallocate p",
        "select pg_catalog.set_config('a', 'b', true)",
        "do 'begin set app.tenant = 1; end'",
        "call run('set app.tenant = 1')",
        "select \"set_config\"('a', 'b', true)",
        "select current_setting('a.b')",
        "select U&\"a\" uescape '!'",
        "select 'a",
        "select {",
        "select /* \0 */ 1",
    ] {
        assert_eq!(print(sql), None, "{sql}");
    }
    assert_eq!(print(&format!("select '{}'", "x".repeat(1 << 20))), None);
    assert!(print("update t set a = 1").is_some());
    assert!(print("call run(1, $1)").is_some());
}

/// Pieces that lexers stumble on.
fn shards() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "'",
            "\"",
            "$$",
            "$a$",
            "/*",
            "*/",
            "--",
            "\n",
            "\\",
            "e'",
            "E'\\'",
            "u&'",
            "U&\"",
            "b'",
            "x'",
            "n'",
            ";",
            "(",
            ")",
            "1",
            ".",
            "..",
            "0x",
            "_",
            "e+",
            "$1",
            "::",
            ":=",
            "+-",
            "@",
            "a",
            "é",
            " ",
            "\0",
            "begin",
            "set ",
            "atomic",
            "end",
            "create function ",
            "from ",
            "select ",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn tokens_cover_any_text(sql in shards(), scs in any::<bool>()) {
        let mut at = 0;
        for token in Lexer::new(&sql, scs) {
            prop_assert_eq!(token.start, at);
            prop_assert!(token.end > token.start);
            at = token.end;
        }
        prop_assert_eq!(at as usize, sql.len());
        let _ = split(&sql, scs);
        let _ = fingerprint(&sql, &FingerprintKey::new(1), scs);
        for token in Lexer::new(&sql, scs) {
            let _ = text_value(token.bytes(&sql), scs);
            let _ = token.name(&sql);
        }
    }
}
