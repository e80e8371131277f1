//! One local connection, asked of the kernel by its two ends.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use wire::sock_diag::{self, Socket};

use super::sockets::{Row, State};

/// The socket at `peer` that is connected to `here`, where we listen.
///
/// # Errors
/// The kernel cannot be asked in this way: it was built without, or a sandbox forbids it.
pub(super) fn find(peer: SocketAddr, here: SocketAddr) -> io::Result<Option<Row>> {
    if let Some(socket) = sock_diag::find(peer, here)? {
        return Ok(Some(row(socket)));
    }
    // A kernel that lacks the module for TCP answers in the same words.
    let anywhere = SocketAddr::new(unspecified(here.ip()), 0);
    match sock_diag::find(here, anywhere)? {
        Some(_) => Ok(None),
        None => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn unspecified(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn row(socket: Socket) -> Row {
    Row {
        local: socket.local,
        remote: socket.remote,
        state: State::from_number(socket.state),
        uid: socket.uid,
        inode: socket.inode.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use socket2::{Domain, Type};

    use super::*;

    fn addresses(client: &TcpStream) -> (SocketAddr, SocketAddr) {
        let canonical = |a: SocketAddr| SocketAddr::new(a.ip().to_canonical(), a.port());
        (
            canonical(client.local_addr().unwrap()),
            canonical(client.peer_addr().unwrap()),
        )
    }

    fn assert_ours(client: &TcpStream) {
        let (peer, here) = addresses(client);
        let row = find(peer, here).unwrap().unwrap();
        assert_eq!((row.local, row.remote), (peer, here));
        assert_eq!(row.state, State::Connected);
        assert_eq!(row.uid, rustix::process::geteuid().as_raw());
        assert_ne!(row.inode, 0);
        // Both ways of asking say the same.
        let rows = super::super::sockets::all().unwrap();
        assert!(rows.contains(&row), "{row:?}");
    }

    #[test]
    fn a_connection_is_found_by_its_ends() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            assert_ours(&TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        }
    }

    #[test]
    fn an_ipv6_socket_with_an_ipv4_connection_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = socket2::Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        let mapped: SocketAddr = format!("[::ffff:127.0.0.1]:{port}").parse().unwrap();
        socket.connect(&mapped.into()).unwrap();
        assert_ours(&socket.into());
    }

    #[test]
    fn a_connection_that_is_not_there_is_not_found() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let here = listener.local_addr().unwrap();
            assert_eq!(find(SocketAddr::new(here.ip(), 1), here).unwrap(), None);
        }
    }

    #[test]
    fn a_socket_that_its_process_has_closed_is_nobodys() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _server = listener.accept().unwrap();
        let (peer, here) = addresses(&client);
        drop(client);
        let row = find(peer, here).unwrap();
        assert!(row.is_none_or(|row| row.inode == 0));
    }
}
