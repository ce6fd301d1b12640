//! Any bytes: tokens cover them, statements lie within them, literals and fingerprints are read without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgbraid::sql::{FingerprintKey, Lexer, fingerprint, literal, statement};

fuzz_target!(|data: &[u8]| {
    let Some((&flags, sql)) = data.split_first() else { return };
    let standard_strings = flags & 1 == 0;
    let mut at = 0;
    for token in Lexer::new(sql, standard_strings) {
        assert_eq!(token.start, at);
        assert!(token.end > token.start);
        at = token.end;
        let _ = token.name(sql);
        let _ = literal::text_value(token.bytes(sql), standard_strings);
    }
    assert_eq!(at as usize, sql.len());
    if let Some(split) = statement::split(sql, standard_strings) {
        let mut end = 0;
        for range in split.statements {
            assert!(range.start >= end && range.end > range.start && range.end <= split.tokens.len());
            end = range.end;
        }
    }
    let _ = fingerprint(sql, &FingerprintKey::new(1), standard_strings);
});
