//! Backups of an authority, and putting one back without reviving anybody.
//!
//! A backup is one JSON document: a head in clear, and the files of the state directory,
//! encrypted under a passphrase (PBKDF2 with HMAC-SHA-256, AES-256-GCM) unless the
//! operator wants them in clear.
//!
//! Putting a backup back is a rollback by hand: certificates issued since are forgotten,
//! and so are changes of grants. Revocations made since are kept where the journal or the
//! newer store is at hand. Where neither is, they are lost, and nobody but the operator
//! can know. So issuing stops until the operator has looked, and the sequence is raised
//! only then: until then a token of the lost time still shows itself.

mod restoring;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wire::{Secret, TrustDomain};

use crate::authority::{Authority, FILES, crypto};
use crate::bundle::{self, ITERATIONS};
use crate::error::{StateError, StoreError};
use crate::files::{self, io_error};
use crate::records;
use crate::state::{STATE, STORE};

pub use restoring::Restored;

const FORMAT: &str = "hrpyc-guard backup";
const VERSION: u32 = 1;
/// The largest number of iterations that a file may ask of us.
const MAX_ITERATIONS: u32 = 10_000_000;
/// The largest backup that is read, in bytes.
const MAX_SIZE: u64 = 1 << 30;

/// Why a backup cannot be made or put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file is not a backup.
    #[error("{path} is not a backup of hrpyc-guard: {why}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The passphrase is wrong, or the file was changed.
    #[error("{path} cannot be decrypted: the passphrase is wrong, or the file was changed")]
    Passphrase {
        /// The file.
        path: PathBuf,
    },
    /// The backup is of another authority than the one at the place.
    #[error("the backup is of the authority {backup}, and {path} holds {here}")]
    OtherAuthority {
        /// The state directory.
        path: PathBuf,
        /// Fingerprint of the authority in the backup.
        backup: String,
        /// Fingerprint of the authority in the state directory.
        here: String,
    },
    /// The state directory failed.
    #[error(transparent)]
    State(#[from] StateError),
}

impl BackupError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Malformed { .. } => "give a file made by: hrpyc-certs backup FILE".into(),
            Self::Passphrase { .. } => "try the passphrase given when the backup was made".into(),
            Self::OtherAuthority { path, .. } => format!(
                "restore into another directory with --state-dir, or move {} away first",
                path.display()
            ),
            Self::State(e) => e.hint(),
        }
    }
}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        Self::State(error.into())
    }
}

/// A backup that was read; its content may still be encrypted.
#[derive(Debug)]
pub struct Backup {
    path: PathBuf,
    document: Document,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    version: u32,
    trust_domain: TrustDomain,
    authority: String,
    taken: Timestamp,
    sequence: u64,
    encryption: Option<Encryption>,
    content: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encryption {
    iterations: u32,
    salt: String,
    nonce: String,
}

/// The files by name, base64.
type Content = BTreeMap<String, Secret<String>>;

impl Authority {
    /// Writes a backup of keys, store and journal into a new file, mode 0600. Without a
    /// passphrase the file holds the keys in clear.
    ///
    /// # Errors
    /// [`BackupError`] when it cannot be written; no part of a file is left then.
    pub fn backup(
        &self,
        to: &Path,
        passphrase: Option<&Secret<String>>,
        now: Timestamp,
    ) -> Result<(), BackupError> {
        let sequence = self
            .store
            .read(|transaction| records::sequence(transaction))?;
        let content = Secret::new(self.content()?);
        let mut document = Document {
            format: FORMAT.into(),
            version: VERSION,
            trust_domain: self.domain().clone(),
            authority: self.fingerprint().to_string(),
            taken: Timestamp::from_second(now.as_second()).unwrap_or(now),
            sequence,
            encryption: None,
            content: String::new(),
        };
        let mut bytes = content.expose().as_bytes().to_vec();
        if let Some(passphrase) = passphrase {
            let salt: [u8; 16] = crate::random::bytes();
            let nonce: [u8; NONCE_LEN] = crate::random::bytes();
            document.encryption = Some(Encryption {
                iterations: ITERATIONS,
                salt: STANDARD.encode(salt),
                nonce: STANDARD.encode(nonce),
            });
            key(passphrase, &salt, ITERATIONS)
                .and_then(|key| {
                    key.seal_in_place_append_tag(
                        Nonce::assume_unique_for_key(nonce),
                        Aad::from(document.head().as_bytes()),
                        &mut bytes,
                    )
                    .ok()
                })
                .ok_or_else(|| crypto("encrypt the backup", "AES-256-GCM failed"))?;
        }
        document.content = STANDARD.encode(bytes);
        let mut text =
            serde_json::to_string_pretty(&document).map_err(|e| crypto("write the backup", e))?;
        text.push('\n');
        let made = files::create(to, text.as_bytes());
        if let Err(StateError::Io { source, .. }) = &made
            && source.kind() != std::io::ErrorKind::AlreadyExists
        {
            let _ = fs::remove_file(to);
        }
        Ok(made?)
    }

    fn content(&self) -> Result<String, StateError> {
        let mut content = Content::new();
        let mut put = |name: &str, bytes: &[u8]| {
            content.insert(name.into(), Secret::new(STANDARD.encode(bytes)));
        };
        // The copy of the store comes first: the journal may then know more than it, and
        // what it knows more is merged when the backup is opened.
        let copy = files::beside(&self.path().join(STORE));
        files::create(&copy, b"")?;
        let copied = self
            .store
            .copy_to(&copy)
            .map_err(StateError::from)
            .and_then(|()| fs::read(&copy).map_err(io_error("read", &copy)));
        let _ = fs::remove_file(&copy);
        put(STORE, &copied?);
        for (name, what) in FILES.iter().chain(&[(STATE, "the description")]) {
            if *name != STORE {
                let bytes = files::read_bytes(&self.path().join(name), what)?;
                put(name, bytes.expose());
            }
        }
        serde_json::to_string(&content).map_err(|e| crypto("write the backup", e))
    }
}

impl Document {
    /// What the encryption also vouches for.
    fn head(&self) -> String {
        format!(
            "{FORMAT}\n{VERSION}\n{}\n{}\n{}\n{}",
            self.trust_domain, self.authority, self.taken, self.sequence
        )
    }
}

fn key(passphrase: &Secret<String>, salt: &[u8], iterations: u32) -> Option<LessSafeKey> {
    UnboundKey::new(
        &AES_256_GCM,
        bundle::derive(passphrase, salt, iterations).expose(),
    )
    .ok()
    .map(LessSafeKey::new)
}

impl Backup {
    /// Reads a backup, without its content.
    ///
    /// # Errors
    /// [`BackupError::Malformed`] when it is not one.
    pub fn read(path: &Path) -> Result<Self, BackupError> {
        let malformed = |why: String| BackupError::Malformed {
            path: path.into(),
            why,
        };
        let size = fs::metadata(path).map_err(io_error("read", path))?.len();
        if size > MAX_SIZE {
            return Err(malformed("it is larger than 1 GiB".into()));
        }
        let bytes = fs::read(path).map_err(io_error("read", path))?;
        let document: Document = serde_json::from_slice(&bytes)
            .map_err(|e| malformed(format!("line {} column {}", e.line(), e.column())))?;
        if document.format != FORMAT || document.version != VERSION {
            return Err(malformed(format!(
                "it is {:?} of version {}",
                document.format, document.version
            )));
        }
        Ok(Self {
            path: path.into(),
            document,
        })
    }

    /// Whether a passphrase is needed.
    pub fn is_encrypted(&self) -> bool {
        self.document.encryption.is_some()
    }

    /// Decrypts the content.
    fn open(&self, passphrase: Option<&Secret<String>>) -> Result<Files, BackupError> {
        let malformed = |why: &str| BackupError::Malformed {
            path: self.path.clone(),
            why: why.into(),
        };
        let decode = |text: &str| {
            STANDARD
                .decode(text)
                .map_err(|_| malformed("its content is damaged"))
        };
        let mut bytes = decode(&self.document.content)?;
        if let Some(encryption) = &self.document.encryption {
            let wrong = || BackupError::Passphrase {
                path: self.path.clone(),
            };
            let nonce: [u8; NONCE_LEN] = decode(&encryption.nonce)?
                .try_into()
                .map_err(|_| malformed("its nonce is damaged"))?;
            if encryption.iterations > MAX_ITERATIONS {
                return Err(malformed("it asks for too much work"));
            }
            let salt = decode(&encryption.salt)?;
            let length = passphrase
                .and_then(|passphrase| key(passphrase, &salt, encryption.iterations))
                .ok_or_else(wrong)?
                .open_in_place(
                    Nonce::assume_unique_for_key(nonce),
                    Aad::from(self.document.head().as_bytes()),
                    &mut bytes,
                )
                .map_err(|_| wrong())?
                .len();
            bytes.truncate(length);
        }
        let content: Content =
            serde_json::from_slice(&bytes).map_err(|_| malformed("its content is damaged"))?;
        let mut found = BTreeMap::new();
        for (name, what) in FILES
            .iter()
            .chain(&[(STATE, "the description of the state directory")])
        {
            let text = content
                .get(*name)
                .ok_or_else(|| malformed(&format!("it lacks {what}")))?;
            found.insert(*name, decode(text.expose())?);
        }
        Ok(Files(found))
    }
}

/// The files of a backup by name.
struct Files(BTreeMap<&'static str, Vec<u8>>);

impl Files {
    fn bytes(&self, name: &str) -> &[u8] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.bytes(name)).into_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for bytes in self.0.values_mut() {
            bytes.fill(0);
        }
    }
}
