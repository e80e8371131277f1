//! What to do about each error: the line that follows it.

use std::io;
use std::path::Path;

use super::{IssueError, StateError, StoreError};

const ADDRESS: &str =
    "write HOST:PORT, such as ws12.studio.example:18812; an IPv6 address stands in brackets";

impl StateError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Absent { path } => format!(
                "make an authority with: hrpyc-certs --state-dir {} init",
                path.display()
            ),
            Self::Exists { path, .. } if path.ends_with(crate::state::AUDIT_KEY) => {
                "see it with: hrpyc-guard audit key".into()
            }
            Self::Exists { path, .. } => format!(
                "an authority is only made where there is nothing; look at what is there with: hrpyc-certs --state-dir {} list",
                path.display()
            ),
            Self::Missing { path, .. } if path.ends_with(crate::state::JOURNAL) => format!(
                "put it back from a backup with: hrpyc-certs --state-dir {} restore FILE",
                parent(path)
            ),
            Self::Missing { path, .. } if path.ends_with(crate::state::AUDIT_KEY) => format!(
                "put it back from a backup with: hrpyc-certs --state-dir {0} restore FILE; if there never was one, because an older version made this directory, make it with: hrpyc-guard audit key --make --state-dir {0}",
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
            Self::Address { .. } => ADDRESS.into(),
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
            Self::KeyRevoked(_) => {
                "if the device may come back, it needs a new key: hrpyc-certs invite NAME, or a request made with a new key".into()
            }
            Self::CertificateRevoked(_)
            | Self::CertificateUnknown
            | Self::CertificateExpired { .. }
            | Self::CertificateMissing { .. } => {
                "the device must join anew: hrpyc-certs invite NAME".into()
            }
            Self::NotAGuard { .. } => "give the code to hrpyc-agent join on that artist's machine".into(),
            Self::AddressMissing => {
                "start the joining guard with --advertise HOST:PORT".into()
            }
            Self::AddressUnknown => {
                "say it with --guard HOST:PORT, or start the guard once with --advertise HOST:PORT".into()
            }
            Self::Address { .. } => ADDRESS.into(),
            Self::OwnGuard { .. } => "choose another name for the other guard".into(),
            Self::OwnGuardRevoked { identity } => format!(
                "revoke its certificate by serial instead, and the guard makes itself a new key; the serial is shown by: hrpyc-certs show {identity}"
            ),
            Self::Validity => "write --valid 24h, for example".into(),
            Self::RoleMissing { .. } => "add --role full".into(),
            Self::RoleOfGuard { .. } => "leave --role out".into(),
            Self::Role(_) => "write --role full (any Python, as Houdini's user), --role read-only, --role read-numeric, or a role of the guard's policy file".into(),
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
