//! What the operator is shown.

use jiff::{Timestamp, Zoned};
use serde::Serialize;
use wire::leaf::{Fingerprint, Serial};
use wire::{Identity, Kind};

use super::Authority;
use crate::error::StoreError;
use crate::records::{self, CertificateRow, GrantRow, InviteRow};
use crate::trust::{
    self, CertificateStatus, Grant, Revocation, TokenRef, TokenStatus, certificate_status,
};

/// Everybody whom the store knows.
#[derive(Debug, Serialize)]
pub struct Listing {
    /// The number of the last change.
    pub sequence: u64,
    /// Artists, services, guards, in the order of their identities.
    pub entries: Vec<Entry>,
}

/// One identity with all it holds.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// Whom it is about.
    pub identity: Identity,
    /// Whether it may come in.
    pub state: EntryState,
    /// The grant; `None` while it is only invited.
    pub grant: Option<Grant>,
    /// When it was first let in.
    pub since: Option<Timestamp>,
    /// Where a guard is reached, `HOST:PORT`.
    pub address: Option<String>,
    /// Its certificates, oldest first.
    pub devices: Vec<Device>,
    /// Its tokens that have not expired.
    pub tokens: Vec<ListedToken>,
    /// Its invites, oldest first.
    pub invites: Vec<InviteEntry>,
}

/// Whether an identity may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryState {
    /// It may.
    Live,
    /// Its access has ended.
    Ended,
    /// It was revoked.
    Revoked,
    /// It has an invite and nothing else.
    Invited,
    /// It had an invite, which was not used in time.
    Expired,
}

/// One certificate of a device.
#[derive(Debug, Serialize)]
pub struct Device {
    /// The machine's name, as it gave it.
    pub device: String,
    /// The serial.
    pub serial: Serial,
    /// SHA-256 of the public key, hexadecimal: a device keeps it when it renews, and all
    /// its certificates have it in common.
    pub key: String,
    /// SHA-256 of the certificate, for people to compare.
    pub fingerprint: String,
    /// When it was issued.
    pub issued: Timestamp,
    /// The last moment of its validity.
    pub not_after: Timestamp,
    /// Set when it was revoked, with its device or with its identity.
    pub revoked: Option<Revocation>,
}

/// One token.
#[derive(Debug, Serialize)]
pub struct ListedToken {
    /// Its id.
    pub id: String,
    /// The certificate that it is bound to.
    pub serial: Serial,
    /// When it was issued.
    pub issued: Timestamp,
    /// The end of admission.
    pub expires: Timestamp,
    /// Set when it was revoked, alone, with its device or with its identity.
    pub revoked: Option<Revocation>,
}

/// One invite.
#[derive(Debug, Serialize)]
pub struct InviteEntry {
    /// Its id.
    pub id: String,
    /// What became of it.
    pub state: InviteState,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it can be redeemed.
    pub expires: Timestamp,
    /// The role that it grants; empty for a guard.
    pub role: String,
    /// The end of access that it grants.
    pub access_until: Option<Zoned>,
}

/// What became of an invite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "is")]
pub enum InviteState {
    /// It can be redeemed.
    Open,
    /// It was redeemed.
    Used {
        /// When.
        at: Timestamp,
    },
    /// Nobody redeemed it in time.
    Expired,
    /// It was revoked.
    Revoked(Revocation),
}

impl Authority {
    /// Everybody whom the store knows, apart from this directory's own guard.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn list(&self, now: Timestamp) -> Result<Listing, StoreError> {
        self.store.read(|transaction| {
            let invites = records::invites(transaction)?;
            let grants = records::grants(transaction)?;
            let mut identities: Vec<Identity> = grants
                .iter()
                .map(|row| row.grant.identity.clone())
                .chain(invites.iter().map(|invite| invite.identity.clone()))
                .filter(|identity| *identity != self.guard)
                .collect();
            identities.sort_by_key(|identity| (identity.kind, identity.name.clone()));
            identities.dedup();
            Ok(Listing {
                sequence: records::sequence(transaction)?,
                entries: identities
                    .into_iter()
                    .map(|identity| entry(transaction, identity, &invites, now))
                    .collect::<rusqlite::Result<_>>()?,
            })
        })
    }

    /// What the store knows of one identity; `None` when that is nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn show(&self, identity: &Identity, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        self.store.read(|transaction| {
            let invites = records::invites(transaction)?;
            let is_known = records::grant(transaction, identity)?.is_some()
                || invites.iter().any(|invite| invite.identity == *identity);
            if !is_known {
                return Ok(None);
            }
            let mut entry = entry(transaction, identity.clone(), &invites, now)?;
            if *identity == self.guard {
                entry.address = records::guard_address(transaction)?;
            }
            Ok(Some(entry))
        })
    }
}

fn entry(
    transaction: &rusqlite::Transaction<'_>,
    identity: Identity,
    invites: &[InviteRow],
    now: Timestamp,
) -> rusqlite::Result<Entry> {
    let row = records::grant(transaction, &identity)?;
    let grant = row.as_ref().map(|row| &row.grant);
    let devices = records::certificates_of(transaction, &identity)?
        .into_iter()
        .map(|certificate| device(certificate, grant))
        .collect();
    let mut tokens = Vec::new();
    for token in records::tokens_of(transaction, &identity)? {
        if token.expires <= now {
            continue;
        }
        let reference = TokenRef {
            id: &token.id,
            generation: token.generation,
        };
        let alone = records::token_revocation(transaction, &token.id)?;
        let found = records::certificate_fate(transaction, &identity, &token.serial)?;
        let status = trust::token_status(
            Some(reference),
            alone,
            &trust::certificate_status(found, grant),
            grant,
            u64::MAX,
        );
        tokens.push(ListedToken {
            revoked: match status {
                TokenStatus::Revoked(revocation) => Some(revocation),
                _ => None,
            },
            id: token.id,
            serial: token.serial,
            issued: token.issued_at,
            expires: token.expires,
        });
    }
    let invites: Vec<InviteEntry> = invites
        .iter()
        .filter(|invite| invite.identity == identity)
        .map(|invite| invite_entry(invite, now))
        .collect();
    Ok(Entry {
        state: entry_state(grant, &invites, now),
        since: row.as_ref().map(|row| row.created_at),
        address: row.as_ref().and_then(|row: &GrantRow| row.address.clone()),
        grant: row.map(|row| row.grant),
        identity,
        devices,
        tokens,
        invites,
    })
}

fn entry_state(grant: Option<&Grant>, invites: &[InviteEntry], now: Timestamp) -> EntryState {
    let is_open = invites
        .iter()
        .any(|invite| invite.state == InviteState::Open);
    match grant {
        Some(grant) if grant.revoked.is_some() => EntryState::Revoked,
        Some(grant) => match &grant.access_until {
            Some(until) if until.timestamp() <= now => EntryState::Ended,
            _ => EntryState::Live,
        },
        None if is_open => EntryState::Invited,
        None if invites
            .iter()
            .any(|invite| matches!(invite.state, InviteState::Revoked(_))) =>
        {
            EntryState::Revoked
        }
        None => EntryState::Expired,
    }
}

fn device(row: CertificateRow, grant: Option<&Grant>) -> Device {
    let fate = certificate_status(Some((row.generation, row.revoked)), grant);
    Device {
        device: row.device,
        serial: row.serial,
        key: wire::hex(&row.key_digest),
        fingerprint: Fingerprint(row.fingerprint).to_string(),
        issued: row.issued_at,
        not_after: row.not_after,
        revoked: match fate {
            CertificateStatus::Revoked(revocation) => Some(revocation),
            CertificateStatus::Live | CertificateStatus::Unknown => None,
        },
    }
}

fn invite_entry(invite: &InviteRow, now: Timestamp) -> InviteEntry {
    InviteEntry {
        id: invite.id.clone(),
        state: match (&invite.used, &invite.revoked) {
            (Some(used), _) => InviteState::Used { at: used.at },
            (None, Some(revocation)) => InviteState::Revoked(revocation.clone()),
            (None, None) if invite.expires <= now => InviteState::Expired,
            (None, None) => InviteState::Open,
        },
        created: invite.created_at,
        expires: invite.expires,
        role: match invite.identity.kind {
            Kind::Guard => String::new(),
            Kind::Artist | Kind::Service => invite.terms.role.clone(),
        },
        access_until: invite.terms.access_until.clone(),
    }
}
