//! Whose is a connection?

use std::io;
use std::net::SocketAddr;

#[cfg(any(target_os = "linux", test))]
use super::sockets::{Row, State};

/// Why a local connection is not served.
#[derive(Debug, thiserror::Error)]
pub enum NotOurs {
    /// It belongs to another user.
    #[error("the connection belongs to another user of this machine (uid {0})")]
    OtherUser(u32),
    /// The client has gone, or it is not on this machine.
    #[error("the connection belongs to no process on this machine")]
    Nobody,
    /// The operating system does not say.
    #[error("the table of sockets cannot be read: {0}")]
    Table(io::Error),
}

/// Is the client at `peer`, connected to us at `here`, of the user that runs this process?
///
/// # Errors
/// [`NotOurs`] when it is not, and when that cannot be told.
#[cfg(target_os = "linux")]
pub async fn check_owner(peer: SocketAddr, here: SocketAddr) -> Result<(), NotOurs> {
    let uid = rustix::process::geteuid().as_raw();
    match super::sock_diag::find(peer, here) {
        Ok(row) => check_among(row.as_slice(), peer, here, uid),
        Err(error) => {
            tracing::debug!(%error, "a single socket cannot be asked for: reading all");
            // The table is made up while it is read, which takes its time.
            let rows = tokio::task::spawn_blocking(super::sockets::all)
                .await
                .unwrap_or_else(|error| Err(error.into()))
                .map_err(NotOurs::Table)?;
            check_among(&rows, peer, here, uid)
        }
    }
}

/// Is the client at `peer`, connected to us at `here`, of the user that runs this process?
///
/// # Errors
/// Always: this platform has no table of sockets that names users.
#[cfg(not(target_os = "linux"))]
pub async fn check_owner(_: SocketAddr, _: SocketAddr) -> Result<(), NotOurs> {
    Err(NotOurs::Table(io::ErrorKind::Unsupported.into()))
}

/// The row of the client's own socket decides: its local end is our remote one. A socket
/// that no process holds any more is shown with inode 0, and as root's.
#[cfg(any(target_os = "linux", test))]
fn check_among(rows: &[Row], peer: SocketAddr, here: SocketAddr, uid: u32) -> Result<(), NotOurs> {
    let row = rows
        .iter()
        .find(|row| {
            row.local == peer
                && row.remote == here
                && row.state == State::Connected
                && row.inode != 0
        })
        .ok_or(NotOurs::Nobody)?;
    if row.uid == uid {
        Ok(())
    } else {
        Err(NotOurs::OtherUser(row.uid))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sockets::parse;
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:497B 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1070 1 0 100 0 0 10 0
   1: 0100007F:497B 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 1071 1 0 20 4 30 10 -1
   2: 0100007F:C350 0100007F:497B 01 00000000:00000000 00:00000000 00000000  1001        0 1072 1 0 20 4 30 10 -1
   3: 0100007F:C351 0100007F:497B 05 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20 4 30 10 -1
   4: 0100007F:C352 0100007F:497B 01 00000000:00000000 00:00000000 00000000  1000        0 1074 1 0 20 4 30 10 -1
   nonsense
";
    const TABLE6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0000000000000000FFFF00000100007F:C353 0000000000000000FFFF00000100007F:497B 01 00000000:00000000 00:00000000 00000000  1000        0 1075 1 0 20 4 30 10 -1
   1: 00000000000000000000000001000000:C354 00000000000000000000000001000000:497B 01 00000000:00000000 00:00000000 00000000  1000        0 1076 1 0 20 4 30 10 -1
";

    fn check(peer: &str, here: &str) -> Result<(), NotOurs> {
        let mut rows = parse(TABLE);
        rows.extend(parse(TABLE6));
        check_among(&rows, peer.parse().unwrap(), here.parse().unwrap(), 1000)
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_connection_of_the_same_user_is_found() {
        check("127.0.0.1:50002", "127.0.0.1:18811").unwrap();
        check("127.0.0.1:50003", "127.0.0.1:18811").unwrap();
        check("[::1]:50004", "[::1]:18811").unwrap();
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn our_own_end_of_the_connection_does_not_count() {
        let error = check("127.0.0.1:50000", "127.0.0.1:18811").unwrap_err();
        assert!(matches!(error, NotOurs::OtherUser(1001)));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_connection_that_nobody_holds_is_refused() {
        for (peer, here) in [
            ("127.0.0.1:50001", "127.0.0.1:18811"),
            ("127.0.0.1:50002", "127.0.0.1:18812"),
            ("127.0.0.1:50009", "127.0.0.1:18811"),
            ("[::1]:50002", "[::1]:18811"),
        ] {
            let error = check(peer, here).unwrap_err();
            assert!(matches!(error, NotOurs::Nobody), "{peer}: {error}");
        }
    }
}
