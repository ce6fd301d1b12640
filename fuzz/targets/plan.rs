//! Any bytes: a plan without a panic; what is proven to read contains no statement of another kind; texts of one
//! fingerprint have one plan.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgbraid::catalog::{Catalog, QUERIES, Rows};
use pgbraid::plan::{Context, Kind, Plan, Role, WriteSet, plan};
use pgbraid::sql::outline::Outline;
use pgbraid::sql::{FingerprintKey, Lexer, TokenKind, fingerprint};
use std::sync::LazyLock;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let lines = include_str!("../../src/plan/testdata/catalog.tsv").lines().filter_map(|line| line.split_once('\t'));
    let rows: Vec<(&str, Vec<Option<String>>)> = lines
        .map(|(name, rest)| (name, rest.split('\t').map(|field| (field != "\\N").then(|| field.replace("\\n", "\n"))).collect()))
        .collect();
    let of = |name: &str| -> Rows { rows.iter().filter(|(of, _)| *of == name).map(|(_, row)| row.clone()).collect() };
    Catalog::from_rows(&QUERIES.iter().map(|query| (query.name, of(query.name))).collect::<Vec<_>>())
});

fn blank(mut plan: Plan) -> Plan {
    plan.steps.iter_mut().for_each(|step| step.span = 0..0);
    plan
}

/// The same text with other values in its literals.
fn other_values(sql: &[u8], standard_strings: bool) -> Vec<u8> {
    let mut other = Vec::new();
    for token in Lexer::new(sql, standard_strings) {
        match token.kind {
            TokenKind::Text => other.extend_from_slice(b"$q$;'$q$"),
            TokenKind::Bits => other.extend_from_slice(b"b'1'"),
            TokenKind::Number => other.extend_from_slice(b"7"),
            _ => other.extend_from_slice(token.bytes(sql)),
        }
    }
    other
}

fuzz_target!(|data: &[u8]| {
    let Some((&flags, sql)) = data.split_first() else { return };
    let standard_conforming_strings = flags & 1 == 0;
    let context =
        Context { catalog: &CATALOG, search_path_is_default: flags & 2 == 0, standard_conforming_strings };
    let planned = plan(sql, &context);
    for step in &planned.steps {
        assert!(sql.get(step.span.clone()).is_some());
    }
    if planned.replica.is_some() && planned.hints.role != Some(Role::Replica) {
        assert!(planned.steps.iter().all(|step| step.kind == Kind::Read && step.writes == WriteSet::None));
        assert!(!planned.opaque);
    }
    let key = FingerprintKey::new(1);
    if let Some(print) = fingerprint(sql, &key, standard_conforming_strings) {
        let other = other_values(sql, standard_conforming_strings);
        let outline = Outline::new(sql, standard_conforming_strings);
        assert!(outline.fits(sql));
        if outline.fits(&other) {
            assert_eq!(fingerprint(&other, &key, standard_conforming_strings), Some(print));
        }
        if fingerprint(&other, &key, standard_conforming_strings) == Some(print) {
            assert_eq!(blank(planned), blank(plan(&other, &context)));
        }
    }
});
