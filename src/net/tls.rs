//! TLS: our certificate for clients, and how servers' certificates are judged.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Stream, end_point};
use crate::base::{PgError, SqlState};
use crate::config::{Server, ServerAddress, SslMode};

/// The protocol name for ALPN; clients that start with TLS at once must offer it (PostgreSQL 17).
pub const ALPN: &[u8] = b"postgresql";

/// Puts TLS on connections from clients.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    end_point: Option<Arc<[u8]>>,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerTls")
    }
}

impl ServerTls {
    /// From `tls_cert`, `tls_key`, `tls_client_ca`; `None` if no certificate is configured.
    ///
    /// # Errors
    /// Files that can't be read, or don't hold what they should.
    pub fn from_config(server: &Server) -> Result<Option<Self>, PgError> {
        match (&server.tls_cert, &server.tls_key) {
            (Some(cert), Some(key)) => Self::from_files(cert, key, server.tls_client_ca.as_deref()).map(Some),
            _ => Ok(None),
        }
    }

    /// From PEM files: our certificate with its chain, its key, and the authority of clients' certificates. Clients may
    /// show a certificate and need not.
    ///
    /// # Errors
    /// As with `from_config`.
    pub fn from_files(cert: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self, PgError> {
        let chain = certificates(cert)?;
        let end_point = chain.first().and_then(end_point::hash).map(Arc::from);
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| broken(cert, &error.to_string()))?;
        let builder = match client_ca {
            Some(ca) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots(ca)?.into(), provider())
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| broken(ca, &error.to_string()))?,
            ),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(chain, private_key(key)?)
            .map_err(|error| broken(cert, &format!("doesn't fit {}: {error}", key.display())))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), end_point })
    }

    /// The TLS handshake with a client. `prefix` is what was read from it already.
    ///
    /// # Errors
    /// Those of the socket and of the handshake.
    pub async fn accept(&self, stream: Stream, prefix: Vec<u8>) -> std::io::Result<Stream> {
        let socket = stream.into_socket(prefix).ok_or(std::io::ErrorKind::Unsupported)?;
        Ok(Stream::from_client(self.acceptor.accept(socket).await?, self.end_point.clone()))
    }
}

/// How to speak TLS to the server at `address`. Files are read anew, so that renewed certificates count.
///
/// # Errors
/// Files that can't be read; `sslrootcert` missing where it is needed.
pub(super) fn connector(address: &ServerAddress) -> Result<TlsConnector, PgError> {
    let verifier: Arc<dyn ServerCertVerifier> = match (address.sslmode, &address.sslrootcert) {
        // libpq: `require` with a root certificate file verifies as `verify-ca`.
        (SslMode::VerifyCa | SslMode::Require, Some(ca)) => Arc::new(ChainOnly { roots: roots(ca)? }),
        (SslMode::Disable | SslMode::Prefer | SslMode::Require, _) => Arc::new(Anything),
        (SslMode::VerifyFull, Some(ca)) => WebPkiServerVerifier::builder_with_provider(roots(ca)?.into(), provider())
            .build()
            .map_err(|error| broken(ca, &error.to_string()))?,
        (SslMode::VerifyCa | SslMode::VerifyFull, None) => {
            return Err(PgError::fatal(
                SqlState::CANNOT_CONNECT,
                format!("no root certificates to verify {address} by"),
            )
            .hint("Give the server's URL an sslrootcert=FILE, or use sslmode=require."));
        }
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| PgError::fatal(SqlState::CANNOT_CONNECT, error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match (&address.sslcert, &address.sslkey) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|error| broken(cert, &format!("doesn't fit {}: {error}", key.display())))?,
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PgError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| broken(path, &error.to_string()));
    match found {
        Ok(found) if found.is_empty() => Err(broken(path, "it holds no certificate")),
        other => other,
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, PgError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| broken(path, &error.to_string()))
}

fn roots(path: &Path) -> Result<RootCertStore, PgError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|error| broken(path, &error.to_string()))?;
    }
    Ok(store)
}

fn broken(path: &Path, why: &str) -> PgError {
    PgError::fatal(SqlState::CANNOT_CONNECT, format!("can't use the TLS file {}: {why}", path.display()))
        .hint("It must be a PEM file that pgbraid may read.")
}

/// `sslmode=require` without a root certificate: encrypts, and trusts whoever answers.
#[derive(Debug)]
struct Anything;

/// `sslmode=verify-ca`: the chain must end at a root that we trust; the name may be any.
#[derive(Debug)]
struct ChainOnly {
    roots: RootCertStore,
}

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = ring::default_provider().signature_verification_algorithms;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms.all)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signature12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signature13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signature12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signature13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

fn signature12(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    verify_tls12_signature(message, cert, dss, &ring::default_provider().signature_verification_algorithms)
}

fn signature13(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    verify_tls13_signature(message, cert, dss, &ring::default_provider().signature_verification_algorithms)
}

fn schemes() -> Vec<SignatureScheme> {
    ring::default_provider().signature_verification_algorithms.supported_schemes()
}
