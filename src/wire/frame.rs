//! Cutting bytes into frames: one tag byte, four bytes of length, the body.

/// Bytes of a frame's header.
pub const HEADER: usize = 5;

/// A frame's header, checked: `len` counts tag, length and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub tag: u8,
    pub len: usize,
}

/// Why bytes aren't a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The length doesn't cover itself, or is beyond what the protocol allows.
    Length(i32),
}

impl Frame {
    /// The header at the start of `bytes`; `None`: fewer than five bytes are here yet.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some(&[tag, a, b, c, d]) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
        let length = i32::from_be_bytes([a, b, c, d]);
        if length < 4 {
            return Err(FrameError::Length(length));
        }
        Ok(Some(Self { tag, len: length as usize + 1 }))
    }
}

/// Splits off a string that ends in NUL: `(string, rest behind the NUL)`.
#[inline]
pub fn split_cstr(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    // Most names are empty.
    let end = if let [0, ..] = bytes { 0 } else { memchr::memchr(0, bytes)? };
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// Tags of messages from a client.
pub mod front {
    pub const BIND: u8 = b'B';
    pub const CLOSE: u8 = b'C';
    pub const COPY_DATA: u8 = b'd';
    pub const COPY_DONE: u8 = b'c';
    pub const COPY_FAIL: u8 = b'f';
    pub const DESCRIBE: u8 = b'D';
    pub const EXECUTE: u8 = b'E';
    pub const FLUSH: u8 = b'H';
    pub const FUNCTION_CALL: u8 = b'F';
    pub const PARSE: u8 = b'P';
    pub const QUERY: u8 = b'Q';
    pub const SYNC: u8 = b'S';
    pub const TERMINATE: u8 = b'X';
}

/// Tags of messages from a server.
pub mod back {
    pub const AUTHENTICATION: u8 = b'R';
    pub const BACKEND_KEY_DATA: u8 = b'K';
    pub const BIND_COMPLETE: u8 = b'2';
    pub const CLOSE_COMPLETE: u8 = b'3';
    pub const COMMAND_COMPLETE: u8 = b'C';
    pub const COPY_BOTH_RESPONSE: u8 = b'W';
    pub const COPY_DATA: u8 = b'd';
    pub const COPY_DONE: u8 = b'c';
    pub const COPY_IN_RESPONSE: u8 = b'G';
    pub const COPY_OUT_RESPONSE: u8 = b'H';
    pub const DATA_ROW: u8 = b'D';
    pub const EMPTY_QUERY_RESPONSE: u8 = b'I';
    pub const ERROR_RESPONSE: u8 = b'E';
    pub const FUNCTION_CALL_RESPONSE: u8 = b'V';
    pub const NO_DATA: u8 = b'n';
    pub const NOTICE_RESPONSE: u8 = b'N';
    pub const NOTIFICATION_RESPONSE: u8 = b'A';
    pub const PARAMETER_DESCRIPTION: u8 = b't';
    pub const PARAMETER_STATUS: u8 = b'S';
    pub const PARSE_COMPLETE: u8 = b'1';
    pub const PORTAL_SUSPENDED: u8 = b's';
    pub const READY_FOR_QUERY: u8 = b'Z';
    pub const ROW_DESCRIPTION: u8 = b'T';
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        assert_eq!(Frame::parse(b"Q\0\0\0"), Ok(None));
        assert_eq!(Frame::parse(b"S\0\0\0\x04"), Ok(Some(Frame { tag: b'S', len: 5 })));
        assert_eq!(Frame::parse(b"Q\x7f\xff\xff\xffx"), Ok(Some(Frame { tag: b'Q', len: 0x8000_0000 })));
        assert_eq!(Frame::parse(b"Q\0\0\0\x03"), Err(FrameError::Length(3)));
        assert_eq!(Frame::parse(b"Q\xff\xff\xff\xff"), Err(FrameError::Length(-1)));
    }

    #[test]
    fn strings_end_in_nul() {
        assert_eq!(split_cstr(b"ab\0c"), Some((&b"ab"[..], &b"c"[..])));
        assert_eq!(split_cstr(b"\0"), Some((&b""[..], &b""[..])));
        assert_eq!(split_cstr(b"ab"), None);
    }
}
