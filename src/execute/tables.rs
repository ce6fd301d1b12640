//! Rows of shards in temporary tables: what makes them, and rows as COPY takes them in binary.

use super::arrays::{Column, items};
use super::copy::{BINARY_END, BINARY_HEAD};

/// The name of the table of an input.
pub fn name(input: usize) -> String {
    format!("pg_temp.pgbraid_g{input}")
}

/// Makes an input's table, with the types in which values travel.
pub fn create(input: usize, columns: &[Column]) -> String {
    let columns: Vec<String> =
        columns.iter().enumerate().map(|(at, column)| format!("c{at} {}", column.travels_as())).collect();
    format!("CREATE TEMPORARY TABLE pgbraid_g{input} ({}) ON COMMIT DROP", columns.join(", "))
}

/// Takes rows into it.
pub fn copy(input: usize) -> String {
    format!("COPY {} FROM STDIN (FORMAT binary)", name(input))
}

/// The table as an item of FROM, as [`super::arrays::from_item`] gives arrays.
pub fn from_item(input: usize, columns: &[Column]) -> String {
    format!("(SELECT {} FROM {} AS braided)", items(columns), name(input))
}

/// Rows on their way into a table.
#[derive(Debug, Default)]
pub struct Chunk {
    data: Vec<u8>,
    rows: u64,
}

impl Chunk {
    /// One more row, of its values.
    pub fn push(&mut self, values: &[Option<&[u8]>]) {
        self.begin_row(values.len());
        for value in values {
            match value {
                Some(value) => {
                    self.data.extend_from_slice(&(value.len() as u32).to_be_bytes());
                    self.data.extend_from_slice(value);
                }
                None => self.data.extend_from_slice(&(-1i32).to_be_bytes()),
            }
        }
    }

    fn begin_row(&mut self, columns: usize) {
        if self.data.is_empty() {
            self.data.extend_from_slice(BINARY_HEAD);
        }
        self.data.extend_from_slice(&(columns as u16).to_be_bytes());
        self.rows += 1;
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// All of it as one COPY's data, and its rows. What was there is gone.
    pub fn take(&mut self) -> (Vec<u8>, u64) {
        let mut data = std::mem::take(&mut self.data);
        data.extend_from_slice(BINARY_END);
        (data, std::mem::take(&mut self.rows))
    }
}

/// Rows that were collected in columns, one after the other.
#[derive(Debug)]
pub struct Rows<'a> {
    left: Vec<&'a [u8]>,
    rows: u32,
}

impl<'a> Rows<'a> {
    pub fn new(columns: &'a [Column]) -> Self {
        Self { left: columns.iter().map(Column::values).collect(), rows: columns.first().map_or(0, Column::rows) }
    }

    /// Puts rows into a chunk until it has so many bytes. False: there was none left.
    pub fn fill(&mut self, chunk: &mut Chunk, most: usize) -> bool {
        let before = self.rows;
        while self.rows > 0 && chunk.len() < most {
            self.rows -= 1;
            chunk.begin_row(self.left.len());
            for left in &mut self.left {
                let length = left.first_chunk().map_or(-1, |length| i32::from_be_bytes(*length));
                let bytes = 4 + usize::try_from(length).unwrap_or(0);
                let (value, behind) = left.split_at(bytes.min(left.len()));
                chunk.data.extend_from_slice(value);
                *left = behind;
            }
        }
        before > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::schema::Schema;

    #[test]
    fn rows_are_written_as_copy_takes_them() {
        let mut columns =
            vec![Column::new(23, &Schema::default()).unwrap(), Column::new(18, &Schema::default()).unwrap()];
        assert_eq!(
            create(2, &columns),
            "CREATE TEMPORARY TABLE pgbraid_g2 (c0 pg_catalog.\"int4\", c1 pg_catalog.\"char\") ON COMMIT DROP"
        );
        assert_eq!(from_item(2, &columns), "(SELECT c0, c1 FROM pg_temp.pgbraid_g2 AS braided)");
        let rows: [[Option<&[u8]>; 2]; 2] = [[Some(&[0, 0, 0, 7]), None], [None, Some(b"x")]];
        let mut one = Chunk::default();
        for row in &rows {
            one.push(row);
            columns.iter_mut().zip(row).for_each(|(column, value)| column.push(*value));
        }
        let mut two = Chunk::default();
        let mut left = Rows::new(&columns);
        assert!(left.fill(&mut two, 30) && left.fill(&mut two, 100) && !left.fill(&mut two, 100));
        let (data, count) = one.take();
        assert_eq!((data.clone(), count), two.take());
        assert_eq!(count, 2);
        let tuples = data.strip_prefix(BINARY_HEAD).and_then(|data| data.strip_suffix(BINARY_END)).unwrap();
        assert_eq!(
            tuples,
            [0, 2, 0, 0, 0, 4, 0, 0, 0, 7, 255, 255, 255, 255, 0, 2, 255, 255, 255, 255, 0, 0, 0, 1, b'x']
        );
        assert!(one.is_empty());
    }
}
