//! First packets: good ones, old ones, lies and garbage.

use proptest::prelude::*;

use super::*;

fn startup(code: u32, tail: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], tail].concat()
}

fn fatal(body: &[u8]) -> PgError {
    match parse(body) {
        Err(StartupError::Fatal(error)) => error,
        other => panic!("{body:?}: {other:?}"),
    }
}

#[test]
fn lengths() {
    for (header, expected) in [
        (*b"\0\0\0\x08", Some(4)),
        (*b"\0\0\0\x07", None),
        (*b"\0\0\0\0", None),
        (*b"\0\0\x27\x14", Some(10_000)),
        (*b"\0\0\x27\x15", None),
        (*b"GET ", None),
        (*b"\x16\x03\x01\x02", None),
        (*b"\xff\xff\xff\xff", None),
    ] {
        assert_eq!(body_length(header).ok(), expected, "{header:?}");
    }
}

#[test]
fn requests_without_a_session() {
    assert_eq!(parse(&startup(SSL_REQUEST, b"")).ok(), Some(First::Ssl));
    assert_eq!(parse(&startup(GSSENC_REQUEST, b"")).ok(), Some(First::GssEnc));
    let cancel = startup(CANCEL_REQUEST, b"\0\0\0\x07abcd");
    assert_eq!(parse(&cancel).ok(), Some(First::Cancel { process_id: 7, key: b"abcd" }));
    let long = startup(CANCEL_REQUEST, &[7; 4 + 256]);
    assert!(matches!(parse(&long), Ok(First::Cancel { key, .. }) if key.len() == 256));
    for length in [0, 3, 4, 7, 4 + 257] {
        assert!(matches!(parse(&startup(CANCEL_REQUEST, &vec![0; length])), Err(StartupError::Silent(_))), "{length}");
    }
}

#[test]
fn parameters_come_as_they_were_sent() {
    let body = startup(PROTOCOL_3_0, b"user\0app\0options\0-c a=b\0user\0caf\xe9\0\0");
    let Ok(First::Startup(found)) = parse(&body) else { panic!() };
    assert_eq!(found.parameters.len(), 3);
    assert_eq!(found.get(b"user"), Some(&b"caf\xe9"[..]));
    assert_eq!(found.get(b"database"), None);
    let mut out = Vec::new();
    found.negotiate(&mut out);
    assert!(out.is_empty());
}

#[test]
fn layouts_that_postgres_refuses() {
    for tail in
        [&b""[..], b"user", b"user\0", b"user\0app", b"user\0app\0", b"user\0app\0\0\0", b"\0x", b"a\0b\0\0c\0d\0\0"]
    {
        let error = fatal(&startup(PROTOCOL_3_0, tail));
        assert_eq!(error.message(), "invalid startup packet layout: expected terminator as last byte", "{tail:?}");
    }
}

#[test]
fn protocols_that_we_do_not_speak() {
    for (code, shown) in [(2 << 16, "2.0"), (4 << 16, "4.0"), (0, "0.0"), (0x04d2_ffff, "1234.65535")] {
        let error = fatal(&startup(code, b"user\0app\0\0"));
        assert_eq!(error.code(), SqlState::FEATURE_NOT_SUPPORTED);
        assert_eq!(error.message(), format!("unsupported frontend protocol {shown}: server supports 3.0 to 3.2"));
    }
    assert_eq!(fatal(&startup(SSL_REQUEST, b"x")).code(), SqlState::FEATURE_NOT_SUPPORTED);
}

#[test]
fn negotiation() {
    for (minor, tail, spoken, said) in [
        (0u32, &b"user\0a\0\0"[..], 0, None),
        (1, b"user\0a\0\0", 0, None),
        (2, b"user\0a\0\0", 2, None),
        (3, b"user\0a\0\0", 2, Some(&b"\0\x03\0\x02\0\0\0\0"[..])),
        (9999, b"user\0a\0\0", 2, Some(b"\0\x03\0\x02\0\0\0\0")),
        (0, b"user\0a\0_pq_.x\x001\0\0", 0, Some(b"\0\x03\0\0\0\0\0\x01_pq_.x\0")),
        (2, b"_pq_.y\0\0user\0a\0\0", 2, Some(b"\0\x03\0\x02\0\0\0\x01_pq_.y\0")),
    ] {
        let body = startup(PROTOCOL_3_0 | minor, tail);
        let Ok(First::Startup(found)) = parse(&body) else { panic!("{minor}") };
        assert_eq!(found.spoken_minor(), spoken, "{minor}");
        let mut out = Vec::new();
        found.negotiate(&mut out);
        assert_eq!(out.get(5..), said, "{minor}");
    }
}

#[test]
fn replication_is_read_as_postgres_reads_it() {
    for (value, expected) in [
        ("true", Some(true)),
        ("ON", Some(true)),
        ("1", Some(true)),
        ("database", Some(true)),
        ("f", Some(false)),
        ("off", Some(false)),
        ("o", None),
        ("", None),
        ("logical", None),
    ] {
        let found = Startup { minor: 0, parameters: vec![(b"replication", value.as_bytes())] };
        assert_eq!(found.replication().ok(), expected, "{value}");
    }
}

#[test]
fn what_we_write_is_what_we_read() {
    let mut out = Vec::new();
    write(&mut out, [("user", "app"), ("database", "shop")]);
    let (header, body) = out.split_first_chunk::<4>().unwrap();
    assert_eq!(body_length(*header).ok(), Some(body.len()));
    let Ok(First::Startup(found)) = parse(body) else { panic!() };
    assert_eq!(found.parameters, vec![(&b"user"[..], &b"app"[..]), (b"database", b"shop")]);
}

proptest! {
    #[test]
    fn garbage_never_panics(body: Vec<u8>, code in prop::sample::select(vec![PROTOCOL_3_0, SSL_REQUEST, GSSENC_REQUEST, CANCEL_REQUEST, 3 << 16 | 2])) {
        let _ = parse(&body);
        if let Ok(First::Startup(found)) = parse(&startup(code, &body)) {
            let held: usize = found.parameters.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
            prop_assert_eq!(held + 1, body.len());
            let _ = found.replication();
            found.negotiate(&mut Vec::new());
        }
    }
}
