//! Houdini's end: which addresses are configured, and the only way to dial one.

mod dial;
mod family;
mod listener;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use wire::hello::Wanted;

pub use dial::{Connection, connect, connect_to_probe};
pub use family::{Families, ask};
pub use listener::Listener;

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
        /// A port in between that is no Houdini's.
        without: Option<u16>,
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
    /// The guard's own port, and no other.
    #[error("{0:?} is where the guard itself listens: Houdini needs another port")]
    Own(String),
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
                without: None,
            },
        })
    }

    /// Takes out of a range the port on which the guard itself listens: whoever named it would
    /// be sent back to the guard.
    ///
    /// # Errors
    /// [`UpstreamError::Own`] when nothing is left.
    pub fn leave_out(&mut self, listen: SocketAddr) -> Result<(), UpstreamError> {
        let shown = self.to_string();
        let Target::Tcp {
            host,
            ports,
            without,
        } = &mut self.target
        else {
            return Ok(());
        };
        let here = listen.ip().is_unspecified() && is_loopback(host)
            || listen.ip().is_loopback() && host == "localhost"
            || host.parse() == Ok(listen.ip());
        if here && ports.contains(&listen.port()) {
            *without = Some(listen.port());
            if ports.start() == ports.end() {
                return Err(UpstreamError::Own(shown));
            }
        }
        Ok(())
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
            (None, Target::Tcp { ports, without, .. }) => first(ports, *without),
            (None, Target::Unix(_)) => None,
            (Some(Wanted::Name(name)), target) if self.name.as_ref() == Some(name) => {
                match target {
                    Target::Tcp { ports, without, .. } => first(ports, *without),
                    Target::Unix(_) => None,
                }
            }
            (Some(Wanted::Port(port)), Target::Tcp { ports, without, .. })
                if ports.contains(port) && *without != Some(*port) =>
            {
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

/// The first port of a range that is a Houdini's.
fn first(ports: &RangeInclusive<u16>, without: Option<u16>) -> Option<u16> {
    ports.clone().find(|port| Some(*port) != without)
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
            Target::Tcp { host, ports, .. } => {
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

#[cfg(test)]
mod tests;
