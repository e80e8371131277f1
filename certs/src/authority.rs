//! The authority: its keys, its store, and what it issues.

mod granting;
mod issuing;
mod listing;
mod revoking;
mod tokens;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::EncodingKey;
use rcgen::{KeyPair, PKCS_ED25519};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use wire::leaf::{Fingerprint, Leaf, Serial, Usage};
use wire::{Identity, Kind, Name, Secret, TrustDomain};

pub use granting::{AccessEnd, Changes, Effect, InviteMade, InviteOrder};
pub use issuing::{Bundle, Redemption};
pub use listing::{Device, Entry, EntryState, InviteEntry, InviteState, ListedToken, Listing};
pub use revoking::{Accepted, Revoked, Target};

use crate::audit_key::{self, AuditKey};
use crate::certificates::{LoadError, Signer, SubjectKey, p256_key};
use crate::error::{IssueError, StateError, StoreError};
use crate::files;
use crate::journal::{self, Journal};
use crate::records::{self, Alarm, CertificateRow, Terms};
use crate::snapshot::{Snapshot, SnapshotCertificate};
use crate::state::{
    self, AUDIT_KEY, AUTHORITY_CERTIFICATE, AUTHORITY_KEY, Description, GUARD_CERTIFICATE,
    GUARD_KEY, Holds, JOURNAL, MARK, STATE, STORE, TOKEN_KEY,
};
use crate::store::{self, Abort, Store, mark};
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

/// The chain and key that a guard presents.
#[derive(Debug)]
pub struct GuardCredentials {
    /// The guard's own certificate, then the authority's.
    pub chain: Vec<CertificateDer<'static>>,
    /// The guard's private key.
    pub key: PrivateKeyDer<'static>,
    /// First moment of the guard's certificate.
    pub not_before: Timestamp,
    /// Last moment of the guard's certificate.
    pub not_after: Timestamp,
    /// Why a certificate that is due was not renewed. It is valid still, and the next look
    /// tries again.
    pub not_renewed: Option<StateError>,
}

impl GuardCredentials {
    /// Whether two thirds of the certificate's life are over, so that it should be
    /// renewed.
    pub fn is_due(&self, now: Timestamp) -> bool {
        is_due(self.not_before, self.not_after, now)
    }
}

pub(crate) fn is_due(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> bool {
    let life = not_after.as_second() - not_before.as_second();
    now.as_second() - not_before.as_second() >= life / 3 * 2
}

impl Authority {
    /// Makes a new authority where there is nothing yet, or an empty directory. The trust
    /// domain is `GUARD.internal` unless given.
    ///
    /// # Errors
    /// [`StateError::Exists`] when there is something; others when it cannot be written.
    /// Nothing is left behind then.
    pub fn init(
        path: &Path,
        domain: Option<TrustDomain>,
        guard: &Name,
    ) -> Result<Self, StateError> {
        let domain = match domain {
            Some(domain) => domain,
            None => format!("{guard}.internal")
                .parse()
                .map_err(|e| crypto("name the trust domain", e))?,
        };
        state::make(path, |directory| {
            fill(directory, &domain, guard, Timestamp::now())
        })?;
        Self::load(path, domain, guard.clone())
    }

    pub(crate) fn load(path: &Path, domain: TrustDomain, guard: Name) -> Result<Self, StateError> {
        let file = |name| path.join(name);
        let damaged = |name: &str, why: String| StateError::Damaged {
            path: path.join(name),
            why,
        };
        // All of them first, so that what is missing is named before what is wrong.
        for (name, what) in FILES {
            files::check_file(&file(name), what)?;
        }
        for (name, what) in [
            ("store.db-wal", store::WHAT),
            ("store.db-shm", store::WHAT),
            (MARK, mark::WHAT),
        ] {
            match files::check_file(&file(name), what) {
                Ok(()) | Err(StateError::Missing { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        let key = files::read(&file(AUTHORITY_KEY), what(AUTHORITY_KEY))?;
        let certificate = files::read(&file(AUTHORITY_CERTIFICATE), what(AUTHORITY_CERTIFICATE))?;
        let signer = Signer::load(&key, certificate.expose()).map_err(|e| match e {
            LoadError::Key(why) => damaged(AUTHORITY_KEY, why),
            LoadError::Certificate(why) => damaged(AUTHORITY_CERTIFICATE, why),
        })?;
        if signer.domain != domain {
            return Err(damaged(
                STATE,
                format!(
                    "it names the trust domain {domain}, and the authority's certificate {}",
                    signer.domain
                ),
            ));
        }
        let token_pem = files::read(&file(TOKEN_KEY), what(TOKEN_KEY))?;
        let token_pair = KeyPair::from_pkcs8_pem_and_sign_algo(token_pem.expose(), &PKCS_ED25519)
            .map_err(|_| {
            damaged(
                TOKEN_KEY,
                "it is not an Ed25519 key in PKCS #8 and PEM".into(),
            )
        })?;
        AuditKey::load(path)?;
        Ok(Self {
            guard: Identity::new(domain, Kind::Guard, guard),
            signer,
            token_key: EncodingKey::from_ed_der(token_pair.serialized_der()),
            token_public: token_pair.public_key_pem(),
            store: Store::open(file(STORE), Journal::new(file(JOURNAL)))?,
            path: path.into(),
            renewing: Mutex::new(()),
        })
    }

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

    /// The chain and key of this directory's own guard. The certificate is issued anew
    /// when two thirds of its life are over, and with a new key when it was revoked. When
    /// that fails, the present one is good for the rest of its life.
    ///
    /// # Errors
    /// [`StateError`] when the files or the store cannot be read, or there is no valid
    /// certificate and none can be written.
    pub fn guard_credentials(&self, now: Timestamp) -> Result<GuardCredentials, StateError> {
        let _turn = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let key_path = self.path.join(GUARD_KEY);
        let mut key_pem = files::read(&key_path, what(GUARD_KEY))?;
        let mut pair = p256_key(&key_pem).map_err(|why| StateError::Damaged {
            path: key_path.clone(),
            why,
        })?;
        let mut key = SubjectKey::from_pair(&pair).map_err(|why| StateError::Damaged {
            path: key_path.clone(),
            why,
        })?;
        let pem_path = self.path.join(GUARD_CERTIFICATE);
        let pem = files::read(&pem_path, what(GUARD_CERTIFICATE))?;
        // A certificate that cannot be used is simply replaced: its key is here, and so
        // is the authority's.
        let present = CertificateDer::from_pem_slice(pem.expose().as_bytes())
            .ok()
            .and_then(|der| {
                let leaf = Leaf::read(&der, Usage::Server).ok()?;
                (leaf.identity == self.guard && leaf.key_digest == key.digest)
                    .then_some((der, leaf))
            });
        let (is_revoked, is_known) = self.store.read(|transaction| {
            let fate = match &present {
                Some((_, leaf)) => {
                    records::certificate_fate(transaction, &self.guard, &leaf.serial)?
                }
                None => None,
            };
            let key = records::key_revocation(transaction, &key.digest)?;
            let is_revoked = key.is_some() || matches!(fate, Some((_, Some(_))));
            Ok((is_revoked, fate.is_some()))
        })?;
        let mut present = present.filter(|_| is_known);
        if is_revoked {
            present = None;
            key_pem = wire::keypair::generate()
                .map_err(|e| crypto("make the guard's key", e))?
                .pem;
            files::replace(&key_path, key_pem.expose().as_bytes())?;
            pair = p256_key(&key_pem).map_err(|e| crypto("read the guard's key", e))?;
            key = SubjectKey::from_pair(&pair).map_err(|e| crypto("read the guard's key", e))?;
        } else if let Some((der, leaf)) = &present
            && !is_due(leaf.not_before, leaf.not_after, now)
            // Otherwise it was issued while the clock was ahead.
            && leaf.not_before <= now
        {
            return self.credentials(der.clone(), &key_pem, leaf);
        }
        let (error, present) = match (self.renew_guard(&key, now), present) {
            (Ok((der, leaf)), _) => return self.credentials(der, &key_pem, &leaf),
            (Err(error), present) => (error, present),
        };
        match present.filter(|(_, leaf)| leaf.not_after > now) {
            Some((der, leaf)) => Ok(GuardCredentials {
                not_renewed: Some(error),
                ..self.credentials(der, &key_pem, &leaf)?
            }),
            None => Err(error),
        }
    }

    /// Issues a certificate to this directory's own guard and puts it in its place.
    fn renew_guard(
        &self,
        key: &SubjectKey,
        now: Timestamp,
    ) -> Result<(CertificateDer<'static>, Leaf), StateError> {
        let signed = self
            .signer
            .sign(key, &self.guard, now)
            .map_err(|e| crypto("issue the guard's certificate", e))?;
        self.store
            .write(|transaction| {
                let generation = store::advance(transaction)?;
                let row = CertificateRow::new(&signed, generation, OWN_DEVICE, now);
                Ok(records::add_certificate(transaction, &row)?)
            })
            .map_err(IssueError::into_state)?;
        files::replace(&self.path.join(GUARD_CERTIFICATE), signed.pem.as_bytes())?;
        let der = CertificateDer::from_pem_slice(signed.pem.as_bytes())
            .map_err(|e| crypto("read the guard's certificate", e))?;
        Ok((der, signed.leaf))
    }

    fn credentials(
        &self,
        der: CertificateDer<'static>,
        key: &Secret<String>,
        leaf: &Leaf,
    ) -> Result<GuardCredentials, StateError> {
        Ok(GuardCredentials {
            chain: vec![der, self.certificate()],
            key: PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
                .map_err(|e| crypto("read the guard's key", e))?,
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            not_renewed: None,
        })
    }

    /// Remembers where artists reach this directory's own guard, `HOST:PORT`.
    ///
    /// # Errors
    /// [`StateError::Address`] when it is not of that form, [`StateError::Store`] when it
    /// cannot be written.
    pub fn set_guard_address(&self, address: &str) -> Result<(), StateError> {
        if !is_address(address) {
            return Err(StateError::Address {
                text: address.chars().take(MAX_SHOWN).collect(),
            });
        }
        if self.guard_address()?.as_deref() == Some(address) {
            return Ok(());
        }
        self.store
            .write(|transaction| Ok(records::set_guard_address(transaction, address)?))
            .map_err(IssueError::into_state)
    }

    /// Where artists reach this directory's own guard, as last remembered.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn guard_address(&self) -> Result<Option<String>, StoreError> {
        self.store
            .read(|transaction| records::guard_address(transaction))
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

/// The files of an authority, each with what it is. `state.toml` has been read by then.
pub(crate) const FILES: [(&str, &str); 8] = [
    (AUTHORITY_KEY, "the authority's private key"),
    (AUTHORITY_CERTIFICATE, "the authority's certificate"),
    (TOKEN_KEY, "the private key that signs tokens"),
    (GUARD_KEY, "the guard's private key"),
    (GUARD_CERTIFICATE, "the guard's certificate"),
    (AUDIT_KEY, audit_key::WHAT),
    (STORE, store::WHAT),
    (JOURNAL, journal::WHAT),
];

fn what(name: &str) -> &'static str {
    FILES
        .iter()
        .find(|(known, _)| *known == name)
        .map_or("a file of the authority", |(_, what)| what)
}

/// Writes the files of a new authority.
fn fill(
    directory: &Path,
    domain: &TrustDomain,
    guard: &Name,
    now: Timestamp,
) -> Result<(), StateError> {
    let write =
        |name: &str, content: &str| files::create(&directory.join(name), content.as_bytes());
    let (key, certificate) =
        Signer::create(domain, now).map_err(|e| crypto("make the authority", e))?;
    let signer = Signer::load(&key, &certificate).map_err(|e| match e {
        LoadError::Key(why) | LoadError::Certificate(why) => crypto("make the authority", why),
    })?;
    write(AUTHORITY_KEY, key.expose())?;
    write(AUTHORITY_CERTIFICATE, &certificate)?;

    let token = KeyPair::generate_for(&PKCS_ED25519)
        .map(|pair| Secret::new(pair.serialize_pem()))
        .map_err(|e| crypto("make the token key", e))?;
    write(TOKEN_KEY, token.expose())?;

    let identity = Identity::new(domain.clone(), Kind::Guard, guard.clone());
    let guard_key = wire::keypair::generate()
        .map_err(|e| crypto("make the guard's key", e))?
        .pem;
    let signed = p256_key(&guard_key)
        .and_then(|pair| SubjectKey::from_pair(&pair))
        .and_then(|key| signer.sign(&key, &identity, now))
        .map_err(|e| crypto("issue the guard's certificate", e))?;
    write(GUARD_KEY, guard_key.expose())?;
    write(GUARD_CERTIFICATE, &signed.pem)?;
    audit_key::create(directory)?;

    write(JOURNAL, "")?;
    store::create(&directory.join(STORE))?;
    let store = Store::open(directory.join(STORE), Journal::new(directory.join(JOURNAL)))?;
    store
        .write(|transaction| {
            let sequence = store::advance(transaction)?;
            records::put_grant(
                transaction,
                &identity,
                &Terms::none(),
                sequence,
                sequence,
                now,
            )?;
            let row = CertificateRow::new(&signed, sequence, OWN_DEVICE, now);
            Ok(records::add_certificate(transaction, &row)?)
        })
        .map_err(IssueError::into_state)?;
    drop(store);

    let description = Description::new(Holds::Authority {
        trust_domain: domain.clone(),
        guard: guard.clone(),
    });
    write(STATE, &description.to_toml())
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
