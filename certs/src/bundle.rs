//! Private keys that leave this machine: always under a passphrase.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use pkcs8::der::Encode as _;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{self, Kdf, Pbkdf2Params};
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, SecretDocument};
use wire::Secret;

use crate::authority::{Bundle, crypto};
use crate::error::StateError;

/// The shortest passphrase, in characters.
pub const SHORTEST_PASSPHRASE: usize = 8;

/// As OWASP advises for PBKDF2 with HMAC-SHA-256.
pub(crate) const ITERATIONS: u32 = 600_000;

/// The key that a passphrase stands for (PBKDF2 with HMAC-SHA-256, RFC 8018).
pub(crate) fn derive(
    passphrase: &Secret<String>,
    salt: &[u8],
    iterations: u32,
) -> Secret<[u8; 32]> {
    let mut bytes = [0; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN),
        salt,
        passphrase.expose().as_bytes(),
        &mut bytes,
    );
    Secret::new(bytes)
}

impl Bundle {
    /// Key, certificate and the authority's certificate in one PEM file. The key is
    /// encrypted under the passphrase (PKCS #8 with PBES2: PBKDF2 with HMAC-SHA-256,
    /// AES-256-CBC), as OpenSSL and Python's `cryptography` read it.
    ///
    /// # Errors
    /// [`StateError::Crypto`] when the key cannot be encrypted.
    pub fn to_pem(&self, passphrase: &Secret<String>) -> Result<Secret<String>, StateError> {
        let key =
            encrypted(&self.key_pem, passphrase).map_err(|why| crypto("encrypt the key", why))?;
        Ok(Secret::new(format!(
            "{}{}{}",
            key.as_str(),
            self.issued.certificate.as_deref().unwrap_or_default(),
            self.issued.authority
        )))
    }
}

fn encrypted(key_pem: &Secret<String>, passphrase: &Secret<String>) -> Result<String, String> {
    let (_, key) = SecretDocument::from_pem(key_pem.expose()).map_err(|e| e.to_string())?;
    let salt: [u8; 16] = crate::random::bytes();
    let iv: [u8; 16] = crate::random::bytes();
    let parameters = pbes2::Parameters {
        kdf: Kdf::Pbkdf2(Pbkdf2Params::hmac_sha256(ITERATIONS, &salt).map_err(|e| e.to_string())?),
        encryption: pbes2::EncryptionScheme::Aes256Cbc { iv },
    };
    let mut data = key.as_bytes().to_vec();
    UnboundCipherKey::new(&AES_256, derive(passphrase, &salt, ITERATIONS).expose())
        .and_then(PaddedBlockEncryptingKey::cbc_pkcs7)
        .and_then(|cipher| {
            let context = EncryptionContext::Iv128(FixedLength::from(iv));
            cipher.less_safe_encrypt(&mut data, context)
        })
        .map_err(|_| "AES-256-CBC failed".to_owned())?;
    let info = EncryptedPrivateKeyInfoRef {
        encryption_algorithm: EncryptionScheme::Pbes2(parameters),
        encrypted_data: OctetStringRef::new(&data).map_err(|e| e.to_string())?,
    };
    let der = info.to_der().map_err(|e| e.to_string())?;
    pkcs8::der::pem::encode_string("ENCRYPTED PRIVATE KEY", LineEnding::LF, &der)
        .map_err(|e| e.to_string())
}
