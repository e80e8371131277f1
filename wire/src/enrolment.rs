//! Joining and renewing: one request, one reply, each in a TLS connection of its own.
//!
//! Joining uses [`crate::tls::ALPN_ENROL`] without a client certificate; renewing uses
//! [`crate::tls::ALPN_RENEW`] over mutual TLS, where an expired certificate will do as
//! long as the grant lives.

use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::identity::Identity;
use crate::message::{self, Message, ReadError};
use crate::refusal::Refusal;
use crate::secret::Secret;

/// Uses up an invite.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redeem {
    /// The secret of the invite, base64url.
    pub secret: Secret<String>,
    /// A certificate request, PKCS #10 in DER, base64url. Only its key counts.
    pub request: String,
    /// The name of the machine, for the list of devices.
    pub device: String,
    /// For a guard that joins: `HOST:PORT` at which artists will reach it.
    pub address: Option<String>,
}

impl Message for Redeem {
    const KIND: u8 = 3;
    const CAP: usize = 4 * 1024;
}

/// Asks for a new token, and for a new certificate as well when it carries a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renew {
    /// A certificate request, PKCS #10 in DER, base64url, when the certificate is due.
    pub request: Option<String>,
}

impl Message for Renew {
    const KIND: u8 = 4;
    const CAP: usize = 4 * 1024;
}

/// The answer to [`Redeem`] and [`Renew`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "reply")]
pub enum Reply {
    /// It was granted.
    Issued(Box<Issued>),
    /// It was not.
    Refused(Refusal),
}

impl Message for Reply {
    const KIND: u8 = 5;
    const CAP: usize = 256 * 1024;
}

/// What an authority hands out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Issued {
    /// Whom the certificate names.
    pub identity: Identity,
    /// The new certificate in PEM; `None` when only a token was asked for.
    pub certificate: Option<String>,
    /// The authority's certificate in PEM. Its fingerprint must be the one expected.
    pub authority: String,
    /// The access token, bound to the new certificate, or to the presented one when there
    /// is no new one. `None` for a guard.
    pub token: Option<Token>,
    /// The role of the grant. Empty for a guard.
    pub role: String,
    /// When access ends, if it does.
    #[serde(with = "crate::moment::optional", default)]
    pub access_until: Option<Zoned>,
    /// The guards of this authority, by name.
    pub guards: Vec<GuardAddress>,
    /// For a guard: the public key that tokens are signed with, SubjectPublicKeyInfo in PEM.
    pub token_key: Option<String>,
}

/// A token with the time until which it admits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Token {
    /// The JWT.
    pub jwt: Secret<String>,
    /// The end of admission; renew well before.
    pub expires: Timestamp,
}

/// Where a guard of the authority can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardAddress {
    /// The identity that its certificate carries.
    pub identity: Identity,
    /// `HOST:PORT`.
    pub address: String,
}

/// Sends a request and reads the reply, over an established TLS stream.
///
/// # Errors
/// [`ReadError`] when no reply could be read, [`ReadError::Io`] when the request could
/// not be sent. The caller sets the deadline.
pub async fn exchange<M: Message>(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &M,
) -> Result<Reply, ReadError> {
    message::write(stream, request).await?;
    message::read(stream).await
}
