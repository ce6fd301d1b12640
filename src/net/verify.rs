//! How a server's certificate is judged, as libpq judges it (`fe-secure-openssl.c`, `fe-secure-common.c`).

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What a server's certificate must show.
#[derive(Debug)]
pub(super) enum Judge {
    /// `require` without a root certificate: encrypts, and trusts whoever answers.
    Anything,
    /// `verify-ca`: a chain that ends at a root that we trust; the name may be any.
    Chain(Roots),
    /// `verify-full`: that, and the name that we connected to.
    ChainAndName(Roots),
}

/// The certificates in `sslrootcert`.
#[derive(Debug)]
pub(super) struct Roots {
    store: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// # Errors
    /// A certificate that can't be read.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        certificates.iter().try_for_each(|certificate| store.add(certificate.clone()))?;
        Ok(Self { store, certificates })
    }

    pub(super) fn into_store(self) -> RootCertStore {
        self.store
    }

    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        // The usual self-signed certificate calls itself an authority. webpki refuses such a one as a server's; OpenSSL
        // takes it if it is itself among the roots.
        if self.certificates.iter().any(|root| root.as_ref() == end_entity.as_ref()) {
            let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            let validity = parse(end_entity)?.validity().clone();
            return match () {
                () if seconds < validity.not_before.timestamp() => Err(CertificateError::NotValidYet.into()),
                () if seconds > validity.not_after.timestamp() => Err(CertificateError::Expired.into()),
                () => Ok(()),
            };
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.store, intermediates, now, algorithms().all)
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self {
            Self::Anything => {}
            Self::Chain(roots) => roots.judge(end_entity, intermediates, now)?,
            Self::ChainAndName(roots) => {
                roots.judge(end_entity, intermediates, now)?;
                if !is_named(&parse(end_entity)?, name) {
                    return Err(CertificateError::NotValidForName.into());
                }
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &algorithms())
    }

    /// By the bare key: certificates of X.509 version 1, as PostgreSQL's manual makes them, are none to webpki.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(parse(cert)?.public_key().raw.to_vec());
        verify_tls13_signature_with_raw_key(message, &key, dss, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    ring::default_provider().signature_verification_algorithms
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    match X509Certificate::from_der(certificate) {
        Ok((_, parsed)) => Ok(parsed),
        Err(_) => Err(CertificateError::BadEncoding.into()),
    }
}

/// Is `name` one of the certificate's? Its alternative names count; the common name only if it has none of them.
fn is_named(certificate: &X509Certificate<'_>, name: &ServerName<'_>) -> bool {
    let alternatives = match certificate.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.as_slice(),
        Ok(None) => &[],
        Err(_) => return false,
    };
    let (mut decided, mut found) = (false, false);
    for alternative in alternatives {
        match (alternative, name) {
            (GeneralName::DNSName(pattern), ServerName::DnsName(host)) => found |= matches(pattern, host.as_ref()),
            (GeneralName::IPAddress(bytes), ServerName::IpAddress(address)) => {
                found |= match std::net::IpAddr::from(*address) {
                    std::net::IpAddr::V4(v4) => v4.octets() == *bytes,
                    std::net::IpAddr::V6(v6) => v6.octets() == *bytes,
                }
            }
            (GeneralName::DNSName(_) | GeneralName::IPAddress(_), _) => {}
            _ => continue,
        }
        decided = true;
    }
    found || !decided && common_name_is(certificate, &name.to_str())
}

fn common_name_is(certificate: &X509Certificate<'_>, host: &str) -> bool {
    let first = certificate.subject().iter_common_name().next();
    first.and_then(|name| name.as_str().ok()).is_some_and(|pattern| matches(pattern, host))
}

/// `wildcard_certificate_match`: `*.` in front stands for one label.
fn matches(pattern: &str, host: &str) -> bool {
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(suffix), Some((label, rest))) => {
            !label.is_empty() && !suffix.is_empty() && suffix.eq_ignore_ascii_case(rest)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, DnType, IsCa, KeyPair};

    use super::*;

    const NOW: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.remove(DnType::CommonName);
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn named(common: &str, alternatives: &[&str], host: &str) -> bool {
        let made = certificate(|params| {
            params.distinguished_name.push(DnType::CommonName, common);
            let names: Vec<String> = alternatives.iter().map(|&name| name.into()).collect();
            params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
        });
        is_named(&parse(&made).unwrap(), &ServerName::try_from(host.to_owned()).unwrap())
    }

    #[test]
    fn names_as_libpq_matches_them() {
        assert!(named("db.example", &[], "db.example"));
        assert!(named("DB.example", &[], "db.EXAMPLE"));
        assert!(named("10.0.0.1", &[], "10.0.0.1"));
        assert!(named("x", &["a.example", "db.example"], "db.example"));
        assert!(named("x", &["10.0.0.1"], "10.0.0.1"));
        assert!(named("x", &["::1"], "::1"));
        assert!(named("x", &["*.example"], "db.example"));
        assert!(!named("db.example", &["a.example"], "db.example"), "the common name is only the second choice");
        assert!(!named("10.0.0.1", &["a.example"], "10.0.0.1"));
        assert!(!named("x", &["10.0.0.1"], "10.0.0.2"));
        assert!(!named("x", &["*.example"], "a.db.example"));
        assert!(!named("x", &["*.example"], "example"));
        assert!(!named("", &[], "db.example"));
        assert!(!matches("*", "db") && !matches("*.", "db.") && !matches("db.*", "db.x"));
    }

    #[test]
    fn a_self_signed_certificate_is_its_own_root_while_it_is_valid() {
        let year = |params: &mut CertificateParams, from, to| {
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
            params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, "db.example");
        };
        let judge = |from, to, trusts_it: bool| {
            let made = certificate(|params| year(params, from, to));
            let other = certificate(|params| year(params, 2000, 2100));
            let roots = Roots::new(vec![if trusts_it { made.clone() } else { other }]).unwrap();
            let name = ServerName::try_from("db.example").unwrap();
            Judge::ChainAndName(roots).verify_server_cert(&made, &[], &name, &[], NOW).err()
        };
        assert_eq!(judge(2000, 2100, true), None);
        assert_eq!(judge(2000, 2010, true), Some(CertificateError::Expired.into()));
        assert_eq!(judge(2090, 2100, true), Some(CertificateError::NotValidYet.into()));
        assert!(judge(2000, 2100, false).is_some());
    }
}
