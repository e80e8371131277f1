//! What the authority handed out, and when it is due again.

use jiff::{Timestamp, Zoned};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use wire::Secret;
use wire::enrolment::GuardAddress;
use wire::leaf::{Leaf, LeafError, Usage};

/// `credentials.json`: replaced as a whole, because a token is bound to its certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The certificate in PEM.
    pub certificate: String,
    /// The token, a JWT.
    pub token: Secret<String>,
    /// When the token came, by the clock of this machine.
    pub token_received: Timestamp,
    /// Until when the token admits.
    pub token_expires: Timestamp,
    /// The role of the grant at the last renewal.
    pub role: String,
    /// When access ends, if it does.
    #[serde(with = "wire::moment::optional", default)]
    pub access_until: Option<Zoned>,
    /// The guards of the authority.
    pub guards: Vec<GuardAddress>,
}

impl Credentials {
    /// What the certificate says.
    ///
    /// # Errors
    /// [`LeafError`] when it is not a certificate of an artist or a service.
    pub fn leaf(&self) -> Result<Leaf, LeafError> {
        let der = CertificateDer::from_pem_slice(self.certificate.as_bytes())
            .map_err(|e| LeafError::Malformed(e.to_string()))?;
        Leaf::read(&der, Usage::Client)
    }

    /// Would a guard turn this away for its age alone?
    pub fn expired(&self, now: Timestamp) -> bool {
        self.token_expires <= now || self.leaf().is_ok_and(|leaf| leaf.not_after <= now)
    }

    /// Half of the token's life is over.
    pub fn token_due(&self) -> Timestamp {
        part_of(self.token_received, self.token_expires, 1, 2)
    }

    /// Two thirds of the certificate's life are over.
    pub fn certificate_due(&self) -> Timestamp {
        self.leaf().map_or(Timestamp::MIN, |leaf| {
            part_of(leaf.not_before, leaf.not_after, 2, 3)
        })
    }
}

fn part_of(from: Timestamp, until: Timestamp, part: i64, whole: i64) -> Timestamp {
    let (from, until) = (from.as_second(), until.as_second());
    let at = from + (until - from).max(0) / whole * part;
    Timestamp::from_second(at).unwrap_or(Timestamp::MIN)
}
