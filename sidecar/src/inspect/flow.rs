//! The bytes of an inspected session, in both directions, in one task.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rpyc::{Family, Lane, Side};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_util::io::poll_read_buf;
use wire::Code;

use super::opening::Opening;
use super::state::{Inspector, Out, Stop, WHOLE, Want};
use crate::audit::{Full, Slot};
use crate::relay::{End, Over, Traffic, until_over};

/// What is read at a time.
const CHUNK: usize = 64 * 1024;
/// While so much waits to be written to a side, nothing more is taken for it.
const ENOUGH: usize = 256 * 1024;
/// While so much of a side waits to be looked at, nothing more is taken from it. A frame that
/// is taken whole fits.
const HELD: usize = WHOLE + CHUNK;

/// How long a script may take to receive what it is told at the end.
const GOODBYE: Duration = Duration::from_secs(1);

type Reserve = Pin<Box<dyn Future<Output = Result<Slot, Full>> + Send>>;

/// Relays, and inspects, until both directions have ended, one side breaks, `ended` says so,
/// the session must be stopped, or nothing has moved for `idle`. Says why the session was
/// stopped, where there is more to say than its end.
///
/// `asking` gives the family that Houdini speaks, or `None` when that cannot be found out.
/// The client's messages wait for it unless Houdini shows it by itself.
///
/// A script that waits for an answer then is told why, but where `ended` says so: its agent
/// asks for the verdict, and gets it.
pub async fn run<C, U>(
    client: &mut C,
    houdini: &mut U,
    inspector: &mut Inspector,
    asking: impl Future<Output = Option<Family>> + Send,
    traffic: &mut Traffic,
    idle: Option<Duration>,
    ended: impl Future<Output = Code>,
) -> (End, Option<String>)
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let mut flow = Flow {
        opening: Opening::new(asking),
        up: Way::default(),
        down: Way::default(),
        out: Out::default(),
        reserve: None,
        turn_over: false,
        first: None,
        stop: None,
    };
    let poll = |cx: &mut Context<'_>, traffic: &mut Traffic| {
        flow.poll(cx, client, houdini, inspector, traffic)
    };
    let over = until_over(poll, traffic, idle, ended).await;
    let stop = match (over, flow.stop.take()) {
        (_, Some(stop)) => stop,
        (Over::Done, None) => return (flow.first.unwrap_or(End::UpstreamLost), None),
        (Over::Cut(code), None) => return (End::Cut(code), None),
        (Over::Idle, None) => {
            let idle = idle.unwrap_or_default();
            let why = format_args!("nothing went through it for {idle:?}");
            Stop::with_code(Code::SessionIdle, why)
        }
    };
    flow.say_goodbye(client, inspector, &stop, traffic).await;
    (End::Cut(stop.code), Some(stop.why))
}

/// Both directions.
struct Flow<'a> {
    opening: Opening<'a>,
    up: Way,
    down: Way,
    out: Out,
    reserve: Option<Reserve>,
    /// There is more to do, once other sessions have had their turn.
    turn_over: bool,
    /// What happened first; it names the end of the session.
    first: Option<End>,
    stop: Option<Stop>,
}

/// One direction.
struct Way {
    lane: Lane,
    /// The source sent its end.
    source_ended: bool,
    /// Nothing more can come out of it.
    drained: bool,
    /// The destination was told the end, or takes nothing more.
    closed: bool,
    unflushed: bool,
}

impl Default for Way {
    fn default() -> Self {
        Self {
            lane: Lane::new(WHOLE),
            source_ended: false,
            drained: false,
            closed: false,
            unflushed: false,
        }
    }
}

impl Flow<'_> {
    fn poll<C, U>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        houdini: &mut U,
        inspector: &mut Inspector,
        traffic: &mut Traffic,
    ) -> Poll<()>
    where
        C: AsyncRead + AsyncWrite + Unpin,
        U: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            let mut moved = false;
            let sides = match self.opens(cx, inspector, traffic) {
                true => &[Side::Client, Side::Server][..],
                false => &[],
            };
            for &side in sides {
                match self.advance(cx, side, inspector) {
                    Ok(went_on) => moved |= went_on,
                    Err(stop) => {
                        // What was understood before it still gets away.
                        let _ = self.up.write(
                            cx,
                            houdini,
                            &mut self.out.to_houdini.ready,
                            &mut traffic.up,
                        );
                        self.stop = Some(stop);
                        return Poll::Ready(());
                    }
                }
            }
            moved |= self
                .up
                .write(cx, houdini, &mut self.out.to_houdini.ready, &mut traffic.up)
                .is_ready();
            moved |= self
                .down
                .write(cx, client, &mut self.out.to_client.ready, &mut traffic.down)
                .is_ready();
            if self.up.closed && self.down.closed {
                return Poll::Ready(());
            }
            // The client first: where both have ended, it is the one that let go.
            if self.has_room_for(Side::Client) {
                match self.up.read(cx, client, &mut traffic.signs) {
                    Poll::Ready(Ok(())) => moved = true,
                    Poll::Ready(Err(_)) => {
                        self.first.get_or_insert(End::ClientLost);
                        return Poll::Ready(());
                    }
                    Poll::Pending => {}
                }
                if self.up.source_ended {
                    self.first.get_or_insert(End::ClientClosed);
                }
            }
            if self.has_room_for(Side::Server) {
                match self.down.read(cx, houdini, &mut traffic.signs) {
                    Poll::Ready(Ok(())) => moved = true,
                    Poll::Ready(Err(_)) => {
                        self.first.get_or_insert(End::UpstreamLost);
                        return Poll::Ready(());
                    }
                    Poll::Pending => {}
                }
                if self.down.source_ended {
                    self.first.get_or_insert(End::UpstreamClosed);
                }
            }
            if std::mem::take(&mut self.turn_over) {
                traffic.signs += 1;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !moved {
                return Poll::Pending;
            }
        }
    }

    /// May more be taken from a side? Not while much waits to be written to either, nor while
    /// much of what the guard says to that side waits for the end of a great message.
    fn has_room_for(&self, from: Side) -> bool {
        let Out {
            to_client,
            to_houdini,
        } = &self.out;
        to_client.ready.len() < ENOUGH
            && to_houdini.ready.len() < ENOUGH
            && self.out.to(from).waiting() < ENOUGH
    }

    /// May messages be taken out of the lanes?
    fn opens(
        &mut self,
        cx: &mut Context<'_>,
        inspector: &mut Inspector,
        traffic: &Traffic,
    ) -> bool {
        if traffic.up > 0 || !self.out.to_houdini.ready.is_empty() {
            return true;
        }
        let client = (&self.up.lane, self.up.source_ended);
        let houdini = (&self.down.lane, self.down.source_ended);
        match self.opening.poll(cx, client, houdini) {
            Poll::Ready((client, houdini)) => {
                inspector.opens(client, houdini);
                true
            }
            Poll::Pending => false,
        }
    }

    /// Writes what the script has still to get, and why its session ends.
    async fn say_goodbye<C>(
        &mut self,
        client: &mut C,
        inspector: &Inspector,
        stop: &Stop,
        traffic: &mut Traffic,
    ) where
        C: AsyncWrite + Unpin,
    {
        if self.down.closed {
            return;
        }
        let mut words = std::mem::take(&mut self.out.to_client.ready);
        words.extend(inspector.last_words(stop, &self.up.lane, &self.out));
        let length = words.len();
        let said = async {
            client.write_all_buf(&mut words).await?;
            client.flush().await
        };
        let _ = timeout(GOODBYE, said).await;
        traffic.down += (length - words.len()) as u64;
    }

    /// Goes through what one side has sent. Gives whether there was anything to do.
    fn advance(
        &mut self,
        cx: &mut Context<'_>,
        from: Side,
        inspector: &mut Inspector,
    ) -> Result<bool, Stop> {
        let way = match from {
            Side::Client => &mut self.up,
            Side::Server => &mut self.down,
        };
        if way.drained {
            return Ok(false);
        }
        let before = way.lane.input.len();
        loop {
            match inspector.pump(from, &mut way.lane, &mut self.out)? {
                Want::Bytes => break,
                Want::Turn => {
                    self.turn_over = true;
                    return Ok(true);
                }
                Want::Slot if self.reserve.is_none() && inspector.take_slot_now() => {}
                Want::Slot => {
                    let reserve = self.reserve.get_or_insert_with(|| {
                        let calls = inspector.calls();
                        Box::pin(async move { calls.reserve().await })
                    });
                    match reserve.as_mut().poll(cx) {
                        Poll::Ready(Ok(slot)) => {
                            self.reserve = None;
                            inspector.take_slot(slot);
                        }
                        Poll::Ready(Err(full)) => {
                            return Err(Stop::with_code(Code::AuditUnavailable, full));
                        }
                        Poll::Pending => return Ok(way.lane.input.len() != before),
                    }
                }
            }
        }
        // What is left when the source has ended is half a frame, which nobody can use.
        if way.source_ended {
            way.drained = true;
            return Ok(true);
        }
        Ok(way.lane.input.len() != before)
    }
}

impl Way {
    /// Ready when something came, or the end.
    fn read<S>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        signs: &mut u64,
    ) -> Poll<std::io::Result<()>>
    where
        S: AsyncRead + Unpin,
    {
        if self.source_ended || self.lane.input.len() >= HELD {
            return Poll::Pending;
        }
        let input = &mut self.lane.input;
        input.reserve(CHUNK);
        match poll_read_buf(Pin::new(source), cx, input) {
            Poll::Ready(Ok(0)) => {
                self.source_ended = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(count)) => {
                *signs += count as u64;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if input.is_empty() {
                    *input = BytesMut::new();
                }
                Poll::Pending
            }
        }
    }

    /// Ready when something was written, or the end was told.
    fn write<D>(
        &mut self,
        cx: &mut Context<'_>,
        destination: &mut D,
        out: &mut BytesMut,
        moved: &mut u64,
    ) -> Poll<()>
    where
        D: AsyncWrite + Unpin,
    {
        if self.closed {
            out.clear();
            return Poll::Pending;
        }
        let mut wrote = false;
        while !out.is_empty() {
            match Pin::new(&mut *destination).poll_write(cx, out) {
                Poll::Ready(Ok(0) | Err(_)) => {
                    out.clear();
                    self.closed = true;
                    return Poll::Ready(());
                }
                Poll::Ready(Ok(count)) => {
                    out.advance(count);
                    *moved += count as u64;
                    self.unflushed = true;
                    wrote = true;
                }
                Poll::Pending if wrote => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        *out = BytesMut::new();
        if self.unflushed {
            match ready!(Pin::new(&mut *destination).poll_flush(cx)) {
                Ok(()) => self.unflushed = false,
                Err(_) => self.closed = true,
            }
        }
        if self.drained {
            let _ = ready!(Pin::new(destination).poll_shutdown(cx));
            self.closed = true;
            return Poll::Ready(());
        }
        match wrote {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}
