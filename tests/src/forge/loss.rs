//! A wire that loses the answer: what was asked arrives, and nothing comes back.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// The length of that record.
const CHANGE_CIPHER_SPEC: usize = 6;

/// A wire to a guard that swallows the guard's answers until it is mended.
///
/// The handshake gets through: what is held back is all that the guard says after the
/// client's second word, which in TLS 1.3 is the answer to its request.
#[derive(Debug, Clone)]
pub struct Lossy {
    address: SocketAddr,
    mended: Arc<AtomicBool>,
    swallowed: Arc<AtomicUsize>,
}

/// What happens to the client when its answer has been swallowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Its connection ends.
    HangUp,
    /// It waits on.
    Hold,
}

impl Lossy {
    /// A wire to `guard` that loses answers.
    pub fn to(guard: SocketAddr, then: Then) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let wire = Self {
            address: listener.local_addr().expect("an address"),
            mended: Arc::default(),
            swallowed: Arc::default(),
        };
        let (mended, swallowed) = (wire.mended.clone(), wire.swallowed.clone());
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(guard) else {
                    continue;
                };
                let losing = !mended.load(Ordering::SeqCst);
                let swallowed = swallowed.clone();
                thread::spawn(move || carry(near, far, losing, then, &swallowed));
            }
        });
        wire
    }

    /// The near end.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many answers were lost whole.
    pub fn swallowed(&self) -> usize {
        self.swallowed.load(Ordering::SeqCst)
    }

    /// From the next connection on nothing is lost.
    pub fn mend(&self) {
        self.mended.store(true, Ordering::SeqCst);
    }
}

fn carry(near: TcpStream, far: TcpStream, losing: bool, then: Then, swallowed: &AtomicUsize) {
    let (Ok(mut near_in), Ok(mut far_in)) = (near.try_clone(), far.try_clone()) else {
        return;
    };
    let (mut near_out, mut far_out) = (near, far);
    let (answered, asked) = (AtomicBool::new(false), AtomicBool::new(false));
    let state = Arc::new((answered, asked));
    let seen = state.clone();
    let up = thread::spawn(move || {
        let (answered, asked) = &*seen;
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = near_in.read(&mut buffer) {
            // A lone ChangeCipherSpec may come before the client has the whole of the
            // guard's flight (RFC 8446 appendix D.4).
            if answered.load(Ordering::SeqCst) && count > CHANGE_CIPHER_SPEC {
                asked.store(true, Ordering::SeqCst);
            }
            if far_out.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = far_out.shutdown(Shutdown::Write);
    });
    let mut buffer = vec![0; 64 * 1024];
    let (answered, asked) = &*state;
    let mut lost = 0;
    while let Ok(count @ 1..) = far_in.read(&mut buffer) {
        answered.store(true, Ordering::SeqCst);
        if losing && asked.load(Ordering::SeqCst) {
            lost += count;
        } else if near_out.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    if lost > 0 {
        swallowed.fetch_add(1, Ordering::SeqCst);
    }
    if !(losing && then == Then::Hold) {
        let _ = near_out.shutdown(Shutdown::Both);
    }
    let _ = up.join();
}
