//! What can go wrong with a state directory, its store, and issuing; each with what to do.

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
    /// The database file is gone.
    #[error("the store {path} is gone")]
    Gone {
        /// The database file.
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
    /// The certificate was revoked.
    #[error("the certificate was revoked at {}: {}", .0.at, .0.why)]
    CertificateRevoked(Revocation),
    /// The authority has no record of the certificate.
    #[error("the certificate is not known here")]
    CertificateUnknown,
    /// The certificate has expired, and a token for it would be worthless.
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
    /// A guard that joins did not say where it can be reached.
    #[error("a guard that joins must say where artists reach it")]
    AddressMissing,
    /// Nobody has said where this authority's guard is reached.
    #[error("it is not known at which address artists reach this guard")]
    AddressUnknown,
    /// The address does not fit into an invite code.
    #[error("the guard's address is longer than 255 bytes")]
    AddressTooLong,
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
    #[error("an invite can be valid for up to 30 days, and for some time at least")]
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
    /// The role does not exist.
    #[error("there is no role {0:?}; the only role is \"full\"")]
    Role(String),
    /// The state directory or the store failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StateError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Absent { path } => format!(
                "make an authority with: hrpyc-certs --state-dir {} init",
                path.display()
            ),
            Self::Exists { path, .. } => format!(
                "an authority is only made where there is nothing; look at what is there with: hrpyc-certs --state-dir {} list",
                path.display()
            ),
            Self::Missing { path, .. } if path.ends_with(crate::state::JOURNAL) => format!(
                "put it back from a backup with: hrpyc-certs --state-dir {} restore FILE",
                parent(path)
            ),
            Self::Missing { path, .. } | Self::Damaged { path, .. } => format!(
                "nothing is made anew here, because every artist would have to join again; put it back from a backup with: hrpyc-certs --state-dir {} restore FILE",
                parent(path)
            ),
            Self::Mode { path, wanted, .. } => {
                format!(
                    "if nobody else has read it, type: chmod {wanted:o} {}",
                    path.display()
                )
            }
            Self::Owner { path, .. } => format!(
                "run this as its owner, or, if this user should have it: chown -R {} {}",
                me(),
                path.display()
            ),
            Self::Kind { path, wanted } => {
                format!("move {} away and put {wanted} there", path.display())
            }
            Self::Version { .. } => "update this program to the version that wrote it".into(),
            Self::NetworkFilesystem { .. } => {
                "choose a directory on a local disk with --state-dir".into()
            }
            Self::Member { authority, .. } => {
                format!("run this command on the machine of {authority}")
            }
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "make room on the disk and try again; nothing was overwritten".into()
                }
                io::ErrorKind::PermissionDenied => {
                    "run this as the user who owns the state directory".into()
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    "make the filesystem writable and try again; nothing was changed".into()
                }
                _ => "look at the disk and the directory, then try again".into(),
            },
            Self::Crypto { .. } => "try again; if it stays, the files here may be damaged".into(),
            Self::Store(e) => e.hint(),
        }
    }
}

impl StoreError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Damaged { path, .. } | Self::Gone { path } => format!(
                "put it back from a backup with: hrpyc-certs --state-dir {} restore FILE; the revocations in the journal are kept",
                parent(path)
            ),
            Self::Full { .. } => "make room on the disk and try again".into(),
            Self::ReadOnly { path, .. } => format!(
                "make {} writable for the user who owns it and try again",
                parent(path)
            ),
            Self::Busy { .. } => "try again; if it stays, look for a process that hangs".into(),
            Self::Version { .. } => "update this program to the version that wrote it".into(),
            Self::Other { .. } => "look at the disk and the directory, then try again".into(),
        }
    }

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
    /// What the operator can do about it. What an artist can do is the guard's to say.
    pub fn hint(&self) -> String {
        match self {
            Self::InviteUnknown
            | Self::InviteUsed { .. }
            | Self::InviteExpired { .. }
            | Self::InviteRevoked(_) => "make a new one with: hrpyc-certs invite NAME".into(),
            Self::Request(_) => {
                "make one with: openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout NAME.key -subj / -out NAME.csr".into()
            }
            Self::GrantMissing { identity } | Self::GrantRevoked { identity, .. } => {
                format!("let them in with: hrpyc-certs invite {identity}{}", role_for(identity))
            }
            Self::GrantPending { identity } => format!(
                "revoke the invite and make another: hrpyc-certs revoke {identity} --why TEXT, then hrpyc-certs invite {identity} ..."
            ),
            Self::AccessEnded { identity, .. } => format!(
                "give a later end with: hrpyc-certs grant {identity} --access-until DATE"
            ),
            Self::CertificateRevoked(_)
            | Self::CertificateUnknown
            | Self::CertificateExpired { .. }
            | Self::CertificateMissing { .. } => {
                "the device must join anew: hrpyc-certs invite NAME".into()
            }
            Self::AddressMissing => {
                "start the joining guard with --advertise HOST:PORT".into()
            }
            Self::AddressUnknown => {
                "say it with --guard HOST:PORT, or start the guard once with --advertise HOST:PORT".into()
            }
            Self::AddressTooLong => "use a shorter name or an IP address".into(),
            Self::OwnGuard { .. } => "choose another name for the other guard".into(),
            Self::OwnGuardRevoked { .. } => {
                "revoke its certificate by serial instead: the guard makes itself a new key; the serial is shown by: hrpyc-certs show guard/NAME".into()
            }
            Self::Validity => "write --valid 24h, for example".into(),
            Self::RoleMissing { .. } => "add --role full".into(),
            Self::RoleOfGuard { .. } => "leave --role out".into(),
            Self::Role(_) => "write --role full; it is all that Houdini's own RPC gives: any Python, as Houdini's user".into(),
            Self::EndIsPast { .. } => {
                "give a moment in the future, or end access now with: hrpyc-certs revoke NAME --why TEXT".into()
            }
            Self::TargetUnknown { .. } => "see who is here with: hrpyc-certs list".into(),
            Self::TargetAmbiguous { .. } => {
                "write a name as its whole SPIFFE ID: spiffe://DOMAIN/artist/NAME".into()
            }
            Self::Reason { .. } => "write --why \"left the show\", for example".into(),
            Self::NoAlarm => "nothing needs to be done".into(),
            Self::Stopped => {
                "see what happened with: hrpyc-certs list; then repeat revocations that may be lost, and go on with: hrpyc-certs restore --accept-rollback --why TEXT".into()
            }
            Self::Journal(e) => format!("{}, by repeating this command", e.hint()),
            Self::State(e) => e.hint(),
            Self::Store(e) => e.hint(),
        }
    }

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

fn role_for(identity: &str) -> &'static str {
    if identity.starts_with("guard/") {
        ""
    } else {
        " --role full"
    }
}

fn parent(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

#[cfg(unix)]
fn me() -> String {
    rustix::process::geteuid().as_raw().to_string()
}

#[cfg(not(unix))]
fn me() -> String {
    "USER".into()
}
