//! The method scram-sha-256, bound to the TLS channel where there is one.

use super::{Authenticated, Failure, Vault, answer, random, request, violation, wrong_password};
use crate::backend::login::Credentials;
use crate::base::{PgError, Secret, SqlState};
use crate::net::Framed;
use crate::wire::message::put_cstr;
use crate::wire::reader::Reader;
use crate::wire::scram::{NONCE, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramError, ServerExchange, Verdict, Verifier};

const SASL: i32 = 10;
const SASL_CONTINUE: i32 = 11;
const SASL_FINAL: i32 = 12;

/// What is known of the user.
pub(super) enum Known {
    /// A verifier: the exchange yields its keys.
    Verifier(Verifier),
    /// The plain password, and a verifier made of it.
    Password(Secret, Verifier),
    /// Nothing: the exchange runs all the same, and fails.
    Nothing,
}

pub(super) async fn authenticate(
    framed: &mut Framed,
    greeting: Vec<u8>,
    vault: &Vault,
    user: &str,
    known: Known,
) -> Result<Authenticated, Failure> {
    let end_point = framed.stream().tls_server_end_point();
    let plus_offered = end_point.is_some();
    let mut out = greeting;
    let mut offer = Vec::new();
    if plus_offered {
        put_cstr(&mut offer, SCRAM_SHA_256_PLUS.as_bytes());
    }
    put_cstr(&mut offer, SCRAM_SHA_256.as_bytes());
    offer.push(0);
    request(&mut out, SASL, &offer);
    framed.say(&out).await?;

    let body = answer(framed, "SASL response").await?;
    let (plus, first) = initial_response(&body, plus_offered)?;
    let nonce: [u8; NONCE] = random()?;
    let (password, exchange) = match known {
        Known::Verifier(verifier) => (None, ServerExchange::new(verifier, &nonce, end_point)),
        Known::Password(password, verifier) => (Some(password), ServerExchange::new(verifier, &nonce, end_point)),
        Known::Nothing => (None, ServerExchange::doomed(user, &vault.mock_secret, &nonce, end_point)),
    };
    let (exchange, challenge) = exchange.first(first, plus).map_err(failed)?;
    out.clear();
    request(&mut out, SASL_CONTINUE, challenge.as_bytes());
    framed.say(&out).await?;

    let body = answer(framed, "SASL response").await?;
    match exchange.last(&body).map_err(failed)? {
        Verdict::Refused => Err(wrong_password(user)),
        Verdict::Passed { keys, message } => {
            let credentials = password.map_or(Credentials::ScramKeys(keys), Credentials::Password);
            let mut last_words = Vec::new();
            request(&mut last_words, SASL_FINAL, message.as_bytes());
            Ok(Authenticated { credentials, last_words })
        }
    }
}

/// SASLInitialResponse: is the mechanism PLUS, and the client's first message (`CheckSASLAuth`).
fn initial_response(body: &[u8], plus_offered: bool) -> Result<(bool, &[u8]), Failure> {
    let malformed = |_| violation("malformed SASL response".into(), None);
    let mut reader = Reader::new(body);
    let plus = match reader.cstr().map_err(malformed)? {
        name if name == SCRAM_SHA_256.as_bytes() => false,
        name if name == SCRAM_SHA_256_PLUS.as_bytes() && plus_offered => true,
        _ => return Err(violation("client selected an invalid SASL authentication mechanism".into(), None)),
    };
    let first = reader.value().map_err(malformed)?.unwrap_or_default();
    reader.finish().map_err(malformed)?;
    Ok((plus, first))
}

fn failed(error: ScramError) -> Failure {
    match error {
        ScramError::Malformed(why) => violation("malformed SCRAM message".into(), Some(why)),
        ScramError::ChannelBinding(why) => Failure::Told(
            PgError::fatal(SqlState::INVALID_AUTHORIZATION, "SCRAM channel binding negotiation error").detail(why),
        ),
        ScramError::Unsupported(why) => Failure::Told(PgError::fatal(SqlState::FEATURE_NOT_SUPPORTED, why)),
        ScramError::Mismatch => violation("malformed SCRAM message".into(), None),
    }
}
