//! The key that signs the audit log: a key of its own, so that what it signed can be
//! checked where no other key is known.

use std::fmt;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PKCS_ED25519};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use wire::Secret;

use crate::authority::crypto;
use crate::error::StateError;
use crate::files;
use crate::state::AUDIT_KEY;

pub(crate) const WHAT: &str = "the private key that signs the audit log";

/// An Ed25519 public key as SubjectPublicKeyInfo (RFC 8410) is this and 32 bytes.
const SPKI_HEAD: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// The private key that signs the audit log of a guard.
pub struct AuditKey {
    pair: Ed25519KeyPair,
    public: AuditPublicKey,
}

/// The half of it that everybody may know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPublicKey([u8; 32]);

impl AuditKey {
    /// Reads the key of a state directory. Nothing else in there is looked at.
    ///
    /// # Errors
    /// [`StateError`] when the directory or the key is missing, open to others or damaged.
    pub fn load(state: &Path) -> Result<Self, StateError> {
        files::check_directory(state)?;
        let path = state.join(AUDIT_KEY);
        let pem = files::read(&path, WHAT)?;
        Self::from_pem(&pem).ok_or_else(|| StateError::Damaged {
            path,
            why: "it is not an Ed25519 key in PKCS #8 and PEM".into(),
        })
    }

    /// Whether there is one, in whatever order it is.
    pub fn is_there(state: &Path) -> bool {
        std::fs::symlink_metadata(state.join(AUDIT_KEY)).is_ok()
    }

    /// Makes the key of a state directory that has none: one that was made before there was
    /// an audit key, or has lost it.
    ///
    /// # Errors
    /// [`StateError::Exists`] when there is one.
    pub fn make(state: &Path) -> Result<Self, StateError> {
        files::check_directory(state)?;
        // Only where there is a state directory already.
        crate::state::Description::read(state)?;
        let path = state.join(AUDIT_KEY);
        if Self::is_there(state) {
            return Err(StateError::Exists {
                path,
                what: "a key is never replaced",
            });
        }
        create(state)?;
        files::sync_directory(state)?;
        Self::load(state)
    }

    /// A key that is kept nowhere.
    ///
    /// # Errors
    /// [`StateError::Crypto`] without randomness.
    pub fn ephemeral() -> Result<Self, StateError> {
        let pem = fresh()?;
        Self::from_pem(&pem).ok_or_else(|| crypto("make the audit key", "it cannot be read"))
    }

    fn from_pem(pem: &Secret<String>) -> Option<Self> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.expose().as_bytes()).ok()?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).ok()?;
        let public = AuditPublicKey(pair.public_key().as_ref().try_into().ok()?);
        Some(Self { pair, public })
    }

    /// The half of it that everybody may know.
    pub fn public(&self) -> &AuditPublicKey {
        &self.public
    }

    /// Signs (Ed25519, 64 bytes).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for AuditKey {
    /// The private half is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuditKey").field(&self.public.id()).finish()
    }
}

impl AuditPublicKey {
    /// Reads a public key in PEM, as [`Self::to_pem`] writes it. None when it is none.
    pub fn from_pem(pem: &str) -> Option<Self> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok()?;
        let raw = der.strip_prefix(&SPKI_HEAD)?;
        raw.try_into().ok().map(Self)
    }

    /// SubjectPublicKeyInfo in PEM.
    pub fn to_pem(&self) -> String {
        let der = [&SPKI_HEAD[..], &self.0].concat();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der)
        )
    }

    /// What names the key in a checkpoint: the first eight bytes of the SHA-256 of the raw
    /// public key, in hexadecimal.
    pub fn id(&self) -> String {
        wire::hex(&digest(&SHA256, &self.0).as_ref()[..8])
    }

    /// Whether the key signed the message.
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, signature)
            .is_ok()
    }
}

/// Writes a new key into a directory that is being made.
pub(crate) fn create(directory: &Path) -> Result<(), StateError> {
    files::create(&directory.join(AUDIT_KEY), fresh()?.expose().as_bytes())
}

/// Whether a text is an audit key.
pub(crate) fn is_sound(pem: &Secret<String>) -> bool {
    AuditKey::from_pem(pem).is_some()
}

fn fresh() -> Result<Secret<String>, StateError> {
    KeyPair::generate_for(&PKCS_ED25519)
        .map(|pair| Secret::new(pair.serialize_pem()))
        .map_err(|e| crypto("make the audit key", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_can_be_checked_with_the_public_half_alone() {
        let key = AuditKey::ephemeral().unwrap();
        let signature = key.sign(b"words");
        let public = AuditPublicKey::from_pem(&key.public().to_pem()).unwrap();
        assert_eq!(&public, key.public());
        assert!(public.has_signed(b"words", &signature));
        assert!(!public.has_signed(b"other words", &signature));
        let other = AuditKey::ephemeral().unwrap();
        assert!(!other.public().has_signed(b"words", &signature));
        assert_ne!(other.public().id(), public.id());
    }

    #[test]
    fn another_kind_of_key_is_no_audit_key() {
        let p256 = wire::keypair::generate().unwrap().pem;
        assert!(!is_sound(&p256));
        assert!(AuditPublicKey::from_pem(p256.expose()).is_none());
        assert!(AuditPublicKey::from_pem("").is_none());
    }

    #[test]
    fn the_private_half_is_not_shown() {
        let key = AuditKey::ephemeral().unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!("AuditKey({:?})", key.public().id())
        );
    }
}
