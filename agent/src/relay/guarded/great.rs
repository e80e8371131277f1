//! A message that is too great to be taken whole, read as its bytes come.

use bytes::BytesMut;
use rpyc::{
    Abridgement, Abridger, Body, ExceptionClass, FrameError, Head, Kind, Malformed, Message, Side,
    Unpacked, Unpacker, brine, exception_frame, reverse,
};

use super::{Guarded, Onward, Stop, may_pass, refusal};
use crate::relay::{Out, pass};

/// Why a request is refused of which not all was read.
const TOO_GREAT: &str = "it is too great to be looked at";

/// So much of one is read, in bytes of its payload, and held where it must be judged first; the
/// guard's default for `limits.held_bytes`.
pub(super) const HELD: usize = 256 << 20;

/// What one brings has no end but that of the frame.
pub(super) const ITEMS: brine::Limits = brine::Limits {
    items: usize::MAX,
    ..brine::Limits::WIDE
};

/// One that is coming. As much is kept as can be told of it, and all that it refers to.
#[derive(Debug)]
pub(super) struct Great {
    pub(super) head: Head,
    /// Bytes of its payload as it travels.
    pub(super) length: usize,
    unpacker: Unpacker,
    abridger: Abridger,
}

/// Why one is not read to its end.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It has more than may be read.
    TooGreat,
    /// No stock peer sends this.
    Wrong(String),
}

impl From<FrameError> for Unreadable {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Bomb => Self::TooGreat,
            error => Self::Wrong(error.to_string()),
        }
    }
}

impl From<Malformed> for Unreadable {
    fn from(error: Malformed) -> Self {
        Self::Wrong(error.to_string())
    }
}

impl Great {
    /// Of a request or a reply, of which at most `most` bytes are read.
    pub(super) fn new(head: Head, length: usize, compressed: bool, most: usize) -> Self {
        Self {
            head,
            length,
            unpacker: Unpacker::new(length, compressed, most),
            abridger: Abridger::new(),
        }
    }

    /// Reads the next bytes of its frame, of which the first are those of the header. Gives what
    /// was read of it when these were the last.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<Option<Abridgement>, Unreadable> {
        loop {
            match self.unpacker.step(&mut bytes)? {
                Unpacked::Piece(piece) => self.abridger.push(piece)?,
                Unpacked::More => return Ok(None),
                Unpacked::End => {
                    return Ok(Some(std::mem::take(&mut self.abridger).finish()?));
                }
            }
        }
    }
}

impl Guarded {
    /// Takes note of bytes of a great message of the client's. One that cannot be read gives the
    /// server nothing that it may use.
    pub(super) fn note_part(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(great) = &mut self.client.great else {
            return Ok(());
        };
        let (head, length) = (great.head, great.length);
        let abridged = match great.read(bytes) {
            Ok(None) => return Ok(()),
            Ok(Some(abridged)) => Some(abridged),
            Err(_) => None,
        };
        self.client.great = None;
        let message = abridged
            .as_ref()
            .and_then(|abridged| Message::read(&abridged.payload, ITEMS).ok());
        let (Some(abridged), Some(message)) = (&abridged, message) else {
            return self.unread(Side::Client, head, length);
        };
        let mut references = 0;
        message.references(|_, _| references += 1);
        if references > self.conversation.room(Side::Client) {
            return self.unread(Side::Client, head, length);
        }
        let seen = match (&message.body, abridged.is_cut) {
            (Body::Request(_), true) => {
                self.conversation
                    .see_beginning(Side::Client, &message, length)
            }
            _ => self.conversation.see(Side::Client, &message, length),
        };
        seen.map(drop).map_err(|breach| breach.to_string())
    }

    /// The server begins to say something. The guard denies a great request before it has all of
    /// it, and what that refers to is then nothing that the server was given.
    pub(super) fn may_answer_early(&mut self, head: Head) -> Result<(), Stop> {
        let asked = |great: &mut Great| {
            !matches!(head.kind, Kind::Request { .. })
                && matches!(great.head.kind, Kind::Request { .. })
                && great.head.seq == head.seq
        };
        if let Some(great) = self.client.great.take_if(asked) {
            self.unread(Side::Client, great.head, great.length)
                .map_err(|why| Stop::new(Side::Client, why))?;
        }
        Ok(())
    }

    /// A great message of the server's begins: of `length` bytes as it travels, or of far more
    /// once it is inflated. A request is held until it is judged.
    pub(super) fn great(
        &mut self,
        head: Head,
        length: usize,
        compressed: bool,
        out: &mut Out,
    ) -> Result<(), Stop> {
        if let Kind::Request { .. } = head.kind {
            if length > self.most {
                self.refuse_great(head, out);
            } else {
                self.server.great = Some(Great::new(head, length, compressed, self.most));
                self.onward = Onward::Held(BytesMut::new());
            }
            return Ok(());
        }
        self.may_answer_early(head)?;
        self.unread(Side::Server, head, length)
            .map_err(|why| Stop::new(Side::Server, why))?;
        self.onward = match reverse::may_go_unread(head.kind) {
            true => Onward::Passes,
            false => {
                let text = format!(
                    "Houdini raised an exception of {length} bytes, which hrpyc-guard did not \
                     hand over: {TOO_GREAT}"
                );
                let answer = exception_frame(asked(head), ExceptionClass::RuntimeError, &text);
                out.to_client.extend_from_slice(&answer);
                Onward::Dropped
            }
        };
        Ok(())
    }

    /// The next bytes of the great message of the server's.
    pub(super) fn part(&mut self, bytes: BytesMut, out: &mut Out) -> Result<(), Stop> {
        let held = match &mut self.onward {
            Onward::Passes => {
                pass(&mut out.to_client, bytes);
                return Ok(());
            }
            Onward::Dropped => return Ok(()),
            Onward::Held(held) => held,
        };
        let Some(great) = &mut self.server.great else {
            return Ok(());
        };
        let (head, length) = (great.head, great.length);
        let read = great.read(&bytes);
        held.unsplit(bytes);
        let abridged = match read {
            Ok(None) => return Ok(()),
            Ok(Some(abridged)) => abridged,
            Err(Unreadable::TooGreat) => {
                self.refuse_great(head, out);
                return Ok(());
            }
            Err(Unreadable::Wrong(why)) => return Err(Stop::new(Side::Server, why)),
        };
        let held = std::mem::take(held);
        self.server.great = None;
        self.onward = Onward::Passes;
        // What else it refers to is not known, and could not be judged.
        if abridged.is_cut {
            self.refuse_great(head, out);
            return Ok(());
        }
        let message = Message::read(&abridged.payload, ITEMS)
            .map_err(|error| Stop::new(Side::Server, error))?;
        if may_pass(
            &mut self.conversation,
            &mut self.reported,
            &message,
            length,
            out,
        )? {
            pass(&mut out.to_client, held);
        }
        Ok(())
    }

    /// A request that cannot be judged. What is still to come of it goes nowhere.
    fn refuse_great(&mut self, head: Head, out: &mut Out) {
        let answer = refusal(head, ExceptionClass::RuntimeError, TOO_GREAT);
        out.answers.extend_from_slice(&answer);
        self.server.great = None;
        self.onward = Onward::Dropped;
    }
}

/// The head of the request that this is the head of the answer to.
fn asked(answer: Head) -> Head {
    Head {
        threads: answer.threads.map(|threads| rpyc::Threads {
            sender: threads.receiver,
            receiver: threads.sender,
        }),
        ..answer
    }
}
