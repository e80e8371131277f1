//! The loopback port.
//!
//! Loopback is not authentication: every user of a machine reaches every loopback port. So
//! a client is served only when its socket belongs to the user that runs the agent.

mod holder;
mod owner;
#[cfg(target_os = "linux")]
mod sock_diag;
#[cfg(any(target_os = "linux", test))]
mod sockets;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::prompt::Prompt;

use crate::explain::Explain;
use crate::session;
use crate::standing::Standing;

pub use holder::Holder;
pub use owner::{NotOurs, check_owner};

const BACKLOG: i32 = 1024;
/// How long to wait when the operating system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whose connections are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// Those of the user that runs the agent.
    SameUser,
    /// Those of every user of this machine.
    AnyLocalUser,
}

/// Binds a loopback address for us alone.
///
/// # Errors
/// [`ListenError`]; the port is never changed silently.
pub fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    if !address.ip().is_loopback() {
        return Err(ListenError::NotLoopback(address));
    }
    bind(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken {
            address,
            holder: holder::of(address),
        },
        _ => ListenError::Bind { address, source },
    })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // On Linux this passes over connections that linger, never over a listener. Elsewhere
    // it would let two programs have the port; without it Windows lets no other user in.
    #[cfg(target_os = "linux")]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Can this platform tell whose a local connection is?
pub fn can_tell_users() -> bool {
    cfg!(target_os = "linux")
}

/// Serves every connection to `listener` until `shutdown`; sessions end with it, and their
/// guards are told.
pub async fn serve(
    listener: TcpListener,
    standing: Arc<Standing>,
    admit: Admit,
    shutdown: CancellationToken,
) {
    let sessions = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((client, peer)) => {
                let (standing, shutdown) = (standing.clone(), shutdown.clone());
                sessions.spawn(async move {
                    serve_one(client, peer, &standing, admit, &shutdown).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a local connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    sessions.close();
    sessions.wait().await;
}

async fn serve_one(
    client: TcpStream,
    peer: SocketAddr,
    standing: &Standing,
    admit: Admit,
    shutdown: &CancellationToken,
) {
    if admit == Admit::SameUser
        && let Err(error) = admit_same_user(&client, peer).await
    {
        tracing::warn!(%peer, %error, "refused: a local connection");
        return;
    }
    match Prompt::new(client) {
        Ok(client) => Box::pin(session::serve(client, standing, shutdown)).await,
        Err(error) => tracing::debug!(%peer, %error, "the connection has gone"),
    }
}

async fn admit_same_user(client: &TcpStream, peer: SocketAddr) -> Result<(), NotOurs> {
    let here = client.local_addr().map_err(NotOurs::Table)?;
    check_owner(peer, here).await
}

/// Why the agent does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address could be reached from other machines.
    #[error(
        "{0} is not a loopback address, and the agent listens on nothing else: whoever reaches this port is let in as you"
    )]
    NotLoopback(SocketAddr),
    /// Somebody listens there already.
    #[error("{address} is taken{}", taken_by(.holder.as_ref()))]
    Taken {
        /// The address.
        address: SocketAddr,
        /// Who has it, if that could be found out.
        holder: Option<Holder>,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// It cannot be told whose a connection is.
    #[error(
        "on this platform the agent cannot tell which user a local connection belongs to, so \
         that every user of this machine could use it as you"
    )]
    CannotTellUsers,
}

fn taken_by(holder: Option<&Holder>) -> String {
    holder.map_or_else(
        || ", and it cannot be told by whom".into(),
        |holder| format!(" by {holder}"),
    )
}

impl Explain for ListenError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotLoopback(address) => {
                let ip: IpAddr = [127, 0, 0, 1].into();
                Some(format!("use {}", SocketAddr::new(ip, address.port())))
            }
            Self::Taken { address, .. } => {
                let mut other = *address;
                other.set_port(address.port().checked_add(10).unwrap_or(18821));
                Some(format!(
                    "a Houdini on this machine has the same default port. Choose another one with \
                     --listen {other}, and use it in the script as well"
                ))
            }
            Self::Bind { .. } => None,
            Self::CannotTellUsers => {
                Some("if nobody else works on this machine, add --allow-any-local-user".into())
            }
        }
    }
}
