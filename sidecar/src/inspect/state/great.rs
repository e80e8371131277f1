//! Messages that are too great to be taken whole.

use bytes::{Buf, BytesMut};
use jiff::Timestamp;
use rpyc::reverse::{self, Reverse};
use rpyc::{
    ExceptionClass, Family, FrameError, Head, Kind, Side, Step, Threads, Transcoder, Unpacked,
    Unpacker, exception_frame,
};

use super::answers::settle;
use super::records::{direction, new_call};
use super::{Open, Out, State, Stop, breached, end};
use crate::audit::{Call, Direction, reference};

/// What becomes of the bytes of a great message.
#[derive(Debug)]
pub(super) enum Great {
    /// They go on as they came.
    Passes,
    /// They go nowhere.
    Dropped,
    /// They wait until all of them are translated.
    Translated(Box<Translation>),
}

/// Whether a great message goes on, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onward {
    /// It does not.
    No,
    /// As it came.
    AsItIs,
    /// In this family.
    In(Family),
}

/// A compressed message on its way to a peer of another family.
#[derive(Debug)]
pub(super) struct Translation {
    from: Side,
    most: usize,
    unpacker: Unpacker,
    transcoder: Transcoder,
    /// Received, not translated yet.
    waiting: BytesMut,
}

/// What became of one step of a translation.
pub(super) enum Stepped {
    /// All that was given is used up.
    More,
    /// There is more to do.
    Again,
    /// The translated frame.
    Done(Vec<u8>),
}

impl Translation {
    /// For a frame with a compressed body of `length` bytes, which holds a message of `most`
    /// bytes at most.
    pub(super) fn new(from: Side, length: usize, to: Family, most: usize) -> Self {
        Self {
            from,
            most,
            unpacker: Unpacker::new(length, true, most),
            transcoder: Transcoder::new(to),
            waiting: BytesMut::new(),
        }
    }

    /// Takes the next bytes of the frame, when those before are used up.
    pub(super) fn give(&mut self, bytes: BytesMut) {
        self.waiting = bytes;
    }

    /// Does a small piece of the work.
    pub(super) fn step(&mut self) -> Result<Stepped, Stop> {
        let mut rest = &self.waiting[..];
        let stepped = match self.unpacker.step(&mut rest) {
            Ok(Unpacked::Piece(piece)) => self.transcoder.push(piece).map(|()| Stepped::Again),
            Ok(Unpacked::More) => Ok(Stepped::More),
            Ok(Unpacked::End) => self.transcoder.finish().map(Stepped::Done),
            Err(error) => Err(error),
        };
        let taken = self.waiting.len() - rest.len();
        self.waiting.advance(taken);
        stepped.map_err(|error| match error {
            FrameError::Bomb => Stop::new(format_args!(
                "{} sent a message of more than {} bytes, which is more than is translated \
                 between different families of rpyc (limits.translated_bytes)",
                end(self.from),
                self.most
            )),
            error => Stop::of(self.from, error),
        })
    }
}

/// The rule against requests that are too great to be judged.
const SIZE: &str = "floor/size";

impl State {
    /// A message that is too great to be taken whole: of `length` bytes as it travels, or of
    /// far more once it is inflated. Gives the family that it must be translated to, and
    /// whether it goes on at all.
    pub(super) fn great(
        &mut self,
        from: Side,
        head: Head,
        length: usize,
        out: &mut Out,
    ) -> Result<Onward, Stop> {
        self.speaks(from, &head)?;
        let narrow = self.is_enforced();
        match (from, head.kind) {
            (Side::Client, Kind::Request { .. }) if narrow => {
                let why = format!("a request of {length} bytes is greater than this role allows");
                let call = great_call(length);
                let reference = reference();
                let frame = self.who.denies(
                    head,
                    ExceptionClass::PermissionError,
                    &why,
                    SIZE,
                    &reference,
                );
                self.write_denied(call, SIZE, reference);
                out.to_client.extend_from_slice(&frame);
                return Ok(Onward::No);
            }
            (Side::Client, _) if narrow => {
                return Err(Stop::of(from, FrameError::TooBig(length)));
            }
            (Side::Server, kind)
                if self.reverse == Reverse::Guarded && !reverse::may_go_unread(kind) =>
            {
                return Err(Stop::of(from, FrameError::TooBig(length)));
            }
            _ => {}
        }
        self.unread(from, head, length)?;
        if self.bench.is_some()
            && !narrow
            && matches!(head.kind, Kind::Request { .. })
            && let Some(open) = self.open.get_mut(&(from, head.seq))
        {
            open.shadow = Some(SIZE.into());
        }
        if narrow {
            // The answer is known to be great and nothing else: what it refers to cannot be
            // judged later.
            let text = format!(
                "the answer of {length} bytes is greater than this role allows\nhint: ask for \
                 less at a time"
            );
            let frame =
                exception_frame(self.asked_by(head), ExceptionClass::PermissionError, &text);
            out.to_client.extend_from_slice(&frame);
            return Ok(Onward::No);
        }
        Ok(match self.is_bridged() {
            true => Onward::In(self.family_of(from.other()).unwrap_or(head.family)),
            false => Onward::AsItIs,
        })
    }

    /// The request that the client has sent for this answer.
    fn asked_by(&self, answer: Head) -> Head {
        Head {
            kind: Kind::Request { handler: 0 },
            family: self.client_family.unwrap_or(answer.family),
            threads: answer.threads.map(|threads| Threads {
                sender: threads.receiver,
                receiver: threads.sender,
            }),
            ..answer
        }
    }

    /// Follows a message of which only the head was read.
    pub(super) fn unread(&mut self, from: Side, head: Head, size: usize) -> Result<(), Stop> {
        let family = self.client_family.unwrap_or(head.family);
        let head = Head { family, ..head };
        let step = self.conversation.see_head(from, head, size);
        match step.map_err(|breach| breached(from, breach))? {
            Step::Asked(asked) => {
                let call = new_call(direction(from), &asked, size);
                let mut open = Open {
                    call: None,
                    asked: None,
                    shadow: None,
                };
                self.begin(&mut open, Some(call));
                self.open.insert((from, head.seq), open);
            }
            Step::Answered(answered) => {
                if let Some(open) = self.open.remove(&(from.other(), head.seq)) {
                    settle(open, &answered, size);
                }
            }
        }
        Ok(())
    }
}

fn great_call(size: usize) -> Call {
    Call {
        time: Timestamp::now(),
        direction: Direction::ToHoudini,
        expression: "<a great request>".into(),
        class: "".into(),
        method: "?".into(),
        arguments: Vec::new(),
        bytes_up: size as u64,
        reference: None,
    }
}
