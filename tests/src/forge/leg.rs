//! A leg of the way from an artist's program to Houdini, on which things go wrong.
//!
//! It stands between two programs that talk over TCP and carries what they say, until a
//! [`Fault`] strikes. Gates stop the bytes of one direction before that, so that a test can
//! choose the moment.

mod connection;
mod fault;
mod gate;

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::programs::DEADLINE;

use connection::Born;
pub use fault::{Fault, Way};
pub use gate::Gate;

/// Connections that may wait to be taken.
const BACKLOG: u32 = 256;
/// Within loopback a connection that is taken at all is taken at once.
const FULL: Duration = Duration::from_millis(150);

/// A proxy on loopback. It runs in the runtime that it was made in, and ends with its value.
#[derive(Debug)]
pub struct Leg {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    state: watch::Sender<State>,
    seen: Arc<Seen>,
}

/// What is to happen on it.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    fault: Option<Fault>,
    /// Counts strikes: a momentary fault strikes what was there before it.
    strikes: u64,
    up: Gate,
    down: Gate,
    /// No connection is taken.
    shut: bool,
}

impl State {
    fn gate(&self, way: Way) -> Gate {
        match way {
            Way::Up => self.up,
            Way::Down => self.down,
        }
    }
}

/// What has happened on it.
#[derive(Debug, Default)]
struct Seen {
    accepted: AtomicUsize,
    /// Ends that have not ended: at who connected, and at where it leads.
    near: Arc<AtomicUsize>,
    far: Arc<AtomicUsize>,
    /// Bytes that wait at a gate.
    held: [AtomicUsize; 2],
    /// Bytes that got through.
    delivered: [AtomicUsize; 2],
    /// Bytes that a gate still lets through.
    left: [AtomicUsize; 2],
    /// This side's address of each connection that was led on.
    dialled: Mutex<Vec<SocketAddr>>,
    /// The one that takes connections stands aside.
    aside: AtomicBool,
    /// Connections of our own that only take room in the queue.
    fillers: Mutex<HashSet<SocketAddr>>,
    /// A momentary fault found nothing to strike, and waits for what comes next.
    lies_in_wait: AtomicBool,
}

impl Leg {
    /// A leg that leads to `target`.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn to(target: SocketAddr) -> Self {
        Self::to_as(target, Ipv4Addr::LOCALHOST)
    }

    /// A leg that leads to `target`, which sees its connections come from `own`.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn to_as(target: SocketAddr, own: Ipv4Addr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(any).expect("a free port");
        let listener = Arc::new(socket.listen(BACKLOG).expect("a free port"));
        let (state, watched) = watch::channel(State::default());
        let seen: Arc<Seen> = Arc::default();
        let leg = Self {
            address: listener.local_addr().expect("an address"),
            listener: listener.clone(),
            state,
            seen: seen.clone(),
        };
        tokio::spawn(accept(listener, (own, target), watched, seen));
        leg
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets a fault strike: a momentary one all connections that there are, or, when there are
    /// none, the next one with its first byte; any other all that there are and that come,
    /// until it is lifted.
    pub fn strike(&self, fault: Fault) {
        let nobody = self.near_open() == 0;
        let lies_in_wait = fault.is_momentary() && nobody;
        self.seen.lies_in_wait.store(lies_in_wait, Ordering::SeqCst);
        self.state.send_modify(|state| {
            state.fault = Some(fault);
            state.strikes += 1;
        });
    }

    /// Ends the fault. What a blackhole has swallowed is lost, so its connections are closed.
    pub fn lift(&self) {
        self.state.send_modify(|state| state.fault = None);
    }

    /// Puts a gate into one direction.
    pub fn gate(&self, way: Way, gate: Gate) {
        if let Gate::After(count) = gate {
            self.seen.left[way as usize].store(count, Ordering::SeqCst);
        }
        self.state.send_modify(|state| match way {
            Way::Up => state.up = gate,
            Way::Down => state.down = gate,
        });
    }

    /// Opens both gates.
    pub fn open_gates(&self) {
        self.gate(Way::Up, Gate::Open);
        self.gate(Way::Down, Gate::Open);
    }

    /// Waits until something waits at a gate.
    ///
    /// # Panics
    /// When nothing comes to it.
    pub async fn until_held(&self, way: Way) {
        let held = &self.seen.held[way as usize];
        until(
            || held.load(Ordering::SeqCst) > 0,
            || format!("nothing came to the gate {way:?}"),
        )
        .await;
    }

    /// How many bytes got through in one direction, of all connections.
    pub fn delivered(&self, way: Way) -> usize {
        self.seen.delivered[way as usize].load(Ordering::SeqCst)
    }

    /// Takes no connection any more, so that whoever connects waits: the queue of the listener
    /// is filled, and the kernel answers no SYN (`tcp_conn_request` in Linux).
    ///
    /// # Panics
    /// When the queue does not fill.
    pub async fn shut(&self) {
        self.state.send_modify(|state| state.shut = true);
        let aside = &self.seen.aside;
        until(|| aside.load(Ordering::SeqCst), || "it goes on".into()).await;
        rustix::net::listen(&self.listener, 0).expect("a listener");
        let mut fillers = Vec::new();
        while let Ok(filler) = timeout(FULL, TcpStream::connect(self.address)).await {
            let filler = filler.expect("it listens");
            let own = filler.local_addr().expect("an address");
            lock(&self.seen.fillers).insert(own);
            fillers.push(filler);
            assert!(fillers.len() < 16, "the queue does not fill");
        }
    }

    /// Takes connections again. Who waits comes when its kernel tries again: after a second,
    /// at first.
    pub fn reopen(&self) {
        rustix::net::listen(&self.listener, BACKLOG as i32).expect("a listener");
        self.state.send_modify(|state| state.shut = false);
    }

    /// How many connections it has taken.
    pub fn accepted(&self) -> usize {
        self.seen.accepted.load(Ordering::SeqCst)
    }

    /// How many of who connected have not ended their direction.
    pub fn near_open(&self) -> usize {
        self.seen.near.load(Ordering::SeqCst)
    }

    /// How many connections to where it leads have not been ended from there.
    pub fn far_open(&self) -> usize {
        self.seen.far.load(Ordering::SeqCst)
    }

    /// The addresses under which whom it leads to has seen its connections, in order.
    pub fn dialled(&self) -> Vec<SocketAddr> {
        lock(&self.seen.dialled).clone()
    }
}

/// Waits until something holds, without holding up others.
///
/// # Panics
/// With what `otherwise` says, when it does not within [`DEADLINE`].
pub async fn until(mut holds: impl FnMut() -> bool, otherwise: impl Fn() -> String) {
    let waited = timeout(DEADLINE, async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{}", otherwise());
}

async fn accept(
    listener: Arc<TcpListener>,
    onwards: (Ipv4Addr, SocketAddr),
    mut state: watch::Receiver<State>,
    seen: Arc<Seen>,
) {
    loop {
        let shut = state.borrow_and_update().shut;
        seen.aside.store(shut, Ordering::SeqCst);
        let accepted = tokio::select! {
            biased;
            changed = state.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            accepted = listener.accept(), if !shut => accepted,
        };
        let Ok((near, peer)) = accepted else { continue };
        if lock(&seen.fillers).remove(&peer) {
            continue;
        }
        seen.accepted.fetch_add(1, Ordering::SeqCst);
        let born = Born {
            strikes: state.borrow().strikes,
            awaited: seen.lies_in_wait.swap(false, Ordering::SeqCst),
        };
        let carried = connection::carry(near, onwards, born, state.clone(), seen.clone());
        tokio::spawn(carried);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
