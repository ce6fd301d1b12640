//! A certificate authority of the test's own, a server's certificate for `localhost` and a client's for `certain`.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// PEM texts, and files of them that go when this is dropped.
pub struct Certificates {
    dir: tempfile::TempDir,
    pub server: String,
    pub server_key: String,
}

impl Certificates {
    pub fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::new(vec![]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().unwrap();
        let ca = authority.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(authority, key);
        let signed = |name: &str| {
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.distinguished_name.remove(DnType::CommonName);
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().unwrap();
            (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
        };
        let (server, server_key) = signed("localhost");
        let (client, client_key) = signed("certain");
        let made = Self { dir, server, server_key };
        made.write("ca.pem", &ca);
        made.write("server.pem", &made.server);
        made.write("server.key", &made.server_key);
        made.write("client.pem", &client);
        made.write("client.key", &client_key);
        let other = CertificateParams::new(vec!["other".into()]).unwrap();
        made.write("other.pem", &other.self_signed(&KeyPair::generate().unwrap()).unwrap().pem());
        made
    }

    /// A file: `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`, and `other.pem` that signed none of them.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// A self-signed certificate as OpenSSL makes it, RSA, for `localhost` by its common name only: `NAME.pem` and
    /// `NAME.key`. `kind` are more arguments of `openssl req -x509`; or, if none, of X.509 version 1.
    pub fn openssl(&self, name: &str, kind: Option<&[&str]>) {
        let file = |ending: &str| self.path(&format!("{name}.{ending}")).display().to_string();
        let run = |args: &[&str]| {
            let output = std::process::Command::new("openssl").args(args).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let (key, pem, request) = (file("key"), file("pem"), file("csr"));
        let subject = ["-nodes", "-subj", "/CN=localhost", "-keyout", &key];
        match kind {
            Some(kind) => run(&[&["req", "-new", "-x509", "-days", "30", "-out", &pem], &subject[..], kind].concat()),
            None => {
                run(&[&["req", "-new", "-newkey", "rsa:2048", "-out", &request], &subject[..]].concat());
                run(&["x509", "-req", "-days", "30", "-in", &request, "-signkey", &key, "-out", &pem]);
            }
        }
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}
