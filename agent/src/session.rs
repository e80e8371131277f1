//! One local client, from its first byte to its last.
//!
//! Nothing is dialled before the client has shown that it speaks rpyc. Whatever goes wrong
//! is told to it as a Python exception.

mod telling;

use std::time::Duration;

use bytes::BytesMut;
use rpyc::{ExceptionClass, Refuser, Sniff, sniff};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::time::{Instant, timeout};

use crate::explain::Explain as _;
use crate::relay::{End, Relay};
use crate::standing::{Answer, Reason, Standing};
use crate::tunnel::TunnelError;

/// What the first read may take in.
const FIRST: usize = 16 * 1024;
/// From the first byte until it is clear what the client speaks.
const FIRST_TIME: Duration = Duration::from_secs(10);

/// Serves one client over any byte stream, until it has gone or was told why not.
pub async fn serve<L>(mut local: L, standing: &Standing)
where
    L: AsyncRead + AsyncWrite + Unpin,
{
    let Some(first) = first_bytes(&mut local).await else {
        return;
    };
    let tunnel = match standing.open(&first).await {
        Ok(tunnel) => tunnel,
        Err(error) => return refuse(local, &first, &error).await,
    };
    let session = tunnel.accepted.session;
    tracing::info!(
        session,
        guard = %standing.route().guard.name(),
        upstream = tunnel.accepted.upstream,
        role = tunnel.accepted.role,
        "session open"
    );
    let mut relay = Relay::new(local, tunnel.stream, &first);
    let end = relay.run().await;
    match end {
        End::Client => tracing::info!(session, "session closed by the client"),
        End::Tunnel(result) => {
            let clean = result.is_ok();
            match result {
                Ok(()) => tracing::info!(session, "session closed by the other end"),
                Err(error) => tracing::warn!(session, %error, "session broken"),
            }
            after_tunnel(relay, clean, standing).await;
        }
    }
}

/// The tunnel has ended and the client is there.
///
/// A guard that cuts and a Houdini that closes look alike. So unless the client is about to
/// leave anyway, the guard is asked for its verdict now.
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
            let orphan = relay.orphan();
            telling::refuse_from_now_on(orphan, reason.class, &reason.explained()).await;
        }
        answer if relay.has_outstanding() => {
            let text = lost(standing, answer);
            tracing::warn!(reason = text, "calls without an answer were told so");
            telling::last_words(relay.orphan(), ExceptionClass::EofError, &text).await;
        }
        _ if clean => relay.finish().await,
        _ => {}
    }
}

fn lost(standing: &Standing, answer: Answer) -> String {
    let guard = standing.route().guard.name();
    let hint = "connect again; what the script held of that session is gone";
    match answer {
        Answer::Welcome => format!(
            "the session with Houdini behind {guard} was lost before this call was answered \
             (the guard is there and would open a new one)\nhint: {hint}"
        ),
        Answer::No(Reason { sentence, .. }) => format!(
            "the session with Houdini behind {guard} was lost before this call was answered: \
             {sentence}\nhint: {hint}"
        ),
    }
}

/// Tells a client that never had a session why.
async fn refuse<L>(local: L, first: &[u8], error: &TunnelError)
where
    L: AsyncRead + AsyncWrite + Unpin,
{
    tracing::warn!(%error, hint = error.hint().unwrap_or_default(), "no session");
    let refuser = Refuser::new(error.exception_class(), error.explained());
    telling::answer(local, refuser, first).await;
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
