//! Who the peer is: from a certificate to a [`VerifiedPeer`].

use certs::{CertificateStatus, Revocation};
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use wire::identity::NameError;
use wire::leaf::{Leaf, LeafError, Serial, Usage, serial_of};
use wire::{Code, Identity, Kind};

use crate::denial::Denial;
use crate::tls::{FollowerSession, RenewalSession, TlsSession, verify_chain};
use crate::trust::Trust;

/// A client whose certificate was issued by the authority, names one identity of the trust
/// domain, is for clients, is within its dates, and is known to the store and not revoked.
///
/// Only [`verify`] makes one.
#[derive(Debug)]
pub struct VerifiedPeer {
    leaf: Leaf,
}

impl VerifiedPeer {
    /// Whom the certificate names.
    pub fn identity(&self) -> &Identity {
        &self.leaf.identity
    }

    /// The certificate.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }
}

/// A peer that may renew: as [`VerifiedPeer`], but the certificate may have expired, and
/// it may be a guard's. It opens no session.
#[derive(Debug)]
pub struct RenewingPeer {
    leaf: Leaf,
}

impl RenewingPeer {
    /// The certificate.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }
}

/// Another guard of the same authority, its certificate within its dates and not revoked.
#[derive(Debug)]
pub struct VerifiedGuard {
    leaf: Leaf,
}

impl VerifiedGuard {
    /// The certificate.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }
}

/// What a failed check could still read, for the audit.
#[derive(Debug)]
pub struct Unverified {
    /// Why it failed.
    pub denial: Denial,
    /// What the certificate says. It proves nothing.
    pub claim: Box<Claim>,
}

/// What could be read of a certificate that was refused.
#[derive(Debug)]
pub struct Claim {
    /// Whom it names.
    pub identity: Option<Identity>,
    /// Its serial number.
    pub serial: Option<Serial>,
}

/// Verifies the peer of a session, whether the handshake was full or resumed.
///
/// # Errors
/// A denial for the first check that fails.
pub async fn verify(session: &TlsSession, trust: &Trust) -> Result<VerifiedPeer, Unverified> {
    let leaf = read(session.leaf(), session.resumed(), Usage::Client, trust)?;
    counts(&leaf, trust)
        .await
        .map_err(|denial| claimed(denial, &leaf))?;
    within_dates(&leaf, Timestamp::now()).map_err(|denial| claimed(denial, &leaf))?;
    Ok(VerifiedPeer { leaf })
}

/// Verifies a peer that asks for a renewal.
///
/// # Errors
/// As [`verify`], except that a certificate passes whatever its dates: one that is not valid
/// yet was issued while the clock was wrong.
pub async fn verify_renewal(
    session: &RenewalSession,
    trust: &Trust,
) -> Result<RenewingPeer, Unverified> {
    let client = read(session.leaf(), session.resumed(), Usage::Client, trust);
    let leaf = match client {
        Err(error) if error.denial.code == Code::CertificateUsage => {
            read(session.leaf(), session.resumed(), Usage::Server, trust)?
        }
        other => other?,
    };
    counts(&leaf, trust)
        .await
        .map_err(|denial| claimed(denial, &leaf))?;
    Ok(RenewingPeer { leaf })
}

/// Verifies a guard that wants to follow the store.
///
/// # Errors
/// As [`verify`], and when the certificate is not a guard's.
pub async fn verify_guard(
    session: &FollowerSession,
    trust: &Trust,
) -> Result<VerifiedGuard, Unverified> {
    let leaf = read(session.leaf(), session.resumed(), Usage::Server, trust)?;
    counts(&leaf, trust)
        .await
        .map_err(|denial| claimed(denial, &leaf))?;
    within_dates(&leaf, Timestamp::now()).map_err(|denial| claimed(denial, &leaf))?;
    Ok(VerifiedGuard { leaf })
}

fn claimed(denial: Denial, leaf: &Leaf) -> Unverified {
    Unverified {
        denial,
        claim: Box::new(Claim {
            identity: Some(leaf.identity.clone()),
            serial: Some(leaf.serial.clone()),
        }),
    }
}

fn read(
    certificate: Option<&CertificateDer<'static>>,
    resumed: bool,
    usage: Usage,
    trust: &Trust,
) -> Result<Leaf, Unverified> {
    let bare = |denial| Unverified {
        denial,
        claim: Box::new(Claim {
            identity: None,
            serial: certificate.and_then(|certificate| serial_of(certificate)),
        }),
    };
    let Some(certificate) = certificate else {
        return Err(bare(Denial::new(
            Code::CertificateMissing,
            "No certificate was presented.",
            REJOIN,
        )));
    };
    if resumed {
        verify_chain(certificate, &trust.authority, &trust.algorithms).map_err(|_| {
            bare(Denial::new(
                Code::AuthorityUnknown,
                "The certificate was not issued by this guard's authority.",
                REJOIN,
            ))
        })?;
    }
    let leaf = Leaf::read(certificate, usage).map_err(|error| bare(unreadable(&error)))?;
    let guard = leaf.identity.kind == Kind::Guard;
    if guard != (usage == Usage::Server) {
        let denial = Denial::new(
            Code::CertificateUsage,
            format!(
                "The certificate of {} is for another use than its name says.",
                leaf.identity.shorthand()
            ),
            REJOIN,
        );
        return Err(claimed(denial, &leaf));
    }
    if leaf.identity.domain != trust.domain {
        let denial = Denial::new(
            Code::TrustDomainForeign,
            format!(
                "The certificate is for the trust domain {}, and this guard's is {}.",
                leaf.identity.domain, trust.domain
            ),
            REJOIN,
        );
        return Err(claimed(denial, &leaf));
    }
    Ok(leaf)
}

const REJOIN: &str = "Ask for a new invite and run hrpyc-agent join.";

fn unreadable(error: &LeafError) -> Denial {
    let code = match error {
        LeafError::Usage { .. } | LeafError::Authority => Code::CertificateUsage,
        LeafError::Names(_) | LeafError::Identity(NameError::Uri(_) | NameError::Kind(_)) => {
            Code::CertificateName
        }
        LeafError::Identity(_) => Code::CertificateName,
        LeafError::Malformed(_) => Code::CertificateInvalid,
    };
    Denial::new(
        code,
        format!("{}.", capitalised(&error.to_string())),
        REJOIN,
    )
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// Asks the store, on every session: a ticket or an old backup must not revive anybody.
async fn counts(leaf: &Leaf, trust: &Trust) -> Result<(), Denial> {
    let standing = trust.standing(&leaf.identity, &leaf.serial, None).await?;
    match standing.certificate {
        CertificateStatus::Live => Ok(()),
        CertificateStatus::Revoked(revocation) => Err(revoked(leaf, &revocation)),
        CertificateStatus::Unknown => Err(Denial::new(
            Code::CertificateUnknown,
            format!(
                "The authority has no record of this certificate of {}; its store may have been restored from an older copy.",
                leaf.identity.shorthand()
            ),
            REJOIN,
        )),
    }
}

fn revoked(leaf: &Leaf, revocation: &Revocation) -> Denial {
    Denial::new(
        Code::CertificateRevoked,
        format!(
            "The access of {} with this certificate was revoked on {}: {}.",
            leaf.identity.shorthand(),
            day_and_time(revocation.at),
            revocation.why
        ),
        "Ask your IT team why; a new invite starts anew.",
    )
}

fn within_dates(leaf: &Leaf, now: Timestamp) -> Result<(), Denial> {
    if now > leaf.not_after {
        return Err(Denial::new(
            Code::CertificateExpired,
            format!(
                "The certificate of {} expired on {}.",
                leaf.identity.shorthand(),
                day_and_time(leaf.not_after)
            ),
            "hrpyc-agent connect renews it by itself while you have access; otherwise ask for a new invite.",
        ));
    }
    if now < leaf.not_before {
        return Err(Denial::new(
            Code::CertificateNotYetValid,
            format!(
                "The certificate of {} is not valid before {}.",
                leaf.identity.shorthand(),
                day_and_time(leaf.not_before)
            ),
            "Check the clocks of both machines.",
        ));
    }
    Ok(())
}

/// How a moment is written in sentences.
pub fn day_and_time(at: Timestamp) -> String {
    at.strftime("%A %Y-%m-%d %H:%M UTC").to_string()
}
