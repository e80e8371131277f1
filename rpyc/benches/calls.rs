//! What a call costs: `cargo bench -p hrpyc-rpyc`.
//!
//! The messages are real, of `hou.node('/obj/sphere1').parm('scale').set(2.0)`; the whole
//! line is three look-ups, three calls and five `DEL`s, each with its answer.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on may panic"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use divan::{Bencher, black_box};
use hrpyc_rpyc::brine::{Limits, Value};
use hrpyc_rpyc::conversation::{Limits as Room, SEQ_MAX};
use hrpyc_rpyc::{Body, Boxed, Conversation, Message, ObjectId, Request, Side, Step};

use support::Sender;

fn main() {
    divan::main();
}

/// One session: sender and frame of each message.
fn session(name: &str) -> Vec<(Side, Vec<u8>)> {
    let captures = support::captures(env!("CARGO_MANIFEST_DIR"));
    let capture = captures.into_iter().find(|capture| capture.name == name);
    let side = |sender| match sender {
        Sender::Client => Side::Client,
        Sender::Server => Side::Server,
    };
    let frames = capture.unwrap().frames.into_iter();
    frames
        .map(|(sender, frame)| (side(sender), frame))
        .collect()
}

/// The first message of the client for which `wanted` holds, without its frame.
fn payload(wanted: impl Fn(&Request<'_>) -> bool) -> Vec<u8> {
    let frames = session("4.1.0").into_iter();
    let mut payloads = frames.map(|(_, frame)| support::payload(&frame));
    let is_wanted = |payload: &Vec<u8>| {
        let message = Message::read(payload, Limits::NARROW);
        matches!(message, Ok(Message { body: Body::Request(request), .. }) if wanted(&request))
    };
    payloads.find(is_wanted).unwrap()
}

fn is_set(request: &Request<'_>) -> bool {
    matches!(request, Request::GetAttr { name: "set", .. })
}

fn has_argument(request: &Request<'_>) -> bool {
    matches!(request, Request::Call { args, .. } if args.len() == 1)
}

#[divan::bench]
fn read_getattr(bencher: Bencher) {
    let payload = payload(is_set);
    bencher.bench(|| Message::read(black_box(&payload), Limits::NARROW).is_ok());
}

#[divan::bench]
fn read_call(bencher: Bencher) {
    let payload = payload(has_argument);
    bencher.bench(|| Message::read(black_box(&payload), Limits::NARROW).is_ok());
}

#[divan::bench]
fn write_call(bencher: Bencher) {
    let payload = payload(has_argument);
    let message = Message::read(&payload, Limits::NARROW).unwrap();
    let mut out = Vec::new();
    bencher.bench_local(|| {
        out.clear();
        black_box(&message).write(&mut out);
        out.len()
    });
}

#[divan::bench]
fn take_a_call_apart_as_values(bencher: Bencher) {
    let payload = payload(has_argument);
    bencher.bench(|| Value::read(black_box(&payload), Limits::NARROW).is_ok());
}

/// A line that is said again and again, with numbers of its own each time.
struct Line {
    conversation: Conversation,
    messages: Vec<(Side, Vec<u8>)>,
    next: u64,
}

impl Line {
    /// The conversation up to where the line was said the first time, and its messages the
    /// second time.
    fn new() -> Self {
        let mut conversation = Conversation::new(Room::NARROW);
        let (mut messages, mut said) = (Vec::new(), 0);
        for (from, frame) in session("4.1.0") {
            let payload = support::payload(&frame);
            let message = Message::read(&payload, Limits::NARROW).unwrap();
            let asks_node = matches!(
                message.body,
                Body::Request(Request::GetAttr { name: "node", .. })
            );
            said += usize::from(asks_node && from == Side::Client);
            match said {
                0 | 1 => drop(conversation.see(from, &message, 0).unwrap()),
                // Its answers to what was asked before are a part of it.
                2 => messages.push((from, payload)),
                _ => break,
            }
        }
        Self {
            conversation,
            messages,
            next: 1000,
        }
    }

    /// Says it once more; gives how many calls that were.
    fn say(&mut self) -> usize {
        let mut calls = 0;
        for (from, payload) in &self.messages {
            let mut message = Message::read(payload, Limits::NARROW).unwrap();
            // The same offset for a request and its answer.
            message.seq += self.next;
            match self.conversation.see(*from, &message, payload.len()) {
                Ok(Step::Asked(asked)) => drop(black_box(asked)),
                Ok(Step::Answered(answered)) => {
                    calls += usize::from(!black_box(answered).is_folded());
                }
                // Answers to what was asked before the line.
                Err(_) => {}
            }
        }
        self.next += 64;
        assert!(self.next < SEQ_MAX);
        calls
    }
}

/// The whole line: three calls with their look-ups and `DEL`s, read and followed.
#[divan::bench]
fn follow_a_line_of_three_calls(bencher: Bencher) {
    let mut line = Line::new();
    bencher.bench_local(move || assert_eq!(line.say(), 3));
}

/// A call and the look-up of its method, with an object that stays known.
#[divan::bench]
fn follow_one_look_up_and_call(bencher: Bencher) {
    let id = |object_id| ObjectId {
        name: "hou.Parm",
        type_id: 94_000,
        object_id,
    };
    let mut conversation = Conversation::new(Room::NARROW);
    let call = payload(has_argument);
    let call = Message::read(&call, Limits::NARROW).unwrap();
    let Body::Request(Request::Call { args, kwargs, .. }) = call.body else {
        panic!("it is a call")
    };
    let say = |body, seq| Message { seq, body, ..call };
    let none = Value::None.to_bytes();
    let none = hrpyc_rpyc::brine::Plain::read(&none, Limits::NARROW).unwrap();
    let mut seq = 0;
    bencher.bench_local(move || {
        let target = id(1);
        let method = id(2);
        let look_up = Request::GetAttr {
            target,
            name: "set",
        };
        let call = Request::Call {
            target: method,
            args,
            kwargs,
        };
        let drop_it = Request::Del {
            target: method,
            count: 1,
        };
        for (request, reply) in [
            (look_up, Boxed::Remote(method)),
            (call, Boxed::Plain(none)),
            (drop_it, Boxed::Plain(none)),
        ] {
            let asked = say(Body::Request(request), seq);
            black_box(conversation.see(Side::Client, &asked, 100).unwrap());
            let answered = say(Body::Reply(reply), seq);
            black_box(conversation.see(Side::Server, &answered, 100).unwrap());
            seq += 1;
        }
    });
}
