//! Tokens with any defect, signed by the authority's token key or by another.

use std::path::Path;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

/// A token in its parts, ready to be changed and signed again.
#[derive(Debug, Clone)]
pub struct Forged {
    /// The header.
    pub header: Value,
    /// The claims.
    pub claims: Value,
}

impl Forged {
    /// The parts of an honest token.
    pub fn from(jwt: &str) -> Self {
        let mut parts = jwt.split('.').map(|part| {
            let json = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
            serde_json::from_slice(&json).unwrap_or(Value::Null)
        });
        let (header, claims) = (parts.next(), parts.next());
        Self {
            header: header.expect("a header"),
            claims: claims.expect("claims"),
        }
    }

    /// Sets one claim, or a part of one with a path such as `cnf/x5t#S256`.
    pub fn with(mut self, path: &str, value: impl Into<Value>) -> Self {
        *slot(&mut self.claims, path) = value.into();
        self
    }

    /// Leaves one claim out.
    pub fn without(mut self, claim: &str) -> Self {
        let claims = self.claims.as_object_mut().expect("claims");
        assert!(claims.remove(claim).is_some(), "there is no claim {claim}");
        self
    }

    /// Sets a field of the header.
    pub fn header(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.header[field] = value.into();
        self
    }

    /// Shifts a time by seconds.
    pub fn shifted(mut self, claim: &str, seconds: i64) -> Self {
        let at = self.claims[claim].as_i64().expect("a time");
        self.claims[claim] = (at + seconds).into();
        self
    }

    /// Signed with an Ed25519 key.
    pub fn signed(&self, key: &TokenKey) -> String {
        let body = self.body();
        let signature = key.0.sign(body.as_bytes());
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// With an HMAC whose secret is `secret`, as if that were a shared one.
    pub fn hmac(mut self, secret: &[u8]) -> String {
        self.header["alg"] = json!("HS256");
        let body = self.body();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), body.as_bytes());
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    /// With the algorithm `none` and no signature.
    pub fn unsigned(mut self) -> String {
        self.header["alg"] = json!("none");
        format!("{}.", self.body())
    }

    fn body(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", part(&self.header), part(&self.claims))
    }
}

fn slot<'a>(value: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('/').fold(value, |value, key| &mut value[key])
}

/// An Ed25519 key for tokens.
pub struct TokenKey(Ed25519KeyPair);

impl TokenKey {
    /// The authority's, from its state directory.
    pub fn read(state: &Path) -> Self {
        let pem = std::fs::read(state.join("token.key")).expect("token.key");
        let key = PrivatePkcs8KeyDer::from_pem_slice(&pem).expect("a key in PEM");
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der());
        Self(pair.expect("an Ed25519 key"))
    }

    /// Another one.
    pub fn another() -> Self {
        Self(Ed25519KeyPair::generate().expect("randomness"))
    }

    /// The 32 bytes of the public key.
    pub fn public(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }

    /// The public key as SubjectPublicKeyInfo in PEM, RFC 8410 section 4.
    pub fn public_pem(&self) -> String {
        use base64::engine::general_purpose::STANDARD;
        let mut der = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".to_vec();
        der.extend(self.public());
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der)
        )
    }
}
