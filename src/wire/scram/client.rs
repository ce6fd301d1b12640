//! The side that proves that it knows the password, or its keys.

use super::message::{attribute, attribute_then, decode, decode_key, encode, nonce, utf8};
use super::{ScramError, ScramKeys, equal, hmac, keys_of, salted_password, stored_key, xor};
use crate::base::{Secret, limits};

/// What the client proves.
#[derive(Clone, Debug)]
pub enum ClientSecret {
    Password(Secret),
    /// Fits only the verifier that the keys came from: its salt and iterations are in them.
    Keys(ScramKeys),
}

/// The client's channel binding: what it has, and what it saw offered.
#[derive(Clone, Debug)]
pub enum Binding {
    /// No TLS, or a certificate that can't be bound to: flag `n`.
    Unsupported,
    /// We could, the server didn't offer it: flag `y`. A server that did offer it sees the fraud.
    NotOffered,
    /// `tls-server-end-point` of the server's certificate: flag `p`.
    EndPoint(Vec<u8>),
}

/// An exchange in which we are the client, before its first message.
#[derive(Debug)]
pub struct ClientExchange {
    secret: ClientSecret,
    nonce: String,
    header: &'static str,
    end_point: Vec<u8>,
}

/// After our first message.
#[derive(Debug)]
pub struct ExpectChallenge {
    exchange: ClientExchange,
    bare: String,
}

/// After our proof.
#[derive(Debug)]
pub struct ExpectSignature {
    signature: super::Key,
}

impl ClientExchange {
    /// `nonce` are fresh random bytes.
    pub fn new(secret: ClientSecret, nonce: &[u8], binding: Binding) -> Self {
        let (header, end_point) = match binding {
            Binding::Unsupported => ("n,,", Vec::new()),
            Binding::NotOffered => ("y,,", Vec::new()),
            Binding::EndPoint(hash) => ("p=tls-server-end-point,,", hash),
        };
        Self { secret, nonce: encode(nonce), header, end_point }
    }

    /// Our first message. The name is empty, as libpq's: the start-up packet has it.
    pub fn first(self) -> (ExpectChallenge, String) {
        let bare = format!("n=,r={}", self.nonce);
        let message = format!("{}{bare}", self.header);
        (ExpectChallenge { exchange: self, bare }, message)
    }
}

impl ExpectChallenge {
    /// Takes the server's first message, gives our proof (`read_server_first_message`, `calculate_client_proof`).
    ///
    /// # Errors
    /// `Malformed`, or `Unsupported` for an extension or a number of iterations beyond our limit.
    pub fn challenge(self, message: &[u8]) -> Result<(ExpectSignature, String), ScramError> {
        let text = utf8(message)?;
        if text.starts_with("m=") {
            return Err(ScramError::Unsupported("The server requires an unsupported SCRAM extension."));
        }
        let (nonce_found, rest) = attribute_then(text, 'r')?;
        // Ours, with something of the server's behind it.
        match nonce(nonce_found)?.strip_prefix(self.exchange.nonce.as_str()) {
            Some(theirs) if !theirs.is_empty() => {}
            _ => return Err(ScramError::Malformed("invalid SCRAM response (nonce mismatch)")),
        }
        let (salt, rest) = attribute_then(rest, 's')?;
        let salt = decode(salt).ok_or(ScramError::Malformed("malformed SCRAM message (invalid salt)"))?;
        let count = attribute(rest, 'i')?.value;
        let iterations: u32 = count
            .parse()
            .ok()
            .filter(|count| *count > 0)
            .ok_or(ScramError::Malformed("malformed SCRAM message (invalid iteration count)"))?;
        let keys = match &self.exchange.secret {
            ClientSecret::Keys(keys) => keys.clone(),
            ClientSecret::Password(_) if iterations > limits::SCRAM_ITERATIONS => {
                return Err(ScramError::Unsupported("The server asks for too many SCRAM iterations."));
            }
            ClientSecret::Password(password) => keys_of(&salted_password(password.reveal(), &salt, iterations)),
        };
        let mut binding = self.exchange.header.as_bytes().to_vec();
        binding.extend_from_slice(&self.exchange.end_point);
        let without_proof = format!("c={},r={nonce_found}", encode(&binding));
        let transcript: [&[u8]; 5] = [self.bare.as_bytes(), b",", text.as_bytes(), b",", without_proof.as_bytes()];
        let proof = xor(&keys.client_key, &hmac(&stored_key(&keys.client_key), &transcript));
        let signature = hmac(&keys.server_key, &transcript);
        Ok((ExpectSignature { signature }, format!("{without_proof},p={}", encode(&proof))))
    }
}

impl ExpectSignature {
    /// Takes the server's final message: it must know the password as well (`verify_server_signature`).
    ///
    /// # Errors
    /// `Mismatch` if it doesn't; `Malformed`.
    pub fn finish(self, message: &[u8]) -> Result<(), ScramError> {
        let text = utf8(message)?;
        if text.starts_with("e=") {
            return Err(ScramError::Mismatch);
        }
        let signature = decode_key(attribute(text, 'v')?.value)
            .ok_or(ScramError::Malformed("malformed SCRAM message (invalid server signature)"))?;
        if equal(&signature, &self.signature) { Ok(()) } else { Err(ScramError::Mismatch) }
    }
}
