//! One verifier of a role's password for all shards: each server would salt it anew, and a login taken over to another
//! shard's server needs the same.

use std::ops::Range;

use ring::rand::{SecureRandom, SystemRandom};

use crate::base::{PgError, SqlState};
use crate::sql::literal::text_value;
use crate::wire::scram::{ITERATIONS, SALT, Verifier};

/// The statement with a SCRAM verifier in place of a plain password.
///
/// # Errors
/// The system gives no random numbers; the password can't be read.
pub(super) fn with_verifier(sql: &str, span: Range<usize>, standard_strings: bool) -> Result<String, PgError> {
    let token = sql.get(span.clone()).unwrap_or_default();
    let Some(password) = text_value(token.as_bytes(), standard_strings) else {
        let text = "this password can't be read over shards";
        return Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text).hint("Write it as a plain string constant."));
    };
    let is_md5 = password.len() == 35
        && password.strip_prefix("md5").is_some_and(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if password.is_empty() || is_md5 || Verifier::parse(&password).is_some() {
        return Ok(sql.to_owned());
    }
    let mut salt = [0; SALT];
    SystemRandom::new()
        .fill(&mut salt)
        .map_err(|_| PgError::error(SqlState::INTERNAL_ERROR, "no random numbers for a password's salt"))?;
    let verifier = Verifier::from_password(&password, &salt, ITERATIONS);
    let (before, after) = (sql.get(..span.start).unwrap_or_default(), sql.get(span.end..).unwrap_or_default());
    Ok(format!("{before}'{verifier}'{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_password_becomes_its_verifier() {
        let sql = "ALTER ROLE r PASSWORD 'it''s' VALID UNTIL 'infinity'";
        let text = with_verifier(sql, 22..29, true).unwrap();
        let start = "ALTER ROLE r PASSWORD '".len();
        assert!(text.ends_with("' VALID UNTIL 'infinity'"), "{text}");
        let verifier = Verifier::parse(text[start..].split('\'').next().unwrap()).unwrap();
        assert!(verifier.is_of("it's"));
        let again = format!("ALTER ROLE r PASSWORD '{verifier}'");
        assert_eq!(with_verifier(&again, start - 1..again.len(), true).unwrap(), again);
    }
}
