//! An answer as a client sees it.

use crate::support::raw::Frame;

/// A column of a RowDescription.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    pub oid: u32,
    /// User-defined types by name, others by number.
    pub kind: String,
    pub typmod: i32,
    pub binary: bool,
}

/// All answers to one statement.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The parameters' types, if they were described.
    pub parameters: Option<Vec<String>>,
    /// The columns; the last description counts, and earlier ones must not contradict it.
    pub columns: Option<Vec<Column>>,
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
    /// How many rows had come at each suspended portal.
    pub suspended: Vec<usize>,
    /// COPY's format, and whether there is one.
    pub copy: Option<Vec<u8>>,
    pub tags: Vec<String>,
    pub error: Option<Error>,
    /// The letter of the last ReadyForQuery; 0: the connection was lost.
    pub status: u8,
    /// What the protocol doesn't allow.
    pub broken: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Error {
    pub code: String,
    pub message: String,
    pub hint: String,
}

impl Answer {
    pub fn read(frames: &[Frame], name: &dyn Fn(u32) -> String) -> Self {
        let mut answer = Self::default();
        for frame in frames {
            if answer.error.is_some() && !matches!(frame.kind, b'Z' | b'N' | b'S') {
                answer.broken = Some(format!("{frame:?} after an error"));
            }
            match frame.kind {
                b'T' => {
                    let columns = columns(&frame.body, name);
                    // A portal's typmods may be others than the statement's: planning finds them.
                    let differs =
                        |a: &Column, b: &Column| Column { binary: b.binary, typmod: b.typmod, ..a.clone() } != *b;
                    if let Some(known) = &answer.columns
                        && (known.len() != columns.len() || known.iter().zip(&columns).any(|(a, b)| differs(a, b)))
                    {
                        answer.broken = Some(format!("two descriptions: {known:?}, then {columns:?}"));
                    }
                    answer.columns = Some(columns);
                }
                b't' => {
                    let oids = frame.body[2..].chunks(4).map(|oid| name(u32_of(oid)));
                    answer.parameters = Some(oids.collect());
                }
                b'D' => {
                    let row = values(&frame.body);
                    if answer.columns.as_ref().is_none_or(|columns| columns.len() != row.len()) {
                        answer.broken = Some(format!("a row of {} values for {:?}", row.len(), answer.columns));
                    }
                    answer.rows.push(row);
                }
                b'd' => answer.rows.push(vec![Some(frame.body.clone())]),
                b'H' => answer.copy = Some(frame.body.clone()),
                b's' => answer.suspended.push(answer.rows.len()),
                b'C' => answer.tags.push(frame.tag().unwrap_or_default()),
                b'I' => answer.tags.push("empty".to_owned()),
                b'E' => {
                    let mut fields = frame.fields();
                    let mut take = |letter| fields.remove(&letter).unwrap_or_default();
                    answer.error = Some(Error { code: take('C'), message: take('M'), hint: take('H') });
                }
                b'Z' => answer.status = frame.body[0],
                b'1' | b'2' | b'3' | b'n' | b'N' | b'S' | b'c' | b'A' => {}
                _ => answer.broken = Some(format!("unexpected {frame:?}")),
            }
        }
        answer
    }

    /// The proxy says that it doesn't do this, why, and what to do.
    pub fn is_refusal(&self) -> bool {
        self.error.as_ref().is_some_and(|error| {
            matches!(error.code.as_str(), "0A000" | "53400") && !error.hint.is_empty() && self.rows.is_empty()
        })
    }

    /// For a person.
    pub fn show(&self) -> String {
        let mut text = String::new();
        if let Some(broken) = &self.broken {
            text += &format!("  protocol: {broken}\n");
        }
        if let Some(columns) = &self.columns {
            let columns: Vec<String> = columns.iter().map(|c| format!("{} {}({})", c.name, c.kind, c.typmod)).collect();
            text += &format!("  {}\n", columns.join(", "));
        }
        for row in self.rows.iter().take(12) {
            let values: Vec<String> = row
                .iter()
                .map(|value| value.as_ref().map_or("NULL".into(), |v| v.escape_ascii().to_string()))
                .collect();
            text += &format!("  | {}\n", values.join(" | "));
        }
        if let Some(error) = &self.error {
            text += &format!("  {}: {} ({})\n", error.code, error.message, error.hint);
        }
        let status = char::from(self.status);
        text + &format!("  {} rows, {:?}, suspended {:?}, {status}", self.rows.len(), self.tags, self.suspended)
    }
}

fn columns(body: &[u8], name: &dyn Fn(u32) -> String) -> Vec<Column> {
    let mut rest = &body[2..];
    let mut columns = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0).unwrap();
        let fixed = &rest[end + 1..];
        let oid = u32_of(&fixed[6..10]);
        columns.push(Column {
            name: String::from_utf8_lossy(&rest[..end]).into_owned(),
            oid,
            kind: name(oid),
            typmod: u32_of(&fixed[12..16]).cast_signed(),
            binary: fixed[17] == 1,
        });
        rest = &fixed[18..];
    }
    columns
}

fn values(body: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut rest = &body[2..];
    let mut values = Vec::new();
    while !rest.is_empty() {
        let length = u32_of(&rest[..4]).cast_signed();
        let (value, after) = rest[4..].split_at(usize::try_from(length).unwrap_or(0));
        values.push((length >= 0).then(|| value.to_vec()));
        rest = after;
    }
    values
}

fn u32_of(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}
