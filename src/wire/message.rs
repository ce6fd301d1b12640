//! Messages that pgbraid itself says, to clients and to servers, and the few fields it reads out of a server's.

use super::frame::{back, front, split_cstr};
use crate::base::{PgError, SqlState};

/// Appends one message: `tag`, the length, then what `body` writes.
pub fn put(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = (out.len() - at) as u32;
    if let Some(field) = out.get_mut(at..at + 4) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

/// Appends a string and its NUL. Bytes from a NUL on are left out: they can't be said.
pub fn put_cstr(out: &mut Vec<u8>, text: &[u8]) {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    out.extend_from_slice(text.get(..end).unwrap_or_default());
    out.push(0);
}

/// Query
pub fn query(out: &mut Vec<u8>, sql: &[u8]) {
    put(out, front::QUERY, |body| put_cstr(body, sql));
}

/// Parse; `types` is the tail of a Parse message as a client sent it: the count and the OIDs.
pub fn parse(out: &mut Vec<u8>, name: &[u8], sql: &[u8], types: &[u8]) {
    put(out, front::PARSE, |body| {
        put_cstr(body, name);
        put_cstr(body, sql);
        body.extend_from_slice(types);
    });
}

/// Runs the statement of this name, which has no parameters, in a portal of the same name, and closes both.
pub fn run_once(out: &mut Vec<u8>, name: &[u8]) {
    put(out, front::BIND, |body| {
        put_cstr(body, name);
        put_cstr(body, name);
        body.extend_from_slice(&[0; 6]);
    });
    put(out, front::EXECUTE, |body| {
        put_cstr(body, name);
        body.extend_from_slice(&[0; 4]);
    });
    put(out, front::CLOSE, |body| {
        body.push(b'P');
        put_cstr(body, name);
    });
    close_statement(out, name);
}

/// Close of a statement.
pub fn close_statement(out: &mut Vec<u8>, name: &[u8]) {
    put(out, front::CLOSE, |body| {
        body.push(b'S');
        put_cstr(body, name);
    });
}

/// Describe of a statement.
pub fn describe_statement(out: &mut Vec<u8>, name: &[u8]) {
    put(out, front::DESCRIBE, |body| {
        body.push(b'S');
        put_cstr(body, name);
    });
}

/// Sync
pub fn sync(out: &mut Vec<u8>) {
    put(out, front::SYNC, |_| {});
}

/// Terminate
pub fn terminate(out: &mut Vec<u8>) {
    put(out, front::TERMINATE, |_| {});
}

/// ReadyForQuery with `I`, `T` or `E`.
pub fn ready_for_query(out: &mut Vec<u8>, status: u8) {
    put(out, back::READY_FOR_QUERY, |body| body.push(status));
}

/// CommandComplete
pub fn command_complete(out: &mut Vec<u8>, tag: &str) {
    put(out, back::COMMAND_COMPLETE, |body| put_cstr(body, tag.as_bytes()));
}

/// ParameterStatus
pub fn parameter_status(out: &mut Vec<u8>, name: &str, value: &str) {
    put(out, back::PARAMETER_STATUS, |body| {
        put_cstr(body, name.as_bytes());
        put_cstr(body, value.as_bytes());
    });
}

/// BackendKeyData
pub fn backend_key_data(out: &mut Vec<u8>, process_id: i32, key: &[u8]) {
    put(out, back::BACKEND_KEY_DATA, |body| {
        body.extend_from_slice(&process_id.to_be_bytes());
        body.extend_from_slice(key);
    });
}

/// RowDescription of text columns.
pub fn text_row_description(out: &mut Vec<u8>, columns: &[&str]) {
    const TEXT_OID: u32 = 25;
    put(out, back::ROW_DESCRIPTION, |body| {
        body.extend_from_slice(&(columns.len() as u16).to_be_bytes());
        for column in columns {
            put_cstr(body, column.as_bytes());
            body.extend_from_slice(&0u32.to_be_bytes());
            body.extend_from_slice(&0u16.to_be_bytes());
            body.extend_from_slice(&TEXT_OID.to_be_bytes());
            body.extend_from_slice(&(-1i16).to_be_bytes());
            body.extend_from_slice(&(-1i32).to_be_bytes());
            body.extend_from_slice(&0u16.to_be_bytes());
        }
    });
}

/// DataRow of text values.
pub fn text_data_row(out: &mut Vec<u8>, values: &[Option<&str>]) {
    put(out, back::DATA_ROW, |body| {
        body.extend_from_slice(&(values.len() as u16).to_be_bytes());
        for value in values {
            match value {
                Some(text) => {
                    body.extend_from_slice(&(text.len() as u32).to_be_bytes());
                    body.extend_from_slice(text.as_bytes());
                }
                None => body.extend_from_slice(&(-1i32).to_be_bytes()),
            }
        }
    });
}

/// ErrorResponse
pub fn error_response(out: &mut Vec<u8>, error: &PgError) {
    put(out, back::ERROR_RESPONSE, |body| {
        let (severity, code) = (error.severity().as_str(), error.code());
        let fields = [
            (b'S', Some(severity)),
            (b'V', Some(severity)),
            (b'C', Some(code.as_str())),
            (b'M', Some(error.message())),
            (b'D', error.detail_text()),
            (b'H', error.hint_text()),
        ];
        let about = error.about_fields().iter().map(|(field, name)| (*field, Some(name.as_str())));
        for (field, text) in fields.into_iter().chain(about) {
            if let Some(text) = text {
                body.push(field);
                put_cstr(body, text.as_bytes());
            }
        }
        body.push(0);
    });
}

/// One field of an ErrorResponse's or NoticeResponse's body.
pub fn error_field(mut body: &[u8], field: u8) -> Option<&[u8]> {
    while let Some((&kind, rest)) = body.split_first() {
        if kind == 0 {
            return None;
        }
        let (text, behind) = split_cstr(rest)?;
        if kind == field {
            return Some(text);
        }
        body = behind;
    }
    None
}

/// The error that a server's ErrorResponse tells, as one of ours (ERROR, whatever the server called it).
pub fn read_error(body: &[u8]) -> PgError {
    let text = |field| error_field(body, field).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let code = error_field(body, b'C').map_or(SqlState::INTERNAL_ERROR, SqlState::from_bytes);
    let mut error = PgError::error(code, text(b'M').unwrap_or_default());
    if let Some(detail) = text(b'D') {
        error = error.detail(detail);
    }
    if let Some(hint) = text(b'H') {
        error = error.hint(hint);
    }
    for field in PgError::ABOUT {
        if let Some(name) = text(field) {
            error = error.about(field, name);
        }
    }
    error
}

/// Name and value of a ParameterStatus's body.
pub fn read_parameter_status(body: &[u8]) -> Option<(String, String)> {
    let (name, rest) = split_cstr(body)?;
    let (value, _) = split_cstr(rest)?;
    Some((String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned()))
}

/// The columns of a DataRow's body; `None` where it is malformed.
pub fn read_data_row(body: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        rest = behind;
        match usize::try_from(i32::from_be_bytes(*length)) {
            Err(_) => columns.push(None),
            Ok(length) => {
                let (value, behind) = rest.split_at_checked(length)?;
                columns.push(Some(value));
                rest = behind;
            }
        }
    }
    rest.is_empty().then_some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_it_was_written() {
        let error = PgError::error(SqlState::PROTOCOL_VIOLATION, "that\0cut").detail("why").hint("what to do");
        let mut out = Vec::new();
        error_response(&mut out, &error);
        assert_eq!(out.get(1..5), Some(&(out.len() as u32 - 1).to_be_bytes()[..]));
        let read = read_error(out.get(5..).unwrap_or_default());
        assert_eq!((read.code(), read.message()), (SqlState::PROTOCOL_VIOLATION, "that"));
        assert_eq!((read.detail_text(), read.hint_text()), (Some("why"), Some("what to do")));
    }

    #[test]
    fn rows_that_lie_are_refused() {
        let mut out = Vec::new();
        text_data_row(&mut out, &[Some("a"), None, Some("")]);
        let body = out.get(5..).unwrap_or_default();
        assert_eq!(read_data_row(body), Some(vec![Some(&b"a"[..]), None, Some(&b""[..])]));
        for cut in 0..body.len() {
            assert_eq!(read_data_row(body.get(..cut).unwrap_or_default()), None, "{cut}");
        }
    }
}
