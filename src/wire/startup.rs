//! The first packet of a connection: no tag, a length, a code or a protocol version (PostgreSQL's
//! `ProcessStartupPacket`).

use super::message::{put, put_cstr};
use super::reader::Reader;
use crate::base::{PgError, SqlState, limits};

/// `CANCEL_REQUEST_CODE`: 1234.5678.
pub const CANCEL_REQUEST: u32 = 0x04d2_162e;
/// `NEGOTIATE_SSL_CODE`: 1234.5679.
pub const SSL_REQUEST: u32 = 0x04d2_162f;
/// A whole SSLRequest.
pub const SSL_REQUEST_PACKET: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// `NEGOTIATE_GSS_CODE`: 1234.5680.
pub const GSSENC_REQUEST: u32 = 0x04d2_1630;

/// The protocol that we speak to servers: 3.0.
pub const PROTOCOL_3_0: u32 = 3 << 16;
/// The newest minor version that we speak to clients.
pub const NEWEST_MINOR: u16 = 2;

/// Longest key of a cancel request, in bytes (protocol 3.2).
const CANCEL_KEY: usize = 256;

/// What a client wants first.
#[derive(Debug, PartialEq, Eq)]
pub enum First<'a> {
    /// TLS: answered with `S` or `N`.
    Ssl,
    /// GSSAPI encryption: answered with `N`.
    GssEnc,
    /// To cancel what another connection does.
    Cancel { process_id: i32, key: &'a [u8] },
    /// A session.
    Startup(Startup<'a>),
}

/// Name and value.
pub type Parameter<'a> = (&'a [u8], &'a [u8]);

/// A StartupMessage of protocol 3.
#[derive(Debug, PartialEq, Eq)]
pub struct Startup<'a> {
    /// The minor version asked for, whatever it is.
    pub minor: u16,
    /// Names and values in their order, `_pq_.*` options included. PostgreSQL doesn't say in which encoding.
    pub parameters: Vec<Parameter<'a>>,
}

/// Why a first packet is refused.
#[derive(Debug)]
pub enum StartupError {
    /// Not our protocol: close without a word (HTTP, scanners). The text is for the log.
    Silent(&'static str),
    /// To be told to the client.
    Fatal(PgError),
}

/// The length of the body that follows the packet's first four bytes.
///
/// # Errors
/// Silent, if it is shorter than a code or longer than `limits::STARTUP_PACKET`.
pub fn body_length(header: [u8; 4]) -> Result<usize, StartupError> {
    let length = usize::try_from(u32::from_be_bytes(header)).ok().and_then(|length| length.checked_sub(4));
    length
        .filter(|length| (4..=limits::STARTUP_PACKET).contains(length))
        .ok_or(StartupError::Silent("invalid length of startup packet"))
}

/// Reads the body.
///
/// # Errors
/// See `StartupError`.
pub fn parse(body: &[u8]) -> Result<First<'_>, StartupError> {
    let mut reader = Reader::new(body);
    let code = reader.u32().map_err(|_| StartupError::Silent("invalid length of startup packet"))?;
    match code {
        CANCEL_REQUEST => {
            let silent = StartupError::Silent("invalid length of query cancel packet");
            let Ok(process_id) = reader.i32() else { return Err(silent) };
            let key = reader.rest();
            if (4..=CANCEL_KEY).contains(&key.len()) { Ok(First::Cancel { process_id, key }) } else { Err(silent) }
        }
        SSL_REQUEST if reader.is_empty() => Ok(First::Ssl),
        GSSENC_REQUEST if reader.is_empty() => Ok(First::GssEnc),
        _ if code >> 16 == 3 => {
            let minor = (code & 0xffff) as u16;
            Ok(First::Startup(Startup { minor, parameters: parameters(reader)? }))
        }
        _ => Err(StartupError::Fatal(unsupported(code))),
    }
}

/// The refusal of a protocol version (or of an encryption request where none may come any more).
pub fn unsupported(code: u32) -> PgError {
    let (major, minor) = (code >> 16, code & 0xffff);
    PgError::fatal(
        SqlState::FEATURE_NOT_SUPPORTED,
        format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{NEWEST_MINOR}"),
    )
}

fn parameters(mut reader: Reader<'_>) -> Result<Vec<Parameter<'_>>, StartupError> {
    let broken = || {
        StartupError::Fatal(PgError::fatal(
            SqlState::PROTOCOL_VIOLATION,
            "invalid startup packet layout: expected terminator as last byte",
        ))
    };
    let mut found = Vec::new();
    loop {
        let name = reader.cstr().map_err(|_| broken())?;
        if name.is_empty() {
            return if reader.is_empty() { Ok(found) } else { Err(broken()) };
        }
        found.push((name, reader.cstr().map_err(|_| broken())?));
    }
}

impl<'a> Startup<'a> {
    /// The value of a parameter; the last one counts.
    pub fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.parameters.iter().rev().find(|(found, _)| *found == name).map(|(_, value)| *value)
    }

    /// The minor version that will be spoken: 0 or 2. (3.1 was never made: it differs from 3.0 in nothing.)
    pub fn spoken_minor(&self) -> u16 {
        if self.minor >= NEWEST_MINOR { NEWEST_MINOR } else { 0 }
    }

    /// Appends NegotiateProtocolVersion if the client asked for a newer version, or for protocol options: we know none
    /// (`SendNegotiateProtocolVersion`).
    pub fn negotiate(&self, out: &mut Vec<u8>) {
        let options = || self.parameters.iter().filter(|(name, _)| name.starts_with(b"_pq_."));
        let count = options().count();
        if self.minor <= NEWEST_MINOR && count == 0 {
            return;
        }
        put(out, b'v', |body| {
            body.extend_from_slice(&(PROTOCOL_3_0 | u32::from(self.minor.min(NEWEST_MINOR))).to_be_bytes());
            body.extend_from_slice(&u32::try_from(count).unwrap_or_default().to_be_bytes());
            options().for_each(|(name, _)| put_cstr(body, name));
        });
    }

    /// Does the client ask for a replication connection?
    ///
    /// # Errors
    /// A value that PostgreSQL doesn't take.
    pub fn replication(&self) -> Result<bool, PgError> {
        let Some(value) = self.get(b"replication") else { return Ok(false) };
        match value.to_ascii_lowercase().as_slice() {
            b"database" => Ok(true),
            value => boolean(value).ok_or_else(|| {
                let shown = String::from_utf8_lossy(value).into_owned();
                PgError::fatal(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("invalid value for parameter \"replication\": \"{shown}\""),
                )
                .hint("Valid values are: \"false\", 0, \"true\", 1, \"database\".")
            }),
        }
    }
}

/// `parse_bool` for lower case: any prefix of a word that is unambiguous.
fn boolean(value: &[u8]) -> Option<bool> {
    let prefix = |word: &[u8], least: usize| value.len() >= least && word.starts_with(value);
    match value {
        b"1" => Some(true),
        b"0" => Some(false),
        _ if prefix(b"true", 1) || prefix(b"yes", 1) || prefix(b"on", 2) => Some(true),
        _ if prefix(b"false", 1) || prefix(b"no", 1) || prefix(b"off", 2) => Some(false),
        _ => None,
    }
}

/// Appends a StartupMessage of protocol 3.0.
pub fn write<'a>(out: &mut Vec<u8>, parameters: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
    for (name, value) in parameters {
        put_cstr(&mut body, name.as_bytes());
        put_cstr(&mut body, value.as_bytes());
    }
    body.push(0);
    out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&body);
}

#[cfg(test)]
mod tests;
