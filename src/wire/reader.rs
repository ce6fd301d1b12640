//! Bounds-checked reading of a message that came from a network.

/// What is left to read of a message.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

/// Why a message can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// It ends before the value does.
    TooShort,
    /// A string without the NUL at its end.
    Unterminated,
    /// A negative or impossible length.
    BadLength,
    /// Bytes are left over.
    LeftOver,
}

impl std::fmt::Display for ReadError {
    /// PostgreSQL's words (`pqformat.c`).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooShort => "insufficient data left in message",
            Self::Unterminated => "invalid string in message",
            Self::BadLength => "invalid length in message",
            Self::LeftOver => "invalid message format",
        })
    }
}

impl std::error::Error for ReadError {}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], ReadError> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(ReadError::TooShort)?;
        self.0 = tail;
        Ok(head)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(ReadError::TooShort)?;
        self.0 = tail;
        Ok(*head)
    }

    /// A reader of the next `n` bytes only.
    pub fn sub(&mut self, n: usize) -> Result<Reader<'a>, ReadError> {
        self.take(n).map(Reader)
    }

    pub fn u8(&mut self) -> Result<u8, ReadError> {
        self.array().map(u8::from_be_bytes)
    }

    pub fn u16(&mut self) -> Result<u16, ReadError> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn i16(&mut self) -> Result<i16, ReadError> {
        self.array().map(i16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, ReadError> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, ReadError> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, ReadError> {
        self.array().map(i64::from_be_bytes)
    }

    /// The bytes up to the next NUL, which is passed over.
    pub fn cstr(&mut self) -> Result<&'a [u8], ReadError> {
        let end = memchr::memchr(0, self.0).ok_or(ReadError::Unterminated)?;
        let text = self.take(end)?;
        self.take(1)?;
        Ok(text)
    }

    /// An `int32` length and that many bytes; `None` for -1 (NULL).
    pub fn value(&mut self) -> Result<Option<&'a [u8]>, ReadError> {
        match self.i32()? {
            -1 => Ok(None),
            n => self.take(usize::try_from(n).map_err(|_| ReadError::BadLength)?).map(Some),
        }
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), ReadError> {
        if self.0.is_empty() { Ok(()) } else { Err(ReadError::LeftOver) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_is_there() {
        let mut reader = Reader::new(b"\x01\x00\x02\xff\xff\xff\xff\x00\x00\x00\x02hiname\0tail");
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.i16(), Ok(2));
        assert_eq!(reader.value(), Ok(None));
        assert_eq!(reader.value(), Ok(Some(&b"hi"[..])));
        assert_eq!(reader.cstr(), Ok(&b"name"[..]));
        assert_eq!(reader.finish(), Err(ReadError::LeftOver));
        assert_eq!(reader.sub(4).unwrap().rest(), b"tail");
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn what_is_not_there_is_an_error_and_moves_nothing() {
        let mut reader = Reader::new(b"abc");
        assert_eq!(reader.u32(), Err(ReadError::TooShort));
        assert_eq!(reader.cstr(), Err(ReadError::Unterminated));
        assert_eq!(reader.take(usize::MAX), Err(ReadError::TooShort));
        assert_eq!(reader.left(), 3);
        assert_eq!(Reader::new(b"\xff\xff\xff\xfe").value(), Err(ReadError::BadLength));
        assert_eq!(Reader::new(b"\x7f\xff\xff\xff").value(), Err(ReadError::TooShort));
    }

    proptest! {
        #[test]
        fn never_panics_and_never_gives_more_than_there_is(bytes: Vec<u8>, steps: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            let mut taken = 0;
            for step in steps {
                taken += match step % 8 {
                    0 => reader.u8().map_or(0, |_| 1),
                    1 => reader.i16().map_or(0, |_| 2),
                    2 => reader.i32().map_or(0, |_| 4),
                    3 => reader.i64().map_or(0, |_| 8),
                    4 => reader.cstr().map_or(0, |s| s.len() + 1),
                    5 => reader.take(usize::from(step)).map_or(0, <[u8]>::len),
                    6 => reader.sub(usize::from(step)).map_or(0, |sub| sub.left()),
                    _ => { let before = reader.left(); let _ = reader.value(); before - reader.left() }
                };
                prop_assert_eq!(taken + reader.left(), bytes.len());
            }
        }
    }
}
