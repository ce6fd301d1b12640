//! The side that has a verifier and asks for a proof.

use super::message::{attribute, attribute_then, decode, decode_key, encode, nonce, utf8};
use super::{ScramError, ScramKeys, Verifier, equal, hmac, stored_key, xor};

/// An exchange in which we are the server, before the client's first message.
#[derive(Debug)]
pub struct ServerExchange {
    verifier: Verifier,
    /// No proof will do: the user doesn't exist, or can't log in this way.
    doomed: bool,
    nonce: String,
    /// `tls-server-end-point` of our certificate, where PLUS was offered.
    end_point: Option<Vec<u8>>,
}

/// After the client's first message.
#[derive(Debug)]
pub struct ExpectProof {
    exchange: ServerExchange,
    /// `<client-first-message-bare>,<server-first-message>,`: the start of the AuthMessage.
    transcript: String,
    nonce: String,
    /// What the client must repeat in `c=`: its GS2 header and the channel binding data.
    binding: Vec<u8>,
}

/// How it ended.
#[derive(Debug)]
pub enum Verdict {
    /// The password is right. `message` is the server's final message.
    Passed { keys: ScramKeys, message: String },
    /// It is wrong, or the user doesn't exist: these can't be told apart.
    Refused,
}

impl ServerExchange {
    /// `nonce` are fresh random bytes; `end_point` is given if SCRAM-SHA-256-PLUS was offered.
    pub fn new(verifier: Verifier, nonce: &[u8], end_point: Option<Vec<u8>>) -> Self {
        Self { verifier, doomed: false, nonce: encode(nonce), end_point }
    }

    /// With a nonce as a text of one's own.
    #[cfg(test)]
    pub(super) fn with_nonce(verifier: Verifier, nonce: String) -> Self {
        Self { verifier, doomed: false, nonce, end_point: None }
    }

    /// An exchange that fails at its end like one with a wrong password.
    pub fn doomed(user: &str, secret: &[u8], nonce: &[u8], end_point: Option<Vec<u8>>) -> Self {
        Self { verifier: Verifier::mock(user, secret), doomed: true, nonce: encode(nonce), end_point }
    }

    /// Takes the client's first message, gives ours (`read_client_first_message`). `plus`: the client chose
    /// SCRAM-SHA-256-PLUS.
    ///
    /// # Errors
    /// Anything but `Mismatch`.
    pub fn first(self, message: &[u8], plus: bool) -> Result<(ExpectProof, String), ScramError> {
        let text = utf8(message)?;
        let flag_end = match text.as_bytes().first() {
            Some(b'n') if plus => {
                return Err(ScramError::Malformed(
                    "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.",
                ));
            }
            Some(b'n') => 1,
            Some(b'y') if plus => {
                return Err(ScramError::Malformed(
                    "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.",
                ));
            }
            // The client could bind and believes that we can't. If we can, somebody hid it from the client.
            Some(b'y') if self.end_point.is_some() => {
                return Err(ScramError::ChannelBinding(
                    "The client supports SCRAM channel binding but thinks the server does not.  However, this server does support channel binding.",
                ));
            }
            Some(b'y') => 1,
            Some(b'p') if !plus => {
                return Err(ScramError::Malformed(
                    "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding data.",
                ));
            }
            Some(b'p') => {
                let (kind, _) = attribute_then(text, 'p')?;
                if kind != "tls-server-end-point" {
                    return Err(ScramError::ChannelBinding("Unsupported SCRAM channel-binding type."));
                }
                2 + kind.len()
            }
            _ => return Err(ScramError::Malformed("Unexpected SCRAM channel-binding flag.")),
        };
        let (flag, rest) = text.split_at_checked(flag_end).ok_or(ScramError::Malformed("Malformed SCRAM message."))?;
        let bare = match rest.strip_prefix(",,") {
            Some(bare) => bare,
            None if rest.starts_with(",a=") => {
                return Err(ScramError::Unsupported("Client uses authorization identity, but it is not supported."));
            }
            None => return Err(ScramError::Malformed("Unexpected attribute in client-first-message.")),
        };
        if bare.starts_with("m=") {
            return Err(ScramError::Unsupported("Client requires an unsupported SCRAM extension."));
        }
        // The name in the start-up packet counts; this one is ignored.
        let (_, rest) = attribute_then(bare, 'n')?;
        let client_nonce = nonce(attribute(rest, 'r')?.value)?;

        let mut binding = format!("{flag},,").into_bytes();
        if plus {
            let end_point = self.end_point.as_deref();
            binding.extend(end_point.ok_or(ScramError::ChannelBinding("Channel binding was not offered."))?);
        }
        let nonce = format!("{client_nonce}{}", self.nonce);
        let answer = format!("r={nonce},s={},i={}", encode(&self.verifier.salt), self.verifier.iterations);
        let transcript = format!("{bare},{answer},");
        Ok((ExpectProof { exchange: self, transcript, nonce, binding }, answer))
    }
}

impl ExpectProof {
    /// Takes the client's final message (`read_client_final_message`, `verify_client_proof`).
    ///
    /// # Errors
    /// Anything but `Mismatch`; a wrong proof is a verdict.
    pub fn last(self, message: &[u8]) -> Result<Verdict, ScramError> {
        let text = utf8(message)?;
        let (binding, rest) = attribute_then(text, 'c')?;
        if decode(binding).as_deref() != Some(&self.binding) {
            return Err(ScramError::ChannelBinding("SCRAM channel binding check failed"));
        }
        let (nonce, mut rest) = attribute_then(rest, 'r')?;
        if nonce != self.nonce {
            return Err(ScramError::Malformed("Nonce does not match."));
        }
        // Optional extensions may stand before the proof; they are signed and otherwise ignored.
        while !rest.starts_with("p=") {
            rest = rest.split_once(',').ok_or(ScramError::Malformed("Malformed proof in client-final-message."))?.1;
        }
        let proof_at = text.len() - rest.len();
        let without_proof = text.get(..proof_at.saturating_sub(1)).unwrap_or_default();
        let found = attribute(rest, 'p')?;
        if found.rest.is_some() {
            return Err(ScramError::Malformed("Garbage found at the end of client-final-message."));
        }
        let proof = decode_key(found.value).ok_or(ScramError::Malformed("Malformed proof in client-final-message."))?;

        let verifier = &self.exchange.verifier;
        let transcript = [self.transcript.as_bytes(), without_proof.as_bytes()];
        let client_key = xor(&proof, &hmac(&verifier.stored_key, &transcript));
        let fits = equal(&stored_key(&client_key), &verifier.stored_key);
        let signature = hmac(&verifier.server_key, &transcript);
        if !fits || self.exchange.doomed {
            return Ok(Verdict::Refused);
        }
        let keys = ScramKeys { client_key, server_key: verifier.server_key };
        Ok(Verdict::Passed { keys, message: format!("v={}", encode(&signature)) })
    }
}
