//! The method md5.

use super::{Failure, answer, random, request, violation, wrong_password};
use crate::net::Framed;
use crate::wire::md5;
use crate::wire::reader::Reader;

const MD5_REQUEST: i32 = 5;

/// Challenges the client. Without a stored hash no answer fits.
pub(super) async fn authenticate(
    framed: &mut Framed,
    greeting: Vec<u8>,
    user: &str,
    stored: Option<&str>,
) -> Result<(), Failure> {
    let salt: [u8; 4] = random()?;
    let mut out = greeting;
    request(&mut out, MD5_REQUEST, &salt);
    framed.say(&out).await?;

    let body = answer(framed, "password response").await?;
    let mut reader = Reader::new(&body);
    let given = reader.cstr().map_err(|_| violation("invalid password packet size".into(), None))?;
    reader.finish().map_err(|_| violation("invalid password packet size".into(), None))?;

    // Hashed even for nobody, and compared in constant time.
    let unknown: [u8; 16] = random()?;
    let made_up = format!("md5{:032x}", u128::from_ne_bytes(unknown));
    let expected = md5::answer(stored.unwrap_or(&made_up), salt);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &unknown);
    let same = ring::hmac::verify(&key, given, ring::hmac::sign(&key, expected.as_bytes()).as_ref()).is_ok();
    if same && stored.is_some() { Ok(()) } else { Err(wrong_password(user)) }
}
