//! Houdini's server, as far as a [`Script`](super::script::Script) needs one.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rpyc::brine::{Limits, Plain};
use rpyc::{Body, Boxed, Family, Inflater, Lane, Message, Next, ObjectId, Request, frame};

use super::script::call;
use super::upstream::Upstream;

/// Payloads are taken up to this.
const PAYLOAD: usize = 64 << 20;

/// What `GETROOT` gives.
pub(super) const ROOT: ObjectId<'static> = ObjectId {
    name: "rpyc.core.service.SlaveService",
    type_id: 94_000_000_000_001,
    object_id: 140_000_000_000_001,
};

/// The number of a callback. One at a time is enough.
const CALLBACK: u8 = 7;

/// A server of rpyc 4.1 to 5 that gives back what a ping brings, hands out its root, and
/// calls what a call of the root passes, whose result is then the result of the call.
pub fn houdini() -> Upstream {
    Upstream::serving(serve)
}

fn serve(mut tcp: TcpStream) {
    let _ = tcp.set_nodelay(true);
    let (mut lane, mut inflater) = (Lane::new(PAYLOAD), Inflater::new(PAYLOAD));
    let mut buffer = vec![0; 64 * 1024];
    // The call that waits for its callback.
    let mut waiting = None;
    loop {
        match lane.cut() {
            Ok(Next::Whole(whole)) => {
                let view = whole.frame();
                let Ok(payload) = inflater.payload(&view) else {
                    return;
                };
                let Ok(message) = Message::read(payload, Limits::WIDE) else {
                    return;
                };
                let Some(said) = answer(&message, &mut waiting) else {
                    return;
                };
                if tcp.write_all(&said).is_err() {
                    return;
                }
            }
            Ok(Next::More) => match tcp.read(&mut buffer) {
                Ok(count @ 1..) => lane.input.extend_from_slice(&buffer[..count]),
                _ => return,
            },
            _ => return,
        }
    }
}

/// What is said to a message; `None` ends the connection.
fn answer(message: &Message<'_>, waiting: &mut Option<(Family, u64)>) -> Option<Vec<u8>> {
    let none = Boxed::Plain(Plain::read(&[0], Limits::NARROW).expect("None in brine"));
    let own = (message.family, message.seq);
    Some(match message.body {
        Body::Request(Request::Close) => return None,
        Body::Request(Request::Ping { data }) => reply(own, data),
        Body::Request(Request::GetRoot) => reply(own, Boxed::Remote(ROOT)),
        Body::Request(Request::Call { args, .. }) => match args.iter().next() {
            Some(Boxed::Remote(passed)) => {
                *waiting = Some(own);
                call(CALLBACK, &passed, &[])
            }
            _ => reply(own, none),
        },
        Body::Request(_) => reply(own, none),
        Body::Reply(value) => reply(waiting.take()?, value),
        Body::Exception(_) => reply(waiting.take()?, none),
    })
}

fn reply((family, seq): (Family, u64), value: Boxed<'_>) -> Vec<u8> {
    let message = Message {
        seq,
        family,
        threads: None,
        body: Body::Reply(value),
    };
    let mut payload = Vec::new();
    message.write(&mut payload);
    frame::encode(&payload)
}
