//! The RFC's exchange, both sides against each other, what PostgreSQL stores, and garbage.

use proptest::prelude::*;

use super::*;
use crate::base::Secret;

const SALT_TEXT: &[u8] = b"0123456789abcdef";

fn client(password: &str, binding: Binding) -> ClientExchange {
    ClientExchange::new(ClientSecret::Password(Secret::new(password)), b"client nonce", binding)
}

fn server(password: &str, end_point: Option<&[u8]>) -> ServerExchange {
    let verifier = Verifier::from_password(password, SALT_TEXT, 10);
    ServerExchange::new(verifier, b"server nonce", end_point.map(<[u8]>::to_vec))
}

/// Runs an exchange; what the server found and whether the client believed it.
fn run(client: ClientExchange, server: ServerExchange, plus: bool) -> Result<Verdict, ScramError> {
    let (client, first) = client.first();
    let (server, challenge) = server.first(first.as_bytes(), plus)?;
    let (client, proof) = client.challenge(challenge.as_bytes())?;
    let verdict = server.last(proof.as_bytes())?;
    if let Verdict::Passed { message, .. } = &verdict {
        client.finish(message.as_bytes())?;
    }
    Ok(verdict)
}

fn passed(verdict: Result<Verdict, ScramError>) -> ScramKeys {
    match verdict {
        Ok(Verdict::Passed { keys, .. }) => keys,
        other => panic!("{other:?}"),
    }
}

/// RFC 7677 §3. The name in its messages isn't empty, and the nonces aren't base64 of ours: the sides are tested by
/// the formulas that both share.
#[test]
fn the_vector_of_rfc_7677() {
    let bare = "n=user,r=rOprNGfwEbeRWgbNEkqO";
    let first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let signature = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    let salt = message::decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let verifier = Verifier::from_password("pencil", &salt, 4096);
    let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let exchange = server::ServerExchange::with_nonce(verifier, nonce.into());
    let (exchange, challenge) = exchange.first(format!("n,,{bare}").as_bytes(), false).unwrap();
    assert_eq!(challenge, first);
    match exchange.last(format!("{last},p={proof}").as_bytes()).unwrap() {
        Verdict::Passed { message, keys } => {
            assert_eq!(message, format!("v={signature}"));
            assert_eq!(keys, keys_of(&salted_password("pencil", &salt, 4096)));
        }
        Verdict::Refused => panic!("the RFC's proof was refused"),
    }
}

#[test]
fn both_sides_agree_with_a_password_and_with_its_keys() {
    let keys = passed(run(client("pencil", Binding::Unsupported), server("pencil", None), false));
    let by_keys = ClientExchange::new(ClientSecret::Keys(keys.clone()), b"another", Binding::Unsupported);
    assert_eq!(passed(run(by_keys, server("pencil", None), false)), keys);
    // Another salt is another verifier: the keys don't fit it.
    let other = ServerExchange::new(Verifier::from_password("pencil", b"another salt", 10), b"n", None);
    let by_keys = ClientExchange::new(ClientSecret::Keys(keys), b"another", Binding::Unsupported);
    assert!(matches!(run(by_keys, other, false), Ok(Verdict::Refused)));
}

#[test]
fn wrong_passwords_and_unknown_users_look_alike() {
    assert!(matches!(
        run(client("pencils", Binding::Unsupported), server("pencil", None), false),
        Ok(Verdict::Refused)
    ));
    let doomed = || ServerExchange::doomed("nobody", b"secret", b"nonce", None);
    assert!(matches!(run(client("pencil", Binding::Unsupported), doomed(), false), Ok(Verdict::Refused)));
    let challenge = |nonce: &[u8]| {
        let (_, first) = client("x", Binding::Unsupported).first();
        ServerExchange::doomed("nobody", b"secret", nonce, None).first(first.as_bytes(), false).unwrap().1
    };
    assert_eq!(challenge(b"1").split_once(",s=").unwrap().1, challenge(b"2").split_once(",s=").unwrap().1);
    assert_ne!(Verifier::mock_salt("nobody", b"secret"), Verifier::mock_salt("nemo", b"secret"));
    assert_eq!(Verifier::mock_salt("nobody", b"secret").len(), SALT);
}

#[test]
fn channel_binding() {
    let bound = |hash: &[u8]| client("pencil", Binding::EndPoint(hash.to_vec()));
    passed(run(bound(b"certificate"), server("pencil", Some(b"certificate")), true));
    // Another certificate: somebody sits between.
    let verdict = run(bound(b"forged"), server("pencil", Some(b"certificate")), true);
    assert!(matches!(verdict, Err(ScramError::ChannelBinding(_))), "{verdict:?}");
    // The client was told that there is no PLUS, but there is: somebody sits between.
    let verdict = run(client("pencil", Binding::NotOffered), server("pencil", Some(b"certificate")), false);
    assert!(matches!(verdict, Err(ScramError::ChannelBinding(_))), "{verdict:?}");
    // A client that can't bind may go without; a server that can't is believed.
    passed(run(client("pencil", Binding::Unsupported), server("pencil", Some(b"certificate")), false));
    passed(run(client("pencil", Binding::NotOffered), server("pencil", None), false));
    // Flag and mechanism must agree.
    for (binding, plus) in
        [(Binding::Unsupported, true), (Binding::NotOffered, true), (Binding::EndPoint(b"certificate".to_vec()), false)]
    {
        let verdict = run(client("pencil", binding), server("pencil", Some(b"certificate")), plus);
        assert!(matches!(verdict, Err(ScramError::Malformed(_))), "{verdict:?}");
    }
}

#[test]
fn verifiers_read_as_they_are_written() {
    let verifier = Verifier::from_password("pencil", SALT_TEXT, 4096);
    assert_eq!(Verifier::parse(&verifier.to_string()).as_ref(), Some(&verifier));
    assert!(verifier.is_of("pencil") && !verifier.is_of("pen"));
    for no in [
        "",
        "secret",
        "SCRAM-SHA-256$",
        "SCRAM-SHA-256$4096:c2FsdA==$AA==:AA==",
        "SCRAM-SHA-256$0:c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "SCRAM-SHA-256$+1:c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "SCRAM-SHA-1$1:c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ] {
        assert_eq!(Verifier::parse(no), None, "{no}");
    }
}

#[test]
fn passwords_are_prepared_as_postgres_prepares_them() {
    // A non-breaking space maps to a space, a soft hyphen to nothing; what SASLprep forbids stays as it is.
    let salted = |password| salted_password(password, b"salt", 1);
    assert_eq!(salted("I\u{a0}X"), salted("I X"));
    assert_eq!(salted("I\u{ad}X"), salted("IX"));
    assert_eq!(prepared("\u{7}"), "\u{7}");
    assert_eq!(prepared("\u{ad}"), "\u{ad}");
}

#[test]
fn first_messages_that_are_refused() {
    for message in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=",
        "n,,n=,",
        "n,,r=x",
        "n,,n=,r=",
        "n,,n=,r=a\u{e9}",
        "x,,n=,r=a",
        "n,a=me,n=,r=a",
        "n,,m=x,n=,r=a",
        "p=tls-unique,,n=,r=a",
        "n,,n=,r=a\0",
    ] {
        assert!(server("pencil", None).first(message.as_bytes(), false).is_err(), "{message}");
    }
    assert!(server("pencil", None).first(b"n,,n=\xff,r=a", false).is_err());
}

#[test]
fn final_messages_that_are_refused() {
    let (client, first) = client("pencil", Binding::Unsupported).first();
    let start = || server("pencil", None).first(first.as_bytes(), false).unwrap();
    let (_, good) = client.challenge(start().1.as_bytes()).unwrap();
    assert!(matches!(start().0.last(good.as_bytes()), Ok(Verdict::Passed { .. })));
    for message in [
        good.replace("c=biws", "c=eSws"),
        good.replace(",r=", ",r=x"),
        good.replace(",p=", ",q="),
        format!("{good},x=y"),
        good.trim_end_matches('=').to_owned(),
        String::new(),
    ] {
        assert!(start().0.last(message.as_bytes()).is_err(), "{message}");
    }
    // An extension before the proof changes what is signed.
    assert!(matches!(start().0.last(good.replace(",p=", ",x=y,p=").as_bytes()), Ok(Verdict::Refused)));
}

#[test]
fn servers_that_lie() {
    let challenge =
        |message: &str| client("pencil", Binding::Unsupported).first().0.challenge(message.as_bytes()).err();
    let nonce = message::encode(b"client nonce");
    assert_eq!(challenge(&format!("r={nonce}x,s=c2FsdA==,i=1")), None);
    for message in [
        format!("r={nonce},s=c2FsdA==,i=1"),
        "r=other,s=c2FsdA==,i=1".into(),
        format!("r={nonce}x,s=?,i=1"),
        format!("r={nonce}x,s=c2FsdA==,i=0"),
        format!("r={nonce}x,s=c2FsdA==,i=-1"),
        format!("r={nonce}x,s=c2FsdA==,i=4000000000"),
        format!("m=x,r={nonce}x,s=c2FsdA==,i=1"),
    ] {
        assert!(challenge(&message).is_some(), "{message}");
    }
    let finish = |message: &str| {
        let exchange = client("pencil", Binding::Unsupported).first().0;
        exchange.challenge(format!("r={nonce}x,s=c2FsdA==,i=1").as_bytes()).unwrap().0.finish(message.as_bytes())
    };
    assert_eq!(finish("v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), Err(ScramError::Mismatch));
    assert_eq!(finish("e=other-error"), Err(ScramError::Mismatch));
    assert!(matches!(finish("v=AA=="), Err(ScramError::Malformed(_))));
}

#[test]
fn secrets_are_not_printed() {
    let keys = passed(run(client("pencil", Binding::Unsupported), server("pencil", None), false));
    let verifier = Verifier::from_password("pencil", SALT_TEXT, 1);
    assert_eq!(format!("{keys:?} {verifier:?}"), "ScramKeys(…) Verifier(…)");
}

/// Text that is nearly SCRAM.
fn nearly() -> impl Strategy<Value = String> {
    prop_oneof![
        "[nypcrsive=,a-zA-Z0-9+/]{0,60}",
        "(n|y|p=tls-server-end-point),,(n=[a-z]?,)?r=[!-~]{0,20}",
        "c=(biws)?,r=[!-~]{0,20}(,x=y){0,3},p=[A-Za-z0-9+/]{0,44}=?",
        "r=[!-~]{0,40},s=[A-Za-z0-9+/]{0,8}={0,2},i=[0-9]{0,3}",
        "SCRAM-SHA-256\\$[0-9]{0,3}:[A-Za-z0-9+/=]{0,9}\\$[A-Za-z0-9+/=]{0,44}:[A-Za-z0-9+/=]{0,44}",
    ]
}

proptest! {
    #[test]
    fn garbage_never_panics_and_never_passes(text in nearly(), bytes: Vec<u8>, plus: bool) {
        for message in [text.as_bytes(), &bytes] {
            let _ = server("pencil", Some(b"hash")).first(message, plus);
            let (client, first) = client("pencil", Binding::Unsupported).first();
            let _ = client.challenge(message);
            let (exchange, _) = server("pencil", None).first(first.as_bytes(), false).unwrap();
            let passed = matches!(exchange.last(message), Ok(Verdict::Passed { .. }));
            prop_assert!(!passed);
        }
        if let Some(verifier) = Verifier::parse(&text) {
            prop_assert_eq!(Verifier::parse(&verifier.to_string()), Some(verifier));
        }
    }
}
