//! TLS: our certificate for clients, and how servers' certificates are judged.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::verify::{Judge, Roots};
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
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?.into_store()), provider())
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
        // No resumption, as PostgreSQL: drivers don't use it, and tickets cost a write.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
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
    let judge = match (address.sslmode, &address.sslrootcert) {
        // libpq: `require` with a root certificate file verifies as `verify-ca`.
        (SslMode::VerifyCa | SslMode::Require, Some(ca)) => Judge::Chain(roots(ca)?),
        (SslMode::VerifyFull, Some(ca)) => Judge::ChainAndName(roots(ca)?),
        (SslMode::Disable | SslMode::Allow | SslMode::Prefer | SslMode::Require, _) => Judge::Anything,
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
        .with_custom_certificate_verifier(Arc::new(judge));
    let mut config = match (&address.sslcert, &address.sslkey) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|error| broken(cert, &format!("doesn't fit {}: {error}", key.display())))?,
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
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

fn roots(path: &Path) -> Result<Roots, PgError> {
    Roots::new(certificates(path)?).map_err(|error| broken(path, &error.to_string()))
}

fn broken(path: &Path, why: &str) -> PgError {
    PgError::fatal(SqlState::CANNOT_CONNECT, format!("can't use the TLS file {}: {why}", path.display()))
        .hint("It must be a PEM file that pgbraid may read.")
}
