//! Redeeming invites.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use jiff::{SignedDuration, Timestamp};
use rusqlite::Transaction;
use wire::Kind;
use wire::enrolment::Issued;

use super::issuing::{check_live, refused};
use super::{Authority, MAX_SHOWN, is_address};
use crate::certificates::SubjectKey;
use crate::error::IssueError;
use crate::records::{self, InviteRow, Used};
use crate::store::{Abort, advance};

/// How long after its use an invite still answers the same key, whose answer was lost.
const RETRY: SignedDuration = SignedDuration::from_hours(1);

/// A request to use up an invite.
pub struct Redemption<'a> {
    /// The secret of the invite.
    pub secret: &'a [u8; 16],
    /// The certificate request, PKCS #10 in DER. Only its key counts.
    pub request_der: &'a [u8],
    /// The name of the machine.
    pub device: &'a str,
    /// `HOST:PORT` at which artists reach it; a guard must say so.
    pub address: Option<&'a str>,
    /// The present moment.
    pub now: Timestamp,
}

impl fmt::Debug for Redemption<'_> {
    /// The secret is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redemption")
            .field("device", &self.device)
            .field("address", &self.address)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Whether an invite could be redeemed now. Reads only, so that a stranger's request
    /// costs little before it is parsed.
    ///
    /// # Errors
    /// [`IssueError`] says what is the matter with the invite.
    pub fn check_invite(&self, secret: &[u8; 16], now: Timestamp) -> Result<(), IssueError> {
        let hash = invite_hash(secret);
        let (alarm, invite) = self.store.read(|transaction| {
            Ok((
                records::alarm(transaction)?,
                records::invite_by_hash(transaction, &hash)?,
            ))
        })?;
        if alarm.is_some() || self.store.has_unwritten_alarm() {
            return Err(IssueError::Stopped);
        }
        check_usable(invite.as_ref(), &hash, now).map(drop)
    }

    /// Uses up an invite: checks it, gives the identity its grant if it has none, signs the
    /// certificate and the token, all in one transaction.
    ///
    /// The same key may ask again within an hour, for an answer that was lost, and gets
    /// the same certificate. Another key is refused and leaves an alarm in the events.
    ///
    /// # Errors
    /// [`IssueError`] says why nothing is issued.
    pub fn redeem(&self, redemption: &Redemption<'_>) -> Result<Issued, IssueError> {
        let key = SubjectKey::from_request(redemption.request_der).map_err(IssueError::Request)?;
        let hash = invite_hash(redemption.secret);
        // The inner error leaves its mark in the store, so the transaction is committed.
        self.issue(|transaction| {
            let now = redemption.now;
            let found = records::invite_by_hash(transaction, &hash)?;
            let invite = check_usable(found.as_ref(), &hash, now)?;
            match &invite.used {
                Some(used) if used.key_digest != key.digest => {
                    let text = format!(
                        "invite {} was used at {} and another key came with it",
                        invite.id, used.at
                    );
                    records::event(transaction, now, "alarm", Some(&invite.identity), &text)?;
                    Ok(Err(invite_used(invite, used)))
                }
                Some(used) => self.repeat(transaction, invite, used, now).map(Ok),
                None => self.use_up(transaction, invite, &key, redemption).map(Ok),
            }
        })?
    }

    fn use_up(
        &self,
        transaction: &Transaction<'_>,
        invite: &InviteRow,
        key: &SubjectKey,
        redemption: &Redemption<'_>,
    ) -> Result<Issued, Abort> {
        let now = redemption.now;
        let identity = &invite.identity;
        // Before the invite is used up: the wrong program was given the code.
        match (identity.kind, redemption.address) {
            (Kind::Guard, None) => return Err(IssueError::AddressMissing.into()),
            (Kind::Artist | Kind::Service, Some(_)) => {
                let identity = identity.shorthand();
                return Err(IssueError::NotAGuard { identity }.into());
            }
            (Kind::Guard, Some(address)) if !is_address(address) => {
                let text = address.chars().take(MAX_SHOWN).collect();
                return Err(IssueError::Address { text }.into());
            }
            _ => {}
        }
        self.admit(transaction, invite, now)?;
        let grant = self.living_grant(transaction, identity, now)?;
        let row = self.certify(transaction, key, identity, redemption.device, now)?;
        let used = Used {
            at: now,
            key_digest: key.digest.to_vec(),
            serial: row.serial.clone(),
        };
        records::use_invite(transaction, &invite.id, &used)?;
        if let Some(address) = redemption.address.filter(|_| identity.kind == Kind::Guard) {
            records::set_grant_address(transaction, identity, address)?;
        }
        self.answer(transaction, &grant, &row, true, now)
    }

    /// Gives the identity of an invite its grant. A pending invite alone grants nothing:
    /// a grant begins when the first invite is redeemed. Where there is one already, the
    /// later of the operator's commands decides its terms.
    fn admit(
        &self,
        transaction: &Transaction<'_>,
        invite: &InviteRow,
        now: Timestamp,
    ) -> Result<(), Abort> {
        let existing = records::grant(transaction, &invite.identity)?;
        let (generation, stated) = match existing {
            Some(row) if row.grant.revoked.is_none() => {
                if row.stated >= invite.sequence {
                    return Ok(());
                }
                (row.grant.generation, invite.sequence)
            }
            // Revoking also revokes the invites of that time; this one is younger.
            Some(row) if invite.sequence <= row.grant.generation => {
                return Err(refused(&row.grant).into());
            }
            _ => (advance(transaction)?, invite.sequence),
        };
        records::put_grant(
            transaction,
            &invite.identity,
            &invite.terms,
            generation,
            stated,
            now,
        )?;
        Ok(())
    }

    /// Answers the same key once more.
    fn repeat(
        &self,
        transaction: &Transaction<'_>,
        invite: &InviteRow,
        used: &Used,
        now: Timestamp,
    ) -> Result<Issued, Abort> {
        let grant = self.living_grant(transaction, &invite.identity, now)?;
        let row = records::certificate(transaction, &used.serial)?
            .ok_or(IssueError::CertificateUnknown)?;
        check_live(&row, &grant.grant)?;
        self.answer(transaction, &grant, &row, true, now)
    }
}

/// The key under which an invite is stored. The secret itself is nowhere.
pub(super) fn invite_hash(secret: &[u8; 16]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, secret).as_ref());
    hash
}

fn invite_used(invite: &InviteRow, used: &Used) -> IssueError {
    IssueError::InviteUsed {
        identity: invite.identity.shorthand(),
        at: used.at,
    }
}

/// The invite, when it may be redeemed: for the first time, or again by the same key.
///
/// It was found by the hash of a 128-bit secret, so how long the search took tells nothing
/// of the secret; the whole hash is compared once more in constant time.
fn check_usable<'a>(
    found: Option<&'a InviteRow>,
    hash: &[u8],
    now: Timestamp,
) -> Result<&'a InviteRow, IssueError> {
    let invite = found
        .filter(|invite| verify_slices_are_equal(&invite.hash, hash).is_ok())
        .ok_or(IssueError::InviteUnknown)?;
    if let Some(revocation) = &invite.revoked {
        return Err(IssueError::InviteRevoked(revocation.clone()));
    }
    match &invite.used {
        Some(used) if now.duration_since(used.at) > RETRY => Err(invite_used(invite, used)),
        Some(_) => Ok(invite),
        None if invite.expires <= now => Err(IssueError::InviteExpired { at: invite.expires }),
        None => Ok(invite),
    }
}
