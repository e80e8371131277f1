//! Houdini's end: which addresses are configured, and the only way to dial one.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::time::timeout;
use wire::Code;
use wire::hello::Wanted;

use crate::denial::Denial;
use crate::policy::Permit;
use crate::ports;

/// One configured upstream: a Houdini, or a range of ports on which several may listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    name: Option<String>,
    target: Target,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Tcp {
        host: String,
        ports: RangeInclusive<u16>,
    },
    Unix(PathBuf),
}

/// Why a text is not an upstream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// Not one of the forms.
    #[error("{0:?} is not an upstream: write ADDRESS:PORT, ADDRESS:FIRST-LAST or unix:PATH")]
    Form(String),
    /// A range that runs backwards or covers port 0.
    #[error("{0:?} is not a range of ports: write the lower port first, and none below 1")]
    Range(String),
    /// Not on this machine.
    #[error(
        "{address:?} is not on this machine, and the way there would be unprotected: use 127.0.0.1 or unix:PATH (unless allow-remote-upstream names {host})"
    )]
    Remote {
        /// As written.
        address: String,
        /// Its host part.
        host: String,
    },
    /// A name that cannot be told from a port, or is empty.
    #[error(
        "{0:?} is not a name for an upstream: use letters, digits, dots, dashes and underscores, and not only digits"
    )]
    Name(String),
    /// Two that overlap.
    #[error("{0} and {1} overlap: each Houdini needs a port or a name of its own")]
    Twice(String, String),
}

impl Upstream {
    /// Reads `ADDRESS:PORT`, `ADDRESS:FIRST-LAST` or `unix:PATH`.
    ///
    /// An address that is not loopback must be in `allowed`.
    ///
    /// # Errors
    /// [`UpstreamError`] says what would be right.
    pub fn parse(
        name: Option<String>,
        address: &str,
        allowed: &[String],
    ) -> Result<Self, UpstreamError> {
        if let Some(name) = &name {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if name.is_empty() || !name.chars().all(plain) || name.parse::<u64>().is_ok() {
                return Err(UpstreamError::Name(name.clone()));
            }
        }
        if let Some(path) = address.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(UpstreamError::Form(address.into()));
            }
            return Ok(Self {
                name,
                target: Target::Unix(path.into()),
            });
        }
        let form = || UpstreamError::Form(address.into());
        let (host, ports) = address.rsplit_once(':').ok_or_else(form)?;
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match bracketed {
            Some(address) if address.parse::<Ipv6Addr>().is_ok() => address,
            None if !host.is_empty() && !host.contains([':', '[', ']']) => host,
            _ => return Err(form()),
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let (first, last): (u16, u16) = (
            first.parse().map_err(|_| form())?,
            last.parse().map_err(|_| form())?,
        );
        if first == 0 || first > last {
            return Err(UpstreamError::Range(address.into()));
        }
        if !is_loopback(host) && !allowed.iter().any(|name| name == host) {
            return Err(UpstreamError::Remote {
                address: address.into(),
                host: host.into(),
            });
        }
        Ok(Self {
            name,
            target: Target::Tcp {
                host: host.into(),
                ports: first..=last,
            },
        })
    }

    /// Whether a client could mean either of two.
    pub fn clashes_with(&self, other: &Self) -> bool {
        let same_name = self.name.is_some() && self.name == other.name;
        let overlap = match (&self.target, &other.target) {
            (Target::Tcp { ports: a, .. }, Target::Tcp { ports: b, .. }) => {
                a.start() <= b.end() && b.start() <= a.end()
            }
            (Target::Unix(a), Target::Unix(b)) => a == b,
            _ => false,
        };
        same_name || overlap
    }

    /// The single Houdini that a client means, if this upstream has it. Without a wish, it
    /// is the first port.
    pub fn choose(&self, wanted: Option<&Wanted>) -> Option<Houdini> {
        let port = match (wanted, &self.target) {
            (None, Target::Tcp { ports, .. }) => Some(*ports.start()),
            (None, Target::Unix(_)) => None,
            (Some(Wanted::Name(name)), target) if self.name.as_ref() == Some(name) => {
                match target {
                    Target::Tcp { ports, .. } => Some(*ports.start()),
                    Target::Unix(_) => None,
                }
            }
            (Some(Wanted::Port(port)), Target::Tcp { ports, .. }) if ports.contains(port) => {
                Some(*port)
            }
            _ => return None,
        };
        let address = match (&self.target, port) {
            (Target::Tcp { host, .. }, Some(port)) => Address::Tcp {
                host: host.clone(),
                port,
            },
            (Target::Unix(path), _) => Address::Unix(path.clone()),
            (Target::Tcp { .. }, None) => return None,
        };
        Some(Houdini {
            name: self.name.clone(),
            address,
        })
    }

    /// Every single Houdini of this upstream.
    pub fn all(&self) -> Vec<Houdini> {
        match &self.target {
            Target::Unix(_) => self.choose(None).into_iter().collect(),
            Target::Tcp { ports, .. } => ports
                .clone()
                .filter_map(|port| self.choose(Some(&Wanted::Port(port))))
                .collect(),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name} at ")?;
        }
        match &self.target {
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
            Target::Tcp { host, ports } => {
                let bracketed = host.contains(':');
                let (open, close) = if bracketed { ("[", "]") } else { ("", "") };
                write!(f, "{open}{host}{close}:{}", ports.start())?;
                if ports.start() != ports.end() {
                    write!(f, "-{}", ports.end())?;
                }
                Ok(())
            }
        }
    }
}

/// One Houdini that can be dialled. Only the configuration makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Houdini {
    name: Option<String>,
    address: Address,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Houdini {
    /// The port, when it has one.
    pub fn port(&self) -> Option<u16> {
        match self.address {
            Address::Tcp { port, .. } => Some(port),
            Address::Unix(_) => None,
        }
    }

    /// Whether a list of names and ports, as a grant keeps it, holds this one.
    pub fn is_in(&self, granted: &[String]) -> bool {
        granted.is_empty()
            || granted.iter().any(|text| {
                self.name.as_deref() == Some(text)
                    || self.port().is_some_and(|port| *text == port.to_string())
            })
    }
}

impl fmt::Display for Houdini {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Dials the Houdini that a permit names. There is no other way to reach one for a client.
///
/// # Errors
/// A refusal when nothing listens there, it does not accept in time, or its port belongs
/// to another user than the configuration names.
pub async fn connect(permit: &Permit) -> Result<Connection, Denial> {
    let houdini = permit.houdini();
    let connection = match timeout(permit.upstream_timeout(), open(houdini)).await {
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
    if let Some(wanted) = permit.upstream_user() {
        let owner = connection.owner().await;
        if owner.as_ref().is_none_or(|user| !user.is(wanted)) {
            let found = owner.map_or("a user that cannot be told".into(), |user| user.to_string());
            return Err(Denial::new(
                Code::UpstreamOwner,
                format!(
                    "The port of Houdini at {houdini} belongs to {found}, not to {wanted}, so nothing was sent there."
                ),
                "Another program may sit on Houdini's port: tell your IT team.",
            ));
        }
    }
    Ok(connection)
}

/// Dials a configured Houdini to see what is there, on the guard's own account. Nothing
/// that a client sent goes through it.
///
/// # Errors
/// Those of the operating system.
pub async fn connect_to_probe(houdini: &Houdini) -> io::Result<Connection> {
    open(houdini).await
}

async fn open(houdini: &Houdini) -> io::Result<Connection> {
    match &houdini.address {
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            if is_loopback(host) && !stream.peer_addr()?.ip().is_loopback() {
                return Err(io::Error::other(format!("{host} is not this machine")));
            }
            stream.set_nodelay(true)?;
            Ok(Connection::Tcp(stream))
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
    Tcp(TcpStream),
    /// Over a unix socket.
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Connection {
    /// The operating system's user at the other end, where it can be told.
    pub async fn owner(&self) -> Option<ports::User> {
        match self {
            Self::Tcp(stream) => {
                let address = stream.peer_addr().ok()?;
                let read = move || ports::Listeners::read().owner(address);
                tokio::task::spawn_blocking(read).await.ok()?
            }
            #[cfg(unix)]
            Self::Unix(stream) => Some(ports::User::with_id(stream.peer_cred().ok()?.uid())),
        }
    }
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Tcp($stream) => $call,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Upstream, UpstreamError> {
        Upstream::parse(None, text, &[])
    }

    #[test]
    fn an_upstream_is_on_this_machine_unless_allowed_by_name() {
        for good in [
            "127.0.0.1:18811",
            "localhost:18811-18899",
            "[::1]:18811",
            "unix:/run/houdini.sock",
        ] {
            assert_eq!(parse(good).unwrap().to_string(), good);
        }
        for remote in [
            "10.0.0.5:18811",
            "houdini.studio.example:18811",
            "0.0.0.0:18811",
            "[2001:db8::1]:1",
        ] {
            assert!(
                matches!(parse(remote), Err(UpstreamError::Remote { .. })),
                "{remote}"
            );
        }
        let allowed = ["10.0.0.5".to_owned()];
        assert!(Upstream::parse(None, "10.0.0.5:18811", &allowed).is_ok());
        assert!(Upstream::parse(None, "10.0.0.6:18811", &allowed).is_err());
    }

    #[test]
    fn what_is_no_upstream_is_refused() {
        for bad in [
            "",
            "18811",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:0",
            "127.0.0.1:9-8",
            ":18811",
            "unix:",
            "::1:5",
            "127.0.0.1:70000",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        for name in ["", "18812", "a b"] {
            assert!(
                Upstream::parse(Some(name.into()), "127.0.0.1:1", &[]).is_err(),
                "{name:?}"
            );
        }
    }

    #[test]
    fn a_client_reaches_only_ports_and_names_that_are_configured() {
        let range = Upstream::parse(Some("main".into()), "127.0.0.1:18811-18813", &[]).unwrap();
        let port = |wanted: Option<Wanted>| range.choose(wanted.as_ref()).map(|h| h.to_string());
        assert_eq!(port(None).unwrap(), "127.0.0.1:18811");
        assert_eq!(port(Some(Wanted::Port(18813))).unwrap(), "127.0.0.1:18813");
        assert_eq!(
            port(Some(Wanted::Name("main".into()))).unwrap(),
            "127.0.0.1:18811"
        );
        assert_eq!(port(Some(Wanted::Port(18814))), None);
        assert_eq!(port(Some(Wanted::Port(22))), None);
        assert_eq!(port(Some(Wanted::Name("other".into()))), None);
        assert_eq!(port(Some(Wanted::Name("127.0.0.1:22".into()))), None);
        assert_eq!(range.all().len(), 3);
    }

    #[test]
    fn a_grant_for_some_upstreams_does_not_open_others() {
        let range = Upstream::parse(Some("main".into()), "127.0.0.1:18811-18813", &[]).unwrap();
        let houdini = range.choose(Some(&Wanted::Port(18812))).unwrap();
        assert!(houdini.is_in(&[]));
        assert!(houdini.is_in(&["18812".into()]));
        assert!(houdini.is_in(&["main".into()]));
        assert!(!houdini.is_in(&["18811".into()]));
        assert!(!houdini.is_in(&["other".into()]));
    }
}
