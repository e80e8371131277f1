//! TLS settings of both ends, and the client's check of a guard.
//!
//! TLS 1.3 only, the post-quantum hybrid X25519MLKEM768 preferred, AES-128-GCM first.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, Error, OtherError,
    SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::identity::Identity;
use crate::leaf::{Fingerprint, Leaf, LeafError, Usage};

/// ALPN of a session.
pub const ALPN_SESSION: &[u8] = b"hrpyc-guard/1";
/// ALPN of joining.
pub const ALPN_ENROL: &[u8] = b"hrpyc-enrol/1";
/// ALPN of renewing.
pub const ALPN_RENEW: &[u8] = b"hrpyc-renew/1";
/// ALPN of a guard that follows the authority's store.
pub const ALPN_FOLLOW: &[u8] = b"hrpyc-follow/1";

/// The cryptography both ends use.
pub fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .retain(|suite| suite.tls13().is_some());
    provider
        .cipher_suites
        .sort_by_key(|suite| match suite.suite() {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => 0,
            CipherSuite::TLS13_AES_256_GCM_SHA384 => 1,
            _ => 2,
        });
    Arc::new(provider)
}

/// How a client knows the authority.
#[derive(Debug, Clone)]
pub enum Anchor {
    /// By its certificate in DER, kept since joining.
    Certificate(CertificateDer<'static>),
    /// By its certificate's fingerprint, from an invite; the guard sends the certificate.
    Fingerprint(Fingerprint),
}

/// A certificate chain and its key, for mutual TLS.
#[derive(Debug)]
pub struct ClientCredentials {
    /// The leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
}

/// What a verifier of certificates says to a signature of TLS 1.2, which nothing here offers.
pub fn no_tls12() -> Error {
    Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered)
}

/// A client configuration that talks to one guard only, in one protocol only.
///
/// Sessions are never resumed: a new connection is a new proof.
///
/// # Errors
/// [`Error`] when key and certificate do not fit.
pub fn client_config(
    anchor: Anchor,
    guard: Identity,
    alpn: &[u8],
    credentials: Option<ClientCredentials>,
) -> Result<ClientConfig, Error> {
    let provider = provider();
    let verifier = PinnedGuard {
        anchor,
        guard,
        algorithms: provider.signature_verification_algorithms,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match credentials {
        Some(ClientCredentials { chain, key }) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Why a guard is not the one that was wanted. Found inside a [`rustls::Error`] by
/// [`guard_error`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// Another authority vouches for it, or none: somebody may be in between.
    #[error("the certificate presented there was not issued by the expected authority")]
    Authority,
    /// It is a guard of the authority, and another one.
    #[error("the guard there is {found}, and {wanted} was expected")]
    OtherGuard {
        /// Whom the certificate names.
        found: String,
        /// Whom it should name.
        wanted: String,
    },
    /// The certificate does not name a guard.
    #[error("the certificate presented there is not a guard's: {0}")]
    Leaf(#[from] LeafError),
    /// The certificate's dates and the local clock do not agree.
    #[error("the guard's certificate is not valid now: it is valid from {from} to {until}")]
    Dates {
        /// First moment of validity.
        from: jiff::Timestamp,
        /// Last moment of validity.
        until: jiff::Timestamp,
    },
}

/// The reason of ours inside a failed handshake, if there is one.
pub fn guard_error(error: &Error) -> Option<GuardError> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.0.downcast_ref::<GuardError>().cloned()
        }
        Error::InvalidCertificate(_) => Some(GuardError::Authority),
        _ => None,
    }
}

/// Accepts one guard of one authority. The address dialled plays no part: a guard is
/// known by its SPIFFE ID, whatever route leads to it.
#[derive(Debug)]
struct PinnedGuard {
    anchor: Anchor,
    guard: Identity,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedGuard {
    fn check(
        &self,
        leaf_der: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), GuardError> {
        let authority = match &self.anchor {
            Anchor::Certificate(der) => der,
            Anchor::Fingerprint(wanted) => chain
                .iter()
                .find(|der| Fingerprint::of(der) == *wanted)
                .ok_or(GuardError::Authority)?,
        };
        let leaf = Leaf::read(leaf_der, Usage::Server)?;
        let anchor = anchor_from_trusted_cert(authority).map_err(|_| GuardError::Authority)?;
        EndEntityCert::try_from(leaf_der)
            .and_then(|certificate| {
                certificate
                    .verify_for_usage(
                        self.algorithms.all,
                        &[anchor],
                        &[],
                        now,
                        KeyUsage::server_auth(),
                        None,
                        None,
                    )
                    .map(|_| ())
            })
            .map_err(|error| match error {
                webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => {
                    GuardError::Dates {
                        from: leaf.not_before,
                        until: leaf.not_after,
                    }
                }
                _ => GuardError::Authority,
            })?;
        if leaf.identity != self.guard {
            return Err(GuardError::OtherGuard {
                found: leaf.identity.to_string(),
                wanted: self.guard.to_string(),
            });
        }
        Ok(())
    }
}

impl ServerCertVerifier for PinnedGuard {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, now)
            .map(|()| ServerCertVerified::assertion())
            .map_err(|error| {
                Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
            })
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
