//! An artist's program: an rpyc client in the artist's own hand, which tells whatever it hears.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rpyc::brine::{Limits, Value};
use rpyc::message::Raised;
use rpyc::{Body, Inflater, Lane, Message, Next, ObjectId, Request, frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::houdini::ROOT;

const PAYLOAD: usize = 64 << 20;
const CHUNK: usize = 16 * 1024;

/// What it passes to be called back.
const CALLABLE: ObjectId<'static> = ObjectId {
    name: "builtins.function",
    type_id: 94_000_000_000_101,
    object_id: 140_000_000_000_101,
};

/// A connection as rpyc 4.1 to 5 makes it.
#[derive(Debug)]
pub struct Script {
    tcp: TcpStream,
    lane: Lane,
    inflater: Inflater,
    /// Of the next request.
    seq: u8,
}

/// What it hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The answer to the request of this number.
    Answer(u8),
    /// An exception in answer to it: what its class is called, and its text.
    Raised(u8, String, String),
    /// It is called back.
    Call(u8),
    /// The orderly end of the connection, between two messages.
    End,
    /// The end of the connection in the middle of a message.
    Torn,
    /// The connection was reset.
    Reset,
    /// Nothing, for as long as was waited.
    Silence,
    /// What no server of rpyc says.
    Nonsense,
}

impl Script {
    /// Connects, and says nothing yet.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn connect(to: SocketAddr) -> io::Result<Self> {
        let tcp = TcpStream::connect(to).await?;
        tcp.set_nodelay(true)?;
        Ok(Self {
            tcp,
            lane: Lane::new(PAYLOAD),
            inflater: Inflater::new(PAYLOAD),
            seq: 0,
        })
    }

    /// Asks for the root, as every client of rpyc does first. Gives the request's number.
    pub async fn ask_for_root(&mut self) -> u8 {
        let seq = self.number();
        // Nothing, as one plain value.
        self.say(request(seq, GETROOT, &[0x11, 0x51, 0x02])).await;
        seq
    }

    /// Asks for `data` to be given back.
    pub async fn ping(&mut self, data: &[u8]) -> u8 {
        let seq = self.number();
        let mut arguments = vec![0x11, 0x51];
        Value::Tuple(vec![Value::Bytes(data)]).write(&mut arguments);
        self.say(request(seq, PING, &arguments)).await;
        seq
    }

    /// Calls the root with something that it calls back.
    pub async fn call_with_callback(&mut self) -> u8 {
        let seq = self.number();
        self.say(call(seq, &ROOT, &[CALLABLE])).await;
        seq
    }

    /// Answers a callback with a number.
    pub async fn return_from(&mut self, callback: u8) {
        let payload = [0x12, 0x52, small(callback), 0x11, 0x51, small(42)];
        self.say(frame::encode(&payload)).await;
    }

    /// What comes next, within `limit`.
    pub async fn hears(&mut self, limit: Duration) -> Heard {
        timeout(limit, self.next()).await.unwrap_or(Heard::Silence)
    }

    async fn next(&mut self) -> Heard {
        loop {
            match self.lane.cut() {
                Ok(Next::Whole(whole)) => {
                    let view = whole.frame();
                    let payload = self.inflater.payload(&view).ok();
                    let message = payload.and_then(|data| Message::read(data, Limits::WIDE).ok());
                    return message.map_or(Heard::Nonsense, |message| heard(&message));
                }
                Ok(Next::More) => {}
                _ => return Heard::Nonsense,
            }
            self.lane.input.reserve(CHUNK);
            match self.tcp.read_buf(&mut self.lane.input).await {
                Ok(0) if self.lane.is_empty() => return Heard::End,
                Ok(0) => return Heard::Torn,
                Ok(_) => {}
                Err(_) => return Heard::Reset,
            }
        }
    }

    fn number(&mut self) -> u8 {
        self.seq += 1;
        self.seq - 1
    }

    /// A write can fail because the connection has ended: what is heard says so.
    async fn say(&mut self, frame: Vec<u8>) {
        let _ = self.tcp.write_all(&frame).await;
    }
}

fn heard(message: &Message<'_>) -> Heard {
    let Ok(seq) = u8::try_from(message.seq) else {
        return Heard::Nonsense;
    };
    match message.body {
        Body::Reply(_) => Heard::Answer(seq),
        Body::Request(Request::Call { .. }) => Heard::Call(seq),
        Body::Exception(Raised::Exception {
            class, mut args, ..
        }) => {
            let text = args
                .next()
                .and_then(|text| text.as_str().map(str::to_owned));
            Heard::Raised(seq, class.to_owned(), text.unwrap_or_default())
        }
        _ => Heard::Nonsense,
    }
}

/// Handlers of `core/consts.py`.
const PING: u8 = 1;
const GETROOT: u8 = 3;
const CALL: u8 = 7;

/// A number of up to 159 in brine.
fn small(number: u8) -> u8 {
    assert!(number < 160, "numbers of these scripts take one byte");
    0x50 + number
}

/// `(MSG_REQUEST, seq, (handler, arguments))`; the arguments are boxed already.
fn request(seq: u8, handler: u8, arguments: &[u8]) -> Vec<u8> {
    let mut payload = vec![0x12, 0x51, small(seq), 0x11, small(handler)];
    payload.extend_from_slice(arguments);
    frame::encode(&payload)
}

/// A call of one of the receiver's objects that passes objects of the sender's.
pub(super) fn call(seq: u8, target: &ObjectId<'_>, passed: &[ObjectId<'_>]) -> Vec<u8> {
    // A tuple of three: the target, the positional arguments, no keywords.
    let mut arguments = vec![0x11, 0x52, 0x12, 0x11, 0x53];
    target.write(&mut arguments);
    match passed.len() {
        0 => arguments.extend([0x11, 0x51, 0x02]),
        count => arguments.extend([0x11, 0x52, 0x0f + small(count as u8) - 0x50]),
    }
    for own in passed {
        arguments.extend([0x11, 0x54]);
        own.write(&mut arguments);
    }
    arguments.extend([0x11, 0x51, 0x02]);
    request(seq, CALL, &arguments)
}
