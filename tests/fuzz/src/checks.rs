//! What must hold for any input. The fuzz targets call these, and so does a plain test.

use hrpyc_rpyc::brine::{self, Int, Limits, Plain, Value};
use hrpyc_rpyc::conversation::{Limits as Room, Outcome};
use hrpyc_rpyc::frame::HEADER_LEN;
use hrpyc_rpyc::{
    Abridgement, Abridger, Conversation, Family, FrameError, Head, Inflater, Lane, Malformed,
    Message, Next, Observer, Side, Step, Transcoder, Unpacked, Unpacker, dialect,
};

/// The largest frame, and the largest payload.
const CAP: usize = 64 * 1024;

/// Few enough for a fuzzer to reach them.
const ROOM: Room = Room {
    objects: 64,
    open: 16,
    text: 16 * 1024,
};

/// What a name, the arguments and all between them may come to, in bytes.
const EXPRESSION_MAX: usize = 1200;

/// A stream of frames: however it comes in pieces it is the same, all of it goes on, nothing
/// is held beyond what one frame may take, and an observer sees the same heads. A frame that
/// is unpacked piece by piece holds what it holds, in the other family too.
pub fn frame(input: &[u8]) {
    for most in [16, CAP] {
        let whole = frames(input, most, &[input.len().max(1)]);
        for sizes in [&[1][..], &[7], &[64]] {
            assert_eq!(frames(input, most, sizes), whole);
        }
        // Any segmentation: the input says it.
        let sizes: Vec<_> = input.iter().map(|byte| usize::from(*byte) + 1).collect();
        assert_eq!(frames(input, most, &sizes), whole);

        let mut heads = Vec::new();
        Observer::new().observe(input, |head| heads.push(head));
        let mut found = whole.0.iter().map_while(Found::head).peekable();
        let first = found.peek().copied();
        let same = |head: &Head| {
            first.is_some_and(|first| {
                (first.family, first.threads.is_some()) == (head.family, head.threads.is_some())
            })
        };
        let expected: Vec<_> = found.take_while(same).collect();
        assert!(heads.starts_with(&expected));
    }
    let mut inflater = Inflater::new(CAP);
    for found in frames(input, CAP, &[input.len().max(1)]).0 {
        let Found::Whole { compressed, body } = found else {
            continue;
        };
        let frame = hrpyc_rpyc::Frame {
            compressed,
            body: &body,
        };
        let inflated = inflater.payload(&frame).map(<[u8]>::to_vec);
        for size in [1, 7, body.len() + 6] {
            match (&inflated, unpacked(&frame, size)) {
                (Ok(payload), Ok(unpacked)) => assert_eq!(payload, &unpacked),
                (Err(_), Err(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        let Ok(payload) = inflated else {
            continue;
        };
        assert!(payload.len() <= CAP);
        transcoded(&payload);
        let head = frame.head();
        if Message::read(&payload, Limits::NARROW).is_ok() {
            assert!(head.is_some());
        }
        let mut heads = Vec::new();
        let again = hrpyc_rpyc::frame::encode(&payload);
        Observer::new().observe(&again, |head| heads.push(head));
        if Message::read(&payload, Limits::NARROW).is_ok() {
            assert_eq!(heads, Vec::from_iter(head));
        }
    }
}

fn unpacked(frame: &hrpyc_rpyc::Frame<'_>, size: usize) -> Result<Vec<u8>, FrameError> {
    let length = frame.body.len();
    let header = [
        &(length as u32).to_be_bytes()[..],
        &[u8::from(frame.compressed)],
    ]
    .concat();
    let bytes = [&header, frame.body, b"\n"].concat();
    let mut unpacker = Unpacker::new(length, frame.compressed, CAP);
    let mut payload = Vec::new();
    for mut piece in bytes.chunks(size) {
        loop {
            match unpacker.step(&mut piece)? {
                Unpacked::Piece(piece) => payload.extend_from_slice(piece),
                Unpacked::More => break,
                Unpacked::End => return Ok(payload),
            }
        }
    }
    panic!("the frame was whole")
}

/// What goes through a transcoder is what a rewritten payload is.
fn transcoded(payload: &[u8]) {
    for to in [Family::Classic, Family::Six] {
        let mut rewritten = payload.to_vec();
        let rewritten = dialect::rewrite(&mut rewritten, to).map(|()| rewritten);
        let mut transcoder = Transcoder::new(to);
        let pushed = payload
            .chunks(7)
            .try_for_each(|piece| transcoder.push(piece));
        match (pushed.and_then(|()| transcoder.finish()), rewritten) {
            (Ok(frame), Ok(rewritten)) => {
                let mut lane = Lane::new(2 * CAP);
                lane.input.extend_from_slice(&frame);
                let Ok(Next::Whole(whole)) = lane.cut() else {
                    panic!("it is a frame")
                };
                let mut inflater = Inflater::new(CAP);
                assert_eq!(inflater.payload(&whole.frame()), Ok(&rewritten[..]));
            }
            (Err(FrameError::NoHead), Err(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// What a lane gave.
#[derive(Debug, PartialEq)]
enum Found {
    Whole { compressed: bool, body: Vec<u8> },
    Great { head: Head, length: usize },
}

impl Found {
    fn head(&self) -> Option<Head> {
        match self {
            Self::Whole { compressed, body } => hrpyc_rpyc::Frame {
                compressed: *compressed,
                body,
            }
            .head(),
            Self::Great { head, .. } => Some(*head),
        }
    }
}

/// What the input holds when it comes in pieces of these sizes, again and again, and whether
/// it ends between two frames. Great frames are let pass.
fn frames(input: &[u8], most: usize, sizes: &[usize]) -> (Vec<Found>, Result<bool, FrameError>) {
    let mut lane = Lane::new(most);
    let (mut found, mut out) = (Vec::new(), Vec::new());
    let mut sizes = sizes.iter().cycle();
    let mut rest = input;
    while let Some(size) = sizes.next().filter(|_| !rest.is_empty()) {
        let (piece, after) = rest.split_at(rest.len().min(*size));
        rest = after;
        lane.input.extend_from_slice(piece);
        loop {
            match lane.cut() {
                Ok(Next::Whole(whole)) => {
                    let frame = whole.frame();
                    assert!(frame.body.len() <= most);
                    found.push(Found::Whole {
                        compressed: frame.compressed,
                        body: frame.body.to_vec(),
                    });
                    out.extend_from_slice(&whole.into_bytes());
                }
                Ok(Next::Great { head, length }) => {
                    assert!(length > most);
                    found.push(Found::Great { head, length });
                    lane.pass(length);
                }
                Ok(Next::Part(part)) => out.extend_from_slice(&part),
                Ok(Next::More) => break,
                Err(error) => return (found, Err(error)),
            }
        }
        // A head shows within a kilobyte.
        assert!(lane.input.len() <= HEADER_LEN + most.max(1024));
    }
    out.extend_from_slice(&lane.input);
    assert_eq!(out, input);
    (found, Ok(lane.at_boundary()))
}

/// Bytes that are taken for brine are written back as they were.
pub fn brine(input: &[u8]) {
    let Ok(plain) = Plain::read(input, Limits::NARROW) else {
        assert!(Value::read(input, Limits::NARROW).is_err());
        return;
    };
    assert_eq!(plain.value().to_bytes(), input);
    if let Some(items) = plain.as_tuple() {
        let parts: usize = items.map(|item| item.as_bytes().len()).sum();
        assert!(parts < input.len());
    }
}

/// A value made by the input is read as it was written, and cut off nowhere.
pub fn brine_made(input: &[u8]) {
    let mut source = Source(input);
    let value = source.value(4);
    let bytes = value.to_bytes();
    match Value::read(&bytes, Limits::WIDE) {
        Ok(read) => assert_eq!(read.to_bytes(), bytes),
        // Only a set can be wrong, since its elements were not chosen to differ.
        Err(refused) => {
            assert_eq!(refused, brine::Refused::NotASet);
            return;
        }
    }
    for cut in 0..bytes.len().min(200) {
        assert!(Plain::read(&bytes[..cut], Limits::WIDE).is_err());
    }
}

/// A payload that is taken for a message is written back as it was; so is what the other
/// family would have sent.
pub fn message(input: &[u8]) {
    let Ok(message) = Message::read(input, Limits::NARROW) else {
        return;
    };
    let mut written = Vec::new();
    message.write(&mut written);
    assert_eq!(written, input);
    let other = match message.family {
        Family::Classic => Family::Six,
        Family::Six => Family::Classic,
    };
    dialect::rewrite(&mut written, other).expect("it has a head");
    let translated = Message::read(&written, Limits::NARROW).expect("it says the same");
    assert_eq!(translated.family, other);
    dialect::rewrite(&mut written, message.family).expect("it has a head");
    assert_eq!(written, input);
    let mut references = 0;
    message.references(|_, id| references += usize::from(id.name.len() <= input.len()));
    assert!(references <= input.len());
}

/// Payloads, each after a byte for its sender and two for its length.
pub fn conversation(input: &[u8]) {
    let mut follower = Follower::new();
    let mut rest = input;
    while let Some(([side, high, low], after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (payload, after) = after.split_at(length);
        rest = after;
        let side = match side % 2 {
            0 => Side::Client,
            _ => Side::Server,
        };
        if !follower.show(side, payload) {
            return;
        }
    }
}

/// Messages about a few objects, made by the input: far more of them are sound.
pub fn conversation_made(input: &[u8]) {
    let mut source = Source(input);
    let mut follower = Follower::new();
    let mut next = [0u64; 2];
    let mut open: [Vec<u64>; 2] = Default::default();
    while !source.0.is_empty() {
        let choice = source.byte();
        let (side, me) = match choice % 2 {
            0 => (Side::Client, 0),
            _ => (Side::Server, 1),
        };
        let asked = &mut open[1 - me];
        let payload = match (choice >> 1) % 8 {
            0..4 => {
                let handler = source.byte() % 22;
                let payload = source.request(next[me], handler);
                open[me].push(next[me]);
                next[me] += 1;
                payload
            }
            _ if asked.is_empty() => continue,
            4..7 => {
                let seq = asked.swap_remove(usize::from(source.byte()) % asked.len());
                source.reply(seq)
            }
            _ => {
                let seq = asked.swap_remove(usize::from(source.byte()) % asked.len());
                list(&[int(3), int(seq as i64), int(1)])
            }
        };
        if choice & 0x80 != 0
            && let Ok(message) = Message::read(&payload, Limits::NARROW)
            && matches!(message.body, hrpyc_rpyc::Body::Request(_))
        {
            if !follower.show(side, &payload) {
                return;
            }
            follower.0.withdraw(side, &message);
            open[me].pop();
            continue;
        }
        if Message::read(&payload, Limits::NARROW).is_err() {
            // An unfit request was not sent, then.
            open[me].retain(|seq| seq + 1 != next[me] || (choice >> 1) % 8 >= 4);
            continue;
        }
        if !follower.show(side, &payload) {
            return;
        }
    }
}

/// A message, abridged as it comes, says the same as when it is read whole.
pub fn abridged(input: &[u8]) {
    let whole = abridge(input.chunks(input.len().max(1)));
    for size in [1, 7, 64] {
        assert_eq!(abridge(input.chunks(size)), whole);
    }
    let limits = Limits {
        items: usize::MAX,
        ..Limits::WIDE
    };
    match (Message::read(input, limits), &whole) {
        (Ok(message), Ok(abridged)) => {
            assert!(!abridged.is_cut);
            let again = Message::read(&abridged.payload, limits).expect("it is a message");
            assert_eq!(again.head(), message.head());
            assert_eq!(referred(&again), referred(&message));
            assert_eq!(said(&again), said(&message));
        }
        (Err(_), Ok(abridged)) => {
            let again = Message::read(&abridged.payload, limits);
            let not_a_set = Malformed::Brine(brine::Refused::NotASet);
            let lenient = Message::read(input, limits).err() == Some(not_a_set);
            assert!(lenient || again.is_err(), "{again:?}");
        }
        (Ok(message), Err(error)) => {
            // Exceptions are not abridged.
            let exception = matches!(message.body, hrpyc_rpyc::Body::Exception(_));
            assert!(exception, "{error}");
        }
        (Err(_), Err(_)) => {}
    }
    let Ok(message) = Message::read(input, limits) else {
        return;
    };
    for length in (0..input.len()).step_by(1 + input.len() / 100) {
        let mut abridger = Abridger::new();
        let begun = abridger
            .push(&input[..length])
            .and_then(|()| abridger.so_far());
        let Ok(Some(begun)) = begun else { continue };
        let again = Message::read(&begun.payload, limits).expect("it is a message");
        assert_eq!(again.head(), message.head());
        assert!(referred(&message).starts_with(&referred(&again)));
    }
}

/// What [`abridged`] looks at, made by the input.
pub fn abridged_made(input: &[u8]) {
    let mut source = Source(input);
    while !source.0.is_empty() {
        let handler = source.byte() % 22;
        abridged(&source.request(u64::from(handler), handler));
        abridged(&source.reply(300));
    }
}

fn abridge<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Abridgement, Malformed> {
    let mut abridger = Abridger::new();
    for piece in pieces {
        abridger.push(piece)?;
    }
    abridger.finish()
}

fn referred<'a>(message: &Message<'a>) -> Vec<(bool, hrpyc_rpyc::ObjectId<'a>)> {
    let mut referred = Vec::new();
    message.references(|owner, id| {
        referred.push((owner == hrpyc_rpyc::message::Owner::Sender, id));
    });
    referred
}

/// How a conversation that begins with a message writes it.
fn said(message: &Message<'_>) -> Option<String> {
    let mut conversation = Conversation::new(ROOM);
    match conversation.see(Side::Client, message, 1) {
        Ok(Step::Asked(asked)) => Some(asked.expression().to_owned()),
        _ => None,
    }
}

/// Shows a conversation what comes, and looks at what it says.
struct Follower(Conversation);

impl Follower {
    fn new() -> Self {
        Self(Conversation::new(ROOM))
    }

    /// Whether it can go on.
    fn show(&mut self, from: Side, payload: &[u8]) -> bool {
        let Ok(message) = Message::read(payload, Limits::NARROW) else {
            return true;
        };
        match self.0.see(from, &message, payload.len()) {
            Ok(Step::Asked(asked)) => readable(asked.expression()),
            Ok(Step::Answered(answered)) => {
                readable(&answered.expression);
                assert!(answered.expression.is_char_boundary(answered.args.start));
                assert!(answered.expression.is_char_boundary(answered.args.end));
                if let Outcome::Raised(name) = &answered.outcome {
                    readable(name);
                }
            }
            Err(_) => return false,
        }
        for side in [Side::Client, Side::Server] {
            let (objects, open) = self.0.held(side);
            assert!(objects <= ROOM.objects && open <= ROOM.open);
        }
        message.references(|_, id| {
            for side in [Side::Client, Side::Server] {
                if let Some(known) = self.0.object(side, &id) {
                    readable(&known.name());
                }
            }
        });
        true
    }
}

/// One line of bounded length in which nothing is hidden.
fn readable(text: &str) {
    assert!(text.len() <= EXPRESSION_MAX, "{} {text}", text.len());
    let hidden = |char: char| char.is_control() || ('\u{2028}'..='\u{202e}').contains(&char);
    assert!(!text.contains(hidden), "{text:?}");
}

/// Makes things of the bytes of an input; of zeros when they are used up.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn take(&mut self, most: usize) -> &'a [u8] {
        let count = usize::from(self.byte()).min(most).min(self.0.len());
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn float(&mut self) -> f64 {
        f64::from_bits(
            [(); 8]
                .iter()
                .fold(0, |bits, ()| bits << 8 | u64::from(self.byte())),
        )
    }

    fn text(&mut self) -> &'a str {
        let bytes = self.take(255);
        match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        }
    }

    fn value(&mut self, depth: usize) -> Value<'a> {
        match self.byte() % if depth > 0 { 14 } else { 11 } {
            0 => Value::None,
            1 => Value::NotImplemented,
            2 => Value::Ellipsis,
            3 => Value::Bool(self.byte().is_multiple_of(2)),
            4 | 5 => Value::Int(Int::Small(i64::from(self.byte()) - 60)),
            6 => Value::Int(Int::Small(self.float().to_bits() as i64)),
            7 => Value::Float(self.float()),
            8 => Value::Complex(self.float(), self.float()),
            9 => Value::Bytes(self.take(255)),
            10 => Value::Str(self.text()),
            11 => Value::Slice(Box::new([(); 3].map(|()| self.value(depth - 1)))),
            12 => Value::Frozenset(self.values(depth)),
            _ => Value::Tuple(self.values(depth)),
        }
    }

    fn values(&mut self, depth: usize) -> Vec<Value<'a>> {
        (0..self.byte() % 8)
            .map(|_| self.value(depth - 1))
            .collect()
    }

    /// One of a few objects.
    fn id(&mut self) -> Vec<u8> {
        const NAMES: [&str; 4] = [
            "builtins.method",
            "hou.Parm",
            "builtins.module",
            "x.\u{202e}",
        ];
        let choice = self.byte();
        let name = NAMES[usize::from(choice % 4)];
        let object = i64::from(choice / 4 % 16);
        list(&[
            Value::Str(name).to_bytes(),
            int(1000 + i64::from(choice % 4)),
            int(object),
        ])
    }

    fn boxed(&mut self, depth: usize) -> Vec<u8> {
        match self.byte() % 4 {
            0 => list(&[int(1), self.value(1).to_bytes()]),
            1 => list(&[int(3), self.id()]),
            2 => list(&[int(4), self.id()]),
            _ if depth == 0 => list(&[int(4), self.id()]),
            _ => self.boxed_tuple(depth - 1),
        }
    }

    /// A tuple with at least one reference in it.
    fn boxed_tuple(&mut self, depth: usize) -> Vec<u8> {
        let mut items: Vec<_> = (0..self.byte() % 4).map(|_| self.boxed(depth)).collect();
        items.push(list(&[int(3), self.id()]));
        list(&[int(2), list(&items)])
    }

    fn reply(&mut self, seq: u64) -> Vec<u8> {
        let result = self.boxed(2);
        list(&[int(2), int(seq as i64), result])
    }

    fn request(&mut self, seq: u64, handler: u8) -> Vec<u8> {
        const NAMES: [&str; 10] = [
            "getmodule",
            "node",
            "_conn",
            "modules",
            "__getitem__",
            "__len__",
            "a'b\n",
            "_syncToMainContext",
            "getconn",
            "eval",
        ];
        let plain = |value: Value<'_>| list(&[int(1), value.to_bytes()]);
        let target = list(&[int(3), self.id()]);
        let name = plain(Value::Str(NAMES[usize::from(self.byte()) % NAMES.len()]));
        let nothing = || plain(Value::Tuple(vec![]));
        let args = match handler {
            2 | 3 => nothing(),
            1 => list(&[int(1), Value::Tuple(vec![self.value(2)]).to_bytes()]),
            4 | 5 => list(&[int(2), list(&[target, name])]),
            6 => list(&[int(2), list(&[target, name, self.boxed(2)])]),
            7 => list(&[int(2), list(&[target, self.boxed_tuple(2), nothing()])]),
            8 => list(&[
                int(2),
                list(&[target, name, self.boxed_tuple(2), nothing()]),
            ]),
            11 => {
                let op = plain(Value::Str(
                    ["__eq__", "__lt__"][usize::from(self.byte() % 2)],
                ));
                list(&[int(2), list(&[target, self.boxed(2), op])])
            }
            15 | 17 | 14 => {
                let count = plain(Value::Int(Int::Small(i64::from(self.byte() % 4))));
                list(&[int(2), list(&[target, count])])
            }
            16 => list(&[int(1), list(&[self.id()])]),
            19 => list(&[int(2), list(&[target, self.boxed(2)])]),
            20 => list(&[int(2), list(&[target, list(&[int(1), self.id()])])]),
            _ => list(&[int(2), list(&[target])]),
        };
        list(&[
            int(1),
            int(seq as i64),
            list(&[int(i64::from(handler)), args]),
        ])
    }
}

fn int(value: i64) -> Vec<u8> {
    Value::Int(Int::Small(value)).to_bytes()
}

/// The brine of a tuple of values that are brine already.
fn list(items: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Value::Tuple(vec![Value::None; items.len()]).to_bytes();
    out.truncate(out.len() - items.len());
    items.iter().for_each(|item| out.extend_from_slice(item));
    out
}
