//! The client end: a script that says one line again and again, in as little time as may be.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rpyc::brine::{Limits, Value};
use rpyc::{Body, Boxed, Family, Inflater, Lane, Message, Next, ObjectId, Request, frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::houdini::{self, GETMODULE, HOU, NODE, PARM, ROOT, SCALE, SET, SPHERE};
use crate::way::Stream;

/// What is said again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// `parm.set(2.0)`: the look-up of the method, the call, and the release of the method.
    Small,
    /// `parm.set(text)` with a great text.
    Up(Form),
    /// `parm.rawValue()`, which gives a great text.
    Down(Form),
}

/// How a great text travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Through zlib, as rpyc does it.
    Compressed,
    /// As it is, as rpyc does it with `compress=False`.
    AsItIs,
}

/// One connection, with a parm at its end.
pub(crate) struct Script {
    stream: Box<dyn Stream>,
    lane: Lane,
    inflater: Inflater,
    seq: u64,
    payload: Vec<u8>,
    out: Vec<u8>,
}

/// `parm.set(text)`, with a great text.
static SET_GREAT_TEXT: LazyLock<Request<'static>> =
    LazyLock::new(|| call(SET, &Value::Str(&houdini::great_text())));

/// How a while of saying the line went.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// How long each time took.
    pub(crate) took: Vec<Duration>,
}

impl Script {
    /// Gets hold of the parm, as `hou.node('/obj/sphere1').parm('scale')` does.
    pub(crate) async fn begin(stream: Box<dyn Stream>) -> Self {
        let mut script = Self {
            stream,
            lane: Lane::new(4 << 20),
            inflater: Inflater::new(4 << 20),
            seq: 0,
            payload: Vec::new(),
            out: Vec::new(),
        };
        script.ask(&Request::GetRoot, ROOT).await;
        for (target, name, method, argument, gives) in [
            (ROOT, "getmodule", GETMODULE, "hou", HOU),
            (HOU, "node", NODE, "/obj/sphere1", SPHERE),
            (SPHERE, "parm", PARM, "scale", SCALE),
        ] {
            script.ask(&Request::GetAttr { target, name }, method).await;
            script
                .ask(&call(method, &Value::Str(argument)), gives)
                .await;
            script.release(method);
        }
        script
    }

    /// Says the line until `end`.
    pub(crate) async fn say(&mut self, line: Line, end: Instant) -> Said {
        let (name, method, argument, form) = match line {
            Line::Small => ("set", SET, Some(Value::Float(2.0)), Form::AsItIs),
            Line::Up(form) => ("set", SET, None, form),
            Line::Down(Form::Compressed) => ("rawValue", houdini::TEXT, None, Form::AsItIs),
            Line::Down(Form::AsItIs) => {
                let method = houdini::TEXT_AS_IT_IS;
                ("unexpandedString", method, None, Form::AsItIs)
            }
        };
        let call = match (line, argument) {
            (Line::Up(_), _) => *SET_GREAT_TEXT,
            (_, Some(argument)) => call(method, &argument),
            (_, None) => call_without(method),
        };
        let look_up = Request::GetAttr {
            target: SCALE,
            name,
        };
        let mut said = Said::default();
        loop {
            let begun = Instant::now();
            if begun >= end {
                return said;
            }
            self.ask(&look_up, method).await;
            self.put(&call, form);
            self.answer(None).await;
            self.release(method);
            said.took.push(begun.elapsed());
        }
    }

    /// Asks for an object.
    async fn ask(&mut self, request: &Request<'_>, gives: ObjectId<'_>) {
        self.put(request, Form::AsItIs);
        self.answer(Some(gives)).await;
    }

    /// As rpyc does when Python has dropped an object: nobody waits for the answer.
    fn release(&mut self, target: ObjectId<'_>) {
        self.put(&Request::Del { target, count: 1 }, Form::AsItIs);
    }

    fn put(&mut self, request: &Request<'_>, form: Form) {
        self.seq += 1;
        let message = Message {
            seq: self.seq,
            family: Family::Classic,
            threads: None,
            body: Body::Request(*request),
        };
        self.payload.clear();
        message.write(&mut self.payload);
        match form {
            Form::Compressed => self.out.extend_from_slice(&frame::encode(&self.payload)),
            Form::AsItIs => houdini::put_as_it_is(&self.payload, &mut self.out),
        }
    }

    /// Sends what was put, and waits for the answer to the last of it.
    async fn answer(&mut self, gives: Option<ObjectId<'_>>) {
        let sent = async {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await
        };
        sent.await.expect("the way holds");
        self.out.clear();
        loop {
            while let Next::Whole(whole) = self.lane.cut().expect("the server speaks rpyc") {
                let frame = whole.frame();
                let payload = self.inflater.payload(&frame).expect("an honest frame");
                let message = Message::read(payload, Limits::WIDE).expect("rpyc");
                if message.seq == self.seq {
                    match (&message.body, gives) {
                        (Body::Reply(Boxed::Remote(id)), Some(wanted)) if *id == wanted => {}
                        (Body::Reply(Boxed::Plain(_)), None) => {}
                        (other, _) => panic!("it was answered with {other:?}"),
                    }
                    return;
                }
            }
            let room = &mut self.lane.input;
            room.reserve(64 * 1024);
            let count = self.stream.read_buf(room).await.expect("the way holds");
            assert_ne!(count, 0, "the session was ended");
        }
    }
}

fn call(target: ObjectId<'static>, argument: &Value<'_>) -> Request<'static> {
    call_with(target, Value::Tuple(vec![argument.clone()]))
}

fn call_without(target: ObjectId<'static>) -> Request<'static> {
    call_with(target, Value::Tuple(Vec::new()))
}

/// A `CALL`. Its arguments are kept for good, since a benchmark makes only a few.
fn call_with(target: ObjectId<'static>, arguments: Value<'_>) -> Request<'static> {
    let int = |number| Value::Int(rpyc::brine::Int::Small(number));
    let boxed = |label, value| Value::Tuple(vec![int(label), value]);
    let value = |value| boxed(1, value);
    let nothing = || Value::Tuple(Vec::new());
    let any = Value::Tuple(vec![Value::Str("builtins.method"), int(1), int(1)]);
    let whole = Value::Tuple(vec![
        int(1),
        int(0),
        Value::Tuple(vec![
            int(7),
            boxed(
                2,
                Value::Tuple(vec![boxed(3, any), value(arguments), value(nothing())]),
            ),
        ]),
    ]);
    let payload: &'static [u8] = whole.to_bytes().leak();
    let message = Message::read(payload, Limits::WIDE).expect("a call as rpyc sends it");
    let Body::Request(Request::Call { args, kwargs, .. }) = message.body else {
        unreachable!("it is a call")
    };
    Request::Call {
        target,
        args,
        kwargs,
    }
}
