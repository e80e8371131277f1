//! One local client, from its first byte to its last.
//!
//! [`serve`] is for clients of which nothing is known but that they connected: nothing is
//! dialled before one has shown that it speaks rpyc, and whatever goes wrong is told to it
//! as a Python exception. [`carry`] is for a client in this process, which opened the tunnel
//! itself and is told how it ended beside the stream.

mod telling;

use std::time::Duration;

use bytes::BytesMut;
use rpyc::{ExceptionClass, Refuser, Side, Sniff, sniff};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::explain::Explain as _;
use crate::guard::GuardStream;
use crate::relay::{End, Relay, Stop};
use crate::standing::{Answer, Reason, Standing};
use crate::tunnel::{PATIENCE, Tunnel, TunnelError};

/// What the first read may take in.
const FIRST: usize = 16 * 1024;
/// From the first byte until it is clear what the client speaks.
const FIRST_TIME: Duration = Duration::from_secs(10);
/// How long a client that has no session may stay: one that was refused while it was idle
/// learns so by its next call, and one that has learned so may forget to close.
const STAY: Duration = Duration::from_mins(10);
/// What to do when a session was lost.
const CONNECT_AGAIN: &str = "connect again; what the script held of that session is gone";

/// Serves one client over any byte stream, until it has gone, was told why not, or `stop`.
/// A session that runs then is ended in order.
pub async fn serve<L>(local: L, standing: &Standing, stop: &CancellationToken)
where
    L: AsyncRead + AsyncWrite + Unpin,
{
    let opened = stop.run_until_cancelled(open(local, standing)).await;
    let Some(Some((session, mut relay))) = opened else {
        return;
    };
    match stop.run_until_cancelled(relay.run()).await {
        None => relay.leave().await,
        Some(End::Client) => {
            tracing::info!(session, "session closed by the client");
            relay.leave().await;
        }
        Some(End::Stopped(stopped)) => {
            relay.leave().await;
            let ended = after_stop(relay, &stopped, standing);
            stop.run_until_cancelled(ended).await;
        }
        Some(End::Tunnel(result)) => {
            let clean = result.is_ok();
            match result {
                Ok(()) => tracing::info!(session, "session closed by the other end"),
                Err(error) => tracing::warn!(session, %error, "session broken"),
            }
            stop.run_until_cancelled(after_tunnel(relay, clean, standing))
                .await;
        }
    }
}

/// How a carried session ended.
#[derive(Debug, Clone)]
pub enum Ending {
    /// The client left, or this process is about to end.
    Left,
    /// Somebody decided so.
    Denied(Reason),
    /// Houdini, the guard or the network ended it.
    Lost {
        /// What happened and, as far as it is known, why.
        sentence: String,
        /// What to do next.
        hint: String,
    },
}

/// Carries an open session for a client in this process, until one end has gone or `stop`,
/// which says that the process is about to end: what the client has written by then is sent.
///
/// Gives the ending, and the client's stream as long as the client has not seen the end of
/// it: so the ending can be known before.
pub async fn carry<L>(
    local: L,
    tunnel: Tunnel,
    standing: &Standing,
    stop: &CancellationToken,
) -> (Ending, Option<L>)
where
    L: AsyncRead + AsyncWrite + Unpin,
{
    let mut relay = Relay::new(local, tunnel.stream, &[], tunnel.reverse);
    let broken = match stop.run_until_cancelled(relay.run()).await {
        None => {
            relay.send_last_words().await;
            relay.leave().await;
            return (Ending::Left, Some(relay.into_local()));
        }
        Some(End::Client) => {
            relay.leave().await;
            return (Ending::Left, None);
        }
        Some(End::Stopped(stopped)) => {
            relay.leave().await;
            let (sentence, hint) = why_stopped(&stopped, standing);
            return (Ending::Lost { sentence, hint }, Some(relay.into_local()));
        }
        Some(End::Tunnel(result)) => result.err(),
    };
    if broken.is_none() && relay.client_is_leaving() {
        stop.run_until_cancelled(relay.finish()).await;
        return (Ending::Left, None);
    }
    let family = relay.family();
    let local = relay.into_local();
    let asked = standing.ask(Instant::now(), family);
    let ending = match stop.run_until_cancelled(asked).await {
        None => Ending::Left,
        Some(Answer::No(reason)) if reason.refused => Ending::Denied(reason),
        Some(answer) => {
            let guard = standing.route().guard.name();
            let why = why_lost(&answer);
            Ending::Lost {
                sentence: format!("the session with Houdini behind {guard} has ended{why}"),
                hint: CONNECT_AGAIN.into(),
            }
        }
    };
    (ending, Some(local))
}

/// A session's name and its traffic; `None` when there is none, after telling the client.
async fn open<L>(mut local: L, standing: &Standing) -> Option<(String, Relay<L, GuardStream>)>
where
    L: AsyncRead + AsyncWrite + Unpin,
{
    let first = first_bytes(&mut local).await?;
    let tunnel = match standing.open(&first, PATIENCE).await {
        Ok(tunnel) => tunnel,
        Err(error) => {
            refuse(local, &first, &error, standing).await;
            return None;
        }
    };
    let session = tunnel.accepted.session;
    tracing::info!(
        session,
        guard = %standing.route().guard.name(),
        upstream = tunnel.accepted.upstream,
        role = tunnel.accepted.role,
        "session open"
    );
    let relay = Relay::new(local, tunnel.stream, &first, tunnel.reverse);
    Some((session, relay))
}

/// The tunnel has ended and the client is there.
///
/// A guard that cuts and a Houdini that closes look alike. So unless the client is about to
/// leave anyway, the guard is asked for its verdict now. A refusal is told to every call from
/// now on. Otherwise whoever waits for an answer is told, and who does not wait sees the end
/// of the connection as rpyc alone would have shown it.
async fn after_tunnel<L, T>(relay: Relay<L, T>, clean: bool, standing: &Standing)
where
    L: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    if clean && (relay.client_is_leaving() || !relay.can_be_told()) {
        return relay.finish().await;
    }
    if !relay.can_be_told() {
        return;
    }
    match standing.ask(Instant::now(), relay.family()).await {
        Answer::No(reason) if reason.refused => {
            tracing::warn!(reason = reason.sentence, "the guard ended the session");
            let (orphan, text) = (relay.orphan(), reason.explained());
            let telling = telling::refuse_from_now_on(orphan, reason.class, &text);
            stay(standing.without_session(), STAY, telling).await;
        }
        answer => {
            let text = lost(standing, &answer);
            tracing::warn!(reason = text, "the session ended");
            if clean && !relay.call_waits() {
                return relay.finish().await;
            }
            let telling = telling::last_words(relay.orphan(), ExceptionClass::EofError, &text);
            stay(standing.without_session(), STAY, telling).await;
        }
    }
}

/// The session was ended here, and the client is there. Every call of it is told from now on.
async fn after_stop<L, T>(relay: Relay<L, T>, stopped: &Stop, standing: &Standing)
where
    L: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (sentence, hint) = why_stopped(stopped, standing);
    tracing::warn!(reason = sentence, "the session was ended here");
    if !relay.can_be_told() {
        return;
    }
    let text = format!("{sentence}\nhint: {hint}");
    let telling = telling::refuse_from_now_on(relay.orphan(), ExceptionClass::EofError, &text);
    stay(standing.without_session(), STAY, telling).await;
}

/// What happened and what to do, when a session was ended here.
fn why_stopped(stopped: &Stop, standing: &Standing) -> (String, String) {
    let guard = standing.route().guard.name();
    // Some reasons know better what to do than we do.
    let (why, hint) = match stopped.why.split_once("\nhint: ") {
        Some((why, hint)) => (why, Some(hint)),
        None => (stopped.why.as_str(), None),
    };
    let (what, otherwise) = match stopped.from {
        Side::Server => (
            "what Houdini sends cannot be looked at, and so was not handed to the script",
            "show this to IT: something else than rpyc may be there, or a server that means harm",
        ),
        Side::Client => (
            "what the script sends cannot be followed, so that nobody could say what Houdini may \
             ask of it",
            CONNECT_AGAIN,
        ),
    };
    let sentence =
        format!("the session with Houdini behind {guard} was ended at this end: {what}: {why}");
    (sentence, hint.unwrap_or(otherwise).into())
}

fn lost(standing: &Standing, answer: &Answer) -> String {
    let guard = standing.route().guard.name();
    let why = why_lost(answer);
    format!(
        "the session with Houdini behind {guard} was lost before this call was answered{why}\n\
         hint: {CONNECT_AGAIN}"
    )
}

fn why_lost(answer: &Answer) -> String {
    match answer {
        Answer::Welcome => " (the guard is there and would open a new one)".into(),
        Answer::No(Reason { sentence, .. }) => format!(": {sentence}"),
    }
}

/// Goes on `telling` a client without a session for up to `limit`, counted in `clients`.
async fn stay(clients: &TaskTracker, limit: Duration, telling: impl Future<Output = ()>) {
    let counted = clients.token();
    let count = clients.len();
    tracing::debug!(count, "local clients without a session");
    if timeout(limit, telling).await.is_err() {
        tracing::info!("a local client without a session stayed for too long and was closed");
    }
    drop(counted);
}

/// Tells a client that never had a session why.
async fn refuse<L>(local: L, first: &[u8], error: &TunnelError, standing: &Standing)
where
    L: AsyncRead + AsyncWrite + Unpin,
{
    tracing::warn!(%error, hint = error.hint().unwrap_or_default(), "no session");
    let refuser = Refuser::new(error.exception_class(), error.explained());
    let telling = telling::answer(local, refuser, first);
    stay(standing.without_session(), STAY, telling).await;
}

/// Waits for the client to speak; `None` when it does not speak rpyc, after telling it so.
///
/// A client may be silent for as long as it likes before: some connect early.
async fn first_bytes<L>(local: &mut L) -> Option<BytesMut>
where
    L: AsyncRead + AsyncWrite + Unpin,
{
    let mut first = BytesMut::with_capacity(FIRST);
    if local.read_buf(&mut first).await.ok()? == 0 {
        return None;
    }
    let decided = timeout(FIRST_TIME, async {
        loop {
            match sniff(&first) {
                Sniff::NeedMore if local.read_buf(&mut first).await.is_ok_and(|n| n > 0) => {}
                decision => return decision,
            }
        }
    })
    .await;
    match decided {
        Ok(Sniff::Rpyc) => return Some(first),
        Ok(Sniff::Http) => {
            tracing::warn!("refused: an HTTP client on the local port");
            telling::forbid_http(local).await;
        }
        Ok(Sniff::Tls) => tracing::warn!("refused: a TLS client on the local port"),
        Ok(Sniff::Unknown | Sniff::NeedMore) => {
            tracing::warn!("refused: a client on the local port that does not speak rpyc");
        }
        Err(_) => tracing::warn!("refused: a client on the local port that stopped half-way"),
    }
    None
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn a_client_without_a_session_is_counted_and_does_not_stay_for_ever() {
        let clients = TaskTracker::new();
        let telling = async {
            assert_eq!(clients.len(), 1);
            pending().await
        };
        stay(&clients, Duration::from_millis(10), telling).await;
        assert_eq!(clients.len(), 0);
    }
}
