//! Servers' URLs, `postgres://host:port/dbname?parameters` (libpq's "connection URIs", without users and lists of hosts).

use std::path::Path;

use super::model::{Host, ServerAddress, SslMode};
use super::unknown::nearest;

/// A message, and a hint.
pub(super) type Fault = (String, Option<String>);

/// PostgreSQL's port.
const PORT: u16 = 5432;

const PARAMETERS: &[&str] = &["host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "weight"];

const SSL_MODES: &[(&str, SslMode)] = &[
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

const MOST_WEIGHT: u32 = 1_000;

/// Reads a server's URL. `database` is the database's name where the URL has none; relative files are in `folder`.
///
/// # Errors
/// All that is wrong with it. The URL itself isn't in the messages where it may hold a password.
pub(super) fn parse(text: &str, database: &str, folder: &Path) -> Result<ServerAddress, Vec<Fault>> {
    let Some(rest) = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) else {
        return Err(vec![fault("a server's URL must begin with postgres://", "write \"postgres://host:port/dbname\"")]);
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, dbname) = place.split_once('/').unwrap_or((place, ""));
    let mut url = Url { faults: Vec::new(), host: None, port: None };
    let dbname = url.decode(dbname);

    let authority = match authority.rsplit_once('@') {
        Some((_, authority)) => {
            url.faults.push(credentials());
            authority
        }
        None => authority,
    };
    url.authority(authority);

    let mut server = ServerAddress {
        host: Host::Tcp(String::new()),
        port: PORT,
        dbname: if dbname.is_empty() { database.to_owned() } else { dbname },
        sslmode: SslMode::Prefer,
        sslrootcert: None,
        sslcert: None,
        sslkey: None,
        weight: 1,
    };
    url.query(query, &mut server, folder);
    server.port = url.port.unwrap_or(PORT);
    match url.host.take() {
        Some(host) => server.host = host,
        None if url.faults.is_empty() => {
            url.faults.push(fault("the URL names no host", "write \"postgres://host:port/dbname\""));
        }
        None => {}
    }
    url.tls(&server);
    if url.faults.is_empty() { Ok(server) } else { Err(url.faults) }
}

/// The URL of a server, complete: for `SHOW CONFIG`, and to tell whether two are the same.
pub(super) fn show(server: &ServerAddress) -> String {
    let mut text = match &server.host {
        Host::Unix(dir) => format!("postgres://{}:{}", encode(&dir.to_string_lossy()), server.port),
        Host::Tcp(_) => format!("postgres://{server}"),
    };
    let mode = SSL_MODES.iter().find(|(_, mode)| *mode == server.sslmode).map_or("", |(name, _)| name);
    text.push_str(&format!("/{}?sslmode={mode}&weight={}", encode(&server.dbname), server.weight));
    for (name, path) in [("sslrootcert", &server.sslrootcert), ("sslcert", &server.sslcert), ("sslkey", &server.sslkey)]
    {
        if let Some(path) = path {
            text.push_str(&format!("&{name}={}", encode(&path.to_string_lossy())));
        }
    }
    text
}

fn fault(message: impl Into<String>, hint: impl Into<String>) -> Fault {
    (message.into(), Some(hint.into()))
}

fn credentials() -> Fault {
    fault(
        "a server's URL has no user or password",
        "servers are entered as the client's user: put the password in [users.NAME], and take it out of the URL",
    )
}

struct Url {
    faults: Vec<Fault>,
    host: Option<Host>,
    port: Option<u16>,
}

impl Url {
    fn authority(&mut self, authority: &str) {
        if authority.contains(',') {
            let hint = "give each server a URL of its own: [\"postgres://a/…\", \"postgres://b/…\"]";
            self.faults.push(fault("the URL names several hosts", hint));
            return;
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((host, after)) if after.is_empty() || after.starts_with(':') => {
                    (host, after.strip_prefix(':').unwrap_or(""))
                }
                _ => {
                    self.faults
                        .push(fault("the brackets of the host aren't closed", "write \"postgres://[::1]:5432/…\""));
                    return;
                }
            },
            None => match authority.split_once(':') {
                Some((_, rest)) if rest.contains(':') => {
                    let hint = "an IPv6 address stands in brackets: \"postgres://[::1]:5432/…\"";
                    self.faults.push(fault("the host has several colons", hint));
                    return;
                }
                Some((host, port)) => (host, port),
                None => (authority, ""),
            },
        };
        if authority.starts_with('[') && host.parse::<std::net::Ipv6Addr>().is_err() {
            self.faults.push((format!("`{host}` isn't an IPv6 address"), None));
            return;
        }
        if !port.is_empty() {
            self.read_port(port);
        }
        let host = self.decode(host);
        self.read_host(&host);
    }

    fn read_host(&mut self, host: &str) {
        if host.starts_with('/') {
            self.host = Some(Host::Unix(host.into()));
        } else if host.contains(char::is_whitespace) || host.contains('/') {
            self.faults.push((format!("`{host}` isn't a host"), None));
        } else if !host.is_empty() {
            self.host = Some(Host::Tcp(host.to_owned()));
        }
    }

    fn read_port(&mut self, port: &str) {
        match port.parse::<u16>() {
            Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => self.port = Some(number),
            _ => self.faults.push((format!("`{port}` isn't a port: it must be from 1 to 65535"), None)),
        }
    }

    fn query(&mut self, query: &str, server: &mut ServerAddress, folder: &Path) {
        let mut seen: Vec<String> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (self.decode(name), self.decode(value));
            if seen.contains(&name) {
                self.faults.push((format!("the URL has `{name}` twice"), None));
            }
            match name.as_str() {
                "host" => self.read_host(&value),
                "port" => self.read_port(&value),
                "sslmode" => match SSL_MODES.iter().find(|(word, _)| *word == value) {
                    Some((_, mode)) => server.sslmode = *mode,
                    None => {
                        let words: Vec<&str> = SSL_MODES.iter().map(|(word, _)| *word).collect();
                        self.faults
                            .push((format!("sslmode is `{value}`; it must be one of {}", words.join(", ")), None));
                    }
                },
                "sslrootcert" => server.sslrootcert = Some(folder.join(&value)),
                "sslcert" => server.sslcert = Some(folder.join(&value)),
                "sslkey" => server.sslkey = Some(folder.join(&value)),
                "weight" => match value.parse::<u32>() {
                    Ok(weight) if weight <= MOST_WEIGHT => server.weight = weight,
                    _ => self.faults.push((format!("weight is `{value}`; it must be from 0 to {MOST_WEIGHT}"), None)),
                },
                "user" | "password" => self.faults.push(credentials()),
                other => {
                    let hint = match nearest(other, PARAMETERS.iter().copied()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("the parameters are {}", PARAMETERS.join(", ")),
                    };
                    self.faults.push(fault(format!("a server's URL has no parameter `{other}`"), hint));
                }
            }
            seen.push(name);
        }
    }

    /// TLS settings that contradict each other.
    fn tls(&mut self, server: &ServerAddress) {
        let verifies = matches!(server.sslmode, SslMode::VerifyCa | SslMode::VerifyFull);
        if verifies && server.sslrootcert.is_none() {
            let hint = "add &sslrootcert=FILE with the authority's certificate";
            self.faults.push(fault("the sslmode verifies certificates, and there is no sslrootcert", hint));
        }
        if server.sslcert.is_some() != server.sslkey.is_some() {
            self.faults.push(("sslcert and sslkey belong together".to_owned(), None));
        }
        let demands = !matches!(server.sslmode, SslMode::Disable | SslMode::Allow | SslMode::Prefer);
        if matches!(server.host, Host::Unix(_)) && demands {
            self.faults.push(("a Unix socket has no TLS".to_owned(), Some("take sslmode out".to_owned())));
        }
    }

    /// Percent-decoding; a `+` is a plus, as in libpq.
    fn decode(&mut self, text: &str) -> String {
        match decode(text) {
            Some(text) => text,
            None => {
                let hint = "a percent sign itself is written %25";
                self.faults.push(fault("a % in the URL isn't followed by two hexadecimal digits of a character", hint));
                String::new()
            }
        }
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok().filter(|byte| *byte != 0)?);
    }
    String::from_utf8(bytes).ok()
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ServerAddress, Vec<Fault>> {
        parse(text, "shop", Path::new("folder"))
    }

    #[test]
    fn reads_what_libpq_reads() {
        let plain = read("postgres://10.0.0.1").unwrap();
        assert_eq!((plain.host.clone(), plain.port), (Host::Tcp("10.0.0.1".into()), 5432));
        assert_eq!((plain.dbname.as_str(), plain.sslmode, plain.weight), ("shop", SslMode::Prefer, 1));

        let full =
            read("postgresql://db.example:6000/my%20db?sslmode=verify-full&sslrootcert=ca.pem&weight=0").unwrap();
        assert_eq!((full.host.clone(), full.port), (Host::Tcp("db.example".into()), 6000));
        assert_eq!((full.dbname.as_str(), full.sslmode, full.weight), ("my db", SslMode::VerifyFull, 0));
        assert_eq!(full.sslrootcert.as_deref(), Some(Path::new("folder/ca.pem")));

        assert_eq!(read("postgres://[::1]:7/x").unwrap().to_string(), "[::1]:7");
        for socket in ["postgres://%2Frun%2Fpg:7/x", "postgres:///x?host=/run/pg&port=7"] {
            let server = read(socket).unwrap();
            assert_eq!((server.host, server.port), (Host::Unix("/run/pg".into()), 7), "{socket}");
        }
    }

    #[test]
    fn shows_what_reads_back() {
        for text in [
            "postgres://a:1/b?sslmode=require&sslcert=%2Fc&sslkey=%2Fk&weight=3",
            "postgres://[::1]:5432/a%2Fb%25",
            "postgres://%2Frun%2Fpg/x",
        ] {
            let server = read(text).unwrap();
            assert_eq!(read(&show(&server)), Ok(server), "{text}");
        }
    }

    #[test]
    fn refuses_with_a_reason() {
        for (text, part) in [
            ("mysql://a/b", "must begin with postgres://"),
            ("postgres://", "names no host"),
            ("postgres://app:secret@a/b", "no user or password"),
            ("postgres://a/b?user=app", "no user or password"),
            ("postgres://a,b/c", "several hosts"),
            ("postgres://::1/c", "several colons"),
            ("postgres://[::1/c", "brackets"),
            ("postgres://[zz]/c", "isn't an IPv6"),
            ("postgres://a:0/c", "isn't a port"),
            ("postgres://a:65536/c", "isn't a port"),
            ("postgres://a:+1/c", "isn't a port"),
            ("postgres://a/%zz", "isn't followed by two"),
            ("postgres://a/%00", "isn't followed by two"),
            ("postgres://a/b?sslmod=require", "no parameter `sslmod`"),
            ("postgres://a/b?sslmode=on", "must be one of"),
            ("postgres://a/b?sslmode=verify-ca", "no sslrootcert"),
            ("postgres://a/b?sslcert=x", "belong together"),
            ("postgres://a/b?weight=-1", "must be from 0"),
            ("postgres://a/b?weight=1&weight=2", "twice"),
            ("postgres://%2Fx/b?sslmode=require", "no TLS"),
        ] {
            let faults = read(text).expect_err(text);
            assert!(faults.iter().any(|(message, _)| message.contains(part)), "{text}: {faults:?}");
            assert!(!format!("{faults:?}").contains("secret"), "{text}");
        }
    }
}
