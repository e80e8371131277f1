//! The first words of a session: the client's hello and the guard's verdict.

use jiff::Zoned;
use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::refusal::Refusal;
use crate::secret::Secret;

/// What a client says first, inside TLS. It need not wait for the verdict: application
/// data may follow right behind.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// The access token; see [`crate::token`]. Empty when the client has none.
    pub token: Secret<String>,
    /// Which Houdini is wanted. `None` is the guard's first.
    pub upstream: Option<Wanted>,
    /// The client program and its version, for the audit.
    pub client: String,
}

impl Message for Hello {
    const KIND: u8 = 1;
    const CAP: usize = 4 * 1024;
}

/// A wanted upstream: a configured name or a port in a configured range, never an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// The name of an upstream in the guard's configuration.
    Name(String),
    /// A port that an upstream's range covers.
    Port(u16),
}

impl std::str::FromStr for Wanted {
    type Err = std::convert::Infallible;

    /// A number is a port, anything else a name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text
            .parse()
            .map_or_else(|_| Self::Name(text.into()), Self::Port))
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Port(port) => write!(f, "port {port}"),
        }
    }
}

/// The guard's answer to a hello. What follows [`Verdict::Accepted`] is Houdini's stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "verdict")]
pub enum Verdict {
    /// The upstream has accepted; the session runs.
    Accepted(Accepted),
    /// No session. `close_notify` follows.
    Refused(Refusal),
}

/// What a client is told about its session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// The session's id in the guard's audit.
    pub session: String,
    /// The role it has.
    pub role: String,
    /// The upstream it reached.
    pub upstream: String,
    /// When access ends, if it does.
    #[serde(with = "crate::moment::optional", default)]
    pub access_until: Option<Zoned>,
}

impl Message for Verdict {
    const KIND: u8 = 2;
    const CAP: usize = 8 * 1024;
}
