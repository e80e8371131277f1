//! What the authority handed out, and when it is due again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp, Zoned};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use wire::Secret;
use wire::enrolment::GuardAddress;
use wire::leaf::{Leaf, LeafError, Usage};
use wire::token::Claims;

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
    /// Until when the token admits, by the authority's clock.
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
        self.token_end() <= now || self.leaf().is_ok_and(|leaf| leaf.not_after <= now)
    }

    /// Until when the token admits, by the clock of this machine.
    ///
    /// That clock may be hours off. So only the length of the token's life is taken from
    /// the authority, and counted from the moment at which the token came.
    pub fn token_end(&self) -> Timestamp {
        token_claims(self.token.expose())
            .and_then(|claims| claims.exp.checked_sub(claims.iat))
            .filter(|seconds| *seconds > 0)
            .and_then(|seconds| {
                let life = SignedDuration::from_secs(seconds);
                self.token_received.checked_add(life).ok()
            })
            .unwrap_or(self.token_expires)
    }

    /// Half of the token's life is over.
    pub fn token_due(&self) -> Timestamp {
        part_of(self.token_received, self.token_end(), 1, 2)
    }

    /// Two thirds of the certificate's life are over.
    pub fn certificate_due(&self) -> Timestamp {
        self.leaf().map_or(Timestamp::MIN, |leaf| {
            part_of(leaf.not_before, leaf.not_after, 2, 3)
        })
    }
}

/// What a token says. It was taken over a verified connection; its signature is for guards
/// to check.
pub(crate) fn token_claims(jwt: &str) -> Option<Claims> {
    let claims = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}

fn part_of(from: Timestamp, until: Timestamp, part: i64, whole: i64) -> Timestamp {
    let (from, until) = (from.as_second(), until.as_second());
    let at = from + (until - from).max(0) / whole * part;
    Timestamp::from_second(at).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn token(issued: i64, life: i64) -> String {
        let claims = serde_json::json!({
            "iss": "spiffe://studio.example", "aud": "spiffe://studio.example/guards",
            "sub": "spiffe://studio.example/artist/alice", "iat": issued, "nbf": issued,
            "exp": issued + life, "jti": "1", "role": "full", "gen": 1,
            "cnf": { "x5t#S256": "" },
        });
        format!("e30.{}.e30", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    /// A token of one hour that came while our clock was `ahead` seconds ahead.
    fn received(ahead: i64) -> Credentials {
        Credentials {
            certificate: String::new(),
            token: Secret::new(token(NOW, 3600)),
            token_received: at(NOW + ahead),
            token_expires: at(NOW + 3600),
            role: "full".into(),
            access_until: None,
            guards: Vec::new(),
        }
    }

    #[test]
    fn a_clock_that_is_off_does_not_shorten_the_life_of_a_token() {
        for ahead in [-7200, 0, 3600, 20 * 86_400] {
            let credentials = received(ahead);
            let ours = |seconds| at(NOW + ahead + seconds);
            assert_eq!(credentials.token_due(), ours(1800));
            assert!(!credentials.expired(ours(3599)));
            assert!(credentials.expired(ours(3600)));
        }
    }

    #[test]
    fn a_token_without_claims_ends_when_the_authority_said() {
        let mut credentials = received(0);
        credentials.token = Secret::new("not.a.token".into());
        assert_eq!(credentials.token_end(), credentials.token_expires);
    }
}
