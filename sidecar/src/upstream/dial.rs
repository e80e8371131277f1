//! Dialling a Houdini.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::time::timeout;
use wire::Code;
use wire::peer::PeerStream;
use wire::prompt::Prompt;

use super::{Address, Houdini, is_loopback};
use crate::denial::Denial;
use crate::policy::Permit;
use crate::ports::{self, OwnerRule};

/// For what a look at a Houdini waits for, which is over soon in any case.
const PROBE_TIME: Duration = Duration::from_secs(60);

/// Dials the Houdini that a permit names. There is no other way to reach one for a client.
///
/// # Errors
/// A refusal when nothing listens there, it does not accept in time, or its port belongs
/// to a user that the configuration does not want there.
pub async fn connect(permit: &Permit) -> Result<Connection, Denial> {
    let houdini = permit.houdini();
    let connection = match timeout(
        permit.upstream_timeout(),
        open(houdini, permit.peer_timeout()),
    )
    .await
    {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            return Err(Denial::new(
                Code::UpstreamDown,
                format!("Houdini's RPC server at {houdini} cannot be reached: {error}."),
                "Start it in Houdini with: import hrpyc; hrpyc.start_server()",
            ));
        }
        Err(_) => {
            return Err(Denial::new(
                Code::UpstreamTimeout,
                format!("Houdini's RPC server at {houdini} did not accept the connection in time."),
                "Houdini may be cooking: try again when it is done.",
            ));
        }
    };
    // Looked at on the open connection, before a byte is sent: who listened a moment ago
    // need not be who accepted.
    if let Some(objection) = connection.objection(permit.upstream_owner()).await {
        return Err(Denial::new(
            Code::UpstreamOwner,
            format!(
                "The port of Houdini at {houdini} belongs to {objection}, so nothing was sent there."
            ),
            "Another program may sit on Houdini's port, or the guard runs as Houdini's user: tell your IT team.",
        ));
    }
    Ok(connection)
}

/// Dials a configured Houdini to see what is there, on the guard's own account. Nothing
/// that a client sent goes through it.
///
/// # Errors
/// Those of the operating system.
pub async fn connect_to_probe(houdini: &Houdini) -> io::Result<Connection> {
    open(houdini, PROBE_TIME).await
}

async fn open(houdini: &Houdini, peer_timeout: Duration) -> io::Result<Connection> {
    match &houdini.address {
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            if is_loopback(host) && !stream.peer_addr()?.ip().is_loopback() {
                return Err(io::Error::other(format!("{host} is not this machine")));
            }
            if !is_loopback(host) {
                return Ok(Connection::Remote(PeerStream::new(stream, peer_timeout)?));
            }
            Ok(Connection::Local(Prompt::new(stream)?))
        }
        Address::Unix(path) => open_unix(path).await,
    }
}

#[cfg(unix)]
async fn open_unix(path: &Path) -> io::Result<Connection> {
    Ok(Connection::Unix(UnixStream::connect(path).await?))
}

#[cfg(not(unix))]
async fn open_unix(_path: &Path) -> io::Result<Connection> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "unix sockets are not to be had on this system",
    ))
}

/// A stream to Houdini.
#[derive(Debug)]
pub enum Connection {
    /// Over loopback.
    Local(Prompt),
    /// To another machine, which may vanish, or to another address of this one.
    Remote(PeerStream),
    /// Over a unix socket.
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Connection {
    /// What a rule finds wrong with the user at the other end; see [`OwnerRule::objection`].
    pub async fn objection(&self, rule: &OwnerRule) -> Option<String> {
        if rule.user.is_none() && !rule.refuse_own {
            return None;
        }
        rule.objection(self.owner().await.as_ref(), self.ends_on_this_machine())
    }

    /// False when the other end is at an address that is not loopback. It may be this
    /// machine's all the same; then its owner can be told.
    fn ends_on_this_machine(&self) -> bool {
        let Some(stream) = self.tcp() else {
            return true;
        };
        stream
            .peer_addr()
            .is_ok_and(|address| address.ip().to_canonical().is_loopback())
    }

    /// The TCP stream, when it is one. One that does not lead over loopback may lead to this
    /// machine all the same, by another of its addresses.
    pub(super) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Local(stream) => Some(stream.get_ref()),
            Self::Remote(stream) => Some(stream.tcp()),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }

    /// The operating system's user at the other end, where it can be told.
    pub async fn owner(&self) -> Option<ports::User> {
        #[cfg(unix)]
        if let Self::Unix(stream) = self {
            return Some(ports::User::with_id(stream.peer_cred().ok()?.uid()));
        }
        let address = self.tcp()?.peer_addr().ok()?;
        let read = move || ports::Listeners::read().owner(address);
        tokio::task::spawn_blocking(read).await.ok()?
    }
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Local($stream) => $call,
            Self::Remote($stream) => $call,
            #[cfg(unix)]
            Self::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
