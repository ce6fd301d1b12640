//! The attributes of SCRAM messages: `n=…,r=…`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ScramError;

/// Splits `name=` off the front; `rest` is what follows the value's comma, `None` at the end.
pub(super) struct Attribute<'a> {
    pub value: &'a str,
    pub rest: Option<&'a str>,
}

/// The attribute `name` at the front of `input`.
pub(super) fn attribute(input: &str, name: char) -> Result<Attribute<'_>, ScramError> {
    let value = input
        .strip_prefix(name)
        .and_then(|tail| tail.strip_prefix('='))
        .ok_or(ScramError::Malformed("Unexpected or missing attribute in a SCRAM message."))?;
    Ok(match value.split_once(',') {
        Some((value, rest)) => Attribute { value, rest: Some(rest) },
        None => Attribute { value, rest: None },
    })
}

/// The attribute `name`, which others must follow.
pub(super) fn attribute_then(input: &str, name: char) -> Result<(&str, &str), ScramError> {
    let found = attribute(input, name)?;
    Ok((found.value, found.rest.ok_or(ScramError::Malformed("Comma expected in a SCRAM message."))?))
}

/// A nonce: printable ASCII without commas, and not empty (`is_scram_printable`).
pub(super) fn nonce(value: &str) -> Result<&str, ScramError> {
    if value.is_empty() || !value.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && byte != b',') {
        return Err(ScramError::Malformed("Non-printable characters in SCRAM nonce."));
    }
    Ok(value)
}

pub(super) fn utf8(message: &[u8]) -> Result<&str, ScramError> {
    let text = std::str::from_utf8(message).map_err(|_| ScramError::Malformed("A SCRAM message is not text."))?;
    if text.contains('\0') {
        return Err(ScramError::Malformed("Message length does not match input length."));
    }
    Ok(text)
}

pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(super) fn decode_key(text: &str) -> Option<super::Key> {
    decode(text)?.try_into().ok()
}
