//! Carrying bytes between the local client and the tunnel, and knowing which of the
//! client's calls still wait for an answer.
//!
//! One task polls both directions. Half-close is kept. What the server sends is delivered
//! in whole frames up to [`delivery::HOLD_MAX`], so that a tunnel that is cut in the middle
//! of one leaves the client between two frames, where an exception can still be told.

mod delivery;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rpyc::{Family, Head, Kind, Observer, Pending};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy, sink};
use tokio::time::timeout;
use tokio_util::io::poll_read_buf;

use delivery::Delivery;

/// What is read at a time.
const CHUNK: usize = 64 * 1024;
/// How long a goodbye to the guard may take when the agent is told to stop.
const LEAVE_TIME: Duration = Duration::from_millis(250);
/// What a client wrote just now may take this long to be seen here.
const JUST_NOW: Duration = Duration::from_millis(20);
/// How long what a client has written may take to get away when its process ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A client, a tunnel, and what went between them.
#[derive(Debug)]
pub(crate) struct Relay<L, T> {
    local: L,
    tunnel: T,
    up: Up,
    /// Bytes of the server that the client has not got.
    down: BytesMut,
    delivery: Delivery,
    conversation: Conversation,
}

/// The client's direction.
#[derive(Debug, Default)]
struct Up {
    buffer: BytesMut,
    state: UpState,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum UpState {
    /// Bytes flow.
    #[default]
    Open,
    /// Bytes were written, and the TLS layer may hold some.
    Unflushed,
    /// The client has sent its last byte; the tunnel is being told.
    Closing,
    /// The tunnel has been told, or takes nothing more.
    Closed,
}

impl Up {
    /// Is everything that was read written, and flushed?
    fn is_sent(&self) -> bool {
        self.buffer.is_empty() && matches!(self.state, UpState::Open | UpState::Closed)
    }
}

/// What was understood of the traffic.
#[derive(Debug, Default)]
struct Conversation {
    client: Observer,
    server: Observer,
    pending: Pending,
    client_is_leaving: bool,
}

impl Conversation {
    fn client_sent(&mut self, bytes: &[u8]) {
        let (pending, leaving) = (&mut self.pending, &mut self.client_is_leaving);
        self.client.observe(bytes, |head| {
            *leaving |= head.is_close();
            pending.client_sent(head);
        });
    }

    fn server_sent(&mut self, bytes: &[u8]) {
        let pending = &mut self.pending;
        self.server.observe(bytes, |head| pending.server_sent(head));
    }
}

/// What ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The client has gone.
    Client,
    /// The tunnel: `Ok` when the other end said so, in TLS, and an error when it broke.
    Tunnel(io::Result<()>),
}

/// A client whose tunnel has ended.
#[derive(Debug)]
pub(crate) struct Orphan<L> {
    /// The client.
    pub(crate) local: L,
    /// What the client sent so far.
    pub(crate) client: Observer,
    /// The requests without an answer, oldest first.
    pub(crate) outstanding: Vec<Head>,
}

/// Does somebody wait for the answer to this request? Not when Python drops a name for
/// something of the server's, of which scripts know nothing.
fn is_call(request: &Head) -> bool {
    /// `HANDLE_DEL` (`core/consts.py`).
    const DEL: u8 = 15;
    matches!(request.kind, Kind::Request { handler } if handler != DEL)
}

impl<L, T> Relay<L, T>
where
    L: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    /// `first` is what the client has sent already, and what the tunnel has got already.
    pub(crate) fn new(local: L, tunnel: T, first: &[u8]) -> Self {
        let mut conversation = Conversation::default();
        conversation.client_sent(first);
        Self {
            local,
            tunnel,
            up: Up::default(),
            down: BytesMut::new(),
            delivery: Delivery::default(),
            conversation,
        }
    }

    /// Carries bytes until the client has gone or the tunnel has ended.
    pub(crate) async fn run(&mut self) -> End {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Does a call of the client wait for an answer?
    pub(crate) fn call_waits(&self) -> bool {
        self.conversation
            .pending
            .outstanding()
            .any(|request| is_call(&request))
    }

    /// Has the client said that it has nothing more to ask?
    pub(crate) fn client_is_leaving(&self) -> bool {
        self.conversation.client_is_leaving
            || matches!(self.up.state, UpState::Closing | UpState::Closed)
    }

    /// Can the client still be told something in rpyc? Not in the middle of a frame, and
    /// not when this is no rpyc.
    pub(crate) fn can_be_told(&self) -> bool {
        self.delivery.at_boundary()
            && !self.conversation.client.is_opaque()
            && !self.conversation.server.is_opaque()
    }

    /// Which rpyc it is, once that has shown.
    pub(crate) fn family(&self) -> Option<Family> {
        self.conversation.client.family()
    }

    /// Parts with the tunnel. An incomplete frame that was held back is lost with it.
    pub(crate) fn orphan(self) -> Orphan<L> {
        Orphan {
            local: self.local,
            client: self.conversation.client,
            outstanding: self.conversation.pending.outstanding().collect(),
        }
    }

    /// After an orderly end of the server's direction: tells the client, and carries on
    /// with what the client still sends.
    pub(crate) async fn finish(mut self) {
        poll_fn(|cx| self.poll_finish(cx)).await;
        poll_fn(|cx| match self.poll_up(cx) {
            Poll::Pending if self.up.state != UpState::Closed => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
    }

    /// Sends what the client has written so far. Best effort.
    pub(crate) async fn send_last_words(&mut self) {
        let _ = timeout(JUST_NOW, poll_fn(|cx| self.poll_up(cx))).await;
        let sent = poll_fn(|cx| match self.poll_up(cx) {
            Poll::Pending if !self.up.is_sent() => Poll::Pending,
            _ => Poll::Ready(()),
        });
        let _ = timeout(LAST_WORDS, sent).await;
    }

    /// Gives the client's stream back and lets go of the tunnel.
    pub(crate) fn into_local(self) -> L {
        self.local
    }

    /// Tells the guard that the client is leaving. Best effort: without it, the guard would
    /// take the client for lost.
    pub(crate) async fn leave(&mut self) {
        let goodbye = async {
            self.tunnel.shutdown().await?;
            // Closing over unread bytes would reset the connection, and the goodbye with it.
            copy(&mut self.tunnel, &mut sink()).await
        };
        let _ = timeout(LEAVE_TIME, goodbye).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        // What the server has sent counts before what is sent to it: it may say why it ends.
        if let Poll::Ready(end) = self.poll_down(cx) {
            return Poll::Ready(end);
        }
        match self.poll_up(cx) {
            Poll::Ready(()) => Poll::Ready(End::Client),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            while self.delivery.ready() > 0 {
                let bytes = &self.down[..self.delivery.ready()];
                match ready!(Pin::new(&mut self.local).poll_write(cx, bytes)) {
                    Ok(count) if count > 0 => {
                        self.delivery.delivered(count);
                        self.down.advance(count);
                    }
                    _ => return Poll::Ready(End::Client),
                }
            }
            self.down.reserve(CHUNK);
            match poll_read_buf(Pin::new(&mut self.tunnel), cx, &mut self.down) {
                Poll::Pending => {
                    if self.down.is_empty() {
                        self.down = BytesMut::new();
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(End::Tunnel(Ok(()))),
                Poll::Ready(Ok(_)) => {
                    let from = self.delivery.ready();
                    self.delivery.received(&self.down);
                    // Only what the client will get counts as an answer.
                    let delivered = &self.down[from..self.delivery.ready()];
                    self.conversation.server_sent(delivered);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(End::Tunnel(Err(error))),
            }
        }
    }

    /// Ready when the client has gone for good.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.up.state {
                UpState::Open | UpState::Unflushed if !self.up.buffer.is_empty() => {
                    let bytes = &self.up.buffer;
                    match ready!(Pin::new(&mut self.tunnel).poll_write(cx, bytes)) {
                        Ok(count) if count > 0 => {
                            self.up.buffer.advance(count);
                            self.up.state = UpState::Unflushed;
                        }
                        // Why shows where the tunnel is read.
                        _ => self.up.state = UpState::Closed,
                    }
                }
                UpState::Unflushed => {
                    self.up.state = match ready!(Pin::new(&mut self.tunnel).poll_flush(cx)) {
                        Ok(()) => UpState::Open,
                        Err(_) => UpState::Closed,
                    };
                }
                UpState::Open => {
                    self.up.buffer.reserve(CHUNK);
                    match poll_read_buf(Pin::new(&mut self.local), cx, &mut self.up.buffer) {
                        Poll::Pending => {
                            self.up.buffer = BytesMut::new();
                            return Poll::Pending;
                        }
                        Poll::Ready(Ok(0)) => self.up.state = UpState::Closing,
                        Poll::Ready(Ok(_)) => self.conversation.client_sent(&self.up.buffer),
                        Poll::Ready(Err(_)) => return Poll::Ready(()),
                    }
                }
                UpState::Closing => {
                    let _ = ready!(Pin::new(&mut self.tunnel).poll_shutdown(cx));
                    self.up.state = UpState::Closed;
                }
                UpState::Closed => return Poll::Pending,
            }
        }
    }

    /// Delivers what was held back, and the end.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.down.is_empty() {
            match ready!(Pin::new(&mut self.local).poll_write(cx, &self.down)) {
                Ok(count) if count > 0 => self.down.advance(count),
                _ => return Poll::Ready(()),
            }
        }
        Pin::new(&mut self.local).poll_shutdown(cx).map(|_| ())
    }
}

#[cfg(test)]
mod tests;
