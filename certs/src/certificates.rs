//! X.509: what the authority signs, and how it reads what it is asked to sign.

use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, UnparsedPublicKey, VerificationAlgorithm,
};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, RevocationReason, RevokedCertParams, SanType,
    SerialNumber, SubjectPublicKeyInfo, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use wire::leaf::{Leaf, Serial, Usage};
use wire::{Identity, Kind, Secret, TrustDomain};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509CertificationRequest};

const DAY: i64 = 24 * 3600;
/// How long an authority's certificate is valid.
const AUTHORITY_LIFE: SignedDuration = SignedDuration::from_secs(3652 * DAY);
/// How long a guard's certificate is valid.
const GUARD_LIFE: SignedDuration = SignedDuration::from_secs(90 * DAY);
/// How long an artist's or a service's certificate is valid.
const CLIENT_LIFE: SignedDuration = SignedDuration::from_secs(30 * DAY);
/// How long a revocation list may be relied upon.
const CRL_LIFE: SignedDuration = SignedDuration::from_secs(7 * DAY);
/// The longest certificate request that is looked at, in bytes.
const MAX_REQUEST: usize = 4 * 1024;

/// The authority's certificate and key.
pub(crate) struct Signer {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) pem: String,
    pub(crate) domain: TrustDomain,
    pub(crate) not_after: Timestamp,
    issuer: Issuer<'static, KeyPair>,
}

/// A public key that its holder has proved to hold, or that is our own.
pub(crate) struct SubjectKey {
    key: SubjectPublicKeyInfo,
    /// SHA-256 of the SubjectPublicKeyInfo in DER.
    pub(crate) digest: [u8; 32],
}

/// A certificate just signed.
pub(crate) struct Signed {
    pub(crate) pem: String,
    pub(crate) leaf: Leaf,
}

impl Signer {
    /// Makes the key and the certificate of a new authority: both in PEM.
    pub(crate) fn create(
        domain: &TrustDomain,
        now: Timestamp,
    ) -> Result<(Secret<String>, String), rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&format!("hrpyc-guard authority of {domain}"));
        params.subject_alt_names = vec![SanType::URI(format!("spiffe://{domain}").try_into()?)];
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(fresh_serial());
        params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(backdated(now));
        params.not_after = date_time_ymd(1970, 1, 1)
            + since_epoch(now.saturating_add(AUTHORITY_LIFE).unwrap_or(now));
        let certificate = params.self_signed(&key)?;
        Ok((Secret::new(key.serialize_pem()), certificate.pem()))
    }

    /// Reads key and certificate of an authority.
    ///
    /// # Errors
    /// Says which of the two is wrong, and how.
    pub(crate) fn load(key_pem: &Secret<String>, pem: &str) -> Result<Self, LoadError> {
        let key = p256_key(key_pem).map_err(LoadError::Key)?;
        let certificate_error = |why: &str| LoadError::Certificate(why.into());
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| certificate_error("it is not a certificate in PEM"))?;
        let (_, certificate) = X509Certificate::from_der(&der)
            .map_err(|_| certificate_error("it is not a certificate"))?;
        if certificate.public_key().subject_public_key.as_ref() != key.public_key_raw() {
            return Err(certificate_error(
                "it belongs to another key than authority.key",
            ));
        }
        if !certificate.is_ca() {
            return Err(certificate_error("it is not an authority's certificate"));
        }
        let domain = trust_domain(&certificate)
            .ok_or_else(|| certificate_error("it does not name one trust domain"))?;
        let not_after = Timestamp::from_second(certificate.validity().not_after.timestamp())
            .map_err(|_| certificate_error("its dates cannot be read"))?;
        let issuer = Issuer::from_ca_cert_der(&der, key)
            .map_err(|e| LoadError::Certificate(e.to_string()))?;
        Ok(Self {
            pem: pem.into(),
            domain,
            not_after,
            issuer,
            der,
        })
    }

    /// Signs a certificate for `key` that names `identity` and nothing else, whatever the
    /// request asked for.
    pub(crate) fn sign(
        &self,
        key: &SubjectKey,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<Signed, String> {
        let (usage, purpose, life) = match identity.kind {
            Kind::Guard => (
                Usage::Server,
                ExtendedKeyUsagePurpose::ServerAuth,
                GUARD_LIFE,
            ),
            Kind::Artist | Kind::Service => (
                Usage::Client,
                ExtendedKeyUsagePurpose::ClientAuth,
                CLIENT_LIFE,
            ),
        };
        let not_after = now
            .saturating_add(life)
            .unwrap_or(self.not_after)
            .min(self.not_after);
        if not_after <= now {
            return Err(format!(
                "the authority's own certificate ended at {}",
                self.not_after
            ));
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&identity.shorthand());
        params.subject_alt_names = vec![SanType::URI(
            identity
                .to_string()
                .try_into()
                .map_err(|e: rcgen::Error| e.to_string())?,
        )];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(fresh_serial());
        params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(backdated(now));
        params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(not_after);
        let certificate = params
            .signed_by(&key.key, &self.issuer)
            .map_err(|e| e.to_string())?;

        // What leaves here must be what every guard will accept, and nothing more.
        let leaf = Leaf::read(certificate.der(), usage).map_err(|e| e.to_string())?;
        if leaf.identity != *identity || leaf.key_digest != key.digest {
            return Err("the certificate does not say what it should".into());
        }
        Ok(Signed {
            pem: certificate.pem(),
            leaf,
        })
    }

    /// A revocation list in PEM. `number` must rise from list to list.
    pub(crate) fn revocation_list(
        &self,
        revoked: &[(Serial, Timestamp)],
        number: u64,
        now: Timestamp,
    ) -> Result<String, String> {
        let revoked_certs = revoked
            .iter()
            .map(|(serial, at)| {
                Ok(RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&unhex(serial.as_str())?),
                    revocation_time: date_time_ymd(1970, 1, 1) + since_epoch(*at),
                    reason_code: Some(RevocationReason::PrivilegeWithdrawn),
                    invalidity_date: None,
                })
            })
            .collect::<Result<_, String>>()?;
        CertificateRevocationListParams {
            this_update: date_time_ymd(1970, 1, 1) + since_epoch(now),
            next_update: date_time_ymd(1970, 1, 1)
                + since_epoch(now.saturating_add(CRL_LIFE).unwrap_or(now)),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer)
        .and_then(|list| list.pem())
        .map_err(|e| e.to_string())
    }
}

/// Which of the authority's two files is wrong.
pub(crate) enum LoadError {
    Key(String),
    Certificate(String),
}

impl SubjectKey {
    /// The key of a certificate request (PKCS #10), after checking that the asker holds it.
    /// Names and extensions in the request are not even looked at.
    pub(crate) fn from_request(der: &[u8]) -> Result<Self, String> {
        if der.len() > MAX_REQUEST {
            return Err(format!(
                "it is {} bytes long, and {MAX_REQUEST} are allowed",
                der.len()
            ));
        }
        let (rest, request) = X509CertificationRequest::from_der(der)
            .map_err(|_| "it is not a certificate request in DER (PKCS #10)".to_owned())?;
        if !rest.is_empty() {
            return Err("bytes follow the request".into());
        }
        let spki = &request.certification_request_info.subject_pki;
        let key = Self::from_spki(spki.raw)?;
        // ecdsa-with-SHA256 and -SHA384, RFC 5758 section 3.2.
        let algorithm: &dyn VerificationAlgorithm = match request
            .signature_algorithm
            .algorithm
            .to_id_string()
            .as_str()
        {
            "1.2.840.10045.4.3.2" => &ECDSA_P256_SHA256_ASN1,
            "1.2.840.10045.4.3.3" => &ECDSA_P256_SHA384_ASN1,
            _ => return Err("it is not signed with ECDSA and SHA-256 or SHA-384".into()),
        };
        UnparsedPublicKey::new(algorithm, key.key.der_bytes())
            .verify(
                request.certification_request_info.raw,
                &request.signature_value.data,
            )
            .map_err(|_| "its signature is not that of the key in it".to_owned())?;
        Ok(key)
    }

    /// The public half of a key of our own.
    pub(crate) fn from_pair(pair: &KeyPair) -> Result<Self, String> {
        Self::from_spki(&pair.subject_public_key_info())
    }

    fn from_spki(der: &[u8]) -> Result<Self, String> {
        let wanted = || "its key is not an elliptic-curve key on P-256".to_owned();
        let key = SubjectPublicKeyInfo::from_der(der).map_err(|_| wanted())?;
        // An uncompressed point, SEC 1 section 2.3.3: what TLS peers are sure to read.
        if *key.algorithm() != PKCS_ECDSA_P256_SHA256
            || key.der_bytes().len() != 65
            || key.der_bytes()[0] != 4
        {
            return Err(wanted());
        }
        let mut sum = [0; 32];
        sum.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Ok(Self { key, digest: sum })
    }
}

/// Reads a P-256 key in PEM.
pub(crate) fn p256_key(pem: &Secret<String>) -> Result<KeyPair, String> {
    KeyPair::from_pkcs8_pem_and_sign_algo(pem.expose(), &PKCS_ECDSA_P256_SHA256)
        .map_err(|_| "it is not a P-256 key in PKCS #8 and PEM".to_owned())
}

/// The one URI `spiffe://<trust-domain>` that an authority's certificate carries.
pub(crate) fn trust_domain(certificate: &X509Certificate<'_>) -> Option<TrustDomain> {
    use x509_parser::extensions::GeneralName;

    let names = certificate.subject_alternative_name().ok()??;
    match names.value.general_names.as_slice() {
        [GeneralName::URI(uri)] => uri.strip_prefix("spiffe://")?.parse().ok(),
        _ => None,
    }
}

/// A serial of 20 bytes, the most that RFC 5280 section 4.1.2.2 allows, 158 bits of it
/// random. The first byte is neither zero nor negative, so that every program prints the
/// same digits.
fn fresh_serial() -> SerialNumber {
    let mut bytes: [u8; 20] = crate::random::bytes();
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

fn backdated(now: Timestamp) -> Timestamp {
    now.saturating_sub(wire::BACKDATE).unwrap_or(now)
}

/// To be added to 1970-01-01: rcgen's dates are of a type that it does not re-export.
fn since_epoch(at: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0))
}

pub(crate) fn unhex(text: &str) -> Result<Vec<u8>, String> {
    (0..text.len())
        .step_by(2)
        .map(|at| {
            text.get(at..at + 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or_else(|| format!("{text:?} is not hexadecimal"))
        })
        .collect()
}
