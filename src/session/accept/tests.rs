//! Any bytes from a client: an end without a panic, and nobody let in.

use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::wire::scram::Verifier;

struct App;

impl Users for App {
    fn password<'a>(&'a self, user: &'a str, _: &'a str) -> Answer<'a, Result<Option<Secret>, PgError>> {
        let verifier = || Verifier::from_password("secret", b"salt", 1).to_string();
        Box::pin(async move { Ok((user == "app").then(|| Secret::new(verifier()))) })
    }

    fn has_database(&self, _: &str) -> bool {
        true
    }
}

fn packet(code: u32, tail: &[u8]) -> Vec<u8> {
    [&(8 + tail.len() as u32).to_be_bytes()[..], &code.to_be_bytes(), tail].concat()
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &(4 + body.len() as u32).to_be_bytes(), body].concat()
}

/// A piece of what a client might say.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let code = prop::sample::select(vec![
        3u32 << 16,
        3 << 16 | 2,
        3 << 16 | 9,
        2 << 16,
        startup::SSL_REQUEST,
        startup::GSSENC_REQUEST,
    ]);
    prop_oneof![
        4 => Just(packet(3 << 16, b"user\0app\0database\0shop\0\0")),
        2 => Just(packet(startup::SSL_REQUEST, b"")),
        2 => Just(packet(startup::GSSENC_REQUEST, b"")),
        2 => (code, "[a-z\0]{0,30}").prop_map(|(code, tail)| packet(code, tail.as_bytes())),
        2 => "(n|y),,n=,r=[!-~]{1,20}".prop_map(|first| {
            let length = (first.len() as u32).to_be_bytes();
            message(b'p', &[b"SCRAM-SHA-256\0", &length[..], first.as_bytes()].concat())
        }),
        2 => "c=biws,r=[!-~]{1,20},p=[a-zA-Z0-9+/]{43}=".prop_map(|last| message(b'p', last.as_bytes())),
        2 => (any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(tag, body)| message(tag, &body)),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #[test]
    fn no_bytes_let_a_client_in(
        pieces in prop::collection::vec(piece(), 0..6),
        cut in any::<prop::sample::Index>(),
        whole: bool,
        md5: bool,
    ) {
        let mut bytes = pieces.concat();
        if !whole && !bytes.is_empty() {
            bytes.truncate(cut.index(bytes.len()));
        }
        let method = if md5 { AuthMethod::Md5 } else { AuthMethod::ScramSha256 };
        let settings = AcceptSettings::new(ClientTls::Allow, None, method, Duration::from_secs(60), None);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (accepted, answer) = runtime.block_on(async {
            let (ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
            let client = async {
                let _ = theirs.write_all(&bytes).await;
                let _ = theirs.shutdown().await;
                let mut answer = Vec::new();
                let _ = theirs.read_to_end(&mut answer).await;
                answer
            };
            let server = async {
                match accept(Stream::from_unix(ours), &settings, &App).await {
                    // Its stream would keep the client waiting.
                    Ok(Accepted::Cancel { process_id, key, .. }) => Some(Ok((process_id, key))),
                    Ok(Accepted::Client(_)) => None,
                    Ok(Accepted::Closed) => Some(Ok((0, Vec::new()))),
                    Err(error) => Some(Err(error)),
                }
            };
            tokio::join!(server, client)
        });
        let accepted = accepted.expect("let in without a proof");
        if let Err(error) = accepted {
            prop_assert_eq!(error.severity().as_str(), "FATAL");
            let told = String::from_utf8_lossy(&answer).contains(error.message());
            prop_assert!(told, "{} {:?}", error, answer);
        }
    }
}
