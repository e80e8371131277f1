//! Reading the one certificate that names a peer.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use x509_parser::prelude::*;

use crate::identity::{Identity, NameError};

/// What a certificate may be used for. Exactly one of the two, never both, so that an
/// artist cannot pose as a guard nor a guard as an artist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// Extended key usage `clientAuth`: artists and services.
    Client,
    /// Extended key usage `serverAuth`: guards.
    Server,
}

/// Why a certificate does not name a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// Not an X.509 certificate.
    #[error("the certificate cannot be read: {0}")]
    Malformed(String),
    /// No extended key usage, both, or the other one.
    #[error("the certificate is for {found}, and {wanted} is needed")]
    Usage {
        /// What the certificate is for, in words.
        found: &'static str,
        /// What was needed, in words.
        wanted: &'static str,
    },
    /// The subject alternative name is not exactly one URI.
    #[error("the certificate must carry exactly one name, a SPIFFE ID, and carries {0}")]
    Names(usize),
    /// The one name is not an identity of ours.
    #[error("the name in the certificate is not usable: {0}")]
    Identity(#[from] NameError),
    /// The certificate may sign others.
    #[error("the certificate is an authority's, not a peer's")]
    Authority,
}

/// A certificate serial number, in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Serial(String);

impl Serial {
    /// A serial from its big-endian bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(crate::hex(bytes))
    }

    /// The hexadecimal text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Serial {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain: String = text
            .chars()
            .filter(|c| *c != ':')
            .collect::<String>()
            .to_lowercase();
        if (2..=40).contains(&plain.len()) && plain.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(plain))
        } else {
            Err(format!(
                "{text:?} is not a certificate serial: hexadecimal digits are expected"
            ))
        }
    }
}

/// SHA-256 of a whole certificate in DER: `x5t#S256` of RFC 8705, and the fingerprint
/// that people compare.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    /// `SHA256:ab:cd:…`, as OpenSSL prints it apart from the case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SHA256")?;
        self.0.iter().try_for_each(|byte| write!(f, ":{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a leaf certificate says. That it says so proves nothing: the chain, the dates
/// and the revocations are checked by whoever relies on it.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The one SPIFFE ID in the subject alternative name.
    pub identity: Identity,
    /// The serial number.
    pub serial: Serial,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last moment of validity.
    pub not_after: Timestamp,
    /// SHA-256 of the certificate.
    pub fingerprint: Fingerprint,
    /// SHA-256 of the public key (SubjectPublicKeyInfo, DER).
    pub key_digest: [u8; 32],
}

impl Leaf {
    /// Reads a certificate that must be for `usage` and name one identity.
    ///
    /// # Errors
    /// [`LeafError`] names the first rule that the certificate breaks.
    pub fn read(der: &[u8], usage: Usage) -> Result<Self, LeafError> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|e| LeafError::Malformed(e.to_string()))?;
        if !rest.is_empty() {
            return Err(LeafError::Malformed("bytes follow the certificate".into()));
        }
        if certificate.is_ca() {
            return Err(LeafError::Authority);
        }
        check_usage(&certificate, usage)?;
        let key_digest = digest::digest(&digest::SHA256, certificate.public_key().raw);
        let time = |at: ASN1Time| {
            Timestamp::from_second(at.timestamp()).map_err(|e| LeafError::Malformed(e.to_string()))
        };
        let mut leaf = Self {
            identity: only_name(&certificate)?,
            serial: Serial::from_bytes(certificate.raw_serial()),
            not_before: time(certificate.validity().not_before)?,
            not_after: time(certificate.validity().not_after)?,
            fingerprint: Fingerprint::of(der),
            key_digest: [0; 32],
        };
        leaf.key_digest.copy_from_slice(key_digest.as_ref());
        Ok(leaf)
    }
}

/// The serial number of a certificate of whatever kind, for the record of its refusal.
pub fn serial_of(der: &[u8]) -> Option<Serial> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(Serial::from_bytes(certificate.raw_serial()))
}

fn check_usage(certificate: &X509Certificate<'_>, usage: Usage) -> Result<(), LeafError> {
    let extension = certificate
        .extended_key_usage()
        .map_err(|e| LeafError::Malformed(e.to_string()))?;
    let (client, server, other) = extension.map_or((false, false, false), |usages| {
        let usages = usages.value;
        let other = usages.any
            || usages.code_signing
            || usages.email_protection
            || usages.time_stamping
            || usages.ocsp_signing
            || !usages.other.is_empty();
        (usages.client_auth, usages.server_auth, other)
    });
    let found = match (client, server, other) {
        (true, false, false) if usage == Usage::Client => return Ok(()),
        (false, true, false) if usage == Usage::Server => return Ok(()),
        (true, false, false) => "clients only",
        (false, true, false) => "guards only",
        (true, true, _) => "clients and guards at once",
        (_, _, true) => "other purposes",
        (false, false, false) => "no stated purpose",
    };
    let wanted = match usage {
        Usage::Client => "one for clients only",
        Usage::Server => "one for guards only",
    };
    Err(LeafError::Usage { found, wanted })
}

fn only_name(certificate: &X509Certificate<'_>) -> Result<Identity, LeafError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|e| LeafError::Malformed(e.to_string()))?
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    match names {
        [GeneralName::URI(uri)] => Ok(uri.parse()?),
        [other] => Err(NameError::Uri(other.to_string()).into()),
        names => Err(LeafError::Names(names.len())),
    }
}
