//! A byte stream to a Houdini behind a guard.

use std::sync::Arc;
use std::time::Duration;

use rpyc::reverse::Reverse;
use rpyc::{ExceptionClass, Family, Probe};
use rustls::AlertDescription;
use tokio::io::{AsyncWriteExt as _, copy, sink};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use wire::hello::{Accepted, Hello, Verdict};
use wire::tls::{ALPN_SESSION, client_config};
use wire::{Code, Refusal, message};

use crate::explain::{Explain, exception_class, hint, sentence};
use crate::fault::{Cause, Fault};
use crate::guard::{self, ANSWER_TIME, GuardStream};
use crate::patience::Backoff;
use crate::profile::{Credentials, ProfileError, Route};
use crate::renew::{self, RenewError};

/// How long [`open`] may take, with all its tries, unless somebody says otherwise. Well under
/// the 30 seconds after which rpyc gives up.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// How long Houdini may take to see off a session that asked for nothing.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// An accepted session. What is read and written is Houdini's stream.
#[derive(Debug)]
pub struct Tunnel {
    /// The stream, in which nothing of ours is left.
    pub stream: GuardStream,
    /// What the guard said about the session.
    pub accepted: Accepted,
    /// What Houdini may ask of the client, as the profile says.
    pub reverse: Reverse,
}

/// Opens a session and sends `first`, the first bytes of the application, right behind the
/// hello. Tries again while the guard is away or restarting; a refusal is final. Whatever
/// happens, it is told within `patience`.
///
/// # Errors
/// [`TunnelError`] says why there is no session, for the artist.
pub async fn open(route: &Route, first: &[u8], patience: Duration) -> Result<Tunnel, TunnelError> {
    let end = Instant::now() + patience;
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
    let mut last = None;
    loop {
        let error = match timeout_at(end, open_once(route, first)).await {
            Ok(Ok(tunnel)) => return Ok(tunnel),
            Ok(Err(error)) => error,
            // Why the last whole try failed says more than that this one was cut off.
            Err(_) => {
                let cut_off = || fault(route, Cause::AnswerTimeout(patience)).into();
                return Err(last.unwrap_or_else(cut_off));
            }
        };
        let wait = backoff.wait();
        if !error.passes() || Instant::now() + wait >= end {
            return Err(error);
        }
        tracing::info!(guard = %route.guard.name(), %error, "trying again");
        last = Some(error);
        sleep(wait).await;
    }
}

/// As [`open`], without trying again.
///
/// # Errors
/// As [`open`].
pub async fn open_once(route: &Route, first: &[u8]) -> Result<Tunnel, TunnelError> {
    let credentials = renew::usable(&route.current()?.profile).await?;
    // Whoever left and joined again meanwhile has another key.
    let route = &route.current()?;
    let error = match attempt(route, &credentials, first).await {
        Ok(tunnel) => return Ok(tunnel),
        Err(error) => error,
    };
    // The guard's clock decides what is out of date, and ours may be another.
    let Some(due) = error.what_is_out_of_date() else {
        return Err(error);
    };
    let credentials = renew::renew(&route.profile, &credentials, due).await?;
    attempt(&route.current()?, &credentials, first).await
}

async fn attempt(
    route: &Route,
    credentials: &Credentials,
    first: &[u8],
) -> Result<Tunnel, TunnelError> {
    let mutual = route.profile.client_credentials(credentials)?;
    let identity = route.guard.identity.clone();
    let config = client_config(route.profile.anchor(), identity, ALPN_SESSION, Some(mutual))
        .map_err(|error| fault(route, Cause::Credentials(error)))?;
    let mut stream = guard::dial(&route.guard, config).await?;
    let hello = Hello {
        token: credentials.token.clone(),
        upstream: route.upstream.clone(),
        client: route.client.clone(),
    };
    let verdict = timeout(ANSWER_TIME, converse(&mut stream, &hello, first))
        .await
        .map_err(|_| fault(route, Cause::AnswerTimeout(ANSWER_TIME)))?
        .map_err(|error| fault(route, Cause::of_answer(error)))?;
    match verdict {
        Verdict::Accepted(accepted) => Ok(Tunnel {
            stream,
            accepted,
            reverse: route.profile.reverse_calls(),
        }),
        Verdict::Refused(refusal) => {
            guard::close(&mut stream).await;
            Err(TunnelError::Refused(refusal))
        }
    }
}

async fn converse(
    stream: &mut GuardStream,
    hello: &Hello,
    first: &[u8],
) -> Result<Verdict, message::ReadError> {
    let mut bytes = message::encode(hello)?;
    bytes.extend_from_slice(first);
    // A guard that refuses may stop reading, and says why all the same: what it said
    // counts for more than that writing failed.
    let written = async {
        stream.write_all(&bytes).await?;
        stream.flush().await
    }
    .await;
    match (message::read(stream).await, written) {
        (Err(message::ReadError::Ended(0)), Err(error)) => Err(error.into()),
        (verdict, _) => verdict,
    }
}

fn fault(route: &Route, cause: Cause) -> Fault {
    Fault {
        guard: route.guard.name().clone(),
        address: route.guard.addresses.first().cloned().unwrap_or_default(),
        cause,
    }
}

/// Asks a guard for a session in which nothing will be asked; [`take_leave`] of it.
///
/// # Errors
/// As [`open`]; [`Cause::AnswerTimeout`] when there is no answer within `limit`.
pub async fn ask_verdict(route: &Route, limit: Duration) -> Result<Tunnel, TunnelError> {
    timeout(limit, open_once(route, &[]))
        .await
        .unwrap_or_else(|_| Err(fault(route, Cause::AnswerTimeout(limit)).into()))
}

/// Closes a session in which nothing was asked. A Houdini whose client goes without a word
/// prints a traceback, so the least question is asked, and the request to close with it.
///
/// `family` is the one that Houdini speaks, when that is known.
pub async fn take_leave(mut tunnel: Tunnel, family: Option<Family>) {
    let stream = &mut tunnel.stream;
    let question = Probe::expecting(family.unwrap_or(Family::Classic));
    let goodbye = async {
        stream.write_all(question.to_send()).await?;
        stream.flush().await?;
        copy(stream, &mut sink()).await
    };
    let _ = timeout(LEAVE_TIME, goodbye).await;
    guard::close(&mut tunnel.stream).await;
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The guard said no.
    #[error("{}", sentence(.0))]
    Refused(Refusal),
    /// The guard could not be talked to, or is not the right one.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Certificate or token have expired and could not be renewed.
    #[error(transparent)]
    Renewal(#[from] Arc<RenewError>),
    /// The profile cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

impl TunnelError {
    /// The Python exception that says the same.
    pub fn exception_class(&self) -> ExceptionClass {
        match self {
            Self::Refused(refusal) => exception_class(refusal),
            Self::Fault(fault) => fault.exception_class(),
            Self::Renewal(error) => error.exception_class(),
            Self::Profile(error) => error.exception_class(),
        }
    }

    /// The guard's code for it; `None` when no guard was asked.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.code),
            Self::Renewal(error) => match &**error {
                RenewError::Refused { refusal, .. } => Some(&refusal.code),
                _ => None,
            },
            Self::Fault(_) | Self::Profile(_) => None,
        }
    }

    /// Did somebody decide so? Otherwise something is away or broken.
    pub fn is_refusal(&self) -> bool {
        self.exception_class() == ExceptionClass::PermissionError
    }

    fn passes(&self) -> bool {
        match self {
            // A hello that did not arrive whole was cut off on the way.
            Self::Refused(refusal) => [Code::Draining, Code::HelloMissing]
                .iter()
                .any(|code| refusal.code == code.as_str()),
            Self::Fault(fault) => fault.cause.passes(),
            Self::Renewal(error) => {
                matches!(&**error, RenewError::Fault(fault) if fault.cause.passes())
            }
            Self::Profile(_) => false,
        }
    }

    fn what_is_out_of_date(&self) -> Option<renew::Due> {
        let refused = |code: Code| matches!(self, Self::Refused(r) if r.code == code.as_str());
        let alert = matches!(
            self,
            Self::Fault(Fault {
                cause: Cause::Alert(AlertDescription::CertificateExpired),
                ..
            })
        );
        // What is not valid yet was issued while a clock was wrong.
        if alert || refused(Code::CertificateExpired) || refused(Code::CertificateNotYetValid) {
            Some(renew::Due::Certificate)
        } else if refused(Code::TokenExpired)
            || refused(Code::TokenNotYetValid)
            || refused(Code::TokenBinding)
        {
            Some(renew::Due::Token)
        } else {
            None
        }
    }
}

impl Explain for TunnelError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => hint(refusal),
            Self::Fault(fault) => fault.hint(),
            Self::Renewal(error) => error.hint(),
            Self::Profile(error) => error.hint(),
        }
    }
}
