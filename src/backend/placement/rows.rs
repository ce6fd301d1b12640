//! Questions about rows that decide a placement: which shard has any, whether they lie where a map says.

use crate::topology::placement::{ShardIndex, TablePlace};
use crate::value::key::KeyType;

use super::stored::literal;
use crate::sql::quote::ident;

/// A table's name as SQL has it.
pub(super) fn table(name: &(String, String)) -> String {
    format!("{}.{}", ident(&name.0), ident(&name.1))
}

/// Whether a table has any row.
pub(super) fn any(name: &(String, String)) -> String {
    format!("SELECT EXISTS (SELECT FROM {})::text", table(name))
}

/// Whether a table has a row on shard `at` that doesn't belong there.
pub(super) fn astray(name: &(String, String), place: &TablePlace, buckets: &[u16], at: ShardIndex) -> Option<String> {
    let belongs = match place {
        TablePlace::Reference => return None,
        TablePlace::Hash { key, key_type, .. } => belongs_by_hash(key, *key_type, buckets, at),
        TablePlace::List { key, values, rest, .. } => {
            let mine = |mine: bool| {
                let texts = values.iter().filter(|(_, shard)| (**shard == at) == mine).map(|(value, _)| literal(value));
                texts.collect::<Vec<_>>().join(", ")
            };
            let key = ident(key);
            if *rest == Some(at) {
                match mine(false).as_str() {
                    "" => format!("{key} IS NOT NULL"),
                    others => format!("{key} NOT IN ({others})"),
                }
            } else {
                match mine(true).as_str() {
                    "" => "false".to_owned(),
                    own => format!("{key} IN ({own})"),
                }
            }
        }
    };
    Some(format!("SELECT EXISTS (SELECT FROM {} WHERE ({belongs}) IS NOT TRUE)::text", table(name)))
}

/// The condition under which a key's bucket is on shard `at`.
pub(super) fn belongs_by_hash(key: &str, key_type: KeyType, buckets: &[u16], at: ShardIndex) -> String {
    let mine = |shard: u16| usize::from(shard) == at;
    match buckets.iter().filter(|shard| mine(**shard)).count() {
        0 => "false".to_owned(),
        all if all == buckets.len() => format!("{} IS NOT NULL", ident(key)),
        _ => {
            let own: Vec<String> = (0..)
                .zip(buckets)
                .filter(|(_, shard)| mine(**shard))
                .map(|(bucket, _): (usize, _)| bucket.to_string())
                .collect();
            let mask = buckets.len().saturating_sub(1);
            format!("({} & {mask}) = ANY ('{{{}}}'::int8[])", key_type.sql_hash(key), own.join(","))
        }
    }
}

/// What is equal if two shards have the same copy of a reference table: the rows' number and a sum of their hashes.
pub(super) fn fingerprint(name: &(String, String)) -> String {
    let from = table(name);
    format!(
        "SELECT count(*)::text || ' ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM {from} t"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_astray_are_asked_for() {
        let name = ("public".to_owned(), "or\"ders".to_owned());
        let hash = TablePlace::Hash { key: "id".into(), key_type: KeyType::Int8, group: String::new() };
        assert_eq!(
            astray(&name, &hash, &[0, 1, 0, 1], 1).unwrap(),
            "SELECT EXISTS (SELECT FROM \"public\".\"or\"\"ders\" WHERE ((pg_catalog.hashint8extended(\
             \"id\"::pg_catalog.int8, 0) & 3) = ANY ('{1,3}'::int8[])) IS NOT TRUE)::text"
        );
        assert!(astray(&name, &hash, &[0, 0], 1).unwrap().contains("WHERE (false) IS NOT TRUE"));
        assert!(astray(&name, &hash, &[0, 0], 0).unwrap().contains("(\"id\" IS NOT NULL) IS NOT TRUE"));
        let values = [("a'b".to_owned(), 0), ("c".to_owned(), 1)].into_iter().collect();
        let list = TablePlace::List { key: "k".into(), group: String::new(), values, rest: Some(0) };
        assert!(astray(&name, &list, &[], 0).unwrap().contains("\"k\" NOT IN ('c')"));
        assert!(astray(&name, &list, &[], 1).unwrap().contains("\"k\" IN ('c')"));
        assert_eq!(astray(&name, &TablePlace::Reference, &[], 1), None);
    }
}
