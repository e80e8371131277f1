//! The claims of an access token, and how it is bound to a certificate.
//!
//! A token is a JWT (RFC 7519) signed with Ed25519 (RFC 8037) by the authority's token
//! key. It is worthless with any other certificate than the one whose fingerprint it
//! carries (`cnf.x5t#S256`, RFC 8705 section 3.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::identity::{Identity, TrustDomain};
use crate::leaf::Fingerprint;

/// The `typ` of our tokens' header, so that no other JWT of the same key is taken for one
/// (RFC 8725 section 3.11).
pub const TYPE: &str = "hrpyc+jwt";

/// The longest token that is looked at, in bytes.
pub const MAX_LENGTH: usize = 3 * 1024;

/// Every claim is required; a token that lacks one is malformed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The authority: `spiffe://<trust-domain>`.
    pub iss: String,
    /// Whom it is for: the guards of that trust domain, `spiffe://<trust-domain>/guards`.
    pub aud: String,
    /// Whom it names, as the certificate does.
    pub sub: Identity,
    /// When it was issued, in seconds since the epoch.
    pub iat: i64,
    /// Not before, in seconds since the epoch.
    pub nbf: i64,
    /// The end of admission, in seconds since the epoch. It does not end a session.
    pub exp: i64,
    /// The token's own id.
    pub jti: String,
    /// The role at the time of issue.
    pub role: String,
    /// The store's sequence number at the time of issue. A revocation makes older ones
    /// worthless; a newer one than the store has proves that the store was rolled back.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// The certificate it is bound to.
    pub cnf: Confirmation,
}

/// The `cnf` claim (RFC 7800) with a certificate thumbprint (RFC 8705).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// base64url, unpadded, of the SHA-256 of the certificate in DER.
    #[serde(rename = "x5t#S256")]
    pub x5t_s256: String,
}

impl Confirmation {
    /// The confirmation for a certificate.
    pub fn of(fingerprint: &Fingerprint) -> Self {
        Self {
            x5t_s256: URL_SAFE_NO_PAD.encode(fingerprint.0),
        }
    }
}

/// The `iss` of a trust domain.
pub fn issuer(domain: &TrustDomain) -> String {
    format!("spiffe://{domain}")
}

/// The `aud` of a trust domain's guards.
pub fn audience(domain: &TrustDomain) -> String {
    format!("spiffe://{domain}/guards")
}
