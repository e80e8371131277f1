//! An authority for tests: issues whatever it is told to.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use wire::leaf::{Fingerprint, Usage};
use wire::{Identity, Kind};

/// An authority with its trust domain.
pub(crate) struct Realm {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) pem: String,
    domain: &'static str,
}

/// First and last moment, in seconds from now.
pub(crate) type Life = (i64, i64);

pub(crate) const DAY: i64 = 86_400;
pub(crate) const GOOD: Life = (-600, 30 * DAY);

impl Realm {
    pub(crate) fn new(domain: &'static str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(DnType::CommonName, format!("authority of {domain}"));
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
            domain,
        }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    pub(crate) fn identity(&self, kind: Kind, name: &str) -> Identity {
        Identity::new(self.domain.parse().unwrap(), kind, name.parse().unwrap())
    }

    /// A certificate in PEM for the key of a request.
    pub(crate) fn sign(
        &self,
        request: &[u8],
        identity: &Identity,
        usage: Usage,
        life: Life,
    ) -> String {
        let request = CertificateSigningRequestParams::from_der(&request.into()).unwrap();
        let params = params(identity, usage, life);
        params
            .signed_by(&request.public_key, &self.issuer)
            .unwrap()
            .pem()
    }

    /// A key of its own with a certificate.
    pub(crate) fn credentials(
        &self,
        identity: &Identity,
        usage: Usage,
        life: Life,
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let params = params(identity, usage, life);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        (chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

fn params(identity: &Identity, usage: Usage, (from, until): Life) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(identity.to_string().try_into().unwrap())];
    params.extended_key_usages = vec![match usage {
        Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
        Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
    }];
    params.serial_number = Some(SerialNumber::from_slice(&serial()));
    let moment = |seconds| {
        let since_epoch = Duration::from_secs(at(seconds).as_second() as u64);
        rcgen::date_time_ymd(1970, 1, 1) + since_epoch
    };
    params.not_before = moment(from);
    params.not_after = moment(until);
    params
}

fn serial() -> [u8; 8] {
    use std::hash::{BuildHasher as _, RandomState};
    (RandomState::new().hash_one(0) >> 1 | 1).to_be_bytes()
}

/// So many seconds from now.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second() + seconds).unwrap()
}
