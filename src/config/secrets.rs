//! Passwords: `env:` and `file:` resolved, and the forms in which PostgreSQL stores one told apart.

use std::path::Path;

use crate::base::Secret;

use super::environment::Environment;
use super::mistake::Mistakes;

/// The form of a password in `[users]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredPassword {
    Plain,
    /// `md5` and 32 hexadecimal digits.
    Md5,
    /// `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`
    Scram,
    /// Begins as a SCRAM verifier and isn't one.
    BrokenScram,
}

/// The form of a password (PostgreSQL's `get_password_type`, but that a broken verifier isn't taken for plain text).
pub fn stored_password(secret: &Secret) -> StoredPassword {
    let text = secret.reveal();
    if let Some(verifier) = text.strip_prefix("SCRAM-SHA-256$") {
        return if is_scram(verifier).is_some() { StoredPassword::Scram } else { StoredPassword::BrokenScram };
    }
    match text.strip_prefix("md5") {
        Some(digits) if digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) => {
            StoredPassword::Md5
        }
        _ => StoredPassword::Plain,
    }
}

/// `parse_scram_secret` in PostgreSQL's auth-scram.c.
fn is_scram(text: &str) -> Option<()> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let (first, keys) = text.split_once('$')?;
    let (iterations, salt) = first.split_once(':')?;
    let (stored, server) = keys.split_once(':')?;
    iterations.parse::<u32>().ok().filter(|count| *count > 0)?;
    STANDARD.decode(salt).ok()?;
    for key in [stored, server] {
        STANDARD.decode(key).ok().filter(|key| key.len() == 32)?;
    }
    Some(())
}

/// The secret that `text` is or names.
pub(super) fn resolve(
    text: &str,
    folder: &Path,
    env: &dyn Environment,
    offset: usize,
    mistakes: &mut Mistakes,
) -> Option<Secret> {
    let found = if let Some(name) = text.strip_prefix("env:") {
        let Some(value) = env.var(name) else {
            let hint = format!("set it for pgbraid's process, or use file:PATH; for a shell: export {name}=…");
            mistakes.hinted(offset, format!("the environment variable `{name}` isn't set"), hint);
            return None;
        };
        value
    } else if let Some(path) = text.strip_prefix("file:") {
        match env.read_file(&folder.join(path)) {
            Ok(text) => text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t)).to_owned(),
            Err(error) => {
                mistakes.add(offset, format!("the file `{path}` can't be read: {error}"));
                return None;
            }
        }
    } else {
        text.to_owned()
    };
    if found.is_empty() {
        mistakes.add(offset, "the password is empty");
        return None;
    }
    Some(Secret::new(found))
}
