//! A statement's fingerprint: a keyed hash of its tokens without the values of its literals, the plan cache's key.

use super::lexer::Lexer;
use super::siphash::SipHash;
use super::token::TokenKind;
use crate::base::limits;

/// The secret that keeps clients from making two texts with one fingerprint. Drawn at random when the process starts.
#[derive(Clone, Copy)]
pub struct FingerprintKey(u64, u64);

impl FingerprintKey {
    pub fn new(random: u128) -> Self {
        Self(random as u64, (random >> 64) as u64)
    }
}

impl FingerprintKey {
    /// A hash of other bytes under the same secret.
    pub fn hash(&self, bytes: &[u8]) -> u128 {
        let mut hash = SipHash::<1, 3>::new((self.0, self.1));
        hash.bytes(bytes);
        hash.finish()
    }
}

impl std::fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FingerprintKey(…)")
    }
}

// What stands for a token in the hashed text. None of these bytes begins another token there, and every token says
// where it ends, so that two token lists never give one text.
const END: u8 = 0;
const TEXT: u8 = 1;
const NUMBER: u8 = 2;
const HINT: u8 = 3;
const PARAM: u8 = 4;
const BITS: u8 = 5;

/// The fingerprint of a text of at most one statement; texts with the same one have the same plan, but for
/// [`Step::span`](crate::plan::Step::span).
///
/// `None`: don't cache. It is too long, has a lexical error or several statements; or its plan hangs on what a literal
/// holds (SET, `set_config`, `current_setting`, `U&"…" UESCAPE`, code that DO and CALL are given) or names bytes of the
/// text (PREPARE, EXECUTE, DEALLOCATE).
pub fn fingerprint(sql: &[u8], key: &FingerprintKey, standard_strings: bool) -> Option<u128> {
    if sql.len() > limits::PLAN_CACHE_TEXT || memchr::memchr(0, sql).is_some() {
        return None;
    }
    let mut hash = SipHash::<1, 3>::new((key.0, key.1));
    let mut first = true;
    let mut ended = false;
    // Its literals may be code.
    let mut runs_code = false;
    for token in Lexer::new(sql, standard_strings) {
        let bytes = token.bytes(sql);
        match token.kind {
            TokenKind::Space => continue,
            TokenKind::Comment => {
                if has_hint(bytes) {
                    hash.byte(HINT);
                    hash.bytes(bytes);
                    hash.byte(END);
                }
                continue;
            }
            TokenKind::Semicolon => {
                ended |= !first;
                continue;
            }
            TokenKind::Error | TokenKind::UnicodeQuoted => return None,
            _ if ended => return None,
            TokenKind::Word => {
                if literal_decides(bytes, first) {
                    return None;
                }
                runs_code |= first && (bytes.eq_ignore_ascii_case(b"do") || bytes.eq_ignore_ascii_case(b"call"));
                hash.bytes(bytes);
                hash.byte(END);
            }
            TokenKind::Quoted => {
                if literal_decides(bytes.get(1..bytes.len().saturating_sub(1))?, false) {
                    return None;
                }
                hash.bytes(bytes);
                hash.byte(END);
            }
            TokenKind::Operator | TokenKind::Symbol => {
                hash.bytes(bytes);
                hash.byte(END);
            }
            TokenKind::Param => {
                hash.byte(PARAM);
                hash.bytes(bytes);
                hash.byte(END);
            }
            TokenKind::Text if runs_code => return None,
            TokenKind::Text => hash.byte(TEXT),
            TokenKind::Bits => hash.byte(BITS),
            TokenKind::Number => hash.byte(NUMBER),
            TokenKind::LeftParen => hash.byte(b'('),
            TokenKind::RightParen => hash.byte(b')'),
            TokenKind::Comma => hash.byte(b','),
            TokenKind::Dot => hash.byte(b'.'),
        }
        first = false;
    }
    Some(hash.finish())
}

/// Whether a comment may hold a hint.
pub(crate) fn has_hint(comment: &[u8]) -> bool {
    memchr::memmem::find(comment, b"pgbraid").is_some()
}

/// Whether the statement's plan depends on a literal, or on a place in the text, because of this word.
fn literal_decides(word: &[u8], first: bool) -> bool {
    let is = |other: &str| word.eq_ignore_ascii_case(other.as_bytes());
    match word.len() {
        3 => first && is("set"),
        5 => first && is("reset"),
        7 => is("execute") || is("prepare"),
        10 => is("set_config") || is("deallocate"),
        15 => is("current_setting"),
        _ => false,
    }
}
