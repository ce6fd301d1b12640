//! Logging in at a real server by every method, over TCP, TLS and a Unix socket.

use std::time::Duration;

use pgbraid::backend::cancel::cancel;
use pgbraid::backend::login::{Credentials, Identity, Login, LoginError, login};
use pgbraid::base::{PgError, Secret, SqlState};
use pgbraid::cli::cluster::{Cluster, ClusterOptions, PRIMARY};
use pgbraid::config::{Host, ServerAddress, SslMode};
use pgbraid::wire::scram::{ClientExchange, ClientSecret, ServerExchange, Verdict, Verifier};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::certificates::Certificates;

const PATIENCE: Duration = Duration::from_secs(30);

const HBA: &str = "\
local   all  free                   trust
local   all  all                    scram-sha-256
host    all  postgres 127.0.0.1/32  scram-sha-256
host    all  free     127.0.0.1/32  trust
host    all  plain    127.0.0.1/32  password
host    all  hashed   127.0.0.1/32  md5
host    all  secret   127.0.0.1/32  scram-sha-256
hostssl all  bound    127.0.0.1/32  scram-sha-256
hostssl all  certain  127.0.0.1/32  cert
hostnossl all naked   127.0.0.1/32  scram-sha-256
hostssl all  either   127.0.0.1/32  cert
hostnossl all either  127.0.0.1/32  scram-sha-256
";

async fn cluster(certificates: &Certificates) -> Cluster {
    let cluster = Cluster::start(ClusterOptions {
        settings: [("ssl", "on"), ("ssl_cert_file", "s.pem"), ("ssl_key_file", "s.key"), ("ssl_ca_file", "ca.pem")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        files: vec![
            ("s.pem".into(), certificates.server.clone()),
            ("s.key".into(), certificates.server_key.clone()),
            ("ca.pem".into(), certificates.text("ca.pem")),
        ],
        hba: Some(HBA.into()),
        ..ClusterOptions::default()
    })
    .await
    .unwrap();
    for sql in [
        "CREATE ROLE free LOGIN; CREATE ROLE certain LOGIN; CREATE ROLE nologin",
        "CREATE ROLE plain LOGIN PASSWORD 'it''s plain'; CREATE ROLE secret LOGIN PASSWORD 'I\u{ad}X'",
        "CREATE ROLE bound LOGIN PASSWORD 'tied'; CREATE ROLE naked LOGIN PASSWORD 'bare'; CREATE ROLE either LOGIN PASSWORD 'or'",
        "SET password_encryption = 'md5'; CREATE ROLE hashed LOGIN PASSWORD 'old'",
    ] {
        cluster.execute(PRIMARY, "postgres", sql).await.unwrap();
    }
    cluster
}

fn address(cluster: &Cluster, host: &str, sslmode: SslMode) -> ServerAddress {
    ServerAddress {
        host: Host::Tcp(host.into()),
        port: cluster.port(PRIMARY),
        dbname: "postgres".into(),
        sslmode,
        sslrootcert: None,
        sslcert: None,
        sslkey: None,
        weight: 1,
    }
}

fn identity(user: &str, credentials: Credentials) -> Identity {
    Identity { user: user.into(), credentials }
}

fn password(user: &str, password: &str) -> Identity {
    identity(user, Credentials::Password(Secret::new(password)))
}

/// Runs a query on a fresh connection and gives all that came back, up to ReadyForQuery.
async fn ask(login: &mut Login, sql: &str) -> String {
    let mut out = Vec::new();
    pgbraid::wire::message::query(&mut out, sql.as_bytes());
    login.stream.write_all(&out).await.unwrap();
    login.stream.flush().await.unwrap();
    let mut answer = Vec::new();
    while !answer.windows(5).any(|end| end == b"Z\0\0\0\x05") {
        assert!(login.stream.read_buf(&mut answer).await.unwrap() > 0, "the server closed the connection");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

async fn works(address: &ServerAddress, identity: &Identity) -> Login {
    let mut login = match login(address, identity, &[("application_name", "a name")], PATIENCE).await {
        Ok(login) => login,
        Err(error) => panic!("{} at {address}: {}", identity.user, error.into_error()),
    };
    assert!(login.leftover.is_empty());
    assert_ne!(login.process_id, 0);
    assert_eq!(login.secret_key.len(), 4);
    let parameter =
        |name: &str| login.parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    assert_eq!(parameter("application_name").as_deref(), Some("a name"));
    assert_eq!(parameter("session_authorization").as_deref(), Some(identity.user.as_str()));
    let answer = ask(&mut login, "SELECT 'I am ' || current_user").await;
    assert!(answer.contains(&format!("I am {}", identity.user)), "{answer}");
    login
}

async fn rejected(address: &ServerAddress, identity: &Identity) -> PgError {
    match login(address, identity, &[], PATIENCE).await {
        Err(LoginError::Rejected(error)) => error,
        other => panic!("{}: {other:?}", identity.user),
    }
}

async fn unreachable(address: &ServerAddress) -> PgError {
    match login(address, &password("secret", "IX"), &[], PATIENCE).await {
        Err(LoginError::Unreachable(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// The keys that a client's login at us yields, if we know no more than the server's verifier.
fn keys_from_proof(verifier: &str, password: &str) -> Credentials {
    let server = ServerExchange::new(Verifier::parse(verifier).unwrap(), b"ours", None);
    let secret = ClientSecret::Password(Secret::new(password));
    let (client, first) = ClientExchange::new(secret, b"theirs", pgbraid::wire::scram::Binding::Unsupported).first();
    let (server, challenge) = server.first(first.as_bytes(), false).unwrap();
    let (_, proof) = client.challenge(challenge.as_bytes()).unwrap();
    match server.last(proof.as_bytes()).unwrap() {
        Verdict::Passed { keys, .. } => Credentials::ScramKeys(keys),
        Verdict::Refused => panic!("the server's own verifier refuses its password"),
    }
}

#[tokio::test]
async fn every_method_logs_in_and_every_mistake_is_told() {
    let certificates = Certificates::make();
    let cluster = cluster(&certificates).await;
    let plain = address(&cluster, "127.0.0.1", SslMode::Disable);

    works(&plain, &identity("free", Credentials::Nothing)).await;
    works(&plain, &password("plain", "it's plain")).await;
    works(&plain, &password("hashed", "old")).await;
    works(&plain, &password("secret", "IX")).await; // SASLprep drops the soft hyphen
    let stored = |user: &str| {
        let sql = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{user}'");
        let cluster = &cluster;
        async move { cluster.value(PRIMARY, "postgres", &sql).await.unwrap() }
    };
    works(&plain, &identity("hashed", Credentials::Md5(Secret::new(stored("hashed").await)))).await;
    let keys = keys_from_proof(&stored("secret").await, "IX");
    works(&plain, &identity("secret", keys.clone())).await;

    for (identity, code, says) in [
        (password("plain", "wrong"), SqlState::INVALID_PASSWORD, "password authentication failed"),
        (password("hashed", "wrong"), SqlState::INVALID_PASSWORD, "password authentication failed"),
        (password("secret", "wrong"), SqlState::INVALID_PASSWORD, "password authentication failed"),
        (password("bound", "tied"), SqlState::INVALID_AUTHORIZATION, "no pg_hba.conf entry"),
        (password("nobody", "x"), SqlState::INVALID_AUTHORIZATION, "no pg_hba.conf entry"),
        (identity("secret", Credentials::Nothing), SqlState::INVALID_AUTHORIZATION, "pgbraid has none"),
        (identity("plain", keys.clone()), SqlState::INVALID_AUTHORIZATION, "pgbraid has none"),
        (identity("hashed", keys), SqlState::INVALID_AUTHORIZATION, "pgbraid has none"),
    ] {
        let error = rejected(&plain, &identity).await;
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(says), "{error}");
        assert!(!format!("{error:?}").contains("old"), "{error:?}");
    }
    let nowhere = ServerAddress { dbname: "nowhere".into(), ..plain.clone() };
    assert_eq!(rejected(&nowhere, &password("secret", "IX")).await.code(), SqlState::INVALID_CATALOG_NAME);

    if let Some(dir) = cluster.socket_dir(PRIMARY) {
        let unix = ServerAddress { host: Host::Unix(dir.into()), sslmode: SslMode::VerifyFull, ..plain.clone() };
        assert!(!works(&unix, &identity("free", Credentials::Nothing)).await.stream.is_tls());
        works(&unix, &password("secret", "IX")).await;
    }
}

#[tokio::test]
async fn tls_as_sslmode_says() {
    let certificates = Certificates::make();
    let cluster = cluster(&certificates).await;
    let trusting = |host: &str, mode: SslMode, ca: &str| ServerAddress {
        sslrootcert: Some(certificates.path(ca)),
        ..address(&cluster, host, mode)
    };
    let bound = password("bound", "tied");

    for mode in [SslMode::Prefer, SslMode::Require] {
        assert!(works(&address(&cluster, "127.0.0.1", mode), &bound).await.stream.is_tls(), "{mode:?}");
    }
    // The certificate is for `localhost` only.
    works(&trusting("127.0.0.1", SslMode::VerifyCa, "ca.pem"), &bound).await;
    works(&trusting("localhost", SslMode::VerifyFull, "ca.pem"), &bound).await;
    works(&trusting("127.0.0.1", SslMode::Require, "ca.pem"), &bound).await;
    for (address, says) in [
        (trusting("127.0.0.1", SslMode::VerifyFull, "ca.pem"), "certificate"),
        (trusting("localhost", SslMode::VerifyFull, "other.pem"), "certificate"),
        (trusting("127.0.0.1", SslMode::VerifyCa, "other.pem"), "certificate"),
        (trusting("127.0.0.1", SslMode::Require, "other.pem"), "certificate"),
        (trusting("127.0.0.1", SslMode::VerifyCa, "missing.pem"), "missing.pem"),
        (address(&cluster, "localhost", SslMode::VerifyFull), "no root certificates"),
    ] {
        let error = unreachable(&address).await;
        assert_eq!(error.code(), SqlState::CANNOT_CONNECT);
        assert!(error.message().contains(says), "{error}");
    }

    let shown = ServerAddress {
        sslcert: Some(certificates.path("client.pem")),
        sslkey: Some(certificates.path("client.key")),
        ..address(&cluster, "127.0.0.1", SslMode::Require)
    };
    works(&shown, &identity("certain", Credentials::Nothing)).await;
    let error =
        rejected(&address(&cluster, "127.0.0.1", SslMode::Require), &identity("certain", Credentials::Nothing)).await;
    assert_eq!(error.code(), SqlState::INVALID_AUTHORIZATION, "{error}");

    the_other_way(&cluster, &trusting("127.0.0.1", SslMode::Allow, "other.pem")).await;

    // A server without TLS.
    cluster.execute(PRIMARY, "postgres", "ALTER SYSTEM SET ssl = off").await.unwrap();
    cluster.execute(PRIMARY, "postgres", "SELECT pg_reload_conf()").await.unwrap();
    cluster.until(PRIMARY, "SELECT current_setting('ssl') = 'off'").await.unwrap();
    let secret = password("secret", "IX");
    let mut stream = works(&address(&cluster, "127.0.0.1", SslMode::Prefer), &secret).await.stream;
    assert!(!stream.is_tls());
    stream.shutdown().await.unwrap();
    let error = unreachable(&address(&cluster, "127.0.0.1", SslMode::Require)).await;
    assert!(error.message().contains("doesn't support TLS"), "{error}");
}

/// Where `sslmode` leaves the choice, what `pg_hba.conf` refuses one way is tried the other way.
async fn the_other_way(cluster: &Cluster, unproven: &ServerAddress) {
    let at = |mode| address(cluster, "127.0.0.1", mode);
    let (bound, naked) = (password("bound", "tied"), password("naked", "bare"));
    assert!(!works(&at(SslMode::Prefer), &naked).await.stream.is_tls());
    assert!(!works(&at(SslMode::Prefer), &password("either", "or")).await.stream.is_tls());
    assert!(!works(&at(SslMode::Allow), &naked).await.stream.is_tls());
    assert!(works(&at(SslMode::Allow), &bound).await.stream.is_tls());
    assert!(works(unproven, &bound).await.stream.is_tls());
    let error = rejected(&at(SslMode::Require), &naked).await;
    assert!(error.message().contains("no pg_hba.conf entry"), "{error}");
    let error = rejected(&at(SslMode::Disable), &bound).await;
    assert!(error.message().contains("no pg_hba.conf entry"), "{error}");
    // Refused both ways: in the words of the way that comes first.
    for (mode, says) in [(SslMode::Prefer, "SSL encryption"), (SslMode::Allow, "no encryption")] {
        let error = rejected(&at(mode), &password("nobody", "")).await;
        assert!(error.message().contains(says), "{error}");
    }
    for mode in [SslMode::Prefer, SslMode::Allow] {
        let error = rejected(&at(mode), &password("naked", "wrong")).await;
        assert!(error.code().as_str().starts_with("28"), "{error}");
    }
}

#[tokio::test]
async fn certificates_as_openssl_makes_them() {
    let certificates = Certificates::make();
    let pss = ["-newkey", "rsa:2048", "-sigopt", "rsa_padding_mode:pss"];
    certificates.openssl("rsa", Some(&["-newkey", "rsa:2048"]));
    certificates.openssl("sha512", Some(&["-newkey", "rsa:2048", "-sha512"]));
    certificates.openssl("pss", Some(&pss));
    certificates.openssl("one", None);
    let names = ["rsa", "sha512", "pss", "one"];
    let mut files = vec![];
    for name in names {
        for ending in ["pem", "key"] {
            let name = format!("{name}.{ending}");
            files.push((name.clone(), certificates.text(&name)));
        }
    }
    let mut cluster = Cluster::start(ClusterOptions { files, ..ClusterOptions::default() }).await.unwrap();
    for name in names {
        for (setting, value) in [("cert_file", format!("{name}.pem")), ("key_file", format!("{name}.key"))] {
            let sql = format!("ALTER SYSTEM SET ssl_{setting} = '{value}'");
            cluster.execute(PRIMARY, "postgres", &sql).await.unwrap();
        }
        cluster.execute(PRIMARY, "postgres", "ALTER SYSTEM SET ssl = on").await.unwrap();
        cluster.restart(PRIMARY).await.unwrap();
        // SCRAM-SHA-256-PLUS: the hash of the certificate must be the server's own.
        let superuser = password("postgres", cluster.password());
        assert!(works(&address(&cluster, "127.0.0.1", SslMode::Require), &superuser).await.stream.is_tls());
        let itself = ServerAddress {
            sslrootcert: Some(certificates.path(&format!("{name}.pem"))),
            ..address(&cluster, "localhost", SslMode::VerifyFull)
        };
        works(&itself, &superuser).await;
        let other = ServerAddress { host: Host::Tcp("127.0.0.1".into()), ..itself };
        assert!(unreachable(&other).await.message().contains("certificate"), "{name}");
    }
}

#[tokio::test]
async fn a_cancel_request_reaches_the_server_and_connections_move_between_threads() {
    let certificates = Certificates::make();
    let cluster = cluster(&certificates).await;
    for mode in [SslMode::Disable, SslMode::Require] {
        let address = address(&cluster, "127.0.0.1", mode);
        let login = works(&address, &password("secret", "IX")).await;
        let (process_id, key) = (login.process_id, login.secret_key.clone());
        let moved = login.stream.detach().unwrap();
        let (sleeping, cancelled) = std::sync::mpsc::channel();
        let sleeper = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let stream = moved.attach().unwrap();
                let mut login =
                    Login { stream, parameters: vec![], process_id: 0, secret_key: vec![], leftover: vec![] };
                assert!(ask(&mut login, "SELECT 'here'").await.contains("here"));
                sleeping.send(()).unwrap();
                ask(&mut login, "SELECT pg_sleep(600)").await
            })
        });
        cancelled.recv().unwrap();
        let sleeps = format!(
            "SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = {process_id} AND query LIKE '%sleep(600)' AND state = 'active'"
        );
        cluster.until(PRIMARY, &sleeps).await.unwrap();
        cancel(&address, process_id, &[1, 2, 3, 4], PATIENCE).await.unwrap(); // not its key
        cluster.until(PRIMARY, &sleeps).await.unwrap();
        cancel(&address, process_id, &key, PATIENCE).await.unwrap();
        assert!(sleeper.join().unwrap().contains("57014"));
    }
}

#[tokio::test]
async fn servers_that_are_none() {
    // Nobody listens.
    let address = ServerAddress {
        host: Host::Tcp("127.0.0.1".into()),
        port: 1,
        dbname: "x".into(),
        sslmode: SslMode::Prefer,
        sslrootcert: None,
        sslcert: None,
        sslkey: None,
        weight: 1,
    };
    let error = unreachable(&address).await;
    assert_eq!(error.code(), SqlState::CANNOT_CONNECT);
    assert!(error.message().contains("127.0.0.1:1"), "{error}");
    let nameless = ServerAddress { host: Host::Tcp("no-such-host.invalid".into()), ..address.clone() };
    assert!(unreachable(&nameless).await.message().contains("no-such-host.invalid"));

    // One that listens and says something else, or nothing.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let strange = |sslmode| ServerAddress { port: listener.local_addr().unwrap().port(), sslmode, ..address.clone() };
    for (sslmode, says, expected) in [
        (SslMode::Require, &b"Sgarbage"[..], "unencrypted data"),
        (SslMode::Require, b"H", "makes no sense"),
        (SslMode::Require, b"", "closed the connection"),
        (SslMode::Disable, b"HTTP/1.1 400 Bad Request\r\n", "doesn't speak the protocol"),
        (SslMode::Disable, b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x03", "doesn't speak the protocol"),
        (SslMode::Disable, b"R\x7f\xff\xff\xff", "doesn't speak the protocol"),
        (SslMode::Disable, b"R\0\0\0\x08\0\0\0\x07", "GSS"),
        (SslMode::Disable, b"R\0\0\0\x09\0\0\0\x0ax", "doesn't speak the protocol"),
        (SslMode::Disable, b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0R\0\0\0\x08\0\0\0\0", "doesn't speak the protocol"),
        (SslMode::Disable, b"E\0\0\0\x13SFATAL\0C57P03\0\0", ""),
        (SslMode::Disable, b"", "connection broke"),
    ] {
        let strange = strange(sslmode);
        let answer = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 8];
            socket.read_exact(&mut request).await.unwrap();
            socket.write_all(says).await.unwrap();
            socket.shutdown().await.unwrap();
            while matches!(socket.read(&mut request).await, Ok(n) if n > 0) {}
        };
        let app = password("app", "x");
        let (_, result) = tokio::join!(answer, login(&strange, &app, &[], PATIENCE));
        match result {
            Err(LoginError::Unreachable(error)) if error.to_string().contains(expected) => {}
            Err(LoginError::Rejected(error)) if expected == "GSS" => {
                assert!(error.message().contains("(7)"), "{error}")
            }
            other => panic!("{:?}: {other:?}", String::from_utf8_lossy(says)),
        }
    }
    let error = login(&strange(SslMode::Disable), &password("app", "x"), &[], Duration::from_millis(200)).await;
    assert!(matches!(error, Err(LoginError::Unreachable(error)) if error.message().contains("within")));
}
