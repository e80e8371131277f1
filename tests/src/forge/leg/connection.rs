//! One connection on a leg.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::fault::{Fault, Way, deliver};
use super::gate::{Gate, Records};
use super::{Seen, State, lock};

const CHUNK: usize = 16 * 1024;
/// Chunks that may be on their way.
const ON_THE_WAY: usize = 256;

/// How a connection stands to the faults of its leg.
#[derive(Debug, Clone, Copy)]
pub(super) struct Born {
    /// How many had struck before.
    pub(super) strikes: u64,
    /// The last one lay in wait for this one, and strikes with its first byte.
    pub(super) awaited: bool,
}

/// Carries a connection to its end: from one of our addresses on to where it leads.
pub(super) async fn carry(
    mut near: TcpStream,
    (own, target): (Ipv4Addr, SocketAddr),
    born: Born,
    state: watch::Receiver<State>,
    seen: Arc<Seen>,
) {
    let near_end = OpenEnd::of(&seen.near);
    let Ok(mut far) = dial(own, target).await else {
        return;
    };
    let far_end = OpenEnd::of(&seen.far);
    if let Ok(own) = far.local_addr() {
        lock(&seen.dialled).push(own);
    }
    for stream in [&near, &far] {
        let _ = stream.set_nodelay(true);
    }
    let mut born_at = born.strikes;
    if born.awaited {
        let _ = near.peek(&mut [0]).await;
        born_at -= 1;
    }
    let reset = {
        let (near_in, near_out) = near.split();
        let (far_in, far_out) = far.split();
        let line = |way| Line {
            way,
            born: born_at,
            state: state.clone(),
            seen: seen.clone(),
        };
        let both = async {
            tokio::join!(
                line(Way::Up).carry(near_in, far_out, near_end),
                line(Way::Down).carry(far_in, near_out, far_end),
            )
        };
        tokio::select! {
            // First: what a gate held must not slip through before a reset.
            biased;
            reset = until_over(state.clone(), born_at) => reset,
            _ = both => false,
        }
    };
    if reset {
        for stream in [&near, &far] {
            // A close that waits for nothing is a reset.
            let _ = set_socket_linger(stream, Some(std::time::Duration::ZERO));
        }
    }
}

async fn dial(own: Ipv4Addr, target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((own, 0).into())?;
    socket.connect(target).await
}

/// Waits until the connection is to be cut off. Gives whether that is a reset.
async fn until_over(mut state: watch::Receiver<State>, born: u64) -> bool {
    let mut swallowed = false;
    loop {
        let now = *state.borrow_and_update();
        match now.fault {
            Some(Fault::Reset) if born < now.strikes => return true,
            Some(Fault::Blackhole) => swallowed = true,
            _ if swallowed => return false,
            _ => {}
        }
        if state.changed().await.is_err() {
            return false;
        }
    }
}

/// An end that has not ended its direction.
struct OpenEnd(Arc<AtomicUsize>);

impl OpenEnd {
    fn of(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for OpenEnd {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One direction of a connection.
struct Line {
    way: Way,
    born: u64,
    state: watch::Receiver<State>,
    seen: Arc<Seen>,
}

impl Line {
    async fn carry(
        mut self,
        mut source: impl AsyncRead + Unpin,
        mut sink: impl AsyncWrite + Unpin,
        end: OpenEnd,
    ) {
        let (put, mut take) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
        let (mut state, way, born) = (self.state.clone(), self.way, self.born);
        let reading = {
            let state = state.clone();
            async move {
                let mut buffer = vec![0; CHUNK];
                let mut count = 0;
                while let Ok(length @ 1..) = source.read(&mut buffer).await {
                    let (fault, now) = (state.borrow().fault, Instant::now());
                    let due = fault.map_or(now, |fault| fault.due(now, count));
                    count += 1;
                    if put.send((due, buffer[..length].to_vec())).await.is_err() {
                        break;
                    }
                }
                drop(end);
            }
        };
        let writing = async {
            tokio::select! {
                biased;
                () = until_half_closed(&mut state, way, born) => {}
                () = self.write(&mut take, &mut sink) => {}
            }
            if state.borrow().fault == Some(Fault::Blackhole) {
                // The end is swallowed as well.
                std::future::pending::<()>().await;
            }
            let _ = sink.shutdown().await;
            // What still comes is lost.
            while take.recv().await.is_some() {}
        };
        tokio::join!(reading, writing);
    }

    async fn write(
        &mut self,
        take: &mut mpsc::Receiver<(Instant, Vec<u8>)>,
        sink: &mut (impl AsyncWrite + Unpin),
    ) {
        let mut records = Records::default();
        while let Some((due, bytes)) = take.recv().await {
            sleep_until(due).await;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let count = self.pass_gate(rest, &mut records).await;
                let (now, more) = rest.split_at(count);
                let fault = self.state.borrow().fault;
                if deliver(fault, sink, now).await.is_err() {
                    return;
                }
                self.seen.delivered[self.way as usize].fetch_add(count, Ordering::SeqCst);
                rest = more;
            }
        }
    }

    /// Waits until some of the bytes may go, and says how many.
    async fn pass_gate(&mut self, bytes: &[u8], records: &mut Records) -> usize {
        let Self {
            way, state, seen, ..
        } = self;
        let (held, left) = (&seen.held[*way as usize], &seen.left[*way as usize]);
        loop {
            let gate = state.borrow_and_update().gate(*way);
            let count = match gate {
                Gate::Open => records.pass(bytes, usize::MAX),
                Gate::Encrypted(most) => records.pass(bytes, most),
                Gate::After(_) => {
                    let count = left.load(Ordering::SeqCst).min(bytes.len());
                    left.fetch_sub(count, Ordering::SeqCst);
                    records.pass(&bytes[..count], usize::MAX)
                }
            };
            if count > 0 {
                return count;
            }
            held.store(bytes.len(), Ordering::SeqCst);
            let changed = state.changed().await;
            held.store(0, Ordering::SeqCst);
            if changed.is_err() {
                return bytes.len();
            }
        }
    }
}

async fn until_half_closed(state: &mut watch::Receiver<State>, way: Way, born: u64) {
    let struck = |state: &State| {
        let half = state.fault == Some(Fault::HalfClose(way));
        half && born < state.strikes
    };
    if state.wait_for(struck).await.is_err() {
        std::future::pending::<()>().await;
    }
}
