//! A server with one object, whose methods all give nothing; and a client that counts its
//! calls aloud, so that each is known by its number in the audit.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use e2e::forge::client::Session;
use e2e::forge::upstream::Upstream;
use e2e::programs::DEADLINE;
use rpyc::brine::{Int, Limits, Value};
use rpyc::frame::{self, HEADER_LEN};
use rpyc::{Body, Message, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

// `core/consts.py` of rpyc 4.1.0.
const REQUEST: i64 = 1;
const REPLY: i64 = 2;
const VALUE: i64 = 1;
const TUPLE: i64 = 2;
const LOCAL_REF: i64 = 3;
const REMOTE_REF: i64 = 4;
const GETROOT: i64 = 3;
const CALLATTR: i64 = 8;

/// Serves as a Houdini would.
pub(super) fn scene() -> Upstream {
    Upstream::serving(|mut tcp| {
        // Until whoever asks has gone.
        let _ = serve(&mut tcp);
    })
}

fn serve(tcp: &mut TcpStream) -> io::Result<()> {
    loop {
        let mut header = [0; HEADER_LEN];
        tcp.read_exact(&mut header)?;
        let mut payload = vec![0; rest(&header)];
        tcp.read_exact(&mut payload)?;
        payload.pop();
        let Ok(message) = Message::read(&payload, Limits::NARROW) else {
            return Ok(());
        };
        let result = match message.body {
            Body::Request(Request::GetRoot) => pair(REMOTE_REF, root()),
            Body::Request(Request::Close) => return Ok(()),
            Body::Request(_) => pair(VALUE, Value::None),
            _ => continue,
        };
        tcp.write_all(&encoded(REPLY, message.seq, result))?;
    }
}

/// Asks for the object.
pub(super) async fn begin(session: &mut Session) -> io::Result<()> {
    let args = pair(VALUE, Value::Tuple(vec![]));
    ask(session, 0, GETROOT, args).await
}

/// `root.node(number)`.
pub(super) async fn call(session: &mut Session, number: u64) -> io::Result<()> {
    let args = Value::Tuple(vec![int(number as i64)]);
    let parts = [
        pair(LOCAL_REF, root()),
        pair(VALUE, Value::Str("node")),
        pair(VALUE, args),
        pair(VALUE, Value::Tuple(vec![])),
    ];
    let args = pair(TUPLE, Value::Tuple(parts.into()));
    ask(session, number + 1, CALLATTR, args).await
}

async fn ask(session: &mut Session, seq: u64, handler: i64, args: Value<'_>) -> io::Result<()> {
    let sent = encoded(REQUEST, seq, pair(handler, args));
    timeout(DEADLINE, exchange(session, seq, &sent)).await?
}

async fn exchange(session: &mut Session, seq: u64, sent: &[u8]) -> io::Result<()> {
    session.stream.write_all(sent).await?;
    session.stream.flush().await?;
    let mut header = [0; HEADER_LEN];
    session.stream.read_exact(&mut header).await?;
    let mut payload = vec![0; rest(&header)];
    session.stream.read_exact(&mut payload).await?;
    payload.pop();
    let message = Message::read(&payload, Limits::NARROW).expect("a message");
    assert!(matches!(message.body, Body::Reply(_)), "{:?}", message.body);
    assert_eq!(message.seq, seq);
    Ok(())
}

/// Bytes behind a header: the payload and the end of the frame.
fn rest(header: &[u8; HEADER_LEN]) -> usize {
    let [a, b, c, d, _] = *header;
    u32::from_be_bytes([a, b, c, d]) as usize + 1
}

fn encoded(kind: i64, seq: u64, rest: Value<'_>) -> Vec<u8> {
    let message = Value::Tuple(vec![int(kind), int(seq as i64), rest]);
    frame::encode(&message.to_bytes())
}

fn root() -> Value<'static> {
    Value::Tuple(vec![Value::Str("hou.Root"), int(1000), int(2000)])
}

fn pair(label: i64, value: Value<'_>) -> Value<'_> {
    Value::Tuple(vec![int(label), value])
}

fn int(value: i64) -> Value<'static> {
    Value::Int(Int::Small(value))
}
