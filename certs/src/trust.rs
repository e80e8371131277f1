//! What a guard asks about a peer, before and during its session.

use ipnet::IpNet;
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};
use wire::Identity;
use wire::leaf::Serial;

use crate::error::StoreError;

/// The answers that admit a peer, keep it, or end its session.
pub trait TrustStore: Send + Sync {
    /// What is known of a peer, in one consistent read.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn standing(
        &self,
        identity: &Identity,
        serial: &Serial,
        token: Option<TokenRef<'_>>,
    ) -> Result<Standing, StoreError>;

    /// The number of the last change. It rises with each change that [`standing`] can
    /// show, whichever process makes it. Cheap enough to be polled ten times a second.
    ///
    /// [`standing`]: Self::standing
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn sequence(&self) -> Result<u64, StoreError>;

    /// Raises the rollback alarm: a genuine token, or the caller's memory, shows that the
    /// store had once reached `seen`. Nothing is issued until somebody has looked. A number
    /// that no store reaches is taken as the highest that one might.
    ///
    /// # Errors
    /// [`StoreError`] when the alarm could not be written down. It stands all the same in
    /// this process, which tries again with each [`Self::sequence`].
    fn report_rollback(&self, seen: u64) -> Result<(), StoreError>;
}

/// The part of a token that the store can judge.
#[derive(Debug, Clone, Copy)]
pub struct TokenRef<'a> {
    /// The token's id, `jti`.
    pub id: &'a str,
    /// The sequence at its issue, `gen`.
    pub generation: u64,
}

/// What the store knows of one peer.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What the identity may do; `None` when it was never let in.
    pub grant: Option<Grant>,
    /// What became of the certificate.
    pub certificate: CertificateStatus,
    /// What became of the token.
    pub token: TokenStatus,
    /// The number of the last change at the time of reading.
    pub sequence: u64,
}

/// What became of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateStatus {
    /// The store has no record of it under this identity.
    Unknown,
    /// It counts.
    Live,
    /// It was revoked, with its device or with its identity.
    Revoked(Revocation),
}

/// What became of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenStatus {
    /// No token was asked about.
    NotAsked,
    /// It counts.
    Live,
    /// It was revoked, alone, with its device or with its identity.
    Revoked(Revocation),
    /// It was issued by a later state of the store than this one. Under an authority's
    /// own store that proves a rollback; under a [`crate::Snapshot`] it may only mean
    /// that the snapshot is not the latest.
    NewerThanStore,
}

/// When and why something was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// The reason that was given.
    pub why: String,
}

/// What an identity may do: the live row of the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// Whose it is.
    pub identity: Identity,
    /// The role. Empty for a guard.
    pub role: String,
    /// The names of the upstreams that may be reached; empty for any.
    pub upstreams: Vec<String>,
    /// The networks to come from; empty for any.
    pub from: Vec<IpNet>,
    /// When access ends, if it does.
    #[serde(with = "wire::moment::optional", default)]
    pub access_until: Option<Zoned>,
    /// The sequence of the first grant or of the last revocation. Certificates and tokens
    /// of a lower one are worthless.
    pub generation: u64,
    /// Set when the identity was revoked and not let in anew.
    pub revoked: Option<Revocation>,
}

/// The judgement that the store and a snapshot share.
pub(crate) fn certificate_status(
    found: Option<(u64, Option<Revocation>)>,
    grant: Option<&Grant>,
) -> CertificateStatus {
    match found {
        None => CertificateStatus::Unknown,
        Some((_, Some(revocation))) => CertificateStatus::Revoked(revocation),
        Some((generation, None)) => match outdated(generation, grant) {
            Some(revocation) => CertificateStatus::Revoked(revocation),
            None => CertificateStatus::Live,
        },
    }
}

/// As [`certificate_status`], for a token and the revocation of its id. `certificate` is
/// the one that it came with.
pub(crate) fn token_status(
    token: Option<TokenRef<'_>>,
    revoked: Option<Revocation>,
    certificate: &CertificateStatus,
    grant: Option<&Grant>,
    sequence: u64,
) -> TokenStatus {
    let Some(token) = token else {
        return TokenStatus::NotAsked;
    };
    let ended = || {
        let general = outdated(token.generation, grant)?;
        Some(match certificate {
            CertificateStatus::Revoked(revocation) => revocation.clone(),
            CertificateStatus::Unknown | CertificateStatus::Live => general,
        })
    };
    if let Some(revocation) = revoked.or_else(ended) {
        TokenStatus::Revoked(revocation)
    } else if token.generation > sequence {
        // Said before the fate of the certificate, because it proves a rollback.
        TokenStatus::NewerThanStore
    } else if let CertificateStatus::Revoked(revocation) = certificate {
        TokenStatus::Revoked(revocation.clone())
    } else {
        TokenStatus::Live
    }
}

fn outdated(generation: u64, grant: Option<&Grant>) -> Option<Revocation> {
    let grant = grant?;
    (generation < grant.generation).then(|| {
        grant.revoked.clone().unwrap_or_else(|| Revocation {
            // When that was is only kept with the certificates of that time.
            at: Timestamp::UNIX_EPOCH,
            why: "it is from before access was given anew".into(),
        })
    })
}
