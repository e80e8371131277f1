//! What can go wrong on a leg.

use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep};

/// A direction of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From who connected, towards Houdini.
    Up,
    /// The way back, towards the artist's program.
    Down,
}

/// One thing that goes wrong.
///
/// A network that reorders has no fault of its own: TCP gives a program its bytes in the order
/// in which they were sent, whatever overtook what on the way. What a program sees of it is
/// that bytes come late ([`Jitter`](Self::Jitter)) and in other pieces than they were written
/// in ([`Pieces`](Self::Pieces)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Everything arrives so much later.
    Delay(Duration),
    /// Everything arrives later, each piece by another time of up to this.
    Jitter(Duration),
    /// So many bytes a second get through, in each direction.
    Bandwidth(usize),
    /// What was written as one arrives in pieces of odd sizes, with pauses in between, and what
    /// was written apart may arrive as one.
    Pieces,
    /// Connections are reset (RST) at both ends. Those that are made later are not.
    Reset,
    /// Connections stay, and are taken, and nothing arrives any more: no byte, no end.
    Blackhole,
    /// One direction ends (FIN), the other goes on. Connections that are made later are whole.
    HalfClose(Way),
}

impl Fault {
    /// Does it strike the connections of a moment, and not those that come later?
    pub(super) fn is_momentary(self) -> bool {
        matches!(self, Self::Reset | Self::HalfClose(_))
    }

    /// When something that has come now, and that is number `count` in its direction, is to
    /// arrive. The times of a jitter follow from the number, so that a run can be repeated.
    pub(super) fn due(self, now: Instant, count: u64) -> Instant {
        match self {
            Self::Delay(delay) => now + delay,
            Self::Jitter(most) => {
                let part = count.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
                now + most.mul_f64(part as f64 / 255.0)
            }
            _ => now,
        }
    }
}

/// The pause that makes the rest of a piece a piece of its own.
const PAUSE: Duration = Duration::from_millis(1);
/// How often a bandwidth gives something out.
const TICK: Duration = Duration::from_millis(20);
/// Odd sizes, in turn: within a header of a frame, across it, and across a TLS record.
const SIZES: [usize; 6] = [1, 2, 7, 61, 4_099, 17_011];

/// Writes bytes as they arrive under a fault.
///
/// # Errors
/// Those of the stream.
pub(super) async fn deliver(
    fault: Option<Fault>,
    sink: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
) -> std::io::Result<()> {
    match fault {
        Some(Fault::Pieces) => {
            let (mut rest, mut sizes) = (bytes, SIZES.iter().cycle());
            while !rest.is_empty() {
                let size = sizes.next().map_or(1, |size| (*size).min(rest.len()));
                let (piece, more) = rest.split_at(size);
                sink.write_all(piece).await?;
                rest = more;
                sleep(PAUSE).await;
            }
            Ok(())
        }
        Some(Fault::Bandwidth(rate)) => {
            let at_a_time = (rate as f64 * TICK.as_secs_f64()).max(1.0) as usize;
            for piece in bytes.chunks(at_a_time) {
                sink.write_all(piece).await?;
                sleep(TICK).await;
            }
            Ok(())
        }
        Some(Fault::Blackhole) => Ok(()),
        _ => sink.write_all(bytes).await,
    }
}
