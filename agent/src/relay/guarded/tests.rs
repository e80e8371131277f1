use rpyc::brine::{Int, Value};
use rpyc::frame::encode;

use super::*;

mod great;

const REQUEST: i64 = 1;
const REPLY: i64 = 2;
const EXCEPTION: i64 = 3;

const GETROOT: i64 = 3;
const GETATTR: i64 = 4;
const CALL: i64 = 7;
const PICKLE: i64 = 14;
const DEL: i64 = 15;

fn int(value: i64) -> Value<'static> {
    Value::Int(Int::Small(value))
}

fn tuple<const N: usize>(items: [Value<'_>; N]) -> Value<'_> {
    Value::Tuple(items.into())
}

fn plain(value: Value<'_>) -> Value<'_> {
    tuple([int(1), value])
}

fn items<const N: usize>(items: [Value<'_>; N]) -> Value<'_> {
    tuple([int(2), tuple(items)])
}

/// An object, by its number; `label` says whose it is.
fn object(label: i64, number: i64) -> Value<'static> {
    let id = tuple([Value::Str("builtins.list"), int(7000), int(number)]);
    tuple([int(label), id])
}

/// Of the receiver.
fn theirs(number: i64) -> Value<'static> {
    object(3, number)
}

/// Of the sender.
fn own(number: i64) -> Value<'static> {
    object(4, number)
}

fn payload(kind: i64, seq: i64, body: Value<'_>) -> Vec<u8> {
    tuple([int(kind), int(seq), body]).to_bytes()
}

fn frame(kind: i64, seq: i64, body: Value<'_>) -> Vec<u8> {
    encode(&payload(kind, seq, body))
}

fn request(seq: i64, handler: i64, args: Value<'_>) -> Vec<u8> {
    frame(REQUEST, seq, tuple([int(handler), args]))
}

fn getattr(seq: i64, number: i64, name: &str) -> Vec<u8> {
    let args = items([theirs(number), plain(Value::Str(name))]);
    request(seq, GETATTR, args)
}

/// A call of the other end's object 1 with an object of one's own.
fn passing(seq: i64, number: i64) -> Vec<u8> {
    let args = items([
        theirs(1),
        items([own(number)]),
        plain(Value::Tuple(Vec::new())),
    ]);
    request(seq, CALL, args)
}

fn getroot(seq: i64) -> Vec<u8> {
    request(seq, GETROOT, plain(Value::Tuple(Vec::new())))
}

fn raised(module: &str, text: &str) -> Vec<u8> {
    let none = || Value::Tuple(Vec::new());
    tuple([
        tuple([Value::Str(module), Value::Str("Boom")]),
        none(),
        none(),
        Value::Str(text),
    ])
    .to_bytes()
}

/// The answer to request `seq`, which raises this.
fn exception(seq: i64, module: &str, text: &str) -> Vec<u8> {
    let mut payload = vec![0x12, 0x50 + EXCEPTION as u8];
    payload.extend(int(seq).to_bytes());
    payload.extend(raised(module, text));
    encode(&payload)
}

/// Two ends, and what has gone between them.
struct Line {
    guarded: Guarded,
    out: Out,
}

impl Line {
    fn new() -> Self {
        Self::behind(b"")
    }

    fn behind(first: &[u8]) -> Self {
        let mut line = Self {
            guarded: Guarded::new(first),
            out: Out::default(),
        };
        line.guarded.advance(Side::Client, &mut line.out).unwrap();
        line
    }

    /// A side sends something; gives what reached the other one.
    fn says(&mut self, from: Side, bytes: &[u8]) -> Result<Vec<u8>, Stop> {
        self.guarded.input(from).extend_from_slice(bytes);
        self.guarded.advance(from, &mut self.out)?;
        let out = match from {
            Side::Client => &mut self.out.to_server,
            Side::Server => &mut self.out.to_client,
        };
        Ok(out.split().to_vec())
    }

    /// As it is.
    fn passes(&mut self, from: Side, bytes: &[u8]) {
        assert_eq!(self.says(from, bytes).unwrap(), bytes, "it did not pass");
        assert!(self.out.answers.is_empty(), "it was answered");
    }

    /// The server asks something that does not reach the client; gives the answer to it.
    fn refuses(&mut self, request: &[u8]) -> String {
        assert_eq!(self.says(Side::Server, request).unwrap(), b"");
        let answer = self.out.answers.split();
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            text.contains("the artist's end of hrpyc-guard did not pass this on"),
            "{text}"
        );
        text
    }

    /// The client calls the server with its object; the call goes on.
    fn with_passed(mut self, number: i64) -> Self {
        self.passes(Side::Client, &passing(0, number));
        self
    }
}

#[test]
fn a_server_may_use_what_the_client_has_passed_and_nothing_else() {
    let mut line = Line::new().with_passed(5);
    line.passes(Side::Server, &getattr(0, 5, "append"));
    line.passes(Side::Client, &frame(REPLY, 0, own(6)));
    let args = items([
        theirs(6),
        plain(tuple([int(4)])),
        plain(Value::Tuple(Vec::new())),
    ]);
    line.passes(Side::Server, &request(1, CALL, args));
    line.passes(Side::Client, &frame(REPLY, 1, plain(Value::None)));

    assert!(
        line.refuses(&getattr(2, 5, "__class__"))
            .contains("AttributeError")
    );
    assert!(
        line.refuses(&getattr(3, 5, "_private"))
            .contains("RuntimeError")
    );
    assert!(
        line.refuses(&getattr(4, 9, "append"))
            .contains("has not passed")
    );
    assert!(line.refuses(&getroot(5)).contains("service"));
    let args = items([theirs(5), plain(int(2))]);
    assert!(line.refuses(&request(6, PICKLE, args)).contains("pickle"));
    // And the call of the client gets its answer.
    line.passes(Side::Server, &frame(REPLY, 0, plain(int(42))));
}

#[test]
fn what_was_let_go_of_is_not_the_servers_any_more() {
    let mut line = Line::new().with_passed(5);
    let drops = items([theirs(5), plain(int(1))]);
    line.passes(Side::Server, &request(0, DEL, drops));
    line.passes(Side::Client, &frame(REPLY, 0, plain(Value::None)));
    line.refuses(&getattr(1, 5, "append"));
}

#[test]
fn no_exception_of_the_server_names_a_module_to_import() {
    let mut line = Line::new();
    for (seq, module, named) in [
        (0, "hou", "remote hou"),
        (1, "builtins", "builtins"),
        // As the guard sends it.
        (2, "remote hou", "remote hou"),
    ] {
        line.passes(Side::Client, &getroot(seq));
        let came = line.says(Side::Server, &exception(seq, module, "a traceback"));
        assert_eq!(came.unwrap(), exception(seq, named, "a traceback"));
    }
}

#[test]
fn what_the_tunnel_has_got_does_not_go_again() {
    let sent = [getroot(0), passing(1, 5), getattr(2, 1, "x")].concat();
    for cut in 0..sent.len() {
        let mut line = Line::behind(&sent[..cut]);
        assert!(line.out.to_server.is_empty(), "{cut}");
        assert_eq!(line.says(Side::Client, &sent[cut..]).unwrap(), &sent[cut..]);
        assert!(line.guarded.is_between_messages());
        line.passes(Side::Server, &getattr(0, 5, "append"));
    }
}

#[test]
fn requests_of_the_guards_own_are_known_by_their_numbers() {
    // It releases what a request passed that it denied.
    let mut line = Line::new().with_passed(5);
    let number = (1 << 62) + 1;
    let drops = items([theirs(5), plain(int(1))]);
    line.passes(Side::Server, &request(number, DEL, drops));
    line.passes(Side::Server, &exception(0, "builtins", "denied"));
    line.passes(Side::Client, &frame(REPLY, number, plain(Value::None)));
    // Whoever has such numbers may ask nothing more than others.
    line.refuses(&getroot(number + 1));
}

#[test]
fn what_the_client_sends_goes_on_even_when_it_cannot_be_read() {
    let mut line = Line::new();
    // A call with an object, and bytes behind it.
    let mut payload = payload(
        REQUEST,
        0,
        tuple([
            int(CALL),
            items([theirs(1), items([own(5)]), plain(Value::Tuple(Vec::new()))]),
        ]),
    );
    payload.push(0);
    line.passes(Side::Client, &encode(&payload));
    // The server was given something that is not known here, so that it may not use it.
    line.refuses(&getattr(0, 5, "append"));
    line.passes(Side::Server, &frame(REPLY, 0, plain(Value::None)));
}

#[test]
fn whatever_the_client_sends_reaches_the_guard_and_the_server_may_ask_no_more_for_it() {
    let again = getroot(0);
    let odd_flag = b"\0\0\0\x04\x02what\n";
    let no_message = encode(b"what");
    for (first, bytes) in [
        (false, &b"GET / HTTP/1.1\r\n\r\n"[..]),
        (false, odd_flag),
        (false, &no_message),
        // A number that was used.
        (true, &again),
    ] {
        let mut line = Line::new();
        if first {
            line.passes(Side::Client, &again);
        }
        line.passes(Side::Client, &passing(5, 5));
        line.passes(Side::Client, bytes);
        line.passes(Side::Client, b"and more");
        // What was understood before still holds.
        line.passes(Side::Server, &frame(REPLY, 5, plain(Value::None)));
        line.passes(Side::Server, &getattr(0, 5, "append"));
        let stop = line.says(Side::Server, &getattr(1, 5, "_private"));
        assert_eq!(stop.unwrap_err().from, Side::Client, "{bytes:?}");
        assert_eq!(line.out.to_client, "", "{bytes:?}");
    }
}

#[test]
fn what_the_server_sends_and_is_no_rpyc_ends_the_session() {
    let odd_float = payload(
        REQUEST,
        0,
        tuple([Value::Float(3.0), plain(Value::Tuple(Vec::new()))]),
    );
    let behind = [&payload(REPLY, 0, plain(Value::None))[..], &[0]].concat();
    for bytes in [
        &b"HTTP/1.1 200 OK\r\n\r\n"[..],
        &encode(b"what"),
        &encode(&odd_float),
        &encode(&behind),
        // Answers that nobody has asked for.
        &frame(REPLY, 3, plain(Value::None)),
        &exception(3, "telltale", ""),
        // Another dialect than the client's.
        &encode(&[0x02, 0x11, 0x50, 0x11, 0x51, 0x00]),
    ] {
        let mut line = Line::behind(&getroot(0));
        let good = getattr(0, 5, "x");
        line.refuses(&good);
        let stop = line.says(Side::Server, bytes).unwrap_err();
        assert_eq!(stop.from, Side::Server, "{bytes:?}");
        assert!(!stop.why.is_empty());
        assert_eq!(line.out.to_client, "", "{bytes:?}");
    }
}

#[test]
fn what_came_before_the_end_of_a_session_is_delivered() {
    let mut line = Line::behind(&getroot(0));
    let good = frame(REPLY, 0, plain(Value::None));
    let stop = line.says(Side::Server, &[&good[..], b"\0\0\0\0\0\n"].concat());
    assert_eq!(stop.unwrap_err().from, Side::Server);
    assert_eq!(line.out.to_client, good);
}
