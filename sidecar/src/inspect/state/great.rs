//! Messages that are too great to be taken whole.
//!
//! They go by in parts, and are read beside: as much is kept as a record shows, and every
//! object that they refer to. The last part goes on when the message is understood and
//! written down, so that nobody acts on it before.

mod passage;

use bytes::BytesMut;
use rpyc::reverse::Reverse;
use rpyc::{
    Abridgement, Abridger, Body, ExceptionClass, FrameError, Head, Kind, Message, Request, Side,
    Step, Threads, Transcoder, Unpacked, Unpacker, brine, dialect, exception_frame,
};

use super::answers::settle;
use super::records::{great_call, plain_call};
use super::stop::{breached, malformed};
use super::{Fate, Open, Out, State, Stop};
use crate::audit::{Direction, reference};
use crate::inspect::narrow::Asked;
use passage::{Onward, Reading, beyond_held};

pub(super) use passage::{Great, Stepped};

/// The rule against requests that are too great to be judged.
const SIZE: &str = "floor/size";

/// In a narrow role so much of a request is looked at, to say what is denied.
pub(super) const BEGINNING: usize = 16 * 1024;

/// What one brings has no end but that of the frame.
const ITEMS: brine::Limits = brine::Limits {
    items: usize::MAX,
    ..brine::Limits::WIDE
};

impl State {
    /// A message that is too great to be taken whole begins: of `length` bytes as it travels,
    /// or of far more once it is inflated. `frame` has its first bytes.
    pub(super) fn great(
        &mut self,
        from: Side,
        head: Head,
        length: usize,
        frame: &mut [u8],
        out: &mut Out,
    ) -> Result<Great, Stop> {
        self.speaks(from, &head)?;
        let most = self.held_bytes;
        let compressed = frame.get(rpyc::frame::HEADER_LEN - 1) == Some(&1);
        if self.is_enforced() {
            match (from, head.kind) {
                (Side::Client, Kind::Request { .. }) => {
                    let begun = beginning(from, length, compressed, frame)?;
                    self.deny_great(head, length, begun, out)?;
                    return Ok(Great::new(from, head, length, most, None, Onward::Dropped));
                }
                (Side::Server, Kind::Reply) => {
                    self.unread(from, head, length, out)?;
                    let text = format!(
                        "the answer of {length} bytes is greater than this role allows\nhint: ask \
                         for less at a time"
                    );
                    self.keep_back(head, ExceptionClass::PermissionError, &text, out);
                    return Ok(Great::new(from, head, length, most, None, Onward::Dropped));
                }
                // The first is refused when it was read, the other is kept back in all roles.
                (Side::Server, Kind::Request { .. } | Kind::Exception) => {}
                (Side::Client, _) => return Err(Stop::of(from, FrameError::TooBig(length))),
            }
        }
        let guarded = from == Side::Server && self.reverse == Reverse::Guarded;
        let abridger = match head.kind {
            // Its module may have to be changed, for which it would have to be rewritten.
            Kind::Exception if guarded => {
                self.unread(from, head, length, out)?;
                let text = format!(
                    "Houdini raised an exception of {length} bytes, which hrpyc-guard did not pass \
                     on: it is too great to be looked at"
                );
                self.keep_back(head, ExceptionClass::RuntimeError, &text, out);
                return Ok(Great::new(from, head, length, most, None, Onward::Dropped));
            }
            Kind::Exception => {
                self.unread(from, head, length, out)?;
                None
            }
            _ => Some(Abridger::new()),
        };
        let to = match self.is_bridged() {
            true => *self.family_of(from.other()),
            false => None,
        };
        let onward = match (to, head.kind) {
            (Some(to), _) if compressed => Onward::Translated(Transcoder::new(to)),
            // It is held as it came, and zlib has blocks that take room and inflate to nothing.
            (_, Kind::Request { .. }) if guarded && length > most => {
                return Err(beyond_held(from, most));
            }
            (_, Kind::Request { .. }) if guarded => Onward::Held(BytesMut::new()),
            _ => Onward::Passes,
        };
        if let Some(to) = to
            && !compressed
        {
            let payload = &mut frame[rpyc::frame::HEADER_LEN..];
            dialect::rewrite(payload, to).map_err(|_| Stop::of(from, FrameError::NoHead))?;
        }
        let translated = matches!(onward, Onward::Translated(_));
        let reading = (translated || abridger.is_some()).then(|| Reading {
            unpacker: Unpacker::new(length, compressed, most),
            abridger,
        });
        Ok(Great::new(from, head, length, most, reading, onward))
    }

    /// A great message was read, and waits for its end to go on. Gives whether it may.
    pub(super) fn understood(
        &mut self,
        from: Side,
        abridged: &Abridgement,
        length: usize,
        out: &mut Out,
    ) -> Result<bool, Stop> {
        let message = Message::read(&abridged.payload, ITEMS);
        let message = message.map_err(|error| malformed(from, error))?;
        self.client_spoke |= from == Side::Client;
        let family = self.client_family.unwrap_or(message.family);
        let message = Message { family, ..message };
        match (&message.body, from) {
            (Body::Request(request), Side::Server) if self.reverse == Reverse::Guarded => {
                // What else it refers to is not known, and could not be judged.
                if abridged.is_cut {
                    return Err(Stop::of(from, FrameError::TooBig(length)));
                }
                let fate = self.houdini_asks(&message, request, length, out)?;
                return Ok(!matches!(fate, Fate::Drop));
            }
            (Body::Request(request), _) => {
                let call = self.note(from, &message, abridged.is_cut, length)?;
                let mut open = Open::default();
                if from == Side::Client
                    && let Some(bench) = &mut self.bench
                {
                    open.shadow = Some(SIZE.into());
                    open.asked = Some(Asked::UNJUDGED);
                    if let Request::Del { target, .. } = request
                        && self.conversation.object(Side::Server, target).is_none()
                    {
                        bench.dropped(target);
                    }
                }
                self.begin(&mut open, call);
                self.open.insert((from, message.seq), open);
            }
            _ => {
                let mut references = 0;
                message.references(|_, _| references += 1);
                match references > self.conversation.room(from) {
                    true => self.unread(from, message.head(), length, out)?,
                    false => drop(self.answer(from, &message, length, out)?),
                }
            }
        }
        Ok(true)
    }

    /// Follows an answer of which only the head was read.
    fn unread(&mut self, from: Side, head: Head, size: usize, out: &mut Out) -> Result<(), Stop> {
        let family = self.client_family.unwrap_or(head.family);
        let head = Head { family, ..head };
        let step = self.conversation.see_head(from, head, size);
        if let Step::Answered(answered) = step.map_err(|breach| breached(from, breach))?
            && let Some(open) = self.open.remove(&(from.other(), head.seq))
        {
            settle(open, &answered, size);
        }
        self.release_drops(out);
        Ok(())
    }

    /// Denies a request for its size.
    fn deny_great(
        &mut self,
        head: Head,
        length: usize,
        begun: Option<Abridgement>,
        out: &mut Out,
    ) -> Result<(), Stop> {
        let class = ExceptionClass::PermissionError;
        let why = format!("a request of {length} bytes is greater than this role allows");
        let Some(begun) = begun else {
            let reference = reference();
            let frame = self.who.denies(head, class, &why, SIZE, &reference);
            self.write_denied(great_call(length), SIZE, reference);
            out.say(Side::Client, &frame);
            return Ok(());
        };
        let message = Message::read(&begun.payload, ITEMS);
        let message = message.map_err(|error| malformed(Side::Client, error))?;
        self.client_spoke = true;
        let call = self.note(Side::Client, &message, begun.is_cut, length)?;
        let call = match (&message.body, call) {
            (_, Some(call)) => call,
            (Body::Request(request), None) => plain_call(Direction::ToHoudini, request, length),
            (_, None) => great_call(length),
        };
        self.deny(&message, call, class, SIZE, &why, out);
        Ok(())
    }

    /// Tells the script that an answer is not passed on. It is known to be great and nothing
    /// else: what it refers to could not be judged later.
    fn keep_back(&self, answer: Head, class: ExceptionClass, text: &str, out: &mut Out) {
        let asked = Head {
            kind: Kind::Request { handler: 0 },
            family: self.client_family.unwrap_or(answer.family),
            threads: answer.threads.map(|threads| Threads {
                sender: threads.receiver,
                receiver: threads.sender,
            }),
            ..answer
        };
        out.say(Side::Client, &exception_frame(asked, class, text));
    }
}

/// Enough of a request to say what it asks for, where there is that.
fn beginning(
    from: Side,
    length: usize,
    compressed: bool,
    frame: &[u8],
) -> Result<Option<Abridgement>, Stop> {
    let mut unpacker = Unpacker::new(length, compressed, usize::MAX);
    let mut abridger = Abridger::new();
    let (mut rest, mut left) = (frame, BEGINNING);
    while left > 0 {
        let unpacked = unpacker.step(&mut rest);
        let Unpacked::Piece(piece) = unpacked.map_err(|error| Stop::of(from, error))? else {
            break;
        };
        let piece = &piece[..piece.len().min(left)];
        left -= piece.len();
        let pushed = abridger.push(piece);
        pushed.map_err(|error| malformed(from, error))?;
    }
    abridger.so_far().map_err(|error| malformed(from, error))
}
