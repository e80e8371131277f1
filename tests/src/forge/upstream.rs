//! An upstream that echoes, and counts who reached it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A listener on loopback in a thread of its own, so that a test that waits cannot hold it
/// up.
#[derive(Debug, Clone)]
pub struct Upstream {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Upstream {
    /// One that sends back what it gets, and ends its half when the client does.
    pub fn echo() -> Self {
        Self::echo_on(any_port(Ipv4Addr::LOCALHOST))
    }

    /// As [`Self::echo`], on every address of this machine, as a stock Houdini does it.
    pub fn echo_for_everybody() -> Self {
        Self::echo_on(any_port(Ipv4Addr::UNSPECIFIED))
    }

    /// As [`Self::echo`], on a listener of one's own.
    pub fn echo_on(listener: TcpListener) -> Self {
        Self::serving_on(listener, |mut tcp| {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = tcp.read(&mut buffer) {
                if tcp.write_all(&buffer[..count]).is_err() {
                    return;
                }
            }
            let _ = tcp.shutdown(Shutdown::Write);
        })
    }

    /// So many of them on ports that follow each other.
    pub fn echoes_in_a_row(count: u16) -> Vec<Self> {
        let listeners = (0..100).find_map(|_| {
            let first = any_port(Ipv4Addr::LOCALHOST);
            let port = first.local_addr().expect("an address").port();
            let others = (1..count).map(|more| {
                let port = port.checked_add(more)?;
                TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
            });
            std::iter::once(Some(first))
                .chain(others)
                .collect::<Option<Vec<_>>>()
        });
        let listeners = listeners.expect("free ports in a row");
        listeners.into_iter().map(Self::echo_on).collect()
    }

    /// One that does with each connection what `serve` does.
    pub fn serving(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::serving_on(any_port(Ipv4Addr::LOCALHOST), serve)
    }

    fn serving_on(
        listener: TcpListener,
        serve: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let upstream = Self {
            address: listener.local_addr().expect("an address"),
            accepted: Arc::default(),
            open: Arc::default(),
        };
        let (accepted, open) = (upstream.accepted.clone(), upstream.open.clone());
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                accepted.fetch_add(1, Ordering::SeqCst);
                open.fetch_add(1, Ordering::SeqCst);
                let (serve, open) = (serve.clone(), open.clone());
                thread::spawn(move || {
                    serve(tcp);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        upstream
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has taken since it began.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// How many of them are being served now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

fn any_port(address: Ipv4Addr) -> TcpListener {
    TcpListener::bind((address, 0)).expect("a free port")
}
