//! What it costs to inspect a call: decoding, naming, judging and writing it down, without
//! sockets and TLS.
//!
//!     cargo bench -p hrpyc-guard --bench inspect
//!
//! A call is `parm.set(2.0)`: the look-up of the method, the call, and the release of the
//! method, each with its answer.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use certs::AuditKey;
use hrpyc_guard::audit::Audit;
use hrpyc_guard::config::AuditConfig;
use hrpyc_guard::inspect::{self, Inspector, Who};
use hrpyc_guard::relay::{End, Traffic};
use hrpyc_guard::rules::{Live, Policy};
use rpyc::brine::{Int, Limits, Value};
use rpyc::{Body, Boxed, Family, Message, ObjectId, Request, frame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const CALLS: u32 = 200_000;

fn main() {
    let calls = std::env::args().find_map(|argument| argument.parse().ok());
    let calls = calls.unwrap_or(CALLS);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for role in ["full", "read-numeric"] {
        runtime.block_on(measure(role, calls));
    }
}

async fn measure(role: &str, calls: u32) {
    let folder = tempfile::tempdir().unwrap();
    let config = AuditConfig {
        max_bytes: 4 << 30,
        ..AuditConfig::default()
    };
    let audit = Audit::open(folder.path(), config, AuditKey::ephemeral().unwrap()).unwrap();
    let mut attempt = audit.attempt("192.0.2.7:40000".parse().unwrap());
    let alice = "spiffe://studio.example/artist/alice".parse().unwrap();
    attempt.claims(Some(alice), None);
    let session = attempt.open(false).await.map_err(|_| "no session").unwrap();
    let policy = Policy::built_in();
    let powers = policy.role(role).unwrap();
    let rules = Arc::new(Live::new(policy));
    let who = Who {
        identity: "alice".into(),
        role: role.into(),
        rules: rules.clone(),
    };
    let mut inspector = Inspector::new(who, &powers, rules, session.calls(), 1 << 28);
    // The first ones are for the caches.
    relay(&mut inspector, Play::begin(calls / 10)).await;
    let (own, writer) = (own_cpu(), writer_cpu());
    relay(&mut inspector, Play::again(calls)).await;
    let own = own_cpu() - own;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let writer = writer_cpu() - writer;
    drop(inspector);
    assert_eq!(audit.finish(), 0);
    let written = std::fs::read_to_string(folder.path().join("calls.jsonl")).unwrap();
    let sets = written.matches("\"method\":\"set\",\"args\":[\"2.0\"],\"outcome\":\"ok\"");
    assert_eq!(sets.count() as u32, calls / 10 + calls, "a record was lost");
    let each = |time: Duration| time.as_nanos() / u128::from(calls);
    println!("{role:<14} session, CPU a call {:>6} ns", each(own));
    println!("{role:<14} writer, CPU a call  {:>6} ns", each(writer));
}

/// Lets both ends of a session say their part.
async fn relay(inspector: &mut Inspector, play: Play) {
    let play = Rc::new(RefCell::new(play));
    let mut client = Player(play.clone(), Part::Client);
    let mut houdini = Player(play, Part::Houdini);
    let mut traffic = Traffic::default();
    let never = std::future::pending();
    let run = inspect::run(
        &mut client,
        &mut houdini,
        inspector,
        std::future::ready(None),
        &mut traffic,
        None,
        never,
    );
    assert_eq!(run.await, (End::ClientClosed, None));
}

/// What is said in turn: a part of the client's, and the answer to it.
struct Play {
    beginning: std::vec::IntoIter<Turn>,
    /// A call, said again and again.
    call: [Turn; 2],
    at: usize,
    left: u32,
    seq: u64,
    turn: Part,
    now: Turn,
    /// Bytes of the part that have been received at the other end.
    received: usize,
    is_over: bool,
}

/// What the client says at once, and what is answered.
#[derive(Clone, Default)]
struct Turn {
    asked: Vec<u8>,
    answered: Vec<u8>,
    /// Where the numbers of the requests stand, in both.
    numbers: Vec<[usize; 2]>,
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Client,
    Houdini,
}

/// Requests have numbers of so many digits, so that one can be put in the place of another.
const FIRST: u64 = 1_000_000;
const DIGITS: usize = 7;

impl Play {
    /// From `GETROOT` on.
    fn begin(calls: u32) -> Self {
        let mut beginning = vec![Turn::default()];
        beginning[0].say(Request::GetRoot, Some(ROOT));
        for (target, name, method, argument, gives) in [
            (ROOT, "getmodule", id("builtins.method", 2, 2), "hou", HOU),
            (HOU, "node", id("builtins.function", 4, 4), "/obj/a", NODE),
            (NODE, "parm", id("builtins.method", 2, 6), "scale", SCALE),
        ] {
            let mut turn = Turn::default();
            turn.say(Request::GetAttr { target, name }, Some(method));
            beginning.push(turn);
            let mut turn = Turn::default();
            turn.say(call(method, Value::Str(argument)), Some(gives));
            beginning.push(turn);
        }
        // The first release is of this one.
        let mut turn = Turn::default();
        turn.say(LOOK_UP, Some(SET));
        beginning.push(turn);
        Self::new(beginning, calls, FIRST)
    }

    /// Goes on where another play ended.
    fn again(calls: u32) -> Self {
        Self::new(Vec::new(), calls, 2 * FIRST)
    }

    fn new(beginning: Vec<Turn>, calls: u32, seq: u64) -> Self {
        let mut first = Turn::default();
        let (target, count) = (SET, 1);
        first.say(Request::Del { target, count }, None);
        first.say(LOOK_UP, Some(SET));
        let mut second = Turn::default();
        second.say(call(SET, Value::Float(2.0)), None);
        Self {
            beginning: beginning.into_iter(),
            call: [first, second],
            at: 0,
            left: 2 * calls,
            seq,
            turn: Part::Client,
            now: Turn::default(),
            received: 0,
            is_over: false,
        }
    }

    /// Prepares the next turn. `false` at the end.
    fn next(&mut self) -> bool {
        let turn = match self.beginning.next() {
            Some(turn) => turn,
            None if self.left == 0 => return false,
            None => {
                self.left -= 1;
                self.at = 1 - self.at;
                std::mem::take(&mut self.call[1 - self.at])
            }
        };
        self.now = turn;
        for place in 0..self.now.numbers.len() {
            let [asked, answered] = self.now.numbers[place];
            put_number(&mut self.now.asked[asked..asked + DIGITS], self.seq);
            put_number(
                &mut self.now.answered[answered..answered + DIGITS],
                self.seq,
            );
            self.seq += 1;
        }
        true
    }

    /// The turn is over. One of a call comes again.
    fn done(&mut self) {
        if self.call[1 - self.at].asked.is_empty() {
            self.call[1 - self.at] = std::mem::take(&mut self.now);
        }
    }
}

fn put_number(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

impl Turn {
    fn say(&mut self, request: Request<'_>, gives: Option<ObjectId<'_>>) {
        let none = Value::None.to_bytes();
        let none = rpyc::brine::Plain::read(&none, Limits::NARROW).unwrap();
        let answer = gives.map_or(Boxed::Plain(none), Boxed::Remote);
        // Header, a tuple of three, the kind, an int and its length: then the digits.
        let number = |part: &Vec<u8>| part.len() + 5 + 2 + 2;
        self.numbers
            .push([number(&self.asked), number(&self.answered)]);
        for (body, part) in [
            (Body::Request(request), &mut self.asked),
            (Body::Reply(answer), &mut self.answered),
        ] {
            let mut payload = Vec::new();
            let message = Message {
                seq: FIRST,
                family: Family::Classic,
                threads: None,
                body,
            };
            message.write(&mut payload);
            part.extend_from_slice(&frame::encode(&payload));
        }
    }
}

const fn id(name: &'static str, type_id: u64, object_id: u64) -> ObjectId<'static> {
    ObjectId {
        name,
        type_id: 94_000_000_000_000 + type_id,
        object_id: 140_000_000_000_000 + object_id,
    }
}

const ROOT: ObjectId<'static> = id("rpyc.core.service.SlaveService", 1, 1);
const HOU: ObjectId<'static> = id("builtins.module", 3, 3);
const NODE: ObjectId<'static> = id("hou.ObjNode", 5, 5);
const SCALE: ObjectId<'static> = id("hou.Parm", 6, 7);
const SET: ObjectId<'static> = id("builtins.method", 2, 8);
const LOOK_UP: Request<'static> = Request::GetAttr {
    target: SCALE,
    name: "set",
};

/// A `CALL` with one argument. Its bytes are kept for good.
fn call(target: ObjectId<'static>, argument: Value<'_>) -> Request<'static> {
    let int = |number| Value::Int(Int::Small(number));
    let boxed = |label, value| Value::Tuple(vec![int(label), value]);
    let any = Value::Tuple(vec![Value::Str("builtins.method"), int(1), int(1)]);
    let whole = Value::Tuple(vec![
        int(1),
        int(0),
        Value::Tuple(vec![
            int(7),
            boxed(
                2,
                Value::Tuple(vec![
                    boxed(3, any),
                    boxed(1, Value::Tuple(vec![argument])),
                    boxed(1, Value::Tuple(Vec::new())),
                ]),
            ),
        ]),
    ]);
    let message = Message::read(whole.to_bytes().leak(), Limits::NARROW).unwrap();
    let Body::Request(Request::Call { args, kwargs, .. }) = message.body else {
        unreachable!("it is a call")
    };
    Request::Call {
        target,
        args,
        kwargs,
    }
}

/// One end of the session. The relay polls both ends in one loop, so that no end has to be
/// woken while the other one has something to say.
struct Player(Rc<RefCell<Play>>, Part);

impl AsyncRead for Player {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut play = self.0.borrow_mut();
        if self.1 == Part::Houdini && play.is_over {
            return Poll::Ready(Ok(()));
        }
        if play.turn != self.1 || play.received > 0 {
            return Poll::Pending;
        }
        match self.1 {
            Part::Client if !play.next() => play.is_over = true,
            Part::Client => {
                play.turn = Part::Houdini;
                play.received = play.now.asked.len();
                room.put_slice(&play.now.asked);
            }
            Part::Houdini => {
                play.turn = Part::Client;
                play.received = play.now.answered.len();
                room.put_slice(&play.now.answered);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Player {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut play = self.0.borrow_mut();
        play.received = play.received.checked_sub(bytes.len()).unwrap();
        if play.received == 0 && self.1 == Part::Client {
            play.done();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn own_cpu() -> Duration {
    on_cpu(Path::new("/proc/thread-self/schedstat"))
}

/// CPU time of the threads that write the audit.
fn writer_cpu() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    threads
        .filter(|thread| {
            let comm = std::fs::read_to_string(thread.path().join("comm"));
            comm.is_ok_and(|comm| comm.trim() == "audit")
        })
        .map(|thread| on_cpu(&thread.path().join("schedstat")))
        .sum()
}

fn on_cpu(schedstat: &Path) -> Duration {
    let text = std::fs::read_to_string(schedstat).unwrap_or_default();
    let nanoseconds = text.split_whitespace().next();
    Duration::from_nanos(nanoseconds.and_then(|n| n.parse().ok()).unwrap_or(0))
}
