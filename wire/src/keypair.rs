//! Making a private key and asking for a certificate with it.

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::PrivateKeyDer;

use crate::Secret;

pub use rcgen::Error;

/// A fresh P-256 key.
#[derive(Debug)]
pub struct NewKey {
    /// PKCS #8 in PEM, to be stored with mode 0600.
    pub pem: Secret<String>,
}

/// Makes a P-256 key from the operating system's randomness.
///
/// # Errors
/// [`Error`] when the cryptography library has no randomness.
pub fn generate() -> Result<NewKey, Error> {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok(NewKey {
        pem: Secret::new(pair.serialize_pem()),
    })
}

/// A certificate request (PKCS #10, RFC 2986) in DER for the key in `key_pem`.
///
/// It asks for no names: the authority ignores those anyway and writes its own.
///
/// # Errors
/// [`Error`] when the key cannot be read or used.
pub fn request(key_pem: &Secret<String>) -> Result<Vec<u8>, Error> {
    request_for(&KeyPair::from_pem(key_pem.expose())?)
}

/// As [`request`], for a key in DER.
///
/// # Errors
/// [`Error`] when the key cannot be read or used.
pub fn request_from_der(key: &PrivateKeyDer<'_>) -> Result<Vec<u8>, Error> {
    request_for(&KeyPair::try_from(key)?)
}

fn request_for(pair: &KeyPair) -> Result<Vec<u8>, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(pair)?.der().to_vec())
}
