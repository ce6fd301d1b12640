//! Rows of shards as array parameters: a column of each becomes one array, in its type's binary form or as text.

use rustc_hash::FxHashSet;

use crate::catalog::schema::{Oid, Schema};
use crate::sql::quote::ident;

/// One column that is being collected.
#[derive(Debug)]
pub struct Column {
    /// The array's elements: a built-in type, in binary; 25 (text) for all others.
    pub element: Oid,
    /// Values come in binary.
    pub binary: bool,
    /// What the values are cast to, where they travel as text.
    pub cast: Option<String>,
    /// Room for the array's head, then each value's length and bytes.
    elements: Vec<u8>,
    count: u32,
    nulls: bool,
}

/// PostgreSQL's OID of text.
const TEXT: Oid = 25;

/// Base types whose binary form is the same on all servers and for all settings. Each with its array's OID and its name.
const BINARY: &[(Oid, Oid, &str)] = &[
    (16, 1000, "bool"),
    (17, 1001, "bytea"),
    (18, 1002, "char"),
    (19, 1003, "name"),
    (20, 1016, "int8"),
    (21, 1005, "int2"),
    (23, 1007, "int4"),
    (25, 1009, "text"),
    (26, 1028, "oid"),
    (114, 199, "json"),
    (600, 1017, "point"),
    (601, 1018, "lseg"),
    (602, 1019, "path"),
    (603, 1020, "box"),
    (604, 1027, "polygon"),
    (628, 629, "line"),
    (650, 651, "cidr"),
    (700, 1021, "float4"),
    (701, 1022, "float8"),
    (718, 719, "circle"),
    (790, 791, "money"),
    (829, 1040, "macaddr"),
    (869, 1041, "inet"),
    (1042, 1014, "bpchar"),
    (1043, 1015, "varchar"),
    (1082, 1182, "date"),
    (1083, 1183, "time"),
    (1114, 1115, "timestamp"),
    (1184, 1185, "timestamptz"),
    (1186, 1187, "interval"),
    (1266, 1270, "timetz"),
    (1560, 1561, "bit"),
    (1562, 1563, "varbit"),
    (1700, 1231, "numeric"),
    (2950, 2951, "uuid"),
    (3802, 3807, "jsonb"),
    (3904, 3905, "int4range"),
    (3906, 3907, "numrange"),
    (3908, 3909, "tsrange"),
    (3910, 3911, "tstzrange"),
    (3912, 3913, "daterange"),
    (3926, 3927, "int8range"),
];

/// Whether values of this type are taken in binary.
pub fn travels_binary(type_oid: Oid) -> bool {
    BINARY.iter().any(|(oid, _, _)| *oid == type_oid)
}

impl Column {
    /// A column of this type. `None`: the type is unknown, or none that a table can have.
    pub fn new(type_oid: Oid, schema: &Schema) -> Option<Self> {
        let binary = travels_binary(type_oid);
        let cast = if binary {
            None
        } else {
            let known = schema.types.get(&type_oid)?;
            if known.kind == b'p' {
                return None;
            }
            Some(format!("{}.{}", ident(&known.schema), ident(&known.name)))
        };
        let element = if binary { type_oid } else { TEXT };
        Some(Self { element, binary, cast, elements: Vec::new(), count: 0, nulls: false })
    }

    /// A column of the same type, without values.
    pub fn emptied(&self) -> Self {
        Self { cast: self.cast.clone(), elements: Vec::new(), count: 0, nulls: false, ..*self }
    }

    /// The array type's OID.
    pub fn array_oid(&self) -> Oid {
        BINARY.iter().find(|(oid, _, _)| *oid == self.element).map_or(1009, |(_, array, _)| *array)
    }

    /// The name of the type in which the values travel.
    pub fn travels_as(&self) -> String {
        let name = BINARY.iter().find(|(oid, _, _)| *oid == self.element).map_or("text", |(_, _, name)| *name);
        format!("pg_catalog.{}", ident(name))
    }

    pub fn push(&mut self, value: Option<&[u8]>) {
        self.count += 1;
        if self.elements.is_empty() {
            self.elements.resize(HEAD, 0);
        }
        match value {
            Some(value) => {
                self.elements.extend_from_slice(&(value.len() as u32).to_be_bytes());
                self.elements.extend_from_slice(value);
            }
            None => {
                self.nulls = true;
                self.elements.extend_from_slice(&(-1i32).to_be_bytes());
            }
        }
    }

    /// The values, each once and without NULL, if they are in binary and no more than so many bytes. Values that are equal
    /// and written differently are several.
    pub fn keys(&self, most: usize) -> Option<Self> {
        if !self.binary {
            return None;
        }
        let mut keys = self.emptied();
        let mut known: FxHashSet<&[u8]> = FxHashSet::default();
        let mut rest = self.values();
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            // NULL has a length of −1.
            let length = usize::try_from(i32::from_be_bytes(*length)).ok();
            let (value, behind) = behind.split_at_checked(length.unwrap_or(0))?;
            rest = behind;
            if length.is_some() && known.insert(value) {
                keys.push(Some(value));
            }
            if keys.values().len() > most {
                return None;
            }
        }
        Some(keys)
    }

    /// Its values by place, NULLs left out. `place`: `None` if it isn't known, `Some(None)` for a value that is nowhere.
    /// `None`: one isn't known.
    pub fn dealt(&self, place: impl Fn(&[u8]) -> Option<Option<usize>>) -> Option<Vec<(usize, Self)>> {
        let mut out: Vec<(usize, Self)> = Vec::new();
        let mut rest = self.values();
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(i32::from_be_bytes(*length)).ok();
            let (value, behind) = behind.split_at_checked(length.unwrap_or(0))?;
            rest = behind;
            let Some(at) = length.map_or(Some(None), |_| place(value))? else { continue };
            if !out.iter().any(|(known, _)| *known == at) {
                out.push((at, self.emptied()));
            }
            out.iter_mut().filter(|(known, _)| *known == at).for_each(|(_, column)| column.push(Some(value)));
        }
        Some(out)
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.values().len()
    }

    pub fn rows(&self) -> u32 {
        self.count
    }

    /// Whether no two values are the same bytes, NULL among them.
    pub fn is_unique(&self) -> bool {
        let mut known: FxHashSet<Option<&[u8]>> = FxHashSet::default();
        let mut rest = self.values();
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(i32::from_be_bytes(*length)).ok();
            let Some((value, behind)) = behind.split_at_checked(length.unwrap_or(0)) else { return false };
            if !known.insert(length.map(|_| value)) {
                return false;
            }
            rest = behind;
        }
        true
    }

    /// Length and bytes of each value, one after the other.
    pub(super) fn values(&self) -> &[u8] {
        self.elements.get(HEAD..).unwrap_or_default()
    }

    /// The array in binary (`array_send`).
    pub fn into_array(self) -> Vec<u8> {
        let mut bytes = self.elements;
        let mut head = Vec::with_capacity(HEAD);
        head.extend_from_slice(&u32::from(self.count > 0).to_be_bytes());
        head.extend_from_slice(&u32::from(self.nulls).to_be_bytes());
        head.extend_from_slice(&self.element.to_be_bytes());
        if self.count == 0 {
            return head;
        }
        head.extend_from_slice(&self.count.to_be_bytes());
        head.extend_from_slice(&1u32.to_be_bytes());
        if let Some(room) = bytes.get_mut(..HEAD) {
            room.copy_from_slice(&head);
        }
        bytes
    }
}

/// Bytes of an array of one dimension before its elements.
const HEAD: usize = 20;

/// The rows of collected columns as an item of FROM, from array parameters `$first`, `$first + 1` …
pub fn from_item(columns: &[Column], first: usize) -> String {
    let arrays: Vec<String> = (first..).take(columns.len()).map(|at| format!("pg_catalog.unnest(${at})")).collect();
    let names: Vec<String> = (0..columns.len()).map(|at| format!("c{at}")).collect();
    format!("(SELECT {} FROM ROWS FROM ({}) AS braided({}))", items(columns), arrays.join(", "), names.join(", "))
}

/// The same, for PostgreSQL to know that each value of column `key` is there once, as is so: else it takes hashing these
/// rows for a bad idea (`estimate_hash_bucket_stats`), whatever they are joined with.
pub fn unique_item(columns: &[Column], first: usize, key: usize) -> String {
    let item = from_item(columns, first);
    let names: Vec<String> = (0..columns.len()).map(|at| format!("c{at}")).collect();
    format!("(SELECT DISTINCT ON (c{key}) {} FROM {item} AS unique_rows)", names.join(", "))
}

/// The columns `c0`, `c1` … in their own types.
pub(super) fn items(columns: &[Column]) -> String {
    let item = |(at, column): (usize, &Column)| match &column.cast {
        Some(cast) => format!("c{at}::{cast} AS c{at}"),
        None => format!("c{at}"),
    };
    columns.iter().enumerate().map(item).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_written_as_postgres_reads_them() {
        let mut column = Column::new(23, &Schema::default()).unwrap();
        assert_eq!(
            from_item(std::slice::from_ref(&column), 3),
            "(SELECT c0 FROM ROWS FROM (pg_catalog.unnest($3)) AS braided(c0))"
        );
        let empty = Column::new(23, &Schema::default()).unwrap();
        assert_eq!(empty.into_array(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 23]);
        column.push(Some(&[0, 0, 0, 7]));
        column.push(None);
        assert_eq!(column.array_oid(), 1007);
        let mut more = Column::new(23, &Schema::default()).unwrap();
        for value in [Some(7), None, Some(7), Some(8)] {
            more.push(value.map(|value| [0, 0, 0, value]).as_ref().map(<[u8; 4]>::as_slice));
        }
        let keys = more.keys(16).unwrap().into_array();
        assert_eq!(keys[12..], [0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0, 4, 0, 0, 0, 8]);
        assert!(more.keys(15).is_none());
        let odd = |value: &[u8]| Some(value.last().filter(|last| **last > 0).map(|last| usize::from(last % 2)));
        let dealt = more.keys(16).unwrap().dealt(odd).unwrap();
        let shards: Vec<(usize, u32)> = dealt.iter().map(|(shard, column)| (*shard, column.rows())).collect();
        assert_eq!(shards, [(1, 1), (0, 1)]);
        assert!(more.dealt(|_| None).is_none());
        assert!(more.dealt(|_| Some(None)).unwrap().is_empty());
        assert!(column.is_unique() && !more.is_unique());
        column.push(None);
        assert!(!column.is_unique());
        column = Column::new(23, &Schema::default()).unwrap();
        column.push(Some(&[0, 0, 0, 7]));
        column.push(None);
        assert_eq!(
            unique_item(std::slice::from_ref(&column), 3, 0),
            "(SELECT DISTINCT ON (c0) c0 FROM (SELECT c0 FROM ROWS FROM (pg_catalog.unnest($3)) AS braided(c0)) AS unique_rows)"
        );
        assert_eq!(
            column.into_array(),
            [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 23, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7, 255, 255, 255, 255]
        );
    }
}
