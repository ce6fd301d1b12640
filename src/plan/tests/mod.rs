//! Cases of planning, over a catalog that a server gave for `testdata/schema.sql`.

mod kinds;
mod reads;
mod text;
mod writes;

use super::*;
use crate::catalog::{QUERIES, Rows};
use std::sync::LazyLock;

/// What PostgreSQL 15 answered to `QUERIES` in a database made by `testdata/schema.sql`, in COPY's text format, each
/// line behind its query's name.
static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::from_rows(&answers()));

fn answers() -> Vec<(&'static str, Rows)> {
    let unescape = |field: &str| {
        let text = field.replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\");
        (field != "\\N").then_some(text)
    };
    let lines = include_str!("../testdata/catalog.tsv").lines();
    let rows: Vec<(&str, Vec<Option<String>>)> = lines
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, rest)| (name, rest.split('\t').map(unescape).collect()))
        .collect();
    let of = |name| rows.iter().filter(|(of, _)| *of == name).map(|(_, row)| row.clone()).collect();
    QUERIES.iter().map(|query| (query.name, of(query.name))).collect()
}

fn context(catalog: &Catalog) -> Context<'_> {
    Context { catalog, search_path_is_default: true, standard_conforming_strings: true }
}

fn planned(sql: &str) -> Plan {
    plan(sql.as_bytes(), &context(&CATALOG))
}

/// The names behind keys, of those that the catalog of these tests has.
fn names(keys: &[TableKey]) -> String {
    let known = [
        "Odd Name",
        "animals",
        "checked",
        "countries",
        "customers",
        "defaulted",
        "dogs",
        "guarded",
        "measures",
        "measures_1",
        "mixed",
        "mixed_1",
        "order_items",
        "orders",
        "products",
        "scoped",
        "serials",
        "scratch",
        "t",
        "tenants",
        "totals",
        "u",
        "v_nested",
        "v_plain",
    ];
    let mut names: Vec<_> =
        keys.iter().map(|key| known.iter().find(|name| TableKey::of(name) == *key).copied().unwrap_or("?")).collect();
    names.sort_unstable();
    names.join(",")
}

fn written(writes: &WriteSet) -> String {
    match writes {
        WriteSet::None => "-".to_owned(),
        WriteSet::All => "*".to_owned(),
        WriteSet::Tables(keys) => names(keys),
    }
}
