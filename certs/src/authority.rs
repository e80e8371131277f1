//! The authority: its keys, its store, and what it issues.

mod granting;
mod issuing;
mod listing;
mod opening;
mod own_guard;
mod redeeming;
mod revoking;
mod tokens;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::EncodingKey;
use rustls::pki_types::CertificateDer;
use wire::leaf::{Fingerprint, Serial};
use wire::{Identity, TrustDomain};

pub use granting::{AccessEnd, Changes, Effect, InviteMade, InviteOrder};
pub use issuing::Bundle;
pub use listing::{Device, Entry, EntryState, InviteEntry, InviteState, ListedToken, Listing};
pub(crate) use opening::FILES;
pub use own_guard::GuardCredentials;
pub use redeeming::Redemption;
pub use revoking::{Accepted, Revoked, Target};

use crate::certificates::Signer;
use crate::error::{IssueError, StateError, StoreError};
use crate::records::{self, Alarm};
use crate::snapshot::{Snapshot, SnapshotCertificate};
use crate::store::{Abort, Store};
use crate::trust::{self, Standing, TokenRef, TrustStore};
use crate::when;

/// How long after its end a certificate can still be renewed.
const RENEWABLE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How long the record of an expired or revoked token is kept; sessions that it opened
/// may last.
const KEEP_TOKENS: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How much of a text that was refused is repeated, in characters.
const MAX_SHOWN: usize = 80;
/// The device name of the guard that shares the authority's state directory.
const OWN_DEVICE: &str = "this state directory";

/// An open state directory with an authority. Threads may share it; a running guard and
/// the command line may have the same directory open at once.
pub struct Authority {
    path: PathBuf,
    guard: Identity,
    signer: Signer,
    token_key: EncodingKey,
    token_public: String,
    pub(crate) store: Store,
    /// Held while the guard's own certificate is looked at and renewed.
    renewing: Mutex<()>,
}

impl Authority {
    /// The state directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The realm of the authority.
    pub fn domain(&self) -> &TrustDomain {
        &self.guard.domain
    }

    /// The identity of the guard that shares this state directory.
    pub fn guard_identity(&self) -> &Identity {
        &self.guard
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.signer.der.clone()
    }

    /// The authority's certificate in PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.signer.pem
    }

    /// The last moment of the authority's certificate.
    pub fn not_after(&self) -> Timestamp {
        self.signer.not_after
    }

    /// The fingerprint of the authority's certificate, to be compared by people.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.signer.der)
    }

    /// The public key of tokens, SubjectPublicKeyInfo in PEM.
    pub fn token_key_pem(&self) -> String {
        self.token_public.clone()
    }

    /// The rollback alarm, when it stands.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn alarm(&self) -> Result<Option<Alarm>, StoreError> {
        self.store.read(|transaction| records::alarm(transaction))
    }

    /// A copy of the store for the guards that joined. What can do nothing any more is left
    /// out: certificates that expired too long ago to be renewed, and tokens that were
    /// revoked so long ago that their sessions cannot be named either.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let taken = Timestamp::now();
        let before = |age: SignedDuration| taken.saturating_sub(age).unwrap_or(Timestamp::MIN);
        self.store.read(|transaction| {
            Ok(Snapshot {
                sequence: records::sequence(transaction)?,
                taken,
                grants: records::grants(transaction)?
                    .into_iter()
                    .map(|row| (row.grant.identity.to_string(), row.grant))
                    .collect(),
                certificates: records::certificates(transaction)?
                    .into_iter()
                    .filter(|row| row.not_after >= before(RENEWABLE))
                    .map(|row| {
                        (
                            row.serial.to_string(),
                            SnapshotCertificate {
                                identity: row.identity,
                                generation: row.generation,
                                revoked: row.revoked,
                            },
                        )
                    })
                    .collect(),
                revoked_tokens: records::revoked_tokens(transaction, before(KEEP_TOKENS))?
                    .into_iter()
                    .collect(),
            })
        })
    }

    /// Runs `f` as a change that only happens while no rollback alarm stands.
    fn issue<T>(
        &self,
        f: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<T, Abort>,
    ) -> Result<T, IssueError> {
        self.store.write(|transaction| {
            if self.store.has_unwritten_alarm() || records::alarm(transaction)?.is_some() {
                return Err(IssueError::Stopped.into());
            }
            f(transaction)
        })
    }
}

impl TrustStore for Authority {
    fn standing(
        &self,
        identity: &Identity,
        serial: &Serial,
        token: Option<TokenRef<'_>>,
    ) -> Result<Standing, StoreError> {
        let standing = self.store.read(|transaction| {
            let sequence = records::sequence(transaction)?;
            let grant = records::grant(transaction, identity)?.map(|row| row.grant);
            let found = records::certificate_fate(transaction, identity, serial)?;
            let revoked = match token {
                Some(token) => records::token_revocation(transaction, token.id)?,
                None => None,
            };
            let certificate = trust::certificate_status(found, grant.as_ref());
            Ok(Standing {
                token: trust::token_status(token, revoked, &certificate, grant.as_ref(), sequence),
                certificate,
                grant,
                sequence,
            })
        })?;
        // The answer is about the state that was read, whatever the alarm makes of it.
        self.store.notice(standing.sequence)?;
        Ok(standing)
    }

    fn sequence(&self) -> Result<u64, StoreError> {
        self.store.sequence()
    }

    fn report_rollback(&self, seen: u64) -> Result<(), StoreError> {
        let seen = seen.min(records::HIGHEST);
        // The operator may have accepted the rollback since the caller looked.
        let sequence = self
            .store
            .read(|transaction| records::sequence(transaction));
        if sequence.is_ok_and(|sequence| sequence >= seen) {
            return Ok(());
        }
        self.store.alarm(
            seen,
            "a genuine token was presented that is newer than the store",
        )
    }
}

impl fmt::Debug for Authority {
    /// The keys are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("path", &self.path)
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

/// Whether a text is `HOST:PORT` and nothing else.
fn is_address(text: &str) -> bool {
    when::address(text).is_ok_and(|address| address == text)
}

pub(crate) fn crypto(doing: &'static str, why: impl fmt::Display) -> StateError {
    StateError::Crypto {
        doing,
        why: why.to_string(),
    }
}
