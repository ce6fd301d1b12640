//! What a server stores in place of a password.

use super::message::{decode, decode_key, encode};
use super::{ITERATIONS, Key, SALT, equal, hmac, keys_of, salted_password, stored_key};

/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, as in `pg_authid.rolpassword`.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub iterations: u32,
    pub salt: Vec<u8>,
    pub stored_key: Key,
    pub server_key: Key,
}

impl Verifier {
    /// Reads the text; `None` if it isn't one (`parse_scram_secret`).
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("SCRAM-SHA-256$")?;
        let (head, keys) = rest.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let iterations: u32 = iterations.bytes().all(|b| b.is_ascii_digit()).then(|| iterations.parse().ok())??;
        if iterations == 0 || i32::try_from(iterations).is_err() {
            return None;
        }
        Some(Self {
            iterations,
            salt: decode(salt)?,
            stored_key: decode_key(stored_key)?,
            server_key: decode_key(server_key)?,
        })
    }

    /// The verifier of a password. Takes about a millisecond for 4,096 iterations: that is its purpose.
    pub fn from_password(password: &str, salt: &[u8], iterations: u32) -> Self {
        let keys = keys_of(&salted_password(password, salt, iterations));
        Self { iterations, salt: salt.to_vec(), stored_key: stored_key(&keys.client_key), server_key: keys.server_key }
    }

    /// For a user who doesn't exist: always the same for the same name, so that nobody learns by asking twice
    /// (`mock_scram_secret`). No proof fits it.
    pub fn mock(user: &str, secret: &[u8]) -> Self {
        Self { iterations: ITERATIONS, salt: Self::mock_salt(user, secret), stored_key: [0; 32], server_key: [0; 32] }
    }

    /// The salt of `mock`. Verifiers made of plain passwords use it too: so both look alike from outside.
    pub fn mock_salt(user: &str, secret: &[u8]) -> Vec<u8> {
        let mut salt = hmac(secret, &[user.as_bytes()]).to_vec();
        salt.truncate(SALT);
        salt
    }

    /// Is this the verifier of `password`? (`scram_verify_plain_password`)
    pub fn is_of(&self, password: &str) -> bool {
        let keys = keys_of(&salted_password(password, &self.salt, self.iterations));
        equal(&keys.server_key, &self.server_key)
    }
}

impl std::fmt::Display for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { iterations, salt, stored_key, server_key } = self;
        write!(f, "SCRAM-SHA-256${iterations}:{}${}:{}", encode(salt), encode(stored_key), encode(server_key))
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier(…)")
    }
}
