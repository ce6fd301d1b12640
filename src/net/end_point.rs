//! What is read from a certificate: its hash for channel binding, its common name.

use ring::digest;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;

/// `tls-server-end-point` (RFC 5929 §4.1): the certificate hashed by its own signature's hash; MD5 and SHA-1 give way to
/// SHA-256 (PostgreSQL's `be_tls_get_certificate_hash`). `None` where the signature has no hash of its own (Ed25519)
/// or one that we lack (SHA-224).
pub(super) fn hash(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let algorithm = match SignatureAlgorithm::try_from(&parsed.signature_algorithm) {
        Ok(SignatureAlgorithm::RSASSA_PSS(params)) => of_hash(&params.hash_algorithm_oid().to_id_string())?,
        _ => of_signature(&parsed.signature_algorithm.algorithm.to_id_string())?,
    };
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

fn of_signature(oid: &str) -> Option<&'static digest::Algorithm> {
    match oid {
        // md5WithRSAEncryption, sha1WithRSAEncryption, ecdsa-with-SHA1, sha256WithRSAEncryption, ecdsa-with-SHA256
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.10045.4.1"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.3.2" => Some(&digest::SHA256),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(&digest::SHA384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(&digest::SHA512),
        _ => None,
    }
}

fn of_hash(oid: &str) -> Option<&'static digest::Algorithm> {
    match oid {
        "1.3.14.3.2.26" | "2.16.840.1.101.3.4.2.1" => Some(&digest::SHA256),
        "2.16.840.1.101.3.4.2.2" => Some(&digest::SHA384),
        "2.16.840.1.101.3.4.2.3" => Some(&digest::SHA512),
        _ => None,
    }
}

/// The subject's common name; none if there is none, several, or one with a NUL in it (PostgreSQL's
/// `be_tls_open_server` refuses those: `CVE-2009-4034`).
pub(super) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let mut names = parsed.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?;
    (names.next().is_none() && !name.is_empty() && !name.contains('\0')).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SignatureAlgorithm};

    fn certificate(algorithm: &'static SignatureAlgorithm, names: &[&str]) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.remove(DnType::CommonName);
        names.iter().for_each(|name| params.distinguished_name.push(DnType::CommonName, *name));
        params.self_signed(&KeyPair::generate_for(algorithm).unwrap()).unwrap().der().clone()
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let made = certificate(&rcgen::PKCS_ECDSA_P256_SHA256, &[]);
        assert_eq!(hash(&made).as_deref(), Some(digest::digest(&digest::SHA256, &made).as_ref()));
        let made = certificate(&rcgen::PKCS_ECDSA_P384_SHA384, &[]);
        assert_eq!(hash(&made).as_deref(), Some(digest::digest(&digest::SHA384, &made).as_ref()));
        assert_eq!(hash(&certificate(&rcgen::PKCS_ED25519, &[])), None);
        assert_eq!(hash(&CertificateDer::from(b"garbage".to_vec())), None);
    }

    #[test]
    fn common_names() {
        let algorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
        assert_eq!(common_name(&certificate(algorithm, &["app"])).as_deref(), Some("app"));
        assert_eq!(common_name(&certificate(algorithm, &[])), None);
        assert_eq!(common_name(&certificate(algorithm, &["app\0evil"])), None);
    }
}
