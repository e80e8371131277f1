//! Putting a backup back.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use wire::Secret;
use wire::leaf::Fingerprint;

use super::{Backup, BackupError, Files};
use crate::audit_key;
use crate::authority::Authority;
use crate::certificates::p256_key;
use crate::error::{StateError, StoreError};
use crate::files::{self, io_error};
use crate::journal::{self, Entry, Journal};
use crate::records;
use crate::state::{
    self, AUDIT_KEY, AUTHORITY_CERTIFICATE, Description, GUARD_CERTIFICATE, GUARD_KEY, Holds,
    JOURNAL, STATE, STORE,
};
use crate::store::Store;

/// What putting a backup back did.
#[derive(Debug)]
pub struct Restored {
    /// When the backup was made.
    pub taken: Timestamp,
    /// How many revocations made since were kept.
    pub kept: usize,
    /// Whether everything known of the time since the backup was at hand and nothing
    /// had changed. If not, the rollback alarm stands.
    pub is_current: bool,
    /// Where a damaged store was put aside.
    pub set_aside: Vec<PathBuf>,
}

impl Backup {
    /// Puts the backup back: into a directory that does not exist or is empty, or over an
    /// authority's that is damaged or newer. Revocations that are found there are kept.
    ///
    /// # Errors
    /// [`BackupError`] when the passphrase is wrong, the directory holds something else,
    /// or it cannot be written.
    pub fn restore(
        &self,
        to: &Path,
        passphrase: Option<&Secret<String>>,
        now: Timestamp,
    ) -> Result<Restored, BackupError> {
        let content = self.open(passphrase)?;
        match files::check_directory(to) {
            Err(StateError::Absent { .. }) => self.restore_fresh(to, &content, now),
            Err(e) => Err(e.into()),
            Ok(()) if state::is_vacant(to)? => self.restore_fresh(to, &content, now),
            Ok(()) => self.restore_over(to, &content, now),
        }
    }

    fn restore_fresh(
        &self,
        to: &Path,
        content: &Files,
        now: Timestamp,
    ) -> Result<Restored, BackupError> {
        state::make(to, |directory| {
            for (name, bytes) in &content.0 {
                files::create(&directory.join(name), bytes)?;
            }
            let store = Store::open(directory.join(STORE), Journal::new(directory.join(JOURNAL)))?;
            store.alarm(self.document.sequence, &self.why())?;
            drop(store);
            load(directory, content, now).map(drop)
        })?;
        Ok(Restored {
            taken: self.document.taken,
            kept: 0,
            is_current: false,
            set_aside: Vec::new(),
        })
    }

    fn restore_over(
        &self,
        to: &Path,
        content: &Files,
        now: Timestamp,
    ) -> Result<Restored, BackupError> {
        self.check_same_authority(to)?;
        state::clear_unfinished(to)?;
        let mut set_aside = Vec::new();
        let journal = Journal::new(to.join(JOURNAL));
        let newer = newer_state(&to.join(STORE), &journal)?;
        let known = journal::parse(content.bytes(JOURNAL)).unwrap_or_default();
        let kept = newer
            .revocations
            .iter()
            .filter(|entry| !known.iter().any(|other| other.id == entry.id))
            .count();

        // The store as it is to be is made beside, so that the change is one step.
        let work = to.join(format!("{}{}", state::UNFINISHED, crate::random::hex(8)));
        files::make_directory(&work)?;
        let made = self.make_store(&work, content, &newer);
        let is_current = match made {
            Ok(is_current) => is_current,
            Err(e) => {
                let _ = fs::remove_dir_all(&work);
                return Err(e.into());
            }
        };
        if newer.journal_is_sound {
            journal.append(&journal::parse(content.bytes(JOURNAL)).unwrap_or_default())?;
            journal.append(&newer.revocations)?;
        } else {
            put_aside(&to.join(JOURNAL), now, &mut set_aside)?;
            fs::copy(work.join(JOURNAL), to.join(JOURNAL))
                .map_err(io_error("write", &to.join(JOURNAL)))?;
        }
        for (name, bytes) in &content.0 {
            put_back_file(to, name, bytes)?;
        }
        if let Some(known) = newer.sequence {
            Store::open(to.join(STORE), Journal::new(to.join(JOURNAL)))?.replace_with(
                &work.join(STORE),
                known,
                &self.why(),
            )?;
        } else {
            for name in [STORE, "store.db-wal", "store.db-shm"] {
                put_aside(&to.join(name), now, &mut set_aside)?;
            }
            fs::rename(work.join(STORE), to.join(STORE))
                .map_err(io_error("write", &to.join(STORE)))?;
        }
        fs::remove_dir_all(&work).map_err(io_error("remove", &work))?;
        files::sync_directory(to)?;
        let authority = load(to, content, now)?;
        Ok(Restored {
            taken: self.document.taken,
            kept,
            // The store that was here may have been an older one itself.
            is_current: is_current && authority.alarm()?.is_none(),
            set_aside,
        })
    }

    /// Makes the backup's store in `work`, with the revocations of the newer one. Whether
    /// nothing had changed since the backup.
    fn make_store(&self, work: &Path, content: &Files, newer: &Newer) -> Result<bool, StateError> {
        files::create(&work.join(STORE), content.bytes(STORE))?;
        files::create(&work.join(JOURNAL), content.bytes(JOURNAL))?;
        let open = || Store::open(work.join(STORE), Journal::new(work.join(JOURNAL)));
        let store = open()?;
        let here = store.read(|transaction| records::sequence(transaction))?;
        let is_current = newer.sequence == Some(self.document.sequence)
            && here == self.document.sequence
            && newer.journal_is_sound;
        if !is_current {
            store.alarm(newer.sequence.unwrap_or(here).max(here), &self.why())?;
        }
        // What was revoked since is merged when the store is opened again. The alarm stands
        // by then, with the better reason.
        store.journal().append(&newer.revocations)?;
        drop(store);
        open()?;
        Ok(is_current)
    }

    fn check_same_authority(&self, to: &Path) -> Result<(), BackupError> {
        if let Ok(Description {
            holds: Holds::Member {
                authority_guard, ..
            },
            ..
        }) = Description::read(to)
        {
            return Err(StateError::Member {
                path: to.into(),
                authority: authority_guard.shorthand(),
            }
            .into());
        }
        let Ok(pem) = fs::read(to.join(AUTHORITY_CERTIFICATE)) else {
            return Ok(());
        };
        match CertificateDer::from_pem_slice(&pem) {
            Ok(der) if Fingerprint::of(&der).to_string() != self.document.authority => {
                Err(BackupError::OtherAuthority {
                    path: to.into(),
                    backup: self.document.authority.clone(),
                    here: Fingerprint::of(&der).to_string(),
                })
            }
            // A damaged one tells nothing, and is replaced.
            _ => Ok(()),
        }
    }

    fn why(&self) -> String {
        format!("a backup of {} was put back", self.document.taken)
    }
}

/// What is at the place of a restore and may be newer than the backup.
struct Newer {
    /// Of the store, when it can be read.
    sequence: Option<u64>,
    revocations: Vec<Entry>,
    journal_is_sound: bool,
}

fn newer_state(store: &Path, journal: &Journal) -> Result<Newer, StateError> {
    let (mut revocations, journal_is_sound) = match journal.read() {
        Ok(entries) => (entries, true),
        Err(StateError::Missing { .. } | StateError::Damaged { .. }) => {
            let bytes = fs::read(journal.path()).unwrap_or_default();
            (journal::salvage(&bytes), false)
        }
        Err(e) => return Err(e),
    };
    match files::check_file(store, crate::store::WHAT) {
        Ok(()) | Err(StateError::Missing { .. }) => {}
        Err(e) => return Err(e),
    }
    let sequence = match crate::store::peek(store) {
        Ok((sequence, stored)) => {
            for entry in stored {
                if !revocations.iter().any(|other| other.id == entry.id) {
                    revocations.push(entry);
                }
            }
            Some(sequence)
        }
        Err(StoreError::Damaged { .. } | StoreError::Gone { .. }) => None,
        Err(e) => return Err(e.into()),
    };
    Ok(Newer {
        sequence,
        revocations,
        journal_is_sound,
    })
}

/// Puts a key or certificate back where it is missing or cannot be right. Store and
/// journal are merged elsewhere.
fn put_back_file(to: &Path, name: &str, bytes: &[u8]) -> Result<(), StateError> {
    if matches!(name, STORE | JOURNAL) {
        return Ok(());
    }
    let path = to.join(name);
    match files::read(&path, "a file of the authority") {
        Ok(text) if text.expose().as_bytes() == bytes => return Ok(()),
        // The guard may have renewed its own certificate, or made itself a new key.
        Ok(text) if name == GUARD_KEY && p256_key(&text).is_ok() => return Ok(()),
        // What is in the audit here was signed with the key that is here.
        Ok(text) if name == AUDIT_KEY && audit_key::is_sound(&text) => return Ok(()),
        Ok(_) if name == GUARD_CERTIFICATE => return Ok(()),
        Ok(_) | Err(StateError::Missing { .. } | StateError::Damaged { .. }) => {}
        Err(e) => return Err(e),
    }
    files::replace(&path, bytes)
}

fn put_aside(path: &Path, now: Timestamp, aside: &mut Vec<PathBuf>) -> Result<(), StateError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let target = path.with_file_name(format!("{name}.damaged-{}", now.as_second()));
    match fs::rename(path, &target) {
        Ok(()) => aside.push(target),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(io_error("move away", path)(e)),
    }
    Ok(())
}

/// Opens what was put back, and lets the guard have a certificate that its store knows.
fn load(directory: &Path, content: &Files, now: Timestamp) -> Result<Authority, StateError> {
    let path = directory.join(STATE);
    match Description::parse(&content.text(STATE), &path)?.holds {
        Holds::Authority {
            trust_domain,
            guard,
        } => {
            let authority = Authority::load(directory, trust_domain, guard)?;
            authority.guard_credentials(now)?;
            Ok(authority)
        }
        Holds::Member { .. } => Err(StateError::Damaged {
            path,
            why: "it is not an authority's".into(),
        }),
    }
}
