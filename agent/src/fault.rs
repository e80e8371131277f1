//! What can go wrong between here and a guard, each with its sentence.

mod alert;

use std::io;
use std::time::Duration;

use jiff::Timestamp;
use rpyc::ExceptionClass;
use rustls::{AlertDescription, PeerIncompatible};
use wire::Name;
use wire::message::ReadError;
use wire::tls::{GuardError, guard_error};

use crate::dates;
use crate::explain::Explain;

/// A guard could not be talked to.
#[derive(Debug)]
pub struct Fault {
    /// The guard that was wanted.
    pub guard: Name,
    /// The address that was tried last, `HOST:PORT`.
    pub address: String,
    /// Why.
    pub cause: Cause,
}

/// Why a guard could not be talked to.
#[derive(Debug)]
pub enum Cause {
    /// The host name does not resolve.
    Resolve(io::Error),
    /// No TCP connection.
    Connect(io::Error),
    /// No TCP connection within this time.
    ConnectTimeout(Duration),
    /// No TLS within this time.
    HandshakeTimeout(Duration),
    /// The connection ended during the handshake.
    HandshakeEnded,
    /// What answers is not TLS.
    NotTls,
    /// What answers speaks only TLS 1.2 or older.
    OldTls,
    /// TLS, and none of our protocols in it.
    NoProtocol,
    /// It is not the guard that was wanted.
    Untrusted(GuardError),
    /// The guard ended the connection with a TLS alert.
    Alert(AlertDescription),
    /// Our own certificate and key cannot be used.
    Credentials(rustls::Error),
    /// No answer within this time.
    AnswerTimeout(Duration),
    /// The connection ended before an answer.
    AnswerEnded,
    /// The answer is not one of a guard.
    Garbage(ReadError),
    /// Anything else that TLS or the network said.
    Other(io::Error),
}

impl Cause {
    /// What a failed TLS handshake means.
    pub(crate) fn of_handshake(error: io::Error) -> Self {
        match rustls_error(&error) {
            Some(error) => Self::of_tls(error).unwrap_or_else(|| Self::Other(other(error))),
            None if ended(&error) => Self::HandshakeEnded,
            None => Self::Other(error),
        }
    }

    /// What it means that no answer could be read.
    pub(crate) fn of_answer(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => match rustls_error(&error) {
                Some(error) => Self::of_tls(error).unwrap_or_else(|| Self::Other(other(error))),
                None if ended(&error) => Self::AnswerEnded,
                None => Self::Other(error),
            },
            ReadError::Ended(_) => Self::AnswerEnded,
            garbage => Self::Garbage(garbage),
        }
    }

    fn of_tls(error: &rustls::Error) -> Option<Self> {
        if let Some(error) = guard_error(error) {
            return Some(Self::Untrusted(error));
        }
        Some(match error {
            rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
            | rustls::Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            ) => Self::OldTls,
            rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)
            | rustls::Error::NoApplicationProtocol => Self::NoProtocol,
            rustls::Error::AlertReceived(alert) => Self::Alert(*alert),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            _ => return None,
        })
    }

    /// Did it go wrong before it was clear that the guard is the right one?
    pub(crate) fn is_before_trust(&self) -> bool {
        matches!(
            self,
            Self::HandshakeTimeout(_)
                | Self::HandshakeEnded
                | Self::NotTls
                | Self::OldTls
                | Self::NoProtocol
                | Self::Untrusted(_)
        )
    }

    /// May the next try succeed although nobody does anything?
    pub fn passes(&self) -> bool {
        matches!(
            self,
            Self::Resolve(_)
                | Self::Connect(_)
                | Self::ConnectTimeout(_)
                | Self::HandshakeTimeout(_)
                | Self::HandshakeEnded
                | Self::AnswerEnded
        )
    }
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn other(error: &rustls::Error) -> io::Error {
    io::Error::other(error.to_string())
}

fn ended(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

impl Fault {
    /// The Python exception that says the same.
    pub fn exception_class(&self) -> ExceptionClass {
        match &self.cause {
            Cause::Alert(alert) if alert::about_certificate(*alert) => {
                ExceptionClass::PermissionError
            }
            Cause::Credentials(_) => ExceptionClass::PermissionError,
            _ => ExceptionClass::ConnectionError,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            guard,
            address,
            cause,
        } = self;
        match cause {
            Cause::Resolve(error) => {
                let host = address
                    .rsplit_once(':')
                    .map_or(address.as_str(), |(host, _)| host);
                write!(
                    f,
                    "the name {host} of guard {guard} cannot be resolved: {error}"
                )
            }
            Cause::Connect(error) => {
                write!(f, "guard {guard} at {address} cannot be reached: {error}")
            }
            Cause::ConnectTimeout(after) => write!(
                f,
                "guard {guard} at {address} cannot be reached: nothing answered within {after:?}"
            ),
            Cause::HandshakeTimeout(after) => write!(
                f,
                "guard {guard} at {address} took the connection and said nothing for {after:?}"
            ),
            Cause::HandshakeEnded => write!(
                f,
                "guard {guard} at {address} closed the connection during the TLS handshake"
            ),
            Cause::NotTls => write!(f, "what answers at {address} does not speak TLS"),
            Cause::OldTls => write!(
                f,
                "what answers at {address} refuses TLS 1.3, which guard {guard} always speaks"
            ),
            Cause::NoProtocol => write!(
                f,
                "what answers at {address} speaks TLS and not the protocol of hrpyc-guard"
            ),
            Cause::Untrusted(GuardError::Authority) => write!(
                f,
                "what answers at {address} is not guard {guard}: its certificate was issued by \
                 another authority than the one that this profile trusts"
            ),
            Cause::Untrusted(GuardError::OtherGuard { found, .. }) => write!(
                f,
                "what answers at {address} is not guard {guard}: its certificate names {found}"
            ),
            Cause::Untrusted(GuardError::Leaf(error)) => {
                write!(f, "what answers at {address} is not guard {guard}: {error}")
            }
            Cause::Untrusted(GuardError::Dates { from, until }) => write!(
                f,
                "the certificate of guard {guard} is valid from {from} to {until}, and the clock \
                 of this machine says {}",
                Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ")
            ),
            Cause::Alert(alert) => {
                write!(f, "guard {guard} at {address} {}", alert::sentence(*alert))
            }
            Cause::Credentials(error) => write!(
                f,
                "the certificate and the key of this profile cannot be used: {error}"
            ),
            Cause::AnswerTimeout(after) => write!(
                f,
                "guard {guard} at {address} did not answer within {after:?}"
            ),
            Cause::AnswerEnded => write!(
                f,
                "guard {guard} at {address} closed the connection without an answer"
            ),
            Cause::Garbage(error) => write!(
                f,
                "what answers at {address} as guard {guard} does not answer as a guard does: \
                 {error}"
            ),
            Cause::Other(error) => {
                write!(
                    f,
                    "the connection to guard {guard} at {address} failed: {error}"
                )
            }
        }
    }
}

impl std::error::Error for Fault {}

impl Explain for Fault {
    fn hint(&self) -> Option<String> {
        Some(match &self.cause {
            Cause::Resolve(_) => {
                "is this machine on the studio's network or VPN? `hrpyc-agent doctor` looks closer"
                    .into()
            }
            Cause::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                "the machine answers and no guard listens there: ask IT whether the guard runs"
                    .into()
            }
            Cause::Connect(_) | Cause::ConnectTimeout(_) => {
                "is the VPN up and the workstation on? A firewall may be closed for this port"
                    .into()
            }
            Cause::HandshakeTimeout(_) | Cause::AnswerTimeout(_) => {
                "the guard may be overloaded, or something in between swallows the data: try \
                 again, then ask IT"
                    .into()
            }
            Cause::HandshakeEnded | Cause::AnswerEnded => {
                "the guard may have been restarted just now: try again; its log says why".into()
            }
            Cause::NotTls | Cause::NoProtocol => format!(
                "is {} the port of the guard? It is 18812 unless IT chose another one",
                self.address
            ),
            Cause::OldTls => {
                "something in between, such as a company proxy, may be answering in its place: \
                 ask IT"
                    .into()
            }
            Cause::Untrusted(GuardError::Authority) => {
                "nothing was sent. A company proxy or an antivirus may be opening the connection, \
                 or the guard was set up anew: `hrpyc-agent doctor` shows what was presented; \
                 show it to IT"
                    .into()
            }
            Cause::Untrusted(GuardError::Dates { from, until }) => clock_hint(*from, *until),
            Cause::Untrusted(_) => {
                "nothing was sent. The address may have been given to another machine: ask IT \
                 for a new invite"
                    .into()
            }
            Cause::Alert(alert) => alert::hint(*alert).into(),
            Cause::Credentials(_) => "leave this profile and join again with a new invite".into(),
            Cause::Garbage(_) => {
                "guard and agent may be of versions that do not fit: tell IT both versions".into()
            }
            Cause::Other(_) => "try again; `hrpyc-agent doctor` looks closer".into(),
        })
    }
}

fn clock_hint(from: Timestamp, until: Timestamp) -> String {
    let now = Timestamp::now();
    if now < from {
        format!(
            "the clock of this machine is probably behind: the certificate begins {}",
            dates::moment(from, now)
        )
    } else {
        format!(
            "if the clock of this machine is right, the guard's certificate ended {} and IT must \
             restart the guard, which renews it",
            dates::moment(until, now)
        )
    }
}

#[cfg(test)]
mod tests;
