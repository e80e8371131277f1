//! Taking access back, and looking into a rollback.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rusqlite::Transaction;
use wire::Identity;
use wire::leaf::Serial;

use super::Authority;
use crate::error::IssueError;
use crate::journal::{DeviceKey, Entry, EntryKind};
use crate::records::{self, Alarm};
use crate::store::{Abort, ROLLBACK_STEP, advance};
use crate::trust::{Grant, Revocation};

/// The longest reason, in characters.
const MAX_REASON: usize = 400;

/// Why accepting a rollback revokes an invite.
const MAYBE_USED: &str = "the store was rolled back, so it may have been used before";

/// What is to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A person, service or guard, with all certificates, tokens and invites.
    Identity(Identity),
    /// One device, by the serial of one of its certificates.
    Certificate(Serial),
    /// One token, by its id.
    Token(String),
    /// One invite, by its id.
    Invite(String),
}

/// What accepting a rollback did.
#[derive(Debug)]
pub struct Accepted {
    /// The alarm that stood.
    pub alarm: Alarm,
    /// How many open invites were revoked.
    pub invites: usize,
}

/// What a revocation did.
#[derive(Debug)]
pub struct Revoked {
    /// Whose access it concerns.
    pub identity: Identity,
    /// When and why; the earlier one when there was nothing left to revoke.
    pub revocation: Revocation,
    /// For a certificate: the name of the device that has it.
    pub device: Option<String>,
    /// Nothing was left to revoke.
    pub already: bool,
    /// How many certificates that had not expired it ended.
    pub certificates: usize,
    /// How many open invites it ended.
    pub invites: usize,
}

impl Authority {
    /// Finds what an operator means: a name, a certificate's serial, a token or its id, or
    /// an invite's id.
    ///
    /// # Errors
    /// [`IssueError::TargetUnknown`] and [`IssueError::TargetAmbiguous`].
    pub fn find_target(&self, text: &str) -> Result<Target, IssueError> {
        let text = text.trim();
        let token_id = token_id(text);
        let found = self.store.read(|transaction| {
            let mut found = Vec::new();
            if let Ok(identity) = Identity::from_shorthand(text, self.domain())
                && (records::grant(transaction, &identity)?.is_some()
                    || !records::open_invites_of(transaction, &identity)?.is_empty())
            {
                found.push(Target::Identity(identity));
            }
            if let Ok(serial) = text.parse::<Serial>()
                && records::certificate(transaction, &serial)?.is_some()
            {
                found.push(Target::Certificate(serial));
            }
            let id = token_id.as_deref().unwrap_or(text);
            if records::token(transaction, id)?.is_some() {
                found.push(Target::Token(id.into()));
            }
            if records::invite_by_id(transaction, text)?.is_some() {
                found.push(Target::Invite(text.into()));
            }
            Ok(found)
        })?;
        // A whole token is not repeated in a message.
        let shown = token_id.unwrap_or_else(|| text.chars().take(80).collect());
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(target), None) => Ok(target),
            (None, _) => Err(IssueError::TargetUnknown { text: shown }),
            (Some(_), Some(_)) => Err(IssueError::TargetAmbiguous { text: shown }),
        }
    }

    /// Revokes, in one transaction over grant, certificates, tokens, invites and what was
    /// renewed from them, and writes the journal before it returns. Doing it again changes
    /// nothing. A certificate is revoked with its device: all that was issued to the same
    /// identity for the same key goes with it, and the key is never certified again.
    ///
    /// # Errors
    /// [`IssueError::Journal`] when the store holds the revocation and the journal could
    /// not be written; with all others nothing was revoked.
    pub fn revoke(
        &self,
        target: &Target,
        why: &str,
        now: Timestamp,
    ) -> Result<Revoked, IssueError> {
        let why = reason(why)?;
        if let Target::Identity(identity) = target
            && *identity == self.guard
        {
            return Err(IssueError::OwnGuardRevoked {
                identity: self.guard.shorthand(),
            });
        }
        let entry = Entry {
            id: crate::random::hex(8),
            sequence: 0,
            // The store keeps whole seconds, and the journal must say the same.
            at: Timestamp::from_second(now.as_second()).unwrap_or(now),
            kind: target.kind(),
            subject: target.subject(),
            device: None,
            why,
        };
        let (revoked, entries) = self.store.write(|transaction| {
            let mut revoked = examine(transaction, target, &entry)?;
            if !revoked.already {
                let entry = Entry {
                    sequence: advance(transaction)?,
                    device: device_of(transaction, target)?,
                    ..entry
                };
                records::revoke(transaction, &entry)?;
                let text = format!("{} {}: {}", entry.kind.as_str(), entry.subject, entry.why);
                records::event(transaction, now, "revoke", Some(&revoked.identity), &text)?;
                revoked.revocation.at = entry.at;
            }
            Ok((revoked, records::revocations(transaction)?))
        })?;
        // All of them, so that what an earlier full disk kept out is made good now.
        self.store
            .journal()
            .append(&entries)
            .map_err(IssueError::Journal)?;
        Ok(revoked)
    }

    /// A revocation list for programs that read X.509, in PEM.
    ///
    /// # Errors
    /// [`IssueError`] when the store cannot be read or the list cannot be signed.
    pub fn revocation_list(&self, now: Timestamp) -> Result<String, IssueError> {
        let (sequence, revoked) = self.store.read(|transaction| {
            let revoked: Vec<_> = records::certificates(transaction)?
                .into_iter()
                .filter(|row| row.not_after > now)
                .filter_map(|row| Some((row.serial, row.revoked?.at)))
                .collect();
            Ok((records::sequence(transaction)?, revoked))
        })?;
        self.signer
            .revocation_list(&revoked, sequence, now)
            .map_err(|e| super::crypto("sign the revocation list", e).into())
    }

    /// Ends the rollback alarm, after somebody has looked. The sequence is raised far
    /// above all that was seen, so that nothing of the lost time is taken for new. Open
    /// invites are revoked: each may have been used in the lost time.
    ///
    /// # Errors
    /// [`IssueError::NoAlarm`] when there is none.
    pub fn accept_rollback(&self, why: &str, now: Timestamp) -> Result<Accepted, IssueError> {
        let why = reason(why)?;
        let at = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let (accepted, sequence, entries) = self.store.write(|transaction| {
            let alarm = records::alarm(transaction)?.ok_or(IssueError::NoAlarm)?;
            let highest = records::sequence(transaction)?.max(alarm.seen);
            records::set_sequence(transaction, highest.saturating_add(ROLLBACK_STEP))?;
            let mut invites = 0;
            for invite in records::invites(transaction)? {
                if invite.used.is_some() || invite.revoked.is_some() || invite.expires <= now {
                    continue;
                }
                let entry = Entry {
                    id: crate::random::hex(8),
                    sequence: advance(transaction)?,
                    at,
                    kind: EntryKind::Invite,
                    subject: invite.id,
                    device: None,
                    why: MAYBE_USED.into(),
                };
                records::revoke(transaction, &entry)?;
                invites += 1;
            }
            records::clear_alarm(transaction)?;
            records::event(transaction, now, "rollback-accepted", None, &why)?;
            Ok((
                Accepted { alarm, invites },
                records::sequence(transaction)?,
                records::revocations(transaction)?,
            ))
        })?;
        self.store.reset_mark(sequence)?;
        // Accepted all the same. The journal is made good when the store is opened next.
        let _ = self.store.journal().append(&entries);
        Ok(accepted)
    }

    /// The grants that live, for whoever looks into a rollback.
    ///
    /// # Errors
    /// [`IssueError`] when the store cannot be read.
    pub fn living_grants(&self, now: Timestamp) -> Result<Vec<Grant>, IssueError> {
        Ok(self
            .store
            .read(|transaction| records::grants(transaction))?
            .into_iter()
            .map(|row| row.grant)
            .filter(|grant| grant.revoked.is_none() && grant.identity != self.guard)
            .filter(|grant| {
                grant
                    .access_until
                    .as_ref()
                    .is_none_or(|until| until.timestamp() > now)
            })
            .collect())
    }
}

impl Target {
    fn kind(&self) -> EntryKind {
        match self {
            Self::Identity(_) => EntryKind::Identity,
            Self::Certificate(_) => EntryKind::Certificate,
            Self::Token(_) => EntryKind::Token,
            Self::Invite(_) => EntryKind::Invite,
        }
    }

    fn subject(&self) -> String {
        match self {
            Self::Identity(identity) => identity.to_string(),
            Self::Certificate(serial) => serial.to_string(),
            Self::Token(id) | Self::Invite(id) => id.clone(),
        }
    }
}

/// What there is to revoke.
fn examine(
    transaction: &Transaction<'_>,
    target: &Target,
    entry: &Entry,
) -> Result<Revoked, Abort> {
    let unknown = || IssueError::TargetUnknown {
        text: entry.subject.clone(),
    };
    let revocation = Revocation {
        at: entry.at,
        why: entry.why.clone(),
    };
    let done = |identity: Identity, earlier: Option<Revocation>| Revoked {
        identity,
        already: earlier.is_some(),
        revocation: earlier.unwrap_or_else(|| revocation.clone()),
        device: None,
        certificates: 0,
        invites: 0,
    };
    Ok(match target {
        Target::Identity(identity) => {
            let grant = records::grant(transaction, identity)?.map(|row| row.grant);
            let certificates = records::certificates_of(transaction, identity)?;
            let live: Vec<_> = certificates
                .iter()
                .filter(|row| row.revoked.is_none())
                .collect();
            let invites = records::open_invites_of(transaction, identity)?;
            if grant.is_none() && certificates.is_empty() && invites.is_empty() {
                return Err(unknown().into());
            }
            let earlier = grant
                .and_then(|grant| grant.revoked)
                .filter(|_| live.is_empty() && invites.is_empty());
            Revoked {
                certificates: live.iter().filter(|row| row.not_after > entry.at).count(),
                invites: invites
                    .iter()
                    .filter(|invite| invite.expires > entry.at)
                    .count(),
                ..done(identity.clone(), earlier)
            }
        }
        Target::Certificate(serial) => {
            let row = records::certificate(transaction, serial)?.ok_or_else(unknown)?;
            let live: Vec<_> = records::certificates_of(transaction, &row.identity)?
                .into_iter()
                .filter(|other| other.key_digest == row.key_digest && other.revoked.is_none())
                .collect();
            // A certificate that ended with its identity leaves its key to be revoked.
            let earlier =
                records::key_revocation(transaction, &row.key_digest)?.filter(|_| live.is_empty());
            Revoked {
                device: Some(row.device),
                certificates: live.iter().filter(|row| row.not_after > entry.at).count(),
                ..done(row.identity, earlier)
            }
        }
        Target::Token(id) => {
            let row = records::token(transaction, id)?.ok_or_else(unknown)?;
            done(row.identity, records::token_revocation(transaction, id)?)
        }
        Target::Invite(id) => {
            let row = records::invite_by_id(transaction, id)?.ok_or_else(unknown)?;
            if let Some(used) = row.used {
                let identity = row.identity.shorthand();
                return Err(IssueError::InviteUsed {
                    identity,
                    at: used.at,
                }
                .into());
            }
            Revoked {
                invites: usize::from(row.revoked.is_none()),
                ..done(row.identity, row.revoked)
            }
        }
    })
}

/// The device that a certificate stands for.
fn device_of(
    transaction: &Transaction<'_>,
    target: &Target,
) -> rusqlite::Result<Option<DeviceKey>> {
    let Target::Certificate(serial) = target else {
        return Ok(None);
    };
    Ok(records::certificate(transaction, serial)?
        .map(|row| DeviceKey::new(&row.identity, &row.key_digest)))
}

/// A reason as it can stand in a table and in a log.
fn reason(why: &str) -> Result<String, IssueError> {
    let words: Vec<_> = why.split_whitespace().collect();
    let plain: String = words
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    if plain.is_empty() || plain.chars().count() > MAX_REASON {
        return Err(IssueError::Reason {
            longest: MAX_REASON,
        });
    }
    Ok(plain)
}

/// The id in a whole token. It need not be a genuine one: the id is looked up.
fn token_id(text: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Id {
        jti: String,
    }
    let mut parts = text.split('.');
    let (Some(_), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    serde_json::from_slice::<Id>(&claims).ok().map(|id| id.jti)
}
