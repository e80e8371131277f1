//! Two connected sockets: one for Python, one for the tunnel.

use std::io;

/// The tunnel's end.
#[cfg(unix)]
pub(crate) type Ours = tokio::net::UnixStream;
/// The tunnel's end.
#[cfg(not(unix))]
pub(crate) type Ours = tokio::net::TcpStream;

/// Python's end as a descriptor that nothing but Python owns, and ours. Call it within the
/// runtime.
#[cfg(unix)]
pub(crate) fn pair() -> io::Result<(i64, Ours)> {
    use std::os::fd::IntoRawFd as _;

    let (python, ours) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let ours = Ours::from_std(ours)?;
    Ok((python.into_raw_fd().into(), ours))
}

/// Windows has no socket pair. A listener on loopback lives until the one connection that
/// we make ourselves; what another program connects meanwhile is closed.
#[cfg(windows)]
pub(crate) fn pair() -> io::Result<(i64, Ours)> {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::windows::io::IntoRawSocket as _;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let python = TcpStream::connect(listener.local_addr()?)?;
    let wanted = python.local_addr()?;
    let ours = loop {
        let (stream, peer) = listener.accept()?;
        if peer == wanted {
            break stream;
        }
    };
    python.set_nodelay(true)?;
    ours.set_nodelay(true)?;
    ours.set_nonblocking(true)?;
    let ours = Ours::from_std(ours)?;
    let socket = i64::try_from(python.into_raw_socket()).map_err(io::Error::other)?;
    Ok((socket, ours))
}
