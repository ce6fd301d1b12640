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
    elements: Vec<u8>,
    count: u32,
    nulls: bool,
}

/// PostgreSQL's OID of text.
const TEXT: Oid = 25;

/// Base types whose binary form is the same on all servers and for all settings. Each with its array's OID.
const BINARY: &[(Oid, Oid)] = &[
    (16, 1000),
    (17, 1001),
    (18, 1002),
    (19, 1003),
    (20, 1016),
    (21, 1005),
    (23, 1007),
    (25, 1009),
    (26, 1028),
    (114, 199),
    (600, 1017),
    (601, 1018),
    (602, 1019),
    (603, 1020),
    (604, 1027),
    (628, 629),
    (650, 651),
    (700, 1021),
    (701, 1022),
    (718, 719),
    (790, 791),
    (829, 1040),
    (869, 1041),
    (1042, 1014),
    (1043, 1015),
    (1082, 1182),
    (1083, 1183),
    (1114, 1115),
    (1184, 1185),
    (1186, 1187),
    (1266, 1270),
    (1560, 1561),
    (1562, 1563),
    (1700, 1231),
    (2950, 2951),
    (3802, 3807),
    (3904, 3905),
    (3906, 3907),
    (3908, 3909),
    (3910, 3911),
    (3912, 3913),
    (3926, 3927),
];

/// Whether values of this type are taken in binary.
pub fn travels_binary(type_oid: Oid) -> bool {
    BINARY.iter().any(|(oid, _)| *oid == type_oid)
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

    /// The array type's OID.
    pub fn array_oid(&self) -> Oid {
        BINARY.iter().find(|(oid, _)| *oid == self.element).map_or(1009, |(_, array)| *array)
    }

    pub fn push(&mut self, value: Option<&[u8]>) {
        self.count += 1;
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
        let mut keys =
            Self { element: self.element, binary: true, cast: None, elements: Vec::new(), count: 0, nulls: false };
        let mut known: FxHashSet<&[u8]> = FxHashSet::default();
        let mut rest = self.elements.as_slice();
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            // NULL has a length of −1.
            let length = usize::try_from(i32::from_be_bytes(*length)).ok();
            let (value, behind) = behind.split_at_checked(length.unwrap_or(0))?;
            rest = behind;
            if length.is_some() && known.insert(value) {
                keys.push(Some(value));
            }
            if keys.elements.len() > most {
                return None;
            }
        }
        Some(keys)
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.elements.len()
    }

    pub fn rows(&self) -> u32 {
        self.count
    }

    /// The array in binary (`array_send`).
    pub fn array(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.elements.len() + 20);
        let dimensions = u32::from(self.count > 0);
        bytes.extend_from_slice(&dimensions.to_be_bytes());
        bytes.extend_from_slice(&u32::from(self.nulls).to_be_bytes());
        bytes.extend_from_slice(&self.element.to_be_bytes());
        if self.count > 0 {
            bytes.extend_from_slice(&self.count.to_be_bytes());
            bytes.extend_from_slice(&1u32.to_be_bytes());
            bytes.extend_from_slice(&self.elements);
        }
        bytes
    }
}

/// The rows of collected columns as an item of FROM, from array parameters `$first`, `$first + 1` …
pub fn from_item(columns: &[Column], first: usize) -> String {
    let mut items = String::new();
    let mut arrays = String::new();
    let mut names = String::new();
    for (at, column) in columns.iter().enumerate() {
        if at > 0 {
            items.push_str(", ");
            arrays.push_str(", ");
            names.push_str(", ");
        }
        items.push_str(&format!("c{at}"));
        if let Some(cast) = &column.cast {
            items.push_str("::");
            items.push_str(cast);
            items.push_str(&format!(" AS c{at}"));
        }
        arrays.push_str(&format!("pg_catalog.unnest(${})", first + at));
        names.push_str(&format!("c{at}"));
    }
    format!("(SELECT {items} FROM ROWS FROM ({arrays}) AS braided({names}))")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_written_as_postgres_reads_them() {
        let mut column = Column::new(23, &Schema::default()).unwrap();
        assert_eq!(column.array(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 23]);
        column.push(Some(&[0, 0, 0, 7]));
        column.push(None);
        assert_eq!(
            column.array(),
            [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 23, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7, 255, 255, 255, 255]
        );
        assert_eq!(column.array_oid(), 1007);
        column.push(Some(&[0, 0, 0, 7]));
        column.push(Some(&[0, 0, 0, 8]));
        let keys = column.keys(16).unwrap();
        assert_eq!(keys.array()[12..], [0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0, 4, 0, 0, 0, 8]);
        assert!(column.keys(15).is_none());
        let column = Column { count: 2, elements: column.elements[..16].to_vec(), ..column };
        assert_eq!(from_item(&[column], 3), "(SELECT c0 FROM ROWS FROM (pg_catalog.unnest($3)) AS braided(c0))");
    }
}
