//! Who has a port?

use std::fmt;
use std::net::SocketAddr;

/// Who listens on a port, as far as it could be found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The user.
    pub uid: u32,
    /// Process id and command, when the process is ours to see.
    pub process: Option<(u32, String)>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some((pid, command)) => write!(f, "process {pid} ({command}) of uid {}", self.uid),
            None => write!(f, "a process of uid {}", self.uid),
        }
    }
}

/// Who listens on `address`, or on the same port of all addresses.
#[cfg(target_os = "linux")]
pub(super) fn of(address: SocketAddr) -> Option<Holder> {
    use super::sockets::{self, State};
    let rows = sockets::all().ok()?;
    let row = rows.iter().find(|row| {
        row.state == State::Listening
            && row.local.port() == address.port()
            && (row.local.ip() == address.ip() || row.local.ip().is_unspecified())
    })?;
    Some(Holder {
        uid: row.uid,
        process: process_of(row.inode),
    })
}

/// Who listens on `address`: unknown on this platform.
#[cfg(not(target_os = "linux"))]
pub(super) fn of(_: SocketAddr) -> Option<Holder> {
    None
}

/// The process that holds the socket with this inode. Those of other users show no
/// descriptors.
#[cfg(target_os = "linux")]
fn process_of(inode: u64) -> Option<(u32, String)> {
    let wanted = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = descriptors.flatten().any(|descriptor| {
            std::fs::read_link(descriptor.path())
                .is_ok_and(|target| target.as_os_str() == wanted.as_str())
        });
        if holds {
            let command = std::fs::read_to_string(process.path().join("comm")).ok()?;
            return Some((pid, command.trim_end().into()));
        }
    }
    None
}
