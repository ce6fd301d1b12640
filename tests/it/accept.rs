//! Letting clients in: libpq and raw sockets against `session::accept`, by every method, with and without TLS.

use std::cell::RefCell;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use pgbraid::backend::login::Credentials;
use pgbraid::base::{PgError, Secret, SqlState};
use pgbraid::config::{AuthMethod, ClientTls};
use pgbraid::net::tls::ServerTls;
use pgbraid::net::{Framed, Stream, TcpAcceptor, UnixAcceptor};
use pgbraid::session::accept::{AcceptSettings, Accepted, Answer, NewClient, Users, accept};
use pgbraid::wire::message::{backend_key_data, command_complete, ready_for_query};
use pgbraid::wire::scram::Verifier;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::certificates::Certificates;

const PATIENCE: Duration = Duration::from_secs(30);

/// Users by name, and what was asked of us.
#[derive(Default)]
struct Known {
    passwords: Vec<(&'static str, String)>,
    full: bool,
    asked: RefCell<Vec<String>>,
}

impl Users for Known {
    fn password<'a>(&'a self, user: &'a str, database: &'a str) -> Answer<'a, Result<Option<Secret>, PgError>> {
        Box::pin(async move {
            self.asked.borrow_mut().push(format!("{user}@{database}"));
            tokio::task::yield_now().await;
            Ok(self.passwords.iter().find(|(name, _)| *name == user).map(|(_, password)| Secret::new(password)))
        })
    }

    fn has_database(&self, database: &str) -> bool {
        database == "shop"
    }

    fn admit(&self, _: &str, _: &str) -> Result<(), PgError> {
        if self.full {
            Err(PgError::error(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already"))
        } else {
            Ok(())
        }
    }
}

fn known() -> Known {
    let verifier = Verifier::from_password("proven", b"salt and pepper!", 4096).to_string();
    let passwords = vec![
        ("app", "it's secret".to_owned()),
        ("proven", verifier),
        ("hashed", pgbraid::wire::md5::stored("old", "hashed")),
        ("certain", "kept for servers".to_owned()),
    ];
    Known { passwords, ..Known::default() }
}

/// A deadlock fails the test.
async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE * 2, work).await.expect("neither side goes on")
}

struct Door {
    listener: TcpAcceptor,
    settings: AcceptSettings,
    users: Known,
}

impl Door {
    fn new(method: AuthMethod, tls: ClientTls, certificates: Option<&Certificates>) -> Self {
        let server_tls = certificates.map(|files| {
            let ca = files.path("ca.pem");
            ServerTls::from_files(&files.path("server.pem"), &files.path("server.key"), Some(&ca)).unwrap()
        });
        Self {
            listener: TcpAcceptor::bind("127.0.0.1:0".parse().unwrap()).unwrap(),
            settings: AcceptSettings::new(tls, server_tls, method, PATIENCE, None),
            users: known(),
        }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    async fn take(&self) -> Result<Accepted, PgError> {
        let stream = self.listener.accept().await.unwrap();
        accept(stream, &self.settings, &self.users).await
    }

    /// psql with this connection string against `accept`, until it leaves. A client that is let in is served.
    async fn psql(&self, conninfo: &str, password: &str) -> (Result<Seen, PgError>, String) {
        let conninfo = format!("host=127.0.0.1 port={} dbname=shop connect_timeout=60 {conninfo}", self.port());
        let server = async { serve(self.take().await).await };
        let (result, output) = within(async { tokio::join!(server, run_psql(&conninfo, password)) }).await;
        (result, String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    async fn lets_in(&self, conninfo: &str, password: &str) -> Seen {
        match self.psql(conninfo, password).await {
            (Ok(seen), output) if output == "SELECT 7\n" => seen,
            (result, output) => {
                panic!("{conninfo}: {} {output}", result.err().map_or(String::new(), |e| e.to_string()))
            }
        }
    }

    async fn refuses(&self, conninfo: &str, password: &str) -> PgError {
        match self.psql(conninfo, password).await {
            (Err(error), output) => {
                assert!(output.contains(&format!("FATAL:  {}", error.message())), "{output}");
                error
            }
            (Ok(_), output) => panic!("{conninfo}: let in: {output}"),
        }
    }

    /// Sends `bytes` and gives all that comes back until the end, with what `accept` made of it.
    async fn raw(&self, bytes: &[u8]) -> (Result<Accepted, PgError>, Vec<u8>) {
        let client = async {
            let mut socket = TcpStream::connect(("127.0.0.1", self.port())).await.unwrap();
            socket.write_all(bytes).await.unwrap();
            let _ = socket.shutdown().await;
            let mut answer = Vec::new();
            let _ = socket.read_to_end(&mut answer).await;
            answer
        };
        let server = async {
            match self.take().await {
                Ok(Accepted::Cancel { process_id, key, mut stream }) => {
                    stream.shutdown().await.unwrap();
                    Ok(Accepted::Cancel { process_id, key, stream })
                }
                Ok(Accepted::Client(mut client)) => {
                    client.stream.shutdown().await.unwrap();
                    Ok(Accepted::Client(client))
                }
                other => other,
            }
        };
        within(async { tokio::join!(server, client) }).await
    }
}

/// What is kept of a client that was let in and has left.
struct Seen {
    credentials: Credentials,
    tls: bool,
    client: Box<NewClient>,
}

async fn run_psql(conninfo: &str, password: &str) -> Output {
    tokio::process::Command::new("psql")
        .args(["--no-psqlrc", "--no-password", "--command=SELECT", conninfo])
        .env("PGPASSWORD", password)
        .env("LC_ALL", "C")
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

/// Answers every query with a tag until the client leaves.
async fn serve(accepted: Result<Accepted, PgError>) -> Result<Seen, PgError> {
    let mut client = match accepted? {
        Accepted::Client(client) => client,
        other => panic!("{other:?}"),
    };
    assert!(client.leftover.is_empty());
    let tls = client.stream.is_tls();
    let placeholder = UnixPair::stream();
    let mut framed = Framed::new(std::mem::replace(&mut client.stream, placeholder));
    let mut out = Vec::new();
    backend_key_data(&mut out, 1, b"keys");
    ready_for_query(&mut out, b'I');
    framed.say(&out).await.unwrap();
    while let Ok((b'Q', _)) = framed.frame(1000).await {
        out.clear();
        command_complete(&mut out, "SELECT 7");
        ready_for_query(&mut out, b'I');
        framed.say(&out).await.unwrap();
    }
    Ok(Seen { credentials: client.credentials.clone(), tls, client })
}

/// A stream that leads nowhere.
struct UnixPair;

impl UnixPair {
    fn stream() -> Stream {
        Stream::from_unix(tokio::net::UnixStream::pair().unwrap().0)
    }
}

#[tokio::test]
async fn scram_with_libpq() {
    let certificates = Certificates::make();
    let door = Door::new(AuthMethod::ScramSha256, ClientTls::Allow, Some(&certificates));
    let seen = door.lets_in("user=app sslmode=disable application_name=x options='-c a=b'", "it's secret").await;
    assert_eq!(seen.credentials, Credentials::Password(Secret::new("it's secret")));
    assert!(!seen.tls);
    let client = seen.client;
    assert_eq!((client.user.as_str(), client.database.as_str(), client.minor), ("app", "shop", 0));
    let parameter =
        |name: &str| client.parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    assert_eq!((parameter("application_name"), parameter("options")), (Some("x"), Some("-c a=b")));
    assert_eq!((parameter("user"), parameter("database")), (None, None));
    assert!(client.peer.starts_with("127.0.0.1:"));

    // A verifier is stored: the proof yields keys.
    let seen = door.lets_in("user=proven sslmode=require channel_binding=require", "proven").await;
    assert!(matches!(seen.credentials, Credentials::ScramKeys(_)) && seen.tls);
    door.lets_in("user=app sslmode=require channel_binding=disable", "it's secret").await;
    let files = format!(
        "sslmode=verify-full host=localhost hostaddr=127.0.0.1 sslrootcert={}",
        certificates.path("ca.pem").display()
    );
    assert!(door.lets_in(&format!("user=app channel_binding=require {files}"), "it's secret").await.tls);

    for (name, digest) in [("rsa", "-sha256"), ("sha384", "-sha384")] {
        certificates.openssl(name, Some(&["-newkey", "rsa:2048", digest]));
        let (cert, key) = (certificates.path(&format!("{name}.pem")), certificates.path(&format!("{name}.key")));
        let server_tls = Some(ServerTls::from_files(&cert, &key, None).unwrap());
        let settings = AcceptSettings::new(ClientTls::Allow, server_tls, AuthMethod::ScramSha256, PATIENCE, None);
        let door = Door { settings, ..Door::new(AuthMethod::ScramSha256, ClientTls::Allow, None) };
        door.lets_in("user=app sslmode=require channel_binding=require", "it's secret").await;
    }

    for user in ["app", "proven", "nobody"] {
        let error = door.refuses(&format!("user={user} sslmode=disable"), "wrong").await;
        assert_eq!(error.code(), SqlState::INVALID_PASSWORD);
        assert_eq!(error.message(), format!("password authentication failed for user \"{user}\""));
    }
    let error = door.refuses("user=hashed sslmode=disable", "old").await;
    assert_eq!(error.code(), SqlState::INVALID_AUTHORIZATION);
    assert!(error.message().contains("md5 hash"), "{error}");
    // Told only to those who authenticated.
    let error = door.refuses("user=app sslmode=disable dbname=nowhere", "it's secret").await;
    assert_eq!(
        (error.code(), error.message()),
        (SqlState::INVALID_CATALOG_NAME, "database \"nowhere\" does not exist")
    );
    let error = door.refuses("user=app sslmode=disable dbname=nowhere", "wrong").await;
    assert_eq!(error.code(), SqlState::INVALID_PASSWORD);
    let error = door.refuses("user=app sslmode=disable replication=true", "it's secret").await;
    assert_eq!(error.code(), SqlState::FEATURE_NOT_SUPPORTED);
}

#[tokio::test]
async fn other_methods_with_libpq() {
    let certificates = Certificates::make();
    let md5 = Door::new(AuthMethod::Md5, ClientTls::Disable, None);
    let seen = md5.lets_in("user=hashed", "old").await;
    assert_eq!(seen.credentials, Credentials::Md5(Secret::new(pgbraid::wire::md5::stored("old", "hashed"))));
    assert!(matches!(md5.lets_in("user=app", "it's secret").await.credentials, Credentials::Password(_)));
    assert!(matches!(md5.lets_in("user=proven", "proven").await.credentials, Credentials::ScramKeys(_)));
    for user in ["hashed", "app", "nobody", "proven"] {
        assert_eq!(md5.refuses(&format!("user={user}"), "wrong").await.code(), SqlState::INVALID_PASSWORD, "{user}");
    }

    let trust = Door::new(AuthMethod::Trust, ClientTls::Disable, None);
    assert_eq!(trust.lets_in("user=nobody", "").await.credentials, Credentials::Nothing);
    assert!(matches!(trust.lets_in("user=app", "").await.credentials, Credentials::Password(_)));
    assert_eq!(trust.lets_in("user=proven", "").await.credentials, Credentials::Nothing);

    let cert = Door::new(AuthMethod::Cert, ClientTls::Allow, Some(&certificates));
    let shown = format!(
        "sslmode=require sslcert={} sslkey={}",
        certificates.path("client.pem").display(),
        certificates.path("client.key").display()
    );
    let seen = cert.lets_in(&format!("user=certain {shown}"), "").await;
    assert_eq!(seen.credentials, Credentials::Password(Secret::new("kept for servers")));
    assert_eq!(cert.refuses(&format!("user=app {shown}"), "").await.code(), SqlState::INVALID_AUTHORIZATION);
    for conninfo in ["user=certain sslmode=disable", "user=certain sslmode=require sslcert=/nowhere"] {
        assert_eq!(cert.refuses(conninfo, "").await.message(), "connection requires a valid client certificate");
    }
}

#[tokio::test]
async fn what_is_refused_before_authentication() {
    let certificates = Certificates::make();
    let strict = Door::new(AuthMethod::ScramSha256, ClientTls::Require, Some(&certificates));
    strict.lets_in("user=app sslmode=require", "it's secret").await;
    let asked = strict.users.asked.borrow().len();
    let error = strict.refuses("user=app sslmode=disable", "it's secret").await;
    assert_eq!(error.code(), SqlState::INVALID_AUTHORIZATION);
    assert_eq!(strict.users.asked.borrow().len(), asked, "nothing is looked up for it");

    let full = Door { users: Known { full: true, ..known() }, ..Door::new(AuthMethod::Trust, ClientTls::Allow, None) };
    let error = full.refuses("user=app sslmode=disable", "").await;
    assert_eq!((error.code(), error.severity().as_str()), (SqlState::TOO_MANY_CONNECTIONS, "FATAL"));
    // A cancel request must come through all the same.
    let (accepted, answer) = full.raw(b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07abcd").await;
    assert!(matches!(accepted, Ok(Accepted::Cancel { process_id: 7, key, .. }) if key == b"abcd"));
    assert!(answer.is_empty());
}

#[tokio::test]
async fn unix_sockets_never_speak_tls_and_are_not_asked_to() {
    let certificates = Certificates::make();
    let dir = tempfile::tempdir().unwrap();
    let door = Door::new(AuthMethod::ScramSha256, ClientTls::Require, Some(&certificates));
    let listener = UnixAcceptor::bind(dir.path(), 6432).unwrap();
    let conninfo = format!("host={} port=6432 dbname=shop user=app sslmode=prefer", dir.path().display());
    let server = async { serve(accept(listener.accept().await.unwrap(), &door.settings, &door.users).await).await };
    let (seen, output) = within(async { tokio::join!(server, run_psql(&conninfo, "it's secret")) }).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "SELECT 7\n", "{output:?}");
    assert!(seen.is_ok_and(|seen| !seen.tls && seen.client.peer == "unix"));
}

#[tokio::test]
async fn tls_from_the_first_byte() {
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};
    let certificates = Certificates::make();
    let door = Door::new(AuthMethod::Trust, ClientTls::Allow, Some(&certificates));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificates.path("ca.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    for (alpn, welcome) in [(Some("postgresql"), true), (None, false), (Some("h2"), false)] {
        let mut config = config.clone();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let client = async {
            let socket = TcpStream::connect(("127.0.0.1", door.port())).await.unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let mut stream = match connector.connect(ServerName::try_from("localhost").unwrap(), socket).await {
                Ok(stream) => stream,
                Err(_) => return Vec::new(),
            };
            let mut out = Vec::new();
            pgbraid::wire::startup::write(&mut out, [("user", "app"), ("database", "shop")]);
            let _ = stream.write_all(&out).await;
            let mut answer = vec![0; 9];
            let n = stream.read(&mut answer).await.unwrap_or(0);
            answer.truncate(n);
            answer
        };
        let (accepted, answer) = tokio::join!(door.take(), client);
        assert_eq!(matches!(&accepted, Ok(Accepted::Client(client)) if client.stream.is_tls()), welcome, "{alpn:?}");
        assert_eq!(answer == b"R\0\0\0\x08\0\0\0\0", welcome, "{alpn:?}");
    }
    // Without a certificate of ours there is nobody to talk to.
    let plain = Door::new(AuthMethod::Trust, ClientTls::Allow, None);
    let (accepted, answer) = plain.raw(b"\x16\x03\x01\x02\0").await;
    assert!(matches!(accepted, Ok(Accepted::Closed)) && answer.is_empty());
}

#[tokio::test]
async fn what_tls_holds_back_goes_out_while_the_stream_is_only_read() {
    use std::task::Poll;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};
    let certificates = Certificates::make();
    let door = Door::new(AuthMethod::Trust, ClientTls::Allow, Some(&certificates));
    let server_tls = door.settings.server_tls.clone().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificates.path("ca.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    for by_readiness in [true, false] {
        let (full, mut filled) = tokio::sync::oneshot::channel();
        let server = async {
            let mut stream = server_tls.accept(door.listener.accept().await.unwrap(), Vec::new()).await.unwrap();
            // Until the socket takes no more: the last bytes are with TLS.
            let mut written = 0;
            std::future::poll_fn(|cx| {
                while let Poll::Ready(n) = std::pin::Pin::new(&mut stream).poll_write(cx, &[7; 1 << 16]) {
                    written += n.unwrap();
                }
                Poll::Ready(())
            })
            .await;
            full.send(written).unwrap();
            // From here on it only waits for something to read.
            let mut answer = [0; 1];
            std::future::poll_fn(|cx| {
                if by_readiness && stream.poll_read_ready(cx).is_pending() {
                    return Poll::Pending;
                }
                let mut buf = tokio::io::ReadBuf::new(&mut answer);
                std::pin::Pin::new(&mut stream).poll_read(cx, &mut buf)
            })
            .await
            .unwrap();
            assert_eq!(answer, [9]);
        };
        let client = async {
            let socket = TcpStream::connect(("127.0.0.1", door.port())).await.unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config.clone()));
            let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), socket).await.unwrap();
            let written = (&mut filled).await.unwrap();
            let mut all = vec![0; written];
            stream.read_exact(&mut all).await.unwrap();
            stream.write_all(&[9]).await.unwrap();
            stream.flush().await.unwrap();
        };
        within(async { tokio::join!(server, client) }).await;
    }
}

/// A packet with its length in front.
fn packet(code: u32, tail: &[u8]) -> Vec<u8> {
    [&(8 + tail.len() as u32).to_be_bytes()[..], &code.to_be_bytes(), tail].concat()
}

#[tokio::test]
async fn first_packets_by_hand() {
    const SSL: u32 = 0x04d2_162f;
    const GSS: u32 = 0x04d2_1630;
    let door = Door::new(AuthMethod::Trust, ClientTls::Allow, None);
    let hello = packet(3 << 16, b"user\0app\0database\0shop\0\0");
    let welcome = b"R\0\0\0\x08\0\0\0\0";
    for (first, expected) in [
        (vec![], vec![]),
        (packet(SSL, b""), b"N".to_vec()),
        (packet(GSS, b""), b"N".to_vec()),
        ([packet(GSS, b""), packet(SSL, b"")].concat(), b"NN".to_vec()),
    ] {
        let (accepted, answer) = door.raw(&[first, hello.clone(), b"more".to_vec()].concat()).await;
        assert_eq!(answer, [expected, welcome.to_vec()].concat());
        assert!(matches!(accepted, Ok(Accepted::Client(client)) if client.leftover == b"more"));
    }
    let (accepted, answer) = door.raw(&packet(3 << 16 | 9, b"user\0shop\0_pq_.x\x001\0\0")).await;
    assert_eq!(answer, [&b"v\0\0\0\x13\0\x03\0\x02\0\0\0\x01_pq_.x\0"[..], welcome].concat());
    assert!(matches!(accepted, Ok(Accepted::Client(client)) if client.minor == 2 && client.database == "shop"));

    for (bytes, says) in [
        ([packet(SSL, b""), packet(SSL, b"")].concat(), "unsupported frontend protocol 1234.5679"),
        ([packet(GSS, b""), packet(GSS, b"")].concat(), "unsupported frontend protocol 1234.5680"),
        (packet(2 << 16, b"user\0app\0\0"), "unsupported frontend protocol 2.0"),
        (packet(3 << 16, b"\0"), "no PostgreSQL user name specified in startup packet"),
        (packet(3 << 16, b"user\0\0\0"), "no PostgreSQL user name specified in startup packet"),
        (packet(3 << 16, b"user\0app"), "invalid startup packet layout"),
        (packet(3 << 16, b"user\0\xff\0\0"), "not UTF-8"),
        (packet(3 << 16, b"user\0app\0replication\0maybe\0\0"), "invalid value for parameter \"replication\""),
    ] {
        let (accepted, answer) = door.raw(&bytes).await;
        assert!(matches!(accepted, Err(error) if error.message().contains(says)), "{says}");
        assert!(String::from_utf8_lossy(&answer).contains(says), "{answer:?}");
    }
    for bytes in [
        &b""[..],
        b"\0",
        b"\0\0\0\x08",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\x04",
        b"\xff\xff\xff\xff\xff",
        b"\0\0\0\x0c\x04\xd2\x16\x2e\0\0\0\x07",
    ] {
        let (accepted, answer) = door.raw(bytes).await;
        assert!(matches!(accepted, Ok(Accepted::Closed)), "{bytes:?}");
        assert!(answer.is_empty(), "{bytes:?}");
    }
    // Bytes in front of the handshake.
    let certificates = Certificates::make();
    let door = Door::new(AuthMethod::Trust, ClientTls::Allow, Some(&certificates));
    let (accepted, answer) = door.raw(&[packet(SSL, b""), hello].concat()).await;
    assert!(matches!(accepted, Err(error) if error.message() == "received unencrypted data after SSL request"));
    assert_ne!(answer.first(), Some(&b'S'));
}

#[tokio::test]
async fn authentication_by_hand() {
    let hello = packet(3 << 16, b"user\0app\0database\0shop\0\0");
    for (method, message, says) in [
        (AuthMethod::Md5, &b"p\0\0\0\x05\0"[..], "password authentication failed"),
        (AuthMethod::Md5, b"p\0\0\0\x05x", "invalid password packet size"),
        (AuthMethod::Md5, b"p\0\0\0\x06\0\0", "invalid password packet size"),
        (AuthMethod::Md5, b"Q\0\0\0\x05\0", "expected password response, got message type 81"),
        (AuthMethod::Md5, b"p\x7f\xff\xff\xff", "invalid message length"),
        (AuthMethod::Md5, b"p\0\0\0\0", "invalid message length"),
        (AuthMethod::ScramSha256, b"p\0\0\0\x05\0", "client selected an invalid SASL authentication mechanism"),
        (AuthMethod::ScramSha256, b"p\0\0\0\x05x", "malformed SASL response"),
        (AuthMethod::ScramSha256, b"p\0\0\0\x16SCRAM-SHA-256\0\x7f\xff\xff\xff", "malformed SASL response"),
        (AuthMethod::ScramSha256, b"p\0\0\0\x16SCRAM-SHA-256\0\xff\xff\xff\xff", "malformed SCRAM message"),
        (AuthMethod::ScramSha256, b"p\0\0\0\x1bSCRAM-SHA-256-PLUS\0\0\0\0\0", "invalid SASL authentication mechanism"),
        (AuthMethod::ScramSha256, b"p\0\0\0\x23SCRAM-SHA-256\0\0\0\0\x0dn,a=me,n=,r=x", "authorization identity"),
    ] {
        let door = Door::new(method, ClientTls::Disable, None);
        let (accepted, answer) = door.raw(&[&hello[..], message].concat()).await;
        let error = accepted.err().map_or(String::new(), |error| error.to_string());
        assert!(error.contains(says), "{message:?}: {error}");
        assert!(String::from_utf8_lossy(&answer).contains(says), "{message:?}: {answer:?}");
    }
    // A client that goes away, and one that never answers.
    let mut door = Door::new(AuthMethod::ScramSha256, ClientTls::Disable, None);
    assert!(matches!(door.raw(&hello).await.0, Ok(Accepted::Closed)));
    door.settings.login_timeout = Duration::from_millis(100);
    let mut socket = TcpStream::connect(("127.0.0.1", door.port())).await.unwrap();
    socket.write_all(&hello).await.unwrap();
    assert!(matches!(door.take().await, Ok(Accepted::Closed)));
}

#[tokio::test]
async fn users_who_do_not_exist_look_like_those_who_do() {
    // What a stranger learns of a user: the length of the nonce, salt and iterations.
    let learned = async |door: &Door, user: &str| {
        let hello = packet(3 << 16, format!("user\0{user}\0database\0shop\0\0").as_bytes());
        let first = b"p\0\0\0\x1fSCRAM-SHA-256\0\0\0\0\x09n,,n=,r=x";
        let (_, answer) = door.raw(&[&hello[..], first].concat()).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (nonce, rest) = text.split_once("r=x").unwrap().1.split_once(",s=").unwrap();
        (nonce.len(), rest.to_owned())
    };
    let door = |seed: &[u8]| Door {
        settings: AcceptSettings::new(ClientTls::Disable, None, AuthMethod::ScramSha256, PATIENCE, Some(seed)),
        ..Door::new(AuthMethod::ScramSha256, ClientTls::Disable, None)
    };
    let (one, clone, other) = (door(b"a key"), door(b"a key"), door(b"another"));
    let (app, nobody) = (learned(&one, "app").await, learned(&one, "nobody").await);
    assert_eq!((app.0, app.1.len()), (nobody.0, nobody.1.len()));
    assert!(app.1.ends_with(",i=4096") && nobody.1.ends_with(",i=4096"), "{app:?} {nobody:?}");
    assert_ne!(app.1, nobody.1);
    for user in ["app", "nobody"] {
        assert_eq!(learned(&one, user).await, learned(&clone, user).await, "{user}");
        assert_ne!(learned(&one, user).await, learned(&other, user).await, "{user}");
    }
}
