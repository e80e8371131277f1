//! The messages that all ways carry: rpyc's, so that a guard which looks at them can be
//! compared with programs that do not.
//!
//! A session begins as `hou.node("/obj/sphere1").parm("scale").set` does, and then calls one
//! of three methods again and again.

use std::io::{self, IoSlice, Read, Write};
use std::sync::LazyLock;

use rpyc::brine::{Int, Value};
use rpyc::{Frame, Head, ObjectId, frame};

/// A small request and its answer, in bytes on the wire.
pub(crate) const SMALL: usize = 64;
/// A large value, in bytes.
pub(crate) const LARGE: usize = 1 << 20;

/// What is read from a connection at a time, at most.
const INTAKE: usize = 64 * 1024;
/// As much of a frame as is looked at: all of a small one.
const LOOK: usize = 512;

const fn id(name: &'static str, number: u64) -> ObjectId<'static> {
    ObjectId {
        name,
        type_id: number,
        object_id: number,
    }
}

/// What `GETROOT` gives.
pub(crate) const ROOT: ObjectId<'static> = id("rpyc.core.service.SlaveService", 1);
/// `root.getmodule`.
pub(crate) const GETMODULE: ObjectId<'static> = id("builtins.method", 2);
/// `hou`.
pub(crate) const HOU: ObjectId<'static> = id("builtins.module", 3);
/// `hou.node`.
pub(crate) const NODE: ObjectId<'static> = id("builtins.function", 4);
/// A node.
pub(crate) const SPHERE: ObjectId<'static> = id("hou.ObjNode", 5);
/// Its `parm`.
pub(crate) const PARM: ObjectId<'static> = id("builtins.method", 6);
/// A parm.
pub(crate) const SCALE: ObjectId<'static> = id("hou.Parm", 7);
/// `parm.set`: takes a little, and answers with a little.
pub(crate) const SET: ObjectId<'static> = id("builtins.method", 8);
/// `parm.setPending`: takes a large value.
pub(crate) const TAKE: ObjectId<'static> = id("builtins.method", 9);
/// `parm.rawValue`: gives a large value.
pub(crate) const GIVE: ObjectId<'static> = id("builtins.method", 10);

/// `core/consts.py`.
const GETROOT: u8 = 3;
const GETATTR: u8 = 4;
const CALL: u8 = 7;

/// In brine: tuples of 0, 1, 2 and 3, and how a small number is written.
const EMPTY: u8 = 0x02;
const ONE: u8 = 0x10;
const PAIR: u8 = 0x11;
const TRIPLE: u8 = 0x12;
const fn small(number: u8) -> u8 {
    0x50 + number
}

/// Labels of boxed values: plain data, a tuple, the receiver's own object, the sender's.
const PLAIN: u8 = small(1);
const TUPLE: u8 = small(2);
const YOURS: u8 = small(3);
const MINE: u8 = small(4);

fn number(number: u64, out: &mut Vec<u8>) {
    let number = i64::try_from(number).expect("few enough messages");
    Value::Int(Int::Small(number)).write(out);
}

fn request(seq: u64, handler: u8, arguments: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    frame::encode_plain_with(|out| {
        out.extend([TRIPLE, small(1)]);
        number(seq, out);
        out.extend([PAIR, small(handler)]);
        arguments(out);
    })
}

/// Asks for the root, as every client does first.
pub(crate) fn get_root(seq: u64) -> Vec<u8> {
    request(seq, GETROOT, |out| out.extend([PAIR, PLAIN, EMPTY]))
}

/// Asks for an attribute.
pub(crate) fn get_attribute(seq: u64, target: ObjectId<'_>, name: &str) -> Vec<u8> {
    request(seq, GETATTR, |out| {
        out.extend([PAIR, TUPLE, PAIR, PAIR, YOURS]);
        target.write(out);
        out.extend([PAIR, PLAIN]);
        Value::Str(name).write(out);
    })
}

/// Calls with one argument, or with none.
pub(crate) fn call(seq: u64, target: ObjectId<'_>, argument: Option<&Value<'_>>) -> Vec<u8> {
    request(seq, CALL, |out| {
        out.extend([PAIR, TUPLE, TRIPLE, PAIR, YOURS]);
        target.write(out);
        out.extend([PAIR, PLAIN]);
        match argument {
            Some(argument) => {
                out.push(ONE);
                argument.write(out);
            }
            None => out.push(EMPTY),
        }
        out.extend([PAIR, PLAIN, EMPTY]);
    })
}

/// A call of [`SET`] that has [`SMALL`] bytes.
pub(crate) fn small_call(seq: u64) -> Vec<u8> {
    padded(|pad| call(seq, SET, Some(&Value::Bytes(pad))))
}

/// The answer to [`small_call`], of [`SMALL`] bytes.
pub(crate) fn small_reply(seq: u64) -> Vec<u8> {
    padded(|pad| reply(seq, &Value::Bytes(pad)))
}

/// Fills a frame up to [`SMALL`] bytes.
fn padded(with: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    // Enough that brine writes its length in a byte of its own.
    const LEAST: usize = 8;
    let padding = [b'.'; SMALL];
    let frame = with(&padding[..LEAST]);
    let missing = SMALL.checked_sub(frame.len());
    let missing = missing.expect("a small message has room for its head");
    with(&padding[..LEAST + missing])
}

/// Answers with a value.
pub(crate) fn reply(seq: u64, value: &Value<'_>) -> Vec<u8> {
    answer(seq, |out| {
        out.push(PLAIN);
        value.write(out);
    })
}

/// Answers with an object of the answering side.
pub(crate) fn reply_with(seq: u64, id: ObjectId<'_>) -> Vec<u8> {
    answer(seq, |out| {
        out.push(MINE);
        id.write(out);
    })
}

fn answer(seq: u64, value: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    frame::encode_plain_with(|out| {
        out.extend([TRIPLE, small(2)]);
        number(seq, out);
        out.push(PAIR);
        value(out);
    })
}

/// What stands before a [`BLOB`] in an answer with it, and behind.
pub(crate) fn large_reply(seq: u64) -> (Vec<u8>, &'static [u8]) {
    let before = |out: &mut Vec<u8>| {
        out.extend([TRIPLE, small(2)]);
        number(seq, out);
        out.extend([PAIR, PLAIN]);
    };
    const BEHIND: &[u8] = &[frame::FLUSH];
    (before_blob(before, BEHIND), BEHIND)
}

/// What stands before a [`BLOB`] in a call of [`TAKE`] with it, and behind.
pub(crate) fn large_call(seq: u64) -> (Vec<u8>, &'static [u8]) {
    let before = |out: &mut Vec<u8>| {
        out.extend([TRIPLE, small(1)]);
        number(seq, out);
        out.extend([PAIR, small(CALL), PAIR, TUPLE, TRIPLE, PAIR, YOURS]);
        TAKE.write(out);
        out.extend([PAIR, PLAIN, ONE]);
    };
    const BEHIND: &[u8] = &[PAIR, PLAIN, EMPTY, frame::FLUSH];
    (before_blob(before, BEHIND), BEHIND)
}

/// The beginning of a frame, up to the bytes of a [`BLOB`].
fn before_blob(before: impl FnOnce(&mut Vec<u8>), behind: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; frame::HEADER_LEN];
    before(&mut frame);
    frame.extend(&*BLOB_HEAD);
    // Without its header and its flush byte, which is behind.
    let length = frame.len() - frame::HEADER_LEN + LARGE + behind.len() - 1;
    let length = u32::try_from(length).expect("a frame");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// Writes the parts in one piece, as far as the system takes them so.
///
/// # Errors
/// Those of the connection.
pub(crate) fn write_parts(target: &mut impl Write, parts: [&[u8]; 3]) -> io::Result<()> {
    let mut parts = parts.map(IoSlice::new);
    let mut parts = &mut parts[..];
    while !parts.is_empty() {
        let written = target.write_vectored(parts)?;
        IoSlice::advance_slices(&mut parts, written);
    }
    Ok(())
}

/// What a large value is: bytes without a pattern that zlib could use.
pub(crate) static BLOB: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 1_u64;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..LARGE).map(next).collect()
});

/// What brine writes before the bytes of a [`BLOB`].
static BLOB_HEAD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut whole = Value::Bytes(&BLOB).to_bytes();
    whole.truncate(whole.len() - LARGE);
    whole
});

/// Reads frames from a connection, and keeps no more of them than their first bytes.
#[derive(Debug)]
pub(crate) struct Intake {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// A frame that has come whole.
#[derive(Debug)]
pub(crate) struct Came {
    /// What its message begins with.
    pub(crate) head: Head,
    /// The first bytes of its payload: all of a small one.
    pub(crate) first: Vec<u8>,
    /// Bytes on the wire.
    pub(crate) length: usize,
}

impl Intake {
    /// Has nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; INTAKE],
            start: 0,
            end: 0,
        }
    }

    /// Forgets what it has, for another connection.
    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// The next frame.
    ///
    /// # Errors
    /// Those of the connection; `UnexpectedEof` when it has ended.
    ///
    /// # Panics
    /// When what comes is not a frame of rpyc.
    pub(crate) fn frame(&mut self, source: &mut impl Read) -> io::Result<Came> {
        self.fill(source, frame::HEADER_LEN)?;
        let [a, b, c, d, compressed] = self.take_array();
        let body = u32::from_be_bytes([a, b, c, d]) as usize;
        let look = body.min(LOOK);
        self.fill(source, look)?;
        let first = self.buffer[self.start..self.start + look].to_vec();
        let compressed = compressed != 0;
        let seen = Frame {
            compressed,
            body: &first,
        };
        let head = seen.head().expect("a message of rpyc");
        self.skip(source, body + 1)?;
        Ok(Came {
            head,
            first,
            length: frame::HEADER_LEN + body + 1,
        })
    }

    /// Exactly so many bytes.
    ///
    /// # Errors
    /// As [`frame`](Self::frame).
    pub(crate) fn bytes(&mut self, source: &mut impl Read, count: usize) -> io::Result<Vec<u8>> {
        self.fill(source, count)?;
        let bytes = self.buffer[self.start..self.start + count].to_vec();
        self.start += count;
        Ok(bytes)
    }

    fn take_array<const N: usize>(&mut self) -> [u8; N] {
        let bytes = &self.buffer[self.start..self.start + N];
        self.start += N;
        bytes.try_into().expect("as many")
    }

    /// Reads until `count` bytes are there.
    fn fill(&mut self, source: &mut impl Read, count: usize) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.start + count > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        while self.end - self.start < count {
            self.end += read_some(source, &mut self.buffer[self.end..])?;
        }
        Ok(())
    }

    fn skip(&mut self, source: &mut impl Read, mut count: usize) -> io::Result<()> {
        loop {
            let here = count.min(self.end - self.start);
            self.start += here;
            count -= here;
            if count == 0 {
                return Ok(());
            }
            self.start = 0;
            self.end = read_some(source, &mut self.buffer)?;
        }
    }
}

fn read_some(source: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    match source.read(into)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}
