//! Is what a guard issued what was asked for?

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, RootCertStore};
use std::sync::Arc;
use wire::leaf::{Leaf, LeafError, Usage};
use wire::{Identity, TrustDomain};
use x509_parser::prelude::*;

use crate::dates;
use crate::explain::Explain;

/// What a certificate must be.
pub(crate) struct Expected<'a> {
    /// Signed by this authority.
    pub(crate) authority: &'a CertificateDer<'static>,
    /// For the key of this request (PKCS #10, DER).
    pub(crate) request: &'a [u8],
    /// Naming this identity.
    pub(crate) identity: &'a Identity,
    /// In this trust domain.
    pub(crate) domain: &'a TrustDomain,
}

/// Checks a certificate in PEM that was just issued.
pub(crate) fn check(pem: &str, expected: &Expected<'_>) -> Result<(), IssuedError> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|e| IssuedError::Unreadable(e.to_string()))?;
    let leaf = Leaf::read(&der, Usage::Client)?;
    if leaf.identity != *expected.identity || leaf.identity.domain != *expected.domain {
        return Err(IssuedError::Identity {
            found: leaf.identity.to_string(),
            wanted: expected.identity.to_string(),
        });
    }
    if key_of_certificate(&der)? != key_of_request(expected.request)? {
        return Err(IssuedError::Key);
    }
    verify_chain(&der, &leaf, expected.authority)
}

fn key_of_certificate(der: &[u8]) -> Result<Vec<u8>, IssuedError> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|e| IssuedError::Unreadable(e.to_string()))?;
    Ok(certificate.public_key().raw.to_vec())
}

fn key_of_request(der: &[u8]) -> Result<Vec<u8>, IssuedError> {
    let (_, request) = X509CertificationRequest::from_der(der)
        .map_err(|e| IssuedError::Unreadable(e.to_string()))?;
    Ok(request.certification_request_info.subject_pki.raw.to_vec())
}

fn verify_chain(
    der: &CertificateDer<'_>,
    leaf: &Leaf,
    authority: &CertificateDer<'static>,
) -> Result<(), IssuedError> {
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.clone())
        .map_err(|_| IssuedError::Authority)?;
    let provider = wire::tls::provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|_| IssuedError::Authority)?;
    match verifier.verify_client_cert(der, &[], UnixTime::now()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
            | CertificateError::Expired
            | CertificateError::ExpiredContext { .. },
        )) => Err(IssuedError::Dates {
            from: leaf.not_before,
            until: leaf.not_after,
        }),
        Err(_) => Err(IssuedError::Authority),
    }
}

/// Why what was issued is not taken.
#[derive(Debug, thiserror::Error)]
pub enum IssuedError {
    /// The answer lacks the certificate.
    #[error("the guard's answer holds no certificate")]
    NoCertificate,
    /// The answer lacks the token.
    #[error("the guard's answer holds no token")]
    NoToken,
    /// Not a certificate.
    #[error("the guard's answer holds a certificate that cannot be read: {0}")]
    Unreadable(String),
    /// A certificate, and not one of an artist or a service.
    #[error("the guard issued something else than was asked for: {0}")]
    Leaf(#[from] LeafError),
    /// It names somebody else.
    #[error("the guard issued a certificate for {found}, and {wanted} was expected")]
    Identity {
        /// Whom it names.
        found: String,
        /// Whom it should name.
        wanted: String,
    },
    /// It is for a key that is not ours.
    #[error("the guard issued a certificate for another key than the one made here")]
    Key,
    /// It is of another authority.
    #[error("the guard issued a certificate of another authority than the expected one")]
    Authority,
    /// Its dates and our clock do not agree.
    #[error(
        "the new certificate is valid from {from} to {until}, and the clock of this machine \
         does not agree"
    )]
    Dates {
        /// First moment of validity.
        from: Timestamp,
        /// Last moment of validity.
        until: Timestamp,
    },
}

impl Explain for IssuedError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Dates { from, .. } => format!(
                "set the clock and run the same command again: the invite still works. The \
                 certificate begins {}",
                dates::moment(*from, Timestamp::now())
            ),
            _ => "nothing was kept of it; show this to IT".into(),
        })
    }
}
