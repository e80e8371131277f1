//! What the peer brings: from the token in the hello to a [`VerifiedToken`].

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use wire::hello::Hello;
use wire::token::{Claims, Confirmation, MAX_LENGTH, TYPE, audience, issuer};
use wire::{Code, TrustDomain};

use crate::denial::Denial;
use crate::identity::{VerifiedPeer, day_and_time};
use crate::trust::Trust;

/// A token that the authority signed, for this trust domain's guards, within its dates,
/// for the very certificate that the peer presented. Whether it was revoked is answered
/// together with the grant, in [`crate::policy`].
///
/// Only [`verify`] makes one.
#[derive(Debug)]
pub struct VerifiedToken {
    claims: Claims,
}

impl VerifiedToken {
    /// The token's own id.
    pub fn id(&self) -> &str {
        &self.claims.jti
    }

    /// The store's sequence at the time of issue.
    pub fn generation(&self) -> u64 {
        self.claims.generation
    }

    /// The role at the time of issue.
    pub fn role(&self) -> &str {
        &self.claims.role
    }
}

const RENEW: &str =
    "hrpyc-agent connect renews tokens by itself; hrpyc-agent doctor shows what is in its way.";
const REJOIN: &str = "Ask for a new invite and run hrpyc-agent join.";

/// Verifies the token of a hello.
///
/// # Errors
/// A denial of the stage `token` for the first check that fails.
pub fn verify(
    hello: &Hello,
    peer: &VerifiedPeer,
    trust: &Trust,
    skew: Duration,
) -> Result<VerifiedToken, Denial> {
    let jwt = hello.token.expose().as_str();
    if jwt.is_empty() {
        return Err(Denial::new(
            Code::TokenMissing,
            "The client sent no token.",
            RENEW,
        ));
    }
    let claims = read(jwt, &trust.domain, &trust.token_key, skew)?;
    if claims.sub != *peer.identity() {
        return Err(Denial::new(
            Code::TokenSubject,
            format!(
                "The token is for {}, and the certificate is for {}.",
                claims.sub.shorthand(),
                peer.identity().shorthand()
            ),
            REJOIN,
        ));
    }
    if claims.cnf != Confirmation::of(&peer.leaf().fingerprint) {
        return Err(Denial::new(
            Code::TokenBinding,
            "The token is bound to another certificate than the one presented.",
            RENEW,
        ));
    }
    Ok(VerifiedToken { claims })
}

/// What the authority of a trust domain has signed, within its dates, whoever shows it.
///
/// # Errors
/// A denial of the stage `token` for the first check that fails.
pub fn read(
    jwt: &str,
    domain: &TrustDomain,
    key: &DecodingKey,
    skew: Duration,
) -> Result<Claims, Denial> {
    check_header(jwt)?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.leeway = skew.as_secs();
    validation.validate_nbf = true;
    validation.set_audience(&[audience(domain)]);
    validation.set_issuer(&[issuer(domain)]);
    validation.set_required_spec_claims(&["iss", "aud", "sub", "nbf", "exp"]);
    let claims: Claims = jsonwebtoken::decode(jwt, key, &validation)
        .map_err(|error| explain(error.kind(), jwt))?
        .claims;
    if claims.iat > Timestamp::now().as_second() + skew.as_secs() as i64 {
        return Err(not_yet_valid());
    }
    Ok(claims)
}

/// Looks at the unsigned header first, so that a token of another making has a code of its
/// own, whatever its signature.
fn check_header(jwt: &str) -> Result<(), Denial> {
    #[derive(serde::Deserialize)]
    struct Header {
        alg: String,
        #[serde(default)]
        typ: String,
    }
    if jwt.len() > MAX_LENGTH || jwt.split('.').count() != 3 {
        return Err(malformed());
    }
    let header: Header = jwt
        .split('.')
        .next()
        .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(malformed)?;
    if header.alg != "EdDSA" {
        return Err(Denial::new(
            Code::TokenAlgorithm,
            "The token is not signed in the way that the authority signs (EdDSA).",
            RENEW,
        ));
    }
    if header.typ != TYPE {
        return Err(malformed());
    }
    Ok(())
}

fn malformed() -> Denial {
    Denial::new(
        Code::TokenMalformed,
        "The token cannot be read, or one of its claims is missing.",
        RENEW,
    )
}

fn not_yet_valid() -> Denial {
    Denial::new(
        Code::TokenNotYetValid,
        "The token is not valid yet.",
        "Check the clocks of both machines.",
    )
}

fn explain(error: &ErrorKind, jwt: &str) -> Denial {
    match error {
        ErrorKind::InvalidSignature => Denial::new(
            Code::TokenSignature,
            "The token was not signed by this guard's authority.",
            REJOIN,
        ),
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => Denial::new(
            Code::TokenAlgorithm,
            "The token is not signed in the way that the authority signs (EdDSA).",
            RENEW,
        ),
        ErrorKind::ExpiredSignature => Denial::new(
            Code::TokenExpired,
            match expiry(jwt) {
                Some(at) => format!("The token expired on {}.", day_and_time(at)),
                None => "The token has expired.".into(),
            },
            RENEW,
        ),
        ErrorKind::ImmatureSignature => not_yet_valid(),
        ErrorKind::InvalidAudience => Denial::new(
            Code::TokenAudience,
            "The token is not for the guards of this trust domain.",
            REJOIN,
        ),
        ErrorKind::InvalidIssuer => Denial::new(
            Code::TokenIssuer,
            "The token is of another authority.",
            REJOIN,
        ),
        _ => malformed(),
    }
}

/// When an expired token expired. Its signature has been verified by then.
fn expiry(jwt: &str) -> Option<Timestamp> {
    #[derive(serde::Deserialize)]
    struct Expiry {
        exp: i64,
    }
    let payload = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    let Expiry { exp } = serde_json::from_slice(&payload).ok()?;
    Timestamp::from_second(exp).ok()
}
