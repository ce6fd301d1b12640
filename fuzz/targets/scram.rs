//! Any bytes as SCRAM messages, from a client and from a server: refused, or read; nobody passes without the keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgbraid::wire::md5;
use pgbraid::wire::scram::{Binding, ClientExchange, ClientSecret, ScramKeys, ServerExchange, Verdict, Verifier};

fuzz_target!(|data: &[u8]| {
    let Some((&flags, bytes)) = data.split_first() else { return };
    let mut messages = bytes.splitn(2, |byte| *byte == 0xff);
    let (first, last) = (messages.next().unwrap_or_default(), messages.next().unwrap_or_default());
    let bound = flags & 1 != 0;

    let verifier = Verifier { iterations: 4096, salt: b"salt".to_vec(), stored_key: [1; 32], server_key: [2; 32] };
    let server = ServerExchange::new(verifier, b"ours", bound.then(|| b"hash".to_vec()));
    if let Ok((server, _)) = server.first(first, flags & 2 != 0) {
        assert!(!matches!(server.last(last), Ok(Verdict::Passed { .. })));
    }

    let keys = ScramKeys { client_key: [3; 32], server_key: [4; 32] };
    let binding = if bound { Binding::EndPoint(b"hash".to_vec()) } else { Binding::NotOffered };
    let (client, _) = ClientExchange::new(ClientSecret::Keys(keys), b"ours", binding).first();
    if let Ok((client, _)) = client.challenge(first) {
        assert!(client.finish(last).is_err());
    }

    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Some(verifier) = Verifier::parse(text) {
            assert!(Verifier::parse(&verifier.to_string()) == Some(verifier));
        }
        assert!(!md5::is_stored(text) || text.len() == 35);
    }
});
