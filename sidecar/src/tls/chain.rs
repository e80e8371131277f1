//! Whether the authority signed a certificate.

use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use wire::tls::{no_tls12, provider};

/// Verifies that `authority` itself signed the certificate, for whatever use and date. What
/// else the peer sent along is not looked at: the authority has no others sign for it.
///
/// # Errors
/// [`CertificateError`] when it did not.
pub fn verify_chain(
    leaf: &CertificateDer<'_>,
    authority: &CertificateDer<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), CertificateError> {
    let anchor = anchor_from_trusted_cert(authority).map_err(|_| CertificateError::BadEncoding)?;
    let certificate = EndEntityCert::try_from(leaf).map_err(|_| CertificateError::BadEncoding)?;
    let within = UnixTime::since_unix_epoch(middle_of_validity(leaf)?);
    let anchors = [anchor];
    let verify = |usage| {
        certificate
            .verify_for_usage(algorithms.all, &anchors, &[], within, usage, None, None)
            .map(|_| ())
    };
    let verified = match verify(KeyUsage::client_auth()) {
        // A guard's certificate, perhaps. Whether it may be used here is judged by its name.
        Err(webpki::Error::RequiredEkuNotFoundContext(_)) => verify(KeyUsage::server_auth()),
        other => other,
    };
    verified.map_err(|error| match error {
        webpki::Error::CaUsedAsEndEntity
        | webpki::Error::RequiredEkuNotFoundContext(_)
        | webpki::Error::EmptyEkuExtension => CertificateError::InvalidPurpose,
        _ => CertificateError::UnknownIssuer,
    })
}

/// A moment at which the certificate is valid: its dates are judged elsewhere.
fn middle_of_validity(leaf: &CertificateDer<'_>) -> Result<Duration, CertificateError> {
    let (_, certificate) =
        x509_parser::parse_x509_certificate(leaf).map_err(|_| CertificateError::BadEncoding)?;
    let validity = certificate.validity();
    let seconds = i64::midpoint(
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    );
    u64::try_from(seconds)
        .map(Duration::from_secs)
        .map_err(|_| CertificateError::BadEncoding)
}

/// The signature algorithms that certificates are checked with.
pub fn algorithms() -> WebPkiSupportedAlgorithms {
    provider().signature_verification_algorithms
}

/// Demands a certificate that the authority signed, and the proof of its key.
#[derive(Debug)]
pub(super) struct ChainVerifier {
    authority: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ChainVerifier {
    pub(super) fn new(authority: CertificateDer<'static>) -> Self {
        Self {
            authority,
            algorithms: algorithms(),
        }
    }
}

impl ClientCertVerifier for ChainVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        verify_chain(end_entity, &self.authority, &self.algorithms)?;
        Ok(ClientCertVerified::assertion())
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
