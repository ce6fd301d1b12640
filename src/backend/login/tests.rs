//! Any bytes from a server: an error without a panic, and no more held than the limits allow.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::{Host, SslMode};

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &(4 + body.len() as u32).to_be_bytes(), body].concat()
}

/// A piece of what a server might say.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop::sample::select(b"RSKZENvDT".to_vec());
    let code = prop::sample::select(vec![0i32, 2, 3, 5, 7, 10, 11, 12]);
    prop_oneof![
        3 => Just(message(b'R', &[0; 4])),
        2 => Just(message(b'R', b"\0\0\0\x03")),
        2 => Just(message(b'R', b"\0\0\0\x05salt")),
        3 => Just(message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0")),
        2 => "r=[!-~]{1,20},s=c2FsdA==,i=[0-9]{1,3}"
            .prop_map(|text| message(b'R', &[&b"\0\0\0\x0b"[..], text.as_bytes()].concat())),
        2 => "v=[a-zA-Z0-9+/]{43}=".prop_map(|text| message(b'R', &[&b"\0\0\0\x0c"[..], text.as_bytes()].concat())),
        2 => Just(message(b'S', b"server_version\x0015\0")),
        2 => Just(message(b'K', b"\0\0\0\x07abcd")),
        2 => Just(message(b'Z', b"I")),
        1 => Just(message(b'E', b"SFATAL\0C28P01\0Mno\0\0")),
        2 => (code, prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(code, tail)| message(b'R', &[&code.to_be_bytes()[..], &tail].concat())),
        2 => (tag, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(tag, body)| message(tag, &body)),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #[test]
    fn no_bytes_from_a_server_do_harm(
        pieces in prop::collection::vec(piece(), 0..8),
        cut in any::<prop::sample::Index>(),
        whole: bool,
    ) {
        let mut bytes = pieces.concat();
        if !whole && !bytes.is_empty() {
            bytes.truncate(cut.index(bytes.len()));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let result = runtime.block_on(async {
            let address = ServerAddress {
                host: Host::Tcp("nowhere".into()),
                port: 5432,
                dbname: "x".into(),
                sslmode: SslMode::Disable,
                sslrootcert: None,
                sslcert: None,
                sslkey: None,
                weight: 1,
            };
            let identity = Identity { user: "app".into(), credentials: Credentials::Password(Secret::new("secret")) };
            let (ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
            let framed = Framed::new(Stream::from_unix(ours));
            let server = async {
                let _ = theirs.write_all(&bytes).await;
                let _ = theirs.shutdown().await;
                let mut nothing = Vec::new();
                let _ = theirs.read_to_end(&mut nothing).await;
            };
            let attempt = async {
                let attempt = Attempt { address: &address, identity: &identity, framed };
                // Without its stream: the server waits for the end.
                attempt.run(&[]).await.map(|login| (login.parameters.len(), login.leftover.len()))
            };
            tokio::join!(attempt, server).0
        });
        match result {
            Ok((parameters, leftover)) => prop_assert!(parameters + leftover <= bytes.len()),
            Err(error) => prop_assert!(!error.into_error().message().contains("secret")),
        }
    }

    #[test]
    fn offers_of_mechanisms(offer: Vec<u8>) {
        if let Ok(found) = mechanisms(&offer) {
            prop_assert_eq!(found.iter().map(|name| name.len() + 1).sum::<usize>() + 1, offer.len());
        }
    }
}
