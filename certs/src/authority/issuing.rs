//! Issuing certificates and tokens: to the holder of an invite, to the holder of a
//! certificate, and by the operator's own hand.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use jiff::{SignedDuration, Timestamp};
use rusqlite::Transaction;
use wire::enrolment::{GuardAddress, Issued};
use wire::leaf::{Leaf, Serial};
use wire::{Identity, Kind, Secret};

use super::{Authority, MAX_SHOWN, RENEWABLE, crypto, is_address};
use crate::certificates::{Signed, SubjectKey, p256_key};
use crate::error::IssueError;
use crate::records::{self, CertificateRow, GrantRow, InviteRow, Terms, Used};
use crate::store::{Abort, advance};
use crate::trust::Grant;

/// How long after its use an invite still answers the same key, whose answer was lost.
const RETRY: SignedDuration = SignedDuration::from_hours(1);
/// The longest device name, in characters.
const MAX_DEVICE: usize = 64;

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

/// A key and certificate made here, for a machine that cannot ask for one itself.
#[derive(Debug)]
pub struct Bundle {
    /// The private key, PKCS #8 in PEM, not encrypted.
    pub key_pem: Secret<String>,
    /// The certificate and all that goes with it.
    pub issued: Issued,
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

    /// Issues a token, and with a request a certificate as well, to the holder of a
    /// certificate. It may have expired, by 90 days at most: what counts is the grant. The
    /// request must be for the same key, so that a device can be told and revoked by it.
    ///
    /// # Errors
    /// [`IssueError`] says why nothing is issued.
    pub fn renew(
        &self,
        leaf: &Leaf,
        request_der: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Issued, IssueError> {
        let key = request_der
            .map(SubjectKey::from_request)
            .transpose()
            .map_err(IssueError::Request)?;
        self.issue(|transaction| {
            let row = records::certificate(transaction, &leaf.serial)?
                .filter(|row| {
                    row.identity == leaf.identity && row.fingerprint == leaf.fingerprint.0
                })
                .ok_or(IssueError::CertificateUnknown)?;
            let grant = self.living_grant(transaction, &leaf.identity, now)?;
            check_live(&row, &grant.grant)?;
            if row.not_after.saturating_add(RENEWABLE).unwrap_or(Timestamp::MAX) < now {
                return Err(IssueError::CertificateExpired { at: row.not_after }.into());
            }
            let Some(key) = &key else {
                if row.not_after <= now {
                    return Err(IssueError::Request(
                        "the certificate has expired, so that a new one must be asked for".into(),
                    )
                    .into());
                }
                return self.answer(transaction, &grant, &row, false, now);
            };
            if key.digest != row.key_digest {
                return Err(IssueError::Request(
                    "it is for another key than the certificate that asks, and a new key needs a new invite".into(),
                )
                .into());
            }
            let row = self.certify(transaction, key, &leaf.identity, &row.device, now)?;
            self.answer(transaction, &grant, &row, true, now)
        })
    }

    /// Issues a certificate and a token by the operator's own hand, for a request that was
    /// carried here. A role must be stated for who has no access yet.
    ///
    /// # Errors
    /// [`IssueError`] says why nothing is issued.
    pub fn issue_for_request(
        &self,
        identity: &Identity,
        request_der: &[u8],
        device: &str,
        changes: &super::Changes,
        now: Timestamp,
    ) -> Result<Issued, IssueError> {
        let key = SubjectKey::from_request(request_der).map_err(IssueError::Request)?;
        self.issue_by_hand(identity, &key, device, changes, now)
    }

    /// As [`Self::issue_for_request`], with a key made here.
    ///
    /// # Errors
    /// [`IssueError`] says why nothing is issued.
    pub fn issue_bundle(
        &self,
        identity: &Identity,
        device: &str,
        changes: &super::Changes,
        now: Timestamp,
    ) -> Result<Bundle, IssueError> {
        let key_pem = wire::keypair::generate()
            .map_err(|e| crypto("make a key", e))?
            .pem;
        let key = p256_key(&key_pem)
            .and_then(|pair| SubjectKey::from_pair(&pair))
            .map_err(|e| crypto("read the new key", e))?;
        let issued = self.issue_by_hand(identity, &key, device, changes, now)?;
        Ok(Bundle { key_pem, issued })
    }

    /// A fresh token for a live certificate of an identity: the one named, or the newest.
    ///
    /// # Errors
    /// [`IssueError`] says why nothing is issued.
    pub fn fresh_token(
        &self,
        identity: &Identity,
        serial: Option<&Serial>,
        now: Timestamp,
    ) -> Result<Issued, IssueError> {
        self.issue(|transaction| {
            let grant = self.living_grant(transaction, identity, now)?;
            let row = match serial {
                Some(serial) => records::certificate(transaction, serial)?
                    .filter(|row| row.identity == *identity)
                    .ok_or(IssueError::CertificateUnknown)?,
                None => records::certificates_of(transaction, identity)?
                    .into_iter()
                    .rev()
                    .find(|row| row.not_after > now && check_live(row, &grant.grant).is_ok())
                    .ok_or(IssueError::CertificateMissing {
                        identity: identity.shorthand(),
                    })?,
            };
            check_live(&row, &grant.grant)?;
            if row.not_after <= now {
                return Err(IssueError::CertificateExpired { at: row.not_after }.into());
            }
            self.answer(transaction, &grant, &row, false, now)
        })
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

    fn issue_by_hand(
        &self,
        identity: &Identity,
        key: &SubjectKey,
        device: &str,
        changes: &super::Changes,
        now: Timestamp,
    ) -> Result<Issued, IssueError> {
        self.issue(|transaction| {
            super::granting::state_terms(transaction, identity, changes, true, now)?;
            let grant = self.living_grant(transaction, identity, now)?;
            let row = self.certify(transaction, key, identity, device, now)?;
            self.answer(transaction, &grant, &row, true, now)
        })
    }

    /// The grant, when it is neither revoked nor ended.
    fn living_grant(
        &self,
        transaction: &Transaction<'_>,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<GrantRow, Abort> {
        let row =
            records::grant(transaction, identity)?.ok_or_else(|| IssueError::GrantMissing {
                identity: identity.shorthand(),
            })?;
        if row.grant.revoked.is_some() {
            return Err(refused(&row.grant).into());
        }
        match &row.grant.access_until {
            Some(until) if until.timestamp() <= now => Err(IssueError::AccessEnded {
                identity: identity.shorthand(),
                until: Box::new(until.clone()),
            }
            .into()),
            _ => Ok(row),
        }
    }

    fn certify(
        &self,
        transaction: &Transaction<'_>,
        key: &SubjectKey,
        identity: &Identity,
        device: &str,
        now: Timestamp,
    ) -> Result<CertificateRow, Abort> {
        if let Some(revocation) = records::key_revocation(transaction, &key.digest)? {
            return Err(IssueError::KeyRevoked(revocation).into());
        }
        let signed = self
            .signer
            .sign(key, identity, now)
            .map_err(|e| IssueError::from(crypto("sign a certificate", e)))?;
        let row = CertificateRow::new(&signed, advance(transaction)?, &plain(device), now);
        records::add_certificate(transaction, &row)?;
        Ok(row)
    }

    fn answer(
        &self,
        transaction: &Transaction<'_>,
        grant: &GrantRow,
        row: &CertificateRow,
        with_certificate: bool,
        now: Timestamp,
    ) -> Result<Issued, Abort> {
        let is_guard = row.identity.kind == Kind::Guard;
        let token = if is_guard {
            None
        } else {
            Some(self.sign_token(transaction, &grant.grant, row, now)?)
        };
        Ok(Issued {
            identity: row.identity.clone(),
            certificate: with_certificate.then(|| row.pem.clone()),
            authority: self.signer.pem.clone(),
            token,
            role: grant.grant.role.clone(),
            access_until: grant.grant.access_until.clone(),
            guards: self.guards(transaction)?,
            token_key: is_guard.then(|| self.token_public.clone()),
        })
    }

    /// The guards that artists can reach: this directory's own first.
    fn guards(&self, transaction: &Transaction<'_>) -> rusqlite::Result<Vec<GuardAddress>> {
        let own = records::guard_address(transaction)?.map(|address| GuardAddress {
            identity: self.guard.clone(),
            address,
        });
        let joined = records::grants(transaction)?
            .into_iter()
            .filter(|row| row.grant.identity.kind == Kind::Guard && row.grant.revoked.is_none())
            .filter(|row| row.grant.identity != self.guard)
            .filter_map(|row| {
                Some(GuardAddress {
                    address: row.address?,
                    identity: row.grant.identity,
                })
            });
        Ok(own.into_iter().chain(joined).collect())
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

fn check_live(row: &CertificateRow, grant: &Grant) -> Result<(), IssueError> {
    use crate::trust::{CertificateStatus, certificate_status};

    match certificate_status(Some((row.generation, row.revoked.clone())), Some(grant)) {
        CertificateStatus::Revoked(revocation) => Err(IssueError::CertificateRevoked(revocation)),
        CertificateStatus::Live | CertificateStatus::Unknown => Ok(()),
    }
}

fn refused(grant: &Grant) -> IssueError {
    match &grant.revoked {
        Some(revocation) => IssueError::GrantRevoked {
            identity: grant.identity.shorthand(),
            revocation: revocation.clone(),
        },
        None => IssueError::GrantMissing {
            identity: grant.identity.shorthand(),
        },
    }
}

/// A device name as it can be printed in a table: it was chosen by whoever asked.
fn plain(device: &str) -> String {
    let plain: String = device
        .chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ' || c.is_alphanumeric())
        .take(MAX_DEVICE)
        .collect();
    match plain.trim() {
        "" => "unnamed".into(),
        name => name.into(),
    }
}

impl CertificateRow {
    pub(super) fn new(signed: &Signed, generation: u64, device: &str, now: Timestamp) -> Self {
        let leaf = &signed.leaf;
        Self {
            serial: leaf.serial.clone(),
            identity: leaf.identity.clone(),
            generation,
            device: device.into(),
            key_digest: leaf.key_digest,
            fingerprint: leaf.fingerprint.0,
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            issued_at: now,
            pem: signed.pem.clone(),
            revoked: None,
        }
    }
}

impl Terms {
    /// The terms of a guard, which has no role.
    pub(super) fn none() -> Self {
        Self {
            role: String::new(),
            upstreams: Vec::new(),
            from: Vec::new(),
            access_until: None,
        }
    }
}
