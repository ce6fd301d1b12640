//! The method md5: a hash of password and name, hashed again with four random bytes (PostgreSQL's `md5_common.c`).

use md5::{Digest, Md5};

/// `md5` + hex digest of password and user, as `pg_authid.rolpassword` stores it (`pg_md5_encrypt`).
pub fn stored(password: &str, user: &str) -> String {
    hash(&[password.as_bytes(), user.as_bytes()])
}

/// The answer to a challenge; `stored` is what the function of that name gives.
pub fn answer(stored: &str, salt: [u8; 4]) -> String {
    hash(&[stored.strip_prefix("md5").unwrap_or(stored).as_bytes(), &salt])
}

/// Is this what `stored` gives? (`get_password_type`)
pub fn is_stored(text: &str) -> bool {
    matches!(text.strip_prefix("md5"), Some(hex) if hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

fn hash(parts: &[&[u8]]) -> String {
    use std::fmt::Write;
    let mut digest = Md5::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize().iter().fold(String::from("md5"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_postgres_stores_and_answers() {
        // SELECT 'md5' || md5('secret' || 'app'), and the same again with the salt behind it
        let kept = stored("secret", "app");
        assert_eq!(kept, "md56a422f785c9e20873908ce25d1736ae2");
        assert!(is_stored(&kept));
        assert_eq!(answer(&kept, *b"\x01\x02\x03\x04"), "md5911f527656472583a006e7727877b33e");
        for no in ["md5", "md56A422F785C9E20873908CE25D1736AE2", "md5zz422f785c9e20873908ce25d1736ae2", "secret"] {
            assert!(!is_stored(no), "{no}");
        }
    }
}
