//! Carrying bytes between client and Houdini, as they are.
//!
//! One task a session polls both directions. Buffers are taken when bytes come and given
//! back when there are none, so an idle session costs little. A direction that has ended
//! is closed towards the other side while the other direction goes on (half-close).

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_util::io::poll_read_buf;
use wire::Code;

/// What is read at a time. Four TLS records.
const CHUNK: usize = 64 * 1024;

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client closed first.
    ClientClosed,
    /// Houdini closed first.
    UpstreamClosed,
    /// The connection to the client broke.
    ClientLost,
    /// The connection to Houdini broke.
    UpstreamLost,
    /// The guard ended it.
    Cut(Code),
}

impl End {
    /// The stable text in the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientClosed => "client-closed",
            Self::UpstreamClosed => "upstream-closed",
            Self::ClientLost => "client-lost",
            Self::UpstreamLost => "upstream-lost",
            Self::Cut(code) => code.as_str(),
        }
    }
}

/// What went through a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes from the client to Houdini.
    pub up: u64,
    /// Bytes from Houdini to the client.
    pub down: u64,
    /// Other signs of life, of a relay that holds bytes back: bytes taken from either side, and
    /// pieces of work on them.
    pub signs: u64,
}

/// Relays until both directions have ended, one side breaks, `ended` says so, or nothing
/// has moved for `idle`. `traffic` is kept up to date all the while.
pub async fn run<C, U>(
    client: &mut C,
    upstream: &mut U,
    traffic: &mut Traffic,
    idle: Option<Duration>,
    ended: impl Future<Output = Code>,
) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let mut copy = Copy {
        up: Direction::default(),
        down: Direction::default(),
        first: None,
    };
    let poll =
        |cx: &mut Context<'_>, traffic: &mut Traffic| copy.poll(cx, client, upstream, traffic);
    match until_over(poll, traffic, idle, ended).await {
        Over::Done => copy.first.unwrap_or(End::UpstreamLost),
        Over::Idle => End::Cut(Code::SessionIdle),
        Over::Cut(code) => End::Cut(code),
    }
}

/// How a relay came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// By itself.
    Done,
    /// Nothing moved for too long.
    Idle,
    /// It was told to.
    Cut(Code),
}

/// Polls a relay until it has ended, `ended` says so, or nothing has moved for `idle`.
pub(crate) async fn until_over(
    mut poll: impl FnMut(&mut Context<'_>, &mut Traffic) -> Poll<()>,
    traffic: &mut Traffic,
    idle: Option<Duration>,
    ended: impl Future<Output = Code>,
) -> Over {
    let ended = std::pin::pin!(ended);
    tokio::select! {
        biased;
        code = ended => Over::Cut(code),
        over = watch_idle(idle, &mut poll, traffic) => over,
    }
}

async fn watch_idle(
    idle: Option<Duration>,
    poll: &mut impl FnMut(&mut Context<'_>, &mut Traffic) -> Poll<()>,
    traffic: &mut Traffic,
) -> Over {
    let Some(idle) = idle else {
        poll_fn(|cx| poll(cx, traffic)).await;
        return Over::Done;
    };
    let mut last = (*traffic, Instant::now());
    let timer = sleep_until(last.1 + idle);
    let mut timer = std::pin::pin!(timer);
    poll_fn(|cx| {
        if poll(cx, traffic).is_ready() {
            return Poll::Ready(Over::Done);
        }
        if *traffic != last.0 {
            last = (*traffic, Instant::now());
        }
        while timer.as_mut().poll(cx).is_ready() {
            if last.1.elapsed() >= idle {
                return Poll::Ready(Over::Idle);
            }
            timer.as_mut().reset(last.1 + idle);
        }
        Poll::Pending
    })
    .await
}

#[derive(Debug)]
struct Copy {
    up: Direction,
    down: Direction,
    /// What happened first; it names the end of the session.
    first: Option<End>,
}

impl Copy {
    fn poll<C, U>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        upstream: &mut U,
        traffic: &mut Traffic,
    ) -> Poll<()>
    where
        C: AsyncRead + AsyncWrite + Unpin,
        U: AsyncRead + AsyncWrite + Unpin,
    {
        let up = self.up.poll(cx, client, upstream);
        if self.up.source_ended {
            self.first.get_or_insert(End::ClientClosed);
        }
        let down = self.down.poll(cx, upstream, client);
        if self.down.source_ended {
            self.first.get_or_insert(End::UpstreamClosed);
        }
        *traffic = Traffic {
            up: self.up.moved,
            down: self.down.moved,
            signs: 0,
        };
        // A side that can no longer be read has gone: nothing more can come of the other.
        if let Poll::Ready(Outcome::SourceBroke) = up {
            self.first.get_or_insert(End::ClientLost);
            return Poll::Ready(());
        }
        if let Poll::Ready(Outcome::SourceBroke) = down {
            self.first.get_or_insert(End::UpstreamLost);
            return Poll::Ready(());
        }
        if up.is_ready() && down.is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

#[derive(Debug, Default)]
struct Direction {
    buffer: BytesMut,
    moved: u64,
    /// Written since the last flush.
    unflushed: bool,
    /// The source sent its end.
    source_ended: bool,
    done: Option<Outcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Everything went through, the end too.
    Whole,
    /// The destination takes no more. What it sends may still be worth reading.
    DestinationBroke,
    /// The source cannot be read any more.
    SourceBroke,
}

impl Direction {
    fn poll<S, D>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        destination: &mut D,
    ) -> Poll<Outcome>
    where
        S: AsyncRead + Unpin,
        D: AsyncWrite + Unpin,
    {
        if let Some(outcome) = self.done {
            return Poll::Ready(outcome);
        }
        let outcome = ready!(self.step(cx, Pin::new(source), Pin::new(destination)));
        self.buffer = BytesMut::new();
        self.done = Some(outcome);
        Poll::Ready(outcome)
    }

    fn step<S, D>(
        &mut self,
        cx: &mut Context<'_>,
        mut source: Pin<&mut S>,
        mut destination: Pin<&mut D>,
    ) -> Poll<Outcome>
    where
        S: AsyncRead,
        D: AsyncWrite,
    {
        loop {
            while !self.buffer.is_empty() {
                match ready!(destination.as_mut().poll_write(cx, &self.buffer)) {
                    Ok(0) | Err(_) => return Poll::Ready(Outcome::DestinationBroke),
                    Ok(count) => {
                        self.buffer.advance(count);
                        self.moved += count as u64;
                        self.unflushed = true;
                    }
                }
            }
            if self.source_ended {
                let end = ready!(destination.as_mut().poll_shutdown(cx));
                return Poll::Ready(match end {
                    Ok(()) => Outcome::Whole,
                    Err(_) => Outcome::DestinationBroke,
                });
            }
            self.buffer.reserve(CHUNK);
            match poll_read_buf(source.as_mut(), cx, &mut self.buffer) {
                Poll::Ready(Ok(0)) => self.source_ended = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Outcome::SourceBroke),
                Poll::Pending => {
                    self.buffer = BytesMut::new();
                    if self.unflushed {
                        match ready!(destination.as_mut().poll_flush(cx)) {
                            Ok(()) => self.unflushed = false,
                            Err(_) => return Poll::Ready(Outcome::DestinationBroke),
                        }
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
