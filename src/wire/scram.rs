//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, both sides, without a socket, a clock or a random source (RFC 5802, RFC 7677;
//! where they leave a choice, PostgreSQL's `scram-common.c`, `auth-scram.c` and `fe-auth-scram.c` decide).

mod client;
mod message;
mod server;
mod verifier;

#[cfg(test)]
mod tests;

pub use client::{Binding, ClientExchange, ClientSecret, ExpectChallenge, ExpectSignature};
pub use server::{ExpectProof, ServerExchange, Verdict};
pub use verifier::Verifier;

use ring::hmac;

/// The mechanism without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
/// The mechanism bound to the TLS channel.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// Random bytes in a nonce, before base64 (`SCRAM_RAW_NONCE_LEN`).
pub const NONCE: usize = 18;
/// Bytes of a salt that we make (`SCRAM_DEFAULT_SALT_LEN`).
pub const SALT: usize = 16;
/// `SCRAM_SHA_256_DEFAULT_ITERATIONS`
pub const ITERATIONS: u32 = 4_096;

/// A SHA-256 digest or HMAC.
pub type Key = [u8; 32];

/// What a successful exchange tells of the password: enough to log in at a server that holds the same verifier.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    pub client_key: Key,
    pub server_key: Key,
}

impl std::fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScramKeys(…)")
    }
}

/// Why an exchange failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScramError {
    /// The peer's message breaks the grammar; the text is PostgreSQL's DETAIL.
    Malformed(&'static str),
    /// The peer's channel binding isn't ours: something between us decrypts, or hides that both could bind.
    ChannelBinding(&'static str),
    /// The peer wants what we don't have: an extension, an authorization name.
    Unsupported(&'static str),
    /// The peer's proof doesn't fit: wrong password, or a server that doesn't know it.
    Mismatch,
}

impl std::fmt::Display for ScramError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(why) | Self::ChannelBinding(why) | Self::Unsupported(why) => f.write_str(why),
            Self::Mismatch => f.write_str("the proof does not fit"),
        }
    }
}

impl std::error::Error for ScramError {}

/// The password as SCRAM hashes it: SASLprep'ed, or its bytes where SASLprep refuses (`pg_saslprep`'s callers).
fn prepared(password: &str) -> std::borrow::Cow<'_, str> {
    match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => prepared,
        _ => password.into(),
    }
}

fn salted_password(password: &str, salt: &[u8], iterations: u32) -> Key {
    let mut salted = [0; 32];
    let rounds = std::num::NonZeroU32::new(iterations).unwrap_or(std::num::NonZeroU32::MIN);
    ring::pbkdf2::derive(ring::pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, prepared(password).as_bytes(), &mut salted);
    salted
}

fn keys_of(salted: &Key) -> ScramKeys {
    ScramKeys { client_key: hmac(salted, &[b"Client Key"]), server_key: hmac(salted, &[b"Server Key"]) }
}

fn stored_key(client_key: &Key) -> Key {
    sha256(&[client_key])
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    fixed(context.sign().as_ref())
}

fn sha256(parts: &[&[u8]]) -> Key {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    fixed(context.finish().as_ref())
}

fn fixed(bytes: &[u8]) -> Key {
    let mut key = [0; 32];
    key.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    key
}

fn xor(a: &Key, b: &Key) -> Key {
    let mut out = *a;
    out.iter_mut().zip(b).for_each(|(to, from)| *to ^= from);
    out
}

/// Equality that takes as long whichever byte differs: HMACs of both under a key of their own bytes are compared by
/// `ring`'s verification.
fn equal(a: &Key, b: &Key) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b);
    hmac::verify(&key, b"", hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, a), b"").as_ref()).is_ok()
}
