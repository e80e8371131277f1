//! Issuing certificates and tokens: to the holder of a certificate, and by the operator's own
//! hand.

use jiff::Timestamp;
use rusqlite::Transaction;
use wire::enrolment::{GuardAddress, Issued};
use wire::leaf::{Leaf, Serial};
use wire::{Identity, Kind, Secret};

use super::{Authority, RENEWABLE, crypto};
use crate::certificates::{Signed, SubjectKey, p256_key};
use crate::error::IssueError;
use crate::records::{self, CertificateRow, GrantRow, Terms};
use crate::store::{Abort, advance};
use crate::trust::Grant;

/// The longest device name, in characters.
const MAX_DEVICE: usize = 64;

/// A key and certificate made here, for a machine that cannot ask for one itself.
#[derive(Debug)]
pub struct Bundle {
    /// The private key, PKCS #8 in PEM, not encrypted.
    pub key_pem: Secret<String>,
    /// The certificate and all that goes with it.
    pub issued: Issued,
}

impl Authority {
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
    pub(super) fn living_grant(
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

    pub(super) fn certify(
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

    pub(super) fn answer(
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

pub(super) fn check_live(row: &CertificateRow, grant: &Grant) -> Result<(), IssueError> {
    use crate::trust::{CertificateStatus, certificate_status};

    match certificate_status(Some((row.generation, row.revoked.clone())), Some(grant)) {
        CertificateStatus::Revoked(revocation) => Err(IssueError::CertificateRevoked(revocation)),
        CertificateStatus::Live | CertificateStatus::Unknown => Ok(()),
    }
}

pub(super) fn refused(grant: &Grant) -> IssueError {
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
