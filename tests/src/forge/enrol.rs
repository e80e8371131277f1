//! Joining and renewing with anything for a request.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use wire::enrolment::{Issued, Redeem, Renew};
use wire::invite::Invite;
use wire::tls::{ALPN_ENROL, ALPN_RENEW};
use wire::{Identity, Secret, message};

use super::certificate::{Credentials, fresh_key};
use super::client::{Attempt, Came, Client};

/// Somebody who has joined.
#[derive(Debug, Clone)]
pub struct Member {
    /// Who.
    pub identity: Identity,
    /// The certificate and its key.
    pub credentials: Credentials,
    /// The access token; empty for a guard.
    pub token: String,
}

impl Member {
    /// Out of what the authority handed out for `key`.
    pub fn new(issued: &Issued, key: &KeyPair) -> Self {
        let pem = issued.certificate.as_deref().expect("a new certificate");
        let mut credentials = Credentials::from_pem(pem, &key.serialize_pem());
        if credentials.chain.len() == 1 {
            let authority = CertificateDer::from_pem_slice(issued.authority.as_bytes());
            credentials
                .chain
                .push(authority.expect("the authority's certificate"));
        }
        Self {
            identity: issued.identity.clone(),
            credentials,
            token: issued
                .token
                .as_ref()
                .map(|token| token.jwt.expose().clone())
                .unwrap_or_default(),
        }
    }
}

/// A request for `key` that asks for no names, PKCS #10 in DER.
pub fn request(key: &KeyPair) -> Vec<u8> {
    request_for(CertificateParams::default(), key)
}

/// A request that asks for what `params` say.
pub fn request_for(params: CertificateParams, key: &KeyPair) -> Vec<u8> {
    let request = params.serialize_request(key).expect("a request");
    request.der().to_vec()
}

/// The bytes of a [`Redeem`].
pub fn redeem_bytes(invite: &Invite, request: &[u8]) -> Vec<u8> {
    let redeem = Redeem {
        secret: Secret::new(URL_SAFE_NO_PAD.encode(invite.secret.expose())),
        request: URL_SAFE_NO_PAD.encode(request),
        device: "e2e".into(),
        address: None,
    };
    message::encode(&redeem).expect("a request within its bound")
}

/// A client that speaks the enrolment protocol, without a certificate.
pub fn enrolling(guard: SocketAddr) -> Client {
    Client::new(guard, None).offering(&[ALPN_ENROL])
}

/// Uses up an invite with this request.
pub async fn redeem(guard: SocketAddr, invite: &Invite, request: &[u8]) -> Attempt {
    let bytes = redeem_bytes(invite, request);
    enrolling(guard).try_hello(&bytes).await
}

/// Joins with a fresh key.
///
/// # Panics
/// When it is refused.
pub async fn join(guard: SocketAddr, invite: &Invite) -> Member {
    let key = fresh_key();
    let attempt = redeem(guard, invite, &request(&key)).await;
    match attempt.came {
        Came::Issued(issued) => Member::new(&issued, &key),
        other => panic!("an honest enrolment was not answered with a certificate: {other:?}"),
    }
}

/// Asks for a new token, and for a new certificate when there is a request.
pub async fn renew(guard: SocketAddr, own: &Credentials, request: Option<&[u8]>) -> Attempt {
    let renew = Renew {
        request: request.map(|der| URL_SAFE_NO_PAD.encode(der)),
    };
    let bytes = message::encode(&renew).expect("a request within its bound");
    Client::new(guard, Some(own))
        .offering(&[ALPN_RENEW])
        .try_hello(&bytes)
        .await
}
