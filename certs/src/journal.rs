//! The journal of revocations: one JSON object a line, only ever added to.
//!
//! It exists so that an older copy of the store, put in the place of the newer one,
//! revives nobody: what the journal knows and the store does not is revoked again when
//! the store is opened, and shows that the store was rolled back.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wire::Identity;

use crate::error::{StateError, StoreError};
use crate::files;

/// What the file is, for messages.
pub(crate) const WHAT: &str = "the journal of revocations";

/// One revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Random; the same in the store.
    pub(crate) id: String,
    /// The store's sequence after the revocation.
    pub(crate) sequence: u64,
    /// When.
    pub(crate) at: Timestamp,
    /// Of what.
    pub(crate) kind: EntryKind,
    /// A SPIFFE ID, a serial, a token's id or an invite's id.
    pub(crate) subject: String,
    /// For a certificate: the device that has it, and with it all its certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<DeviceKey>,
    /// The reason that was given.
    pub(crate) why: String,
}

/// A device: an identity with one of its keys, which it keeps when it renews.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceKey {
    /// Whose it is.
    pub(crate) identity: Identity,
    /// SHA-256 of the public key (SubjectPublicKeyInfo, DER), hexadecimal.
    pub(crate) key: String,
}

impl DeviceKey {
    pub(crate) fn new(identity: &Identity, digest: &[u8; 32]) -> Self {
        Self {
            identity: identity.clone(),
            key: wire::hex(digest),
        }
    }
}

/// What was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EntryKind {
    /// A person, service or guard, with all it holds.
    Identity,
    /// One device, named by one of its certificates.
    Certificate,
    /// One token.
    Token,
    /// One invite.
    Invite,
}

impl EntryKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Certificate => "certificate",
            Self::Token => "token",
            Self::Invite => "invite",
        }
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        [Self::Identity, Self::Certificate, Self::Token, Self::Invite]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// The file.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
}

impl Journal {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All entries. A last line without its end was never reported as done and is left
    /// out.
    pub(crate) fn read(&self) -> Result<Vec<Entry>, StateError> {
        // Bytes, because a line may have been cut within a character.
        let bytes = files::read_bytes(&self.path, WHAT)?;
        parse(bytes.expose()).map_err(|line| StateError::Damaged {
            path: self.path.clone(),
            why: format!("line {line} cannot be read"),
        })
    }

    /// Adds the entries that are not there yet and brings them to the disk. Processes take
    /// turns by a lock on the file.
    pub(crate) fn append(&self, entries: &[Entry]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.try_append(entries)
            .map_err(|e| StoreError::from_io(&self.path, &e))
    }

    fn try_append(&self, entries: &[Entry]) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        file.lock()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let known = parse(&bytes).unwrap_or_default();
        // An append that was cut short leaves part of a line.
        let whole = whole_lines(&bytes).len();
        let mut lines = Vec::new();
        for entry in entries {
            if !known.iter().any(|other| other.id == entry.id) {
                serde_json::to_writer(&mut lines, entry)?;
                lines.push(b'\n');
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        file.set_len(whole as u64)?;
        let written = write_at(&mut file, whole as u64, &lines);
        if written.is_err() {
            let _ = file.set_len(whole as u64);
        }
        written
    }
}

fn write_at(file: &mut File, at: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The entries of a journal, or the number of the first line that makes no sense.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Entry>, usize> {
    whole_lines(bytes)
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.trim_ascii().is_empty())
        .map(|(at, line)| serde_json::from_slice(line).map_err(|_| at + 1))
        .collect()
}

/// Everything up to the last end of a line.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    &bytes[..end.map_or(0, |at| at + 1)]
}

/// The entries of a damaged journal that can still be read.
pub(crate) fn salvage(bytes: &[u8]) -> Vec<Entry> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}
