//! Which listener took a connection: another one at the same address is another Houdini.

use std::net::SocketAddr;
use std::path::Path;

use super::{Address, Connection, Houdini};

/// What tells a listener from one that comes after it at the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// The number of a TCP socket. The kernel counts them up.
    #[cfg(target_os = "linux")]
    Socket {
        /// As in `/proc/net/tcp`.
        inode: u32,
    },
    /// The file of a unix socket, which each listener makes anew.
    #[cfg(unix)]
    File {
        /// Of the file system.
        device: u64,
        /// Of the file.
        inode: u64,
        /// Numbers of files are given again: when this one was made, to the nanosecond.
        changed: (i64, i64),
    },
}

impl Connection {
    /// Who listens now where this connection leads to. `None` when it cannot be told: the
    /// listener has gone, is on another machine, or the system does not say.
    pub async fn listener(&self, houdini: &Houdini) -> Option<Listener> {
        match &houdini.address {
            Address::Tcp { .. } => socket(self.tcp()?.peer_addr().ok()?),
            Address::Unix(path) => file(path).await,
        }
    }
}

#[cfg(unix)]
async fn file(path: &Path) -> Option<Listener> {
    use std::os::unix::fs::MetadataExt as _;

    let file = tokio::fs::metadata(path).await.ok()?;
    Some(Listener::File {
        device: file.dev(),
        inode: file.ino(),
        changed: (file.ctime(), file.ctime_nsec()),
    })
}

#[cfg(not(unix))]
async fn file(_: &Path) -> Option<Listener> {
    None
}

#[cfg(target_os = "linux")]
fn socket(address: SocketAddr) -> Option<Listener> {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    let anywhere: IpAddr = match address.ip().to_canonical() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let found = wire::sock_diag::find(address, SocketAddr::new(anywhere, 0));
    let socket = found.ok().flatten()?;
    (socket.state == wire::sock_diag::LISTEN).then_some(Listener::Socket {
        inode: socket.inode,
    })
}

#[cfg(not(target_os = "linux"))]
fn socket(_: SocketAddr) -> Option<Listener> {
    None
}
