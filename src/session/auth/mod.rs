//! Proving who a client is: one of the methods of `auth.method`, up to but without AuthenticationOk.

mod md5;
mod scram;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ring::rand::{SecureRandom, SystemRandom};

use crate::backend::login::Credentials;
use crate::base::{PgError, Secret, SqlState, limits};
use crate::config::AuthMethod;
use crate::net::{Framed, FramedError};
use crate::wire::frame::back;
use crate::wire::message::put;
use crate::wire::scram::{ITERATIONS, Verifier};

/// Tag of a client's answers.
const ANSWER: u8 = b'p';

/// Why a client isn't let in.
#[derive(Debug)]
pub(super) enum Failure {
    /// It went away.
    Gone,
    /// It is told so.
    Told(PgError),
}

impl From<PgError> for Failure {
    fn from(error: PgError) -> Self {
        Self::Told(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

/// A user who authenticated.
#[derive(Debug)]
pub(super) struct Authenticated {
    pub credentials: Credentials,
    /// What the method has left to say, in front of AuthenticationOk.
    pub last_words: Vec<u8>,
}

impl Authenticated {
    fn quietly(credentials: Credentials) -> Self {
        Self { credentials, last_words: Vec::new() }
    }
}

/// A stored password, by its kind (`get_password_type`).
enum Stored {
    Plain(Secret),
    Md5(Secret),
    Scram(Box<Verifier>),
}

impl Stored {
    fn of(secret: Secret) -> Self {
        if crate::wire::md5::is_stored(secret.reveal()) {
            return Self::Md5(secret);
        }
        match Verifier::parse(secret.reveal()) {
            Some(verifier) => Self::Scram(Box::new(verifier)),
            None => Self::Plain(secret),
        }
    }
}

/// What authentication keeps between clients.
pub(super) struct Vault {
    /// Makes up salts for users who don't exist.
    mock_secret: [u8; 32],
    /// Verifiers of plain passwords: a millisecond of work each, to be done once.
    verifiers: Mutex<HashMap<String, (Secret, Verifier)>>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(…)")
    }
}

impl Vault {
    /// `seed` is a secret with much entropy that all clones share (the TLS key), so that they make up the same salts.
    pub(super) fn new(seed: Option<&[u8]>) -> Self {
        let mut mock_secret = [0; 32];
        match seed {
            Some(seed) => {
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, seed);
                let tag = ring::hmac::sign(&key, b"pgbraid: salts of users who do not exist");
                mock_secret.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
            }
            // Without random numbers nonces fail too, and with them every login: nothing is let in by this.
            None => SystemRandom::new().fill(&mut mock_secret).unwrap_or_default(),
        }
        Self { mock_secret, verifiers: Mutex::default() }
    }

    /// The verifier of a plain password. Its salt is the one that the user would have if he didn't exist.
    async fn verifier(&self, user: &str, password: &Secret) -> Result<Verifier, PgError> {
        let known = {
            let verifiers = self.verifiers.lock().unwrap_or_else(PoisonError::into_inner);
            verifiers.get(user).filter(|(of, _)| of == password).map(|(_, verifier)| verifier.clone())
        };
        if let Some(verifier) = known {
            return Ok(verifier);
        }
        let (salt, clone) = (Verifier::mock_salt(user, &self.mock_secret), password.clone());
        let verifier = tokio::task::spawn_blocking(move || Verifier::from_password(clone.reveal(), &salt, ITERATIONS))
            .await
            .map_err(|_| PgError::fatal(SqlState::INTERNAL_ERROR, "authentication was interrupted"))?;
        let mut verifiers = self.verifiers.lock().unwrap_or_else(PoisonError::into_inner);
        if verifiers.len() >= limits::VERIFIER_CACHE {
            verifiers.clear();
        }
        verifiers.insert(user.to_owned(), (password.clone(), verifier.clone()));
        Ok(verifier)
    }
}

/// Authenticates `user` by `method`; `greeting` is what must be said before the first request. What the method still
/// has to say (SCRAM's signature) is given back, to go out with AuthenticationOk in one write.
pub(super) async fn authenticate(
    framed: &mut Framed,
    greeting: Vec<u8>,
    method: AuthMethod,
    vault: &Vault,
    user: &str,
    stored: Option<Secret>,
) -> Result<Authenticated, Failure> {
    let stored = stored.map(Stored::of);
    match (method, stored) {
        (AuthMethod::Trust, stored) => {
            Ok(Authenticated { last_words: greeting, ..Authenticated::quietly(kept(stored)) })
        }
        (AuthMethod::Cert, stored) => {
            certificate(framed, user)?;
            Ok(Authenticated { last_words: greeting, ..Authenticated::quietly(kept(stored)) })
        }
        // As PostgreSQL: where a verifier is stored, `md5` means SCRAM (`CheckPWChallengeAuth`).
        (AuthMethod::ScramSha256 | AuthMethod::Md5, Some(Stored::Scram(verifier))) => {
            scram::authenticate(framed, greeting, vault, user, scram::Known::Verifier(*verifier)).await
        }
        (AuthMethod::ScramSha256, Some(Stored::Plain(password))) => {
            let verifier = vault.verifier(user, &password).await?;
            scram::authenticate(framed, greeting, vault, user, scram::Known::Password(password, verifier)).await
        }
        (AuthMethod::ScramSha256, None) => {
            scram::authenticate(framed, greeting, vault, user, scram::Known::Nothing).await
        }
        (AuthMethod::ScramSha256, Some(Stored::Md5(_))) => {
            tracing::warn!(user, "the stored password is an md5 hash: it can't authenticate by scram-sha-256");
            let message =
                format!("user \"{user}\" can't authenticate by scram-sha-256: the stored password is an md5 hash");
            Err(Failure::Told(
                PgError::fatal(SqlState::INVALID_AUTHORIZATION, message)
                    .hint("Store the password anew as a SCRAM verifier, or set auth.method = \"md5\"."),
            ))
        }
        (AuthMethod::Md5, Some(Stored::Plain(password))) => {
            let hash = crate::wire::md5::stored(password.reveal(), user);
            md5::authenticate(framed, greeting, user, Some(&hash)).await?;
            Ok(Authenticated::quietly(Credentials::Password(password)))
        }
        (AuthMethod::Md5, Some(Stored::Md5(hash))) => {
            md5::authenticate(framed, greeting, user, Some(hash.reveal())).await?;
            Ok(Authenticated::quietly(Credentials::Md5(hash)))
        }
        (AuthMethod::Md5, None) => {
            md5::authenticate(framed, greeting, user, None).await?;
            Ok(Authenticated::quietly(Credentials::Nothing))
        }
    }
}

/// What a stored password is good for at servers without the client's help.
fn kept(stored: Option<Stored>) -> Credentials {
    match stored {
        Some(Stored::Plain(password)) => Credentials::Password(password),
        Some(Stored::Md5(hash)) => Credentials::Md5(hash),
        // A verifier alone proves nothing.
        Some(Stored::Scram(_)) | None => Credentials::Nothing,
    }
}

/// The method cert: the common name of the client's verified certificate must be the user.
fn certificate(framed: &Framed, user: &str) -> Result<(), PgError> {
    match framed.stream().client_common_name() {
        Some(name) if name == user => Ok(()),
        Some(_) => Err(PgError::fatal(
            SqlState::INVALID_AUTHORIZATION,
            format!("certificate authentication failed for user \"{user}\""),
        )
        .hint("The common name (CN) of the client certificate must be the user's name.")),
        None => Err(PgError::fatal(SqlState::INVALID_AUTHORIZATION, "connection requires a valid client certificate")
            .hint("Connect with sslmode=require and give sslcert and sslkey.")),
    }
}

/// The next answer's body.
async fn answer(framed: &mut Framed, what: &str) -> Result<Vec<u8>, Failure> {
    match framed.frame(limits::AUTH_MESSAGE).await {
        Ok((ANSWER, body)) => Ok(body),
        Ok((tag, _)) => Err(violation(format!("expected {what}, got message type {tag}"), None)),
        Err(FramedError::Gone(_)) => Err(Failure::Gone),
        Err(FramedError::Length) => Err(violation("invalid message length".into(), None)),
    }
}

fn request(out: &mut Vec<u8>, code: i32, body: &[u8]) {
    put(out, back::AUTHENTICATION, |out| {
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(body);
    });
}

/// AuthenticationOk
pub(super) fn ok(out: &mut Vec<u8>) {
    request(out, 0, &[]);
}

fn violation(message: String, detail: Option<&str>) -> Failure {
    let error = PgError::fatal(SqlState::PROTOCOL_VIOLATION, message);
    Failure::Told(match detail {
        Some(detail) => error.detail(detail),
        None => error,
    })
}

/// The same for a wrong password and a user who doesn't exist.
fn wrong_password(user: &str) -> Failure {
    let message = format!("password authentication failed for user \"{user}\"");
    Failure::Told(PgError::fatal(SqlState::INVALID_PASSWORD, message))
}

fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Failure::Told(PgError::fatal(SqlState::INTERNAL_ERROR, "could not generate random numbers")))?;
    Ok(bytes)
}
