//! The server end: what a Houdini would answer to these messages, in as little time as may be.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use e2e::programs::{Failure, Result};
use rpyc::brine::{Limits, Value};
use rpyc::{Body, Kind, Message, Request};

use crate::frames::{self, Came, Intake};

/// A thread that serves one connection needs little.
const STACK: usize = 64 * 1024;

/// A server that listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Houdini {
    /// Where.
    pub(crate) address: SocketAddr,
    over: Arc<AtomicBool>,
}

/// What its threads share.
struct Port {
    listener: TcpListener,
    over: Arc<AtomicBool>,
    /// Threads that wait for a connection.
    waiting: AtomicUsize,
}

impl Houdini {
    /// Starts it on a free port of loopback.
    ///
    /// # Errors
    /// When no port can be had.
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.map_err(|e| Failure::io("listening", &e))?;
        let address = listener.local_addr();
        let address = address.map_err(|e| Failure::io("listening", &e))?;
        let over = Arc::new(AtomicBool::new(false));
        let port = Arc::new(Port {
            listener,
            over: over.clone(),
            waiting: AtomicUsize::new(0),
        });
        port.another();
        Ok(Self { address, over })
    }
}

impl Drop for Houdini {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes those that wait, one by one.
        drop(TcpStream::connect(self.address));
    }
}

impl Port {
    /// One more thread that waits for connections.
    fn another(self: &Arc<Self>) {
        let port = self.clone();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let thread = thread::Builder::new().stack_size(STACK);
        thread.spawn(move || port.work()).expect("a thread");
    }

    /// Serves one connection after the other, and sees that somebody waits meanwhile.
    fn work(self: Arc<Self>) {
        let mut intake = Intake::new();
        loop {
            let Ok((tcp, _)) = self.listener.accept() else {
                return;
            };
            if self.over.load(Ordering::SeqCst) {
                // Hands the wake-up on.
                if self.waiting.fetch_sub(1, Ordering::SeqCst) > 1
                    && let Ok(own) = self.listener.local_addr()
                {
                    drop(TcpStream::connect(own));
                }
                return;
            }
            if self.waiting.fetch_sub(1, Ordering::SeqCst) == 1 {
                self.another();
            }
            intake.clear();
            let _ = serve(&tcp, &mut intake);
            self.waiting.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn serve(tcp: &TcpStream, intake: &mut Intake) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    loop {
        let came = intake.frame(&mut &*tcp)?;
        answer(tcp, &came)?;
    }
}

fn answer(mut tcp: &TcpStream, came: &Came) -> io::Result<()> {
    let seq = came.head.seq;
    assert!(
        matches!(came.head.kind, Kind::Request { .. }),
        "nothing was asked of the client"
    );
    if came.length > frames::LARGE {
        return tcp.write_all(&frames::reply(seq, &Value::None));
    }
    let message = Message::read(&came.first, Limits::WIDE).expect("the client speaks rpyc");
    let Body::Request(request) = message.body else {
        unreachable!("it is a request")
    };
    let given = match request {
        Request::GetRoot => frames::ROOT,
        Request::GetAttr { name, .. } => match name {
            "getmodule" => frames::GETMODULE,
            "node" => frames::NODE,
            "parm" => frames::PARM,
            "set" => frames::SET,
            "setPending" => frames::TAKE,
            "rawValue" => frames::GIVE,
            other => panic!("there is no {other}"),
        },
        Request::Call { target, .. } => match target {
            frames::SET => return tcp.write_all(&frames::small_reply(seq)),
            frames::GIVE => return give(tcp, seq),
            frames::GETMODULE => frames::HOU,
            frames::NODE => frames::SPHERE,
            frames::PARM => frames::SCALE,
            other => panic!("there is no function {other:?}"),
        },
        _ => return tcp.write_all(&frames::reply(seq, &Value::None)),
    };
    tcp.write_all(&frames::reply_with(seq, given))
}

/// Answers with a large value, in one piece.
fn give(mut tcp: &TcpStream, seq: u64) -> io::Result<()> {
    let (before, behind) = frames::large_reply(seq);
    frames::write_parts(&mut tcp, [&before, &frames::BLOB, behind])
}
