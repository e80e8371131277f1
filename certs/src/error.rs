//! What can go wrong with a state directory, its store, and issuing; each with what to do.

mod hints;

use std::io;
use std::path::{Path, PathBuf};

use jiff::{Timestamp, Zoned};

use crate::trust::Revocation;

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There is nothing at the path.
    #[error("there is no state directory at {path}")]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A new state directory was to be made where there is one, or something else.
    #[error("{path} exists already: {what}")]
    Exists {
        /// The path.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// A file that must be there is not.
    #[error("{path} is missing: it is {what}")]
    Missing {
        /// The missing file.
        path: PathBuf,
        /// What the file is.
        what: &'static str,
    },
    /// Others may read or write what only the owner may.
    #[error(
        "{path} has mode {found:04o}, so that other users can get at it; it must be {wanted:04o}"
    )]
    Mode {
        /// The file or directory.
        path: PathBuf,
        /// Its mode.
        found: u32,
        /// The mode it must have.
        wanted: u32,
    },
    /// It belongs to somebody else.
    #[error("{path} belongs to user {owner}, and this program runs as user {me}")]
    Owner {
        /// The file or directory.
        path: PathBuf,
        /// User id of its owner.
        owner: u32,
        /// User id of this process.
        me: u32,
    },
    /// It is not what it should be: a link, a directory, a pipe.
    #[error("{path} is not {wanted}")]
    Kind {
        /// The path.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
    },
    /// A file's content makes no sense.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file of a newer version of this program.
    #[error("{path} is of version {found}, and this program knows versions up to {known}")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The highest version known here.
        known: u32,
    },
    /// SQLite's locks do not hold there.
    #[error("{path} is on a network filesystem ({filesystem}), where the store could be damaged")]
    NetworkFilesystem {
        /// The directory.
        path: PathBuf,
        /// Which one, such as NFS.
        filesystem: &'static str,
    },
    /// The directory is of the other kind.
    #[error(
        "{path} belongs to a guard that joined the authority of {authority}; it holds no authority"
    )]
    Member {
        /// The directory.
        path: PathBuf,
        /// The guard that holds the authority.
        authority: String,
    },
    /// The address of the guard makes no sense, and was not remembered.
    #[error("{text:?} is not an address at which artists could reach a guard")]
    Address {
        /// What was given, its beginning.
        text: String,
    },
    /// Reading or writing failed.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The cryptography failed.
    #[error("cannot {doing}: {why}")]
    Crypto {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        why: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the store cannot be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Its content makes no sense.
    #[error("the store {path} is damaged: {why}")]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
    /// No space is left.
    #[error("the disk with {path} is full; nothing was changed")]
    Full {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// The file or its filesystem may not be written.
    #[error("{path} cannot be written: {why}; nothing was changed")]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// The cause.
        why: String,
    },
    /// Another process holds it.
    #[error(
        "the store {path} is in use by another process and did not become free in time; nothing was changed"
    )]
    Busy {
        /// The database file.
        path: PathBuf,
    },
    /// The database file, or the journal, is gone.
    #[error("{path} is gone")]
    Gone {
        /// The missing file.
        path: PathBuf,
    },
    /// The store is of a newer version of this program.
    #[error(
        "the store {path} is of version {found}, and this program knows versions up to {known}"
    )]
    Version {
        /// The database file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The highest version known here.
        known: u32,
    },
    /// Anything else.
    #[error("the store {path} failed: {why}")]
    Other {
        /// The file.
        path: PathBuf,
        /// The cause.
        why: String,
    },
}

/// Why nothing is issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// No such invite.
    #[error("this invite is not known here")]
    InviteUnknown,
    /// The invite was used by another key.
    #[error("this invite was used at {at}")]
    InviteUsed {
        /// Whom it was for, in short form.
        identity: String,
        /// When.
        at: Timestamp,
    },
    /// The invite has expired.
    #[error("this invite expired at {at}")]
    InviteExpired {
        /// When.
        at: Timestamp,
    },
    /// The invite was revoked.
    #[error("this invite was revoked at {}: {}", .0.at, .0.why)]
    InviteRevoked(Revocation),
    /// The certificate request cannot be used.
    #[error("the certificate request cannot be used: {0}")]
    Request(String),
    /// The identity was never let in.
    #[error("{identity} has no access")]
    GrantMissing {
        /// Who, in short form.
        identity: String,
    },
    /// The identity was revoked.
    #[error("the access of {identity} was revoked at {}: {}", .revocation.at, .revocation.why)]
    GrantRevoked {
        /// Who, in short form.
        identity: String,
        /// When and why.
        revocation: Revocation,
    },
    /// The grant has ended.
    #[error("the access of {identity} ended on {}", crate::when::moment(.until))]
    AccessEnded {
        /// Who, in short form.
        identity: String,
        /// When.
        until: Box<Zoned>,
    },
    /// The key of the request was revoked with its device.
    #[error("the key of the certificate request was revoked with its device at {}: {}", .0.at, .0.why)]
    KeyRevoked(Revocation),
    /// The certificate was revoked.
    #[error("the certificate was revoked at {}: {}", .0.at, .0.why)]
    CertificateRevoked(Revocation),
    /// The authority has no record of the certificate.
    #[error("the certificate is not known here")]
    CertificateUnknown,
    /// The certificate has expired: a token for it would be worthless, or it is too late to
    /// renew it.
    #[error("the certificate expired at {at}")]
    CertificateExpired {
        /// When.
        at: Timestamp,
    },
    /// The identity has no certificate that counts.
    #[error("{identity} has no live certificate")]
    CertificateMissing {
        /// Who, in short form.
        identity: String,
    },
    /// A guard used an invite that is for somebody else.
    #[error("the invite is for {identity}, which is no guard")]
    NotAGuard {
        /// Who, in short form.
        identity: String,
    },
    /// A guard that joins did not say where it can be reached.
    #[error("a guard that joins must say where artists reach it")]
    AddressMissing,
    /// Nobody has said where this authority's guard is reached.
    #[error("it is not known at which address artists reach this guard")]
    AddressUnknown,
    /// The address of a guard makes no sense.
    #[error("{text:?} is not an address at which artists could reach a guard")]
    Address {
        /// What was given, its beginning.
        text: String,
    },
    /// An invite or revocation for the guard that shares the state directory.
    #[error(
        "{identity} is this authority's own guard; another machine with its name could pose as it"
    )]
    OwnGuard {
        /// Who, in short form.
        identity: String,
    },
    /// The authority's own guard cannot be shut out by name.
    #[error("{identity} is this authority's own guard, which cannot be revoked by name")]
    OwnGuardRevoked {
        /// Who, in short form.
        identity: String,
    },
    /// An invite that is valid for no time, or for too long.
    #[error("an invite must be valid for some time, and for 30 days at most")]
    Validity,
    /// There is only an invite so far.
    #[error("{identity} is invited and has no access yet, so there is no grant to change")]
    GrantPending {
        /// Who, in short form.
        identity: String,
    },
    /// A new artist or service needs a role.
    #[error("{identity} has no access yet, so a role must be given")]
    RoleMissing {
        /// Who, in short form.
        identity: String,
    },
    /// A guard has no role.
    #[error("{identity} is a guard, and guards have no role")]
    RoleOfGuard {
        /// Who, in short form.
        identity: String,
    },
    /// The end of access is not in the future.
    #[error("{} is in the past", crate::when::moment(.until))]
    EndIsPast {
        /// The moment that was given.
        until: Box<Zoned>,
    },
    /// Nothing of that name, serial or id.
    #[error("nothing here is called {text}: no name, certificate serial, token id or invite id")]
    TargetUnknown {
        /// What was typed.
        text: String,
    },
    /// A name that is also a serial or an id.
    #[error("{text} is the name of more than one thing here")]
    TargetAmbiguous {
        /// What was typed.
        text: String,
    },
    /// A reason that is empty or too long.
    #[error("a reason of one to {longest} characters must be given")]
    Reason {
        /// The most characters.
        longest: usize,
    },
    /// There is no rollback to accept.
    #[error("no rollback was noticed, so there is nothing to accept")]
    NoAlarm,
    /// The revocation is in the store, and the journal could not be written.
    #[error(
        "it is revoked, but the journal that keeps it revoked when an older store is put back could not be written: {0}"
    )]
    Journal(StoreError),
    /// The rollback alarm stands.
    #[error("the store was rolled back to an older state, so nothing is issued")]
    Stopped,
    /// This is no name of a role.
    #[error("{0:?} is no name of a role")]
    Role(String),
    /// The state directory or the store failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StoreError {
    /// What SQLite says, in our words.
    pub(crate) fn from_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;

        let path = path.to_owned();
        let why = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::ReadOnly { path, why }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path, why }
            }
            // The shared memory beside the database could not be given its size.
            Some(ErrorCode::SystemIoFailure)
                if error
                    .sqlite_error()
                    .is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE) =>
            {
                Self::Full { path }
            }
            _ if matches!(error, rusqlite::Error::FromSqlConversionFailure(..)) => {
                Self::Damaged { path, why }
            }
            _ => Self::Other { path, why },
        }
    }

    pub(crate) fn from_io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        let why = error.to_string();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::ReadOnly { path, why }
            }
            io::ErrorKind::NotFound => Self::Gone { path },
            _ => Self::Other { path, why },
        }
    }
}

impl IssueError {
    /// For changes that cannot fail in any other way than the store's.
    pub(crate) fn into_store(self) -> StoreError {
        match self {
            Self::Store(e) | Self::State(StateError::Store(e)) => e,
            other => StoreError::Other {
                path: crate::state::STORE.into(),
                why: other.to_string(),
            },
        }
    }

    pub(crate) fn into_state(self) -> StateError {
        match self {
            Self::State(e) => e,
            other => other.into_store().into(),
        }
    }
}
