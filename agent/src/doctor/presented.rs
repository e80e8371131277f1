//! Who answers in a guard's place?

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use wire::leaf::Fingerprint;
use wire::tls::{ALPN_SESSION, no_tls12, provider};
use x509_parser::prelude::*;

use crate::guard;

const TIME: Duration = Duration::from_secs(5);

/// Subject, issuer and fingerprint of the certificate that is presented at `address`.
pub(super) async fn at(address: &str) -> Option<String> {
    let look = Arc::new(Look::default());
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(look.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_SESSION.to_vec()];
    let tcp = guard::connect(address).await.ok()?;
    let name = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    // It always fails: the look refuses whatever it sees.
    let _ = timeout(TIME, handshake).await;
    let der = look.seen.lock().ok()?.take()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    Some(format!(
        "\"{}\", issued by \"{}\", {}",
        certificate.subject(),
        certificate.issuer(),
        Fingerprint::of(&der)
    ))
}

/// Keeps what is presented, and trusts nobody.
#[derive(Debug, Default)]
struct Look {
    seen: Mutex<Option<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Look {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Ok(mut seen) = self.seen.lock() {
            *seen = Some(end_entity.clone().into_owned());
        }
        Err(CertificateError::UnknownIssuer.into())
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
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(CertificateError::BadSignature.into())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
