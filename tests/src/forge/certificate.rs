//! Certificates with any defect, from the authority's own key or from another's.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use wire::leaf::{Fingerprint, Serial};
use wire::tls::ClientCredentials;

/// A certificate chain with its key.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key, PKCS #8 in PEM.
    pub key: String,
}

impl Credentials {
    /// The private key, to sign further requests with.
    pub fn key_pair(&self) -> KeyPair {
        KeyPair::from_pem(&self.key).expect("a private key")
    }

    /// From the PEM texts of a certificate and its key.
    pub fn from_pem(certificate: &str, key: &str) -> Self {
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
            .collect::<Result<_, _>>()
            .expect("certificates in PEM");
        Self {
            chain,
            key: key.to_owned(),
        }
    }

    /// The leaf.
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// SHA-256 of the leaf.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.leaf())
    }

    /// The serial number of the leaf, whatever else the leaf says.
    pub fn serial(&self) -> Serial {
        let (_, leaf) = x509_parser::parse_x509_certificate(self.leaf()).expect("a certificate");
        Serial::from_bytes(leaf.raw_serial())
    }

    /// The key for rustls.
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key in PEM")
    }

    /// For [`wire::tls::client_config`].
    pub fn for_wire(&self) -> ClientCredentials {
        ClientCredentials {
            chain: self.chain.clone(),
            key: self.private_key(),
        }
    }
}

/// What a forged leaf says.
#[derive(Debug, Clone)]
pub struct Form {
    /// The subject alternative names.
    pub names: Vec<SanType>,
    /// The extended key usages; none leaves the extension out.
    pub usages: Vec<ExtendedKeyUsagePurpose>,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last moment of validity.
    pub not_after: Timestamp,
    /// Whether it may sign others.
    pub authority: bool,
}

impl Form {
    /// A flawless artist's certificate.
    pub fn client(identity: &str) -> Self {
        let now = Timestamp::now();
        Self {
            names: vec![uri(identity)],
            usages: vec![ExtendedKeyUsagePurpose::ClientAuth],
            not_before: now - wire::BACKDATE,
            not_after: now + Duration::from_secs(24 * 3600),
            authority: false,
        }
    }
}

/// A URI as a subject alternative name.
pub fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("ASCII"))
}

/// A host name as a subject alternative name.
pub fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().expect("ASCII"))
}

/// A key that signs leaves: the real authority's, or one that only claims to be.
pub struct Authority {
    /// Its own certificate.
    pub certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// The authority of a state directory.
    pub fn read(state: &Path) -> Self {
        let read = |name: &str| {
            std::fs::read_to_string(state.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
        };
        let pem = read("authority.crt");
        let key = KeyPair::from_pem(&read("authority.key")).expect("the authority's key");
        Self {
            certificate: CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate"),
            issuer: Issuer::from_ca_cert_pem(&pem, key).expect("the authority's certificate"),
        }
    }

    /// Another authority that says of itself what the one in `state` says: the same
    /// names, another key.
    pub fn impostor_of(state: &Path) -> Self {
        let pem = std::fs::read(state.join("authority.crt")).expect("authority.crt");
        let der = CertificateDer::from_pem_slice(&pem).expect("a certificate");
        let (_, real) = x509_parser::parse_x509_certificate(&der).expect("a certificate");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = real.subject().iter_common_name().next() {
            let name = name.as_str().expect("a common name in ASCII");
            params.distinguished_name.push(DnType::CommonName, name);
        }
        if let Ok(Some(names)) = real.subject_alternative_name() {
            for name in &names.value.general_names {
                if let x509_parser::extensions::GeneralName::URI(text) = name {
                    params.subject_alt_names.push(uri(text));
                }
            }
        }
        let root = CertifiedIssuer::self_signed(params, fresh_key()).expect("self-signed");
        let key = KeyPair::from_pem(&root.key().serialize_pem()).expect("its own key");
        Self {
            certificate: root.der().clone(),
            issuer: Issuer::from_ca_cert_der(root.der(), key).expect("its own certificate"),
        }
    }

    /// A leaf of this form, under a fresh key and a random serial number.
    pub fn issue(&self, form: &Form) -> Credentials {
        let key = fresh_key();
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "forged for a test");
        params.subject_alt_names.clone_from(&form.names);
        params.extended_key_usages.clone_from(&form.usages);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.not_before = epoch + since_epoch(form.not_before);
        params.not_after = epoch + since_epoch(form.not_after);
        params.serial_number = Some(random_serial());
        params.use_authority_key_identifier_extension = true;
        if form.authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        }
        let leaf = params.signed_by(&key, &self.issuer).expect("signed");
        Credentials {
            chain: vec![leaf.der().clone(), self.certificate.clone()],
            key: key.serialize_pem(),
        }
    }
}

/// A P-256 key.
pub fn fresh_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("randomness")
}

fn random_serial() -> SerialNumber {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("randomness");
    // A leading one keeps the number positive and its length fixed.
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn since_epoch(at: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(at.as_second()).expect("a moment after 1970"))
}
