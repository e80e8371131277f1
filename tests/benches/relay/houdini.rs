//! The server end: rpyc as a Houdini would answer it, in as little time as may be.
//!
//! It knows one parm of one node, and hands its objects out under ids that stay the same,
//! as CPython does when it frees an object and needs the next one.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::LazyLock;

use e2e::forge::upstream::Upstream;
use rpyc::brine::{Limits, Plain, Value};
use rpyc::{Body, Boxed, Inflater, Lane, Message, Next, ObjectId, Request, frame};

/// A text as great as geometry or a log can be, in bytes. Narrow roles take no more than
/// 1 MiB at once, and this with its head is a little less.
pub(crate) const GREAT: usize = 1_000_000;

const LARGEST: usize = 4 << 20;

const fn id(name: &'static str, type_id: u64, object_id: u64) -> ObjectId<'static> {
    ObjectId {
        name,
        // As great as they are in CPython.
        type_id: 94_000_000_000_000 + type_id,
        object_id: 140_000_000_000_000 + object_id,
    }
}

/// What `GETROOT` gives.
pub(crate) const ROOT: ObjectId<'static> = id("rpyc.core.service.SlaveService", 1, 1);
/// `root.getmodule`.
pub(crate) const GETMODULE: ObjectId<'static> = id("builtins.method", 2, 2);
/// `hou`.
pub(crate) const HOU: ObjectId<'static> = id("builtins.module", 3, 3);
/// `hou.node`.
pub(crate) const NODE: ObjectId<'static> = id("builtins.function", 4, 4);
/// A node.
pub(crate) const SPHERE: ObjectId<'static> = id("hou.ObjNode", 5, 5);
/// Its `parm`.
pub(crate) const PARM: ObjectId<'static> = id("builtins.method", 2, 6);
/// A parm.
pub(crate) const SCALE: ObjectId<'static> = id("hou.Parm", 6, 7);
/// Its method that takes a value.
pub(crate) const SET: ObjectId<'static> = id("builtins.method", 2, 8);
/// Its method that gives a great text, compressed as rpyc does it.
pub(crate) const TEXT: ObjectId<'static> = id("builtins.method", 2, 9);
/// Its method that gives a great text as from an rpyc that does not compress.
pub(crate) const TEXT_AS_IT_IS: ObjectId<'static> = id("builtins.method", 2, 10);

/// Starts it, on a free port.
pub(crate) fn start() -> Upstream {
    Upstream::serving(|tcp| drop(serve(tcp)))
}

/// A great text, in brine.
static GREAT_TEXT: LazyLock<Plain<'static>> = LazyLock::new(|| {
    let text = great_text();
    let bytes = Value::Str(&text).to_bytes().leak();
    Plain::read(bytes, Limits::WIDE).expect("a text in brine")
});

/// A great text, of numbers.
pub(crate) fn great_text() -> String {
    let mut text = String::with_capacity(GREAT + 16);
    let mut number = 1_u32;
    while text.len() < GREAT {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(&(f64::from(number >> 8) / 1024.0).to_string());
        text.push(' ');
    }
    text.truncate(GREAT);
    text
}

fn serve(mut tcp: TcpStream) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let none = Value::None.to_bytes();
    let none = Plain::read(&none, Limits::WIDE).expect("None in brine");

    let mut lane = Lane::new(LARGEST);
    let mut inflater = Inflater::new(LARGEST);
    let (mut buffer, mut payload, mut out) = (vec![0; 64 * 1024], Vec::new(), Vec::new());
    loop {
        match tcp.read(&mut buffer)? {
            0 => return Ok(()),
            count => lane.input.extend_from_slice(&buffer[..count]),
        }
        while let Next::Whole(whole) = lane.cut().expect("the client speaks rpyc") {
            let frame = whole.frame();
            let asked = inflater.payload(&frame).expect("an honest frame");
            let asked = Message::read(asked, Limits::WIDE).expect("the client speaks rpyc");
            let Body::Request(request) = asked.body else {
                panic!("nothing was asked of the client")
            };
            let answer = answer(&request, none);
            payload.clear();
            let body = Body::Reply(answer);
            Message { body, ..asked }.write(&mut payload);
            match request.target() {
                Some(TEXT_AS_IT_IS) => put_as_it_is(&payload, &mut out),
                _ => out.extend_from_slice(&frame::encode(&payload)),
            }
        }
        tcp.write_all(&out)?;
        out.clear();
    }
}

fn answer<'a>(request: &Request<'_>, none: Plain<'a>) -> Boxed<'a> {
    match request {
        Request::GetRoot => Boxed::Remote(ROOT),
        Request::GetAttr { name, .. } => Boxed::Remote(match *name {
            "getmodule" => GETMODULE,
            "node" => NODE,
            "parm" => PARM,
            "set" => SET,
            "rawValue" => TEXT,
            "unexpandedString" => TEXT_AS_IT_IS,
            other => panic!("there is no {other}"),
        }),
        Request::Call { target, .. } => match *target {
            GETMODULE => Boxed::Remote(HOU),
            NODE => Boxed::Remote(SPHERE),
            PARM => Boxed::Remote(SCALE),
            TEXT | TEXT_AS_IT_IS => Boxed::Plain(*GREAT_TEXT),
            _ => Boxed::Plain(none),
        },
        _ => Boxed::Plain(none),
    }
}

/// The frame of a payload that is not compressed, whatever its length.
pub(crate) fn put_as_it_is(payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).expect("a frame");
    out.extend_from_slice(&length.to_be_bytes());
    out.push(0);
    out.extend_from_slice(payload);
    out.push(frame::FLUSH);
}
