//! Carrying bytes between the local client and the tunnel, and knowing which of the
//! client's calls still wait for an answer.
//!
//! One task polls both directions. Half-close is kept. What the server sends is delivered
//! in whole frames up to a limit, so that a tunnel that is cut in the middle of one leaves
//! the client between two frames, where an exception can still be told. Unless reverse calls
//! are open, what the server asks of the client is held to the rules of [`rpyc::reverse`].

mod guarded;
mod heads;
mod open;

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rpyc::reverse::Reverse;
use rpyc::{Family, Head, Observer, Side};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy, sink};
use tokio::time::timeout;
use tokio_util::io::poll_read_buf;

pub(crate) use guarded::Stop;

use guarded::Guarded;
use heads::Heads;
use open::Open;

/// What is read at a time.
const CHUNK: usize = 64 * 1024;
/// While so much of our own waits to be written to the server, nothing more of it is read.
const ENOUGH: usize = 256 * 1024;
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
    passage: Passage,
    out: Out,
    up: Up,
    heads: Heads,
    /// Why the session ends when what was let through before is delivered.
    stop: Option<Stop>,
}

/// What becomes of bytes between reading and writing.
#[derive(Debug)]
enum Passage {
    Open(Open),
    Guarded(Box<Guarded>),
}

impl Passage {
    fn input(&mut self, from: Side) -> &mut BytesMut {
        match self {
            Self::Open(open) => open.input(from),
            Self::Guarded(guarded) => guarded.input(from),
        }
    }

    fn advance(&mut self, from: Side, out: &mut Out) -> Result<(), Stop> {
        match self {
            Self::Open(open) => open.advance(from, out),
            Self::Guarded(guarded) => guarded.advance(from, out)?,
        }
        Ok(())
    }
}

/// What is ready to be written.
#[derive(Debug, Default)]
struct Out {
    to_server: BytesMut,
    to_client: BytesMut,
    /// Our answers to the server. They go when nothing else waits, between two messages of
    /// the client's.
    answers: BytesMut,
}

/// Puts bytes behind others. What was cut from one buffer is put together without a copy.
fn pass(out: &mut BytesMut, bytes: BytesMut) {
    match out.is_empty() {
        true => *out = bytes,
        false => out.unsplit(bytes),
    }
}

/// How far the client's direction is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Up {
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

/// What ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The client has gone.
    Client,
    /// The tunnel: `Ok` when the other end said so, in TLS, and an error when it broke.
    Tunnel(io::Result<()>),
    /// It is ended here, for what one side sent.
    Stopped(Stop),
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

impl<L, T> Relay<L, T>
where
    L: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    /// `first` is what the client has sent already, and what the tunnel has got already.
    pub(crate) fn new(local: L, tunnel: T, first: &[u8], reverse: Reverse) -> Self {
        let mut heads = Heads::default();
        heads.client_sent(first);
        let mut relay = Self {
            local,
            tunnel,
            passage: match reverse {
                Reverse::Open => Passage::Open(Open::default()),
                Reverse::Guarded => Passage::Guarded(Box::new(Guarded::new(first))),
            },
            out: Out::default(),
            up: Up::default(),
            heads,
            stop: None,
        };
        relay.advance(Side::Client);
        relay
    }

    /// Carries bytes until the client has gone, the tunnel has ended, or the session cannot
    /// go on.
    pub(crate) async fn run(&mut self) -> End {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Does a call of the client wait for an answer?
    pub(crate) fn call_waits(&self) -> bool {
        self.heads.call_waits()
    }

    /// Has the client said that it has nothing more to ask?
    pub(crate) fn client_is_leaving(&self) -> bool {
        self.heads.client_is_leaving() || matches!(self.up, Up::Closing | Up::Closed)
    }

    /// Can the client still be told something in rpyc? Not in the middle of a frame, and
    /// not when this is no rpyc.
    pub(crate) fn can_be_told(&self) -> bool {
        self.heads.can_be_told()
    }

    /// Which rpyc it is, once that has shown.
    pub(crate) fn family(&self) -> Option<Family> {
        self.heads.family()
    }

    /// Parts with the tunnel. An incomplete frame that was held back is lost with it.
    pub(crate) fn orphan(self) -> Orphan<L> {
        let (client, outstanding) = self.heads.into_parts();
        Orphan {
            local: self.local,
            client,
            outstanding,
        }
    }

    /// After an orderly end of the server's direction: tells the client, and carries on
    /// with what the client still sends.
    pub(crate) async fn finish(mut self) {
        self.passage = match self.passage {
            Passage::Open(mut open) => {
                pass(&mut self.out.to_client, open.rest());
                Passage::Open(open)
            }
            Passage::Guarded(guarded) => {
                if guarded.is_between_messages() {
                    pass(&mut self.out.to_server, self.out.answers.split());
                }
                Passage::Open(guarded.into_open())
            }
        };
        self.advance(Side::Client);
        poll_fn(|cx| self.poll_finish(cx)).await;
        poll_fn(|cx| match self.poll_up(cx) {
            Poll::Pending if self.up != Up::Closed => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
    }

    /// Sends what the client has written so far. Best effort.
    pub(crate) async fn send_last_words(&mut self) {
        let _ = timeout(JUST_NOW, poll_fn(|cx| self.poll_up(cx))).await;
        let sent = poll_fn(|cx| match self.poll_up(cx) {
            Poll::Pending if !self.is_sent() => Poll::Pending,
            _ => Poll::Ready(()),
        });
        let _ = timeout(LAST_WORDS, sent).await;
    }

    /// Is everything that was read of the client written, and flushed?
    fn is_sent(&self) -> bool {
        self.out.to_server.is_empty() && matches!(self.up, Up::Open | Up::Closed)
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

    /// Goes through what has come of a side.
    fn advance(&mut self, from: Side) {
        let before = self.out.to_client.len();
        if let Err(stop) = self.passage.advance(from, &mut self.out) {
            self.stop = Some(stop);
        }
        self.heads.client_gets(&self.out.to_client[before..]);
        if matches!(self.up, Up::Closing | Up::Closed) {
            self.close_up();
        }
    }

    /// Nothing goes to the server any more.
    fn close_up(&mut self) {
        self.out.to_server.clear();
        self.out.answers.clear();
    }

    /// Do so many answers of ours wait that no more of the server's requests are read?
    fn is_crowded(&self) -> bool {
        self.out.answers.len() > ENOUGH
    }

    fn put_answers(&mut self) {
        if let Passage::Guarded(guarded) = &self.passage
            && self.out.to_server.is_empty()
            && guarded.is_between_messages()
        {
            self.out.to_server = mem::take(&mut self.out.answers);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            // What the server has sent counts before what is sent to it: it may say why it
            // ends.
            if let Poll::Ready(end) = self.poll_down(cx) {
                return Poll::Ready(end);
            }
            if self.stop.is_some() {
                return Poll::Pending;
            }
            let crowded = self.is_crowded();
            if self.poll_up(cx).is_ready() {
                return Poll::Ready(End::Client);
            }
            let has_room = crowded && !self.is_crowded();
            if self.stop.is_none() && !has_room {
                return Poll::Pending;
            }
        }
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            while !self.out.to_client.is_empty() {
                let bytes = &self.out.to_client;
                match ready!(Pin::new(&mut self.local).poll_write(cx, bytes)) {
                    Ok(count) if count > 0 => self.out.to_client.advance(count),
                    _ => return Poll::Ready(End::Client),
                }
            }
            if let Some(stop) = self.stop.take() {
                return Poll::Ready(End::Stopped(stop));
            }
            if self.is_crowded() {
                return Poll::Pending;
            }
            let input = self.passage.input(Side::Server);
            input.reserve(CHUNK);
            match poll_read_buf(Pin::new(&mut self.tunnel), cx, input) {
                Poll::Pending => {
                    if input.is_empty() {
                        *input = BytesMut::new();
                    }
                    self.out.to_client = BytesMut::new();
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(End::Tunnel(Ok(()))),
                Poll::Ready(Ok(_)) => self.advance(Side::Server),
                Poll::Ready(Err(error)) => return Poll::Ready(End::Tunnel(Err(error))),
            }
        }
    }

    /// Ready when the client has gone for good.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.put_answers();
            match self.up {
                Up::Open | Up::Unflushed if !self.out.to_server.is_empty() => {
                    let bytes = &self.out.to_server;
                    match ready!(Pin::new(&mut self.tunnel).poll_write(cx, bytes)) {
                        Ok(count) if count > 0 => {
                            self.out.to_server.advance(count);
                            self.up = Up::Unflushed;
                        }
                        // Why shows where the tunnel is read.
                        _ => {
                            self.up = Up::Closed;
                            self.close_up();
                        }
                    }
                }
                Up::Unflushed => {
                    self.up = match ready!(Pin::new(&mut self.tunnel).poll_flush(cx)) {
                        Ok(()) => Up::Open,
                        Err(_) => Up::Closed,
                    };
                }
                Up::Open if self.stop.is_some() => return Poll::Pending,
                Up::Open => {
                    let input = self.passage.input(Side::Client);
                    let before = input.len();
                    input.reserve(CHUNK);
                    match poll_read_buf(Pin::new(&mut self.local), cx, input) {
                        Poll::Pending => {
                            if input.is_empty() {
                                *input = BytesMut::new();
                            }
                            self.out.to_server = BytesMut::new();
                            return Poll::Pending;
                        }
                        Poll::Ready(Ok(0)) => {
                            self.up = Up::Closing;
                            self.close_up();
                        }
                        Poll::Ready(Ok(_)) => {
                            self.heads.client_sent(&input[before..]);
                            self.advance(Side::Client);
                        }
                        Poll::Ready(Err(_)) => return Poll::Ready(()),
                    }
                }
                Up::Closing => {
                    let _ = ready!(Pin::new(&mut self.tunnel).poll_shutdown(cx));
                    self.up = Up::Closed;
                }
                Up::Closed => return Poll::Pending,
            }
        }
    }

    /// Delivers what was held back, and the end.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.out.to_client.is_empty() {
            match ready!(Pin::new(&mut self.local).poll_write(cx, &self.out.to_client)) {
                Ok(count) if count > 0 => self.out.to_client.advance(count),
                _ => return Poll::Ready(()),
            }
        }
        Pin::new(&mut self.local).poll_shutdown(cx).map(|_| ())
    }
}

#[cfg(test)]
mod tests;
