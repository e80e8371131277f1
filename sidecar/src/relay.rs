//! Carrying bytes between client and Houdini, as they are.
//!
//! One task a session polls both directions. What has come goes on at once from a buffer
//! that all sessions of a thread share; a session has memory of its own only for what its
//! other side does not take. A direction that has ended is closed towards the other side
//! while the other direction goes on (half-close).

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};
use wire::Code;

/// What is gathered before it is written. Eight TLS records: a TLS stream gives one at a time.
const CHUNK: usize = 128 * 1024;
/// How often it is, in each direction, before other sessions have their turn.
const AT_A_STRETCH: usize = 4;

thread_local! {
    static GATHERED: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into_boxed_slice());
}

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
        down: Direction {
            gives_all: true,
            ..Direction::default()
        },
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
    /// What the destination has not taken yet.
    rest: BytesMut,
    /// One read gives all that has come, as TCP does and TLS does not. What came goes on before
    /// the source is read again, which may cost a packet: see [`wire::prompt`].
    gives_all: bool,
    moved: u64,
    /// Written since the last flush.
    unflushed: bool,
    /// The source sent its end.
    source_ended: bool,
    source_broke: bool,
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
        self.rest = BytesMut::new();
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
        for _ in 0..AT_A_STRETCH {
            while !self.rest.is_empty() {
                match ready!(destination.as_mut().poll_write(cx, &self.rest)) {
                    Ok(0) | Err(_) => return Poll::Ready(Outcome::DestinationBroke),
                    Ok(count) => {
                        self.rest.advance(count);
                        self.wrote(count);
                    }
                }
            }
            if self.source_broke {
                return Poll::Ready(Outcome::SourceBroke);
            }
            if self.source_ended {
                let end = ready!(destination.as_mut().poll_shutdown(cx));
                return Poll::Ready(match end {
                    Ok(()) => Outcome::Whole,
                    Err(_) => Outcome::DestinationBroke,
                });
            }
            self.rest = BytesMut::new();
            let came = GATHERED.with_borrow_mut(|gathered| {
                let mut gathered = ReadBuf::new(gathered);
                self.gather(cx, source.as_mut(), &mut gathered);
                self.pass(cx, destination.as_mut(), gathered.filled())
            });
            match came {
                Ok(true) => {}
                Err(Broke) => return Poll::Ready(Outcome::DestinationBroke),
                Ok(false) if self.source_ended || self.source_broke => {}
                Ok(false) => {
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
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads until nothing more comes for now.
    fn gather<S: AsyncRead>(
        &mut self,
        cx: &mut Context<'_>,
        mut source: Pin<&mut S>,
        gathered: &mut ReadBuf<'_>,
    ) {
        while gathered.remaining() > 0 {
            let before = gathered.filled().len();
            match source.as_mut().poll_read(cx, gathered) {
                Poll::Pending => return,
                Poll::Ready(Err(_)) => {
                    self.source_broke = true;
                    return;
                }
                Poll::Ready(Ok(())) if gathered.filled().len() == before => {
                    self.source_ended = true;
                    return;
                }
                Poll::Ready(Ok(())) if self.gives_all => return,
                Poll::Ready(Ok(())) => {}
            }
        }
    }

    /// Writes what came, and keeps what is not taken. Gives whether anything came.
    fn pass<D: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        mut destination: Pin<&mut D>,
        mut came: &[u8],
    ) -> Result<bool, Broke> {
        let anything = !came.is_empty();
        while !came.is_empty() {
            match destination.as_mut().poll_write(cx, came) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(Broke),
                Poll::Ready(Ok(count)) => {
                    came = &came[count..];
                    self.wrote(count);
                }
                Poll::Pending => {
                    self.rest = BytesMut::from(came);
                    break;
                }
            }
        }
        Ok(anything)
    }

    fn wrote(&mut self, count: usize) {
        self.moved += count as u64;
        self.unflushed = true;
    }
}

/// The destination takes no more.
struct Broke;

#[cfg(test)]
mod tests;
