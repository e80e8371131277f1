//! Messages that are too great to be taken whole, read as their bytes come.

use bytes::BytesMut;
use rpyc::frame::{FLUSH, HEADER_LEN};
use rpyc::{
    Abridgement, Abridger, Conversation, Frame, FrameError, Head, Kind, Malformed, Side, Unpacked,
    Unpacker,
};

use super::Stop;

/// So much is read of one, in bytes, inflated; and so much is held of one that is judged. The
/// script would hold it as well.
const MOST: usize = 64 << 20;

/// A great message that is coming.
#[derive(Debug)]
pub(super) struct Great {
    pub(super) head: Head,
    /// Bytes of its payload as it travels.
    pub(super) length: usize,
    /// Bytes of its frame that are still to come.
    left: usize,
    /// It was answered before its end, and taken note of then.
    pub(super) is_answered: bool,
    reading: Result<Reading, Unreadable>,
    onward: Onward,
}

/// What becomes of its bytes.
#[derive(Debug)]
pub(super) enum Onward {
    /// They go on as they come, and are read beside.
    Passes,
    /// They go on, and nobody reads them.
    Unread,
    /// They wait until it is judged.
    Held(BytesMut),
    /// They go nowhere.
    Dropped,
}

#[derive(Debug)]
struct Reading {
    unpacker: Unpacker,
    abridger: Abridger,
}

/// Why it is not known what a message says.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// There is too much of it, or nobody wants to know.
    #[error("it is too great to be looked at")]
    TooGreat,
    /// It is no frame of rpyc's.
    #[error(transparent)]
    Frame(FrameError),
    /// It is no message.
    #[error(transparent)]
    Message(#[from] Malformed),
}

impl From<FrameError> for Unreadable {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Bomb => Self::TooGreat,
            error => Self::Frame(error),
        }
    }
}

impl Great {
    /// One whose frame announces a payload of `length` bytes. What goes nowhere is not read,
    /// and neither is what takes more on its way than may be held of it.
    pub(super) fn new(head: Head, length: usize, compressed: bool, onward: Onward) -> Self {
        let (reading, onward) = match onward {
            Onward::Unread | Onward::Dropped => (Err(Unreadable::TooGreat), onward),
            Onward::Held(_) if length > MOST => (Err(Unreadable::TooGreat), Onward::Dropped),
            onward => (Ok(Reading::new(length, compressed)), onward),
        };
        Self {
            head,
            length,
            left: HEADER_LEN + length + 1,
            is_answered: false,
            reading,
            onward,
        }
    }

    /// Takes the next bytes of its frame. Gives those that go on.
    pub(super) fn take(&mut self, bytes: BytesMut) -> BytesMut {
        self.left -= bytes.len();
        if let Ok(reading) = &mut self.reading
            && let Err(unread) = reading.read(&bytes)
        {
            self.reading = Err(unread);
            if let Onward::Held(_) = self.onward {
                self.onward = Onward::Dropped;
            }
        }
        match &mut self.onward {
            Onward::Passes | Onward::Unread => return bytes,
            Onward::Held(held) => held.unsplit(bytes),
            Onward::Dropped => {}
        }
        BytesMut::new()
    }

    /// Has all of it come?
    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// What it says, when all of it has come, and what was held.
    pub(super) fn finish(self) -> (Result<Abridgement, Unreadable>, BytesMut) {
        let held = match self.onward {
            Onward::Held(held) => held,
            _ => BytesMut::new(),
        };
        let read = self.reading.and_then(Reading::finish);
        (read, held)
    }
}

/// What a frame says that was taken whole and inflates far.
pub(super) fn abridged(frame: &Frame<'_>) -> Result<Abridgement, Unreadable> {
    let mut reading = Reading::new(frame.body.len(), frame.compressed);
    for bytes in [&[0; HEADER_LEN][..], frame.body, &[FLUSH]] {
        reading.read(bytes)?;
    }
    reading.finish()
}

/// Looks whether a message of the server's answers the great request of the client's that is
/// coming. The guard answers one when it knows that it denies it, and then its head is all
/// that is known of it.
pub(super) fn answered(
    coming: &mut Option<Great>,
    conversation: &mut Conversation,
    answer: Head,
) -> Result<(), Stop> {
    let is_request = |head: Head| matches!(head.kind, Kind::Request { .. });
    let Some(great) = coming else {
        return Ok(());
    };
    if great.is_answered
        || great.head.seq != answer.seq
        || is_request(answer)
        || !is_request(great.head)
    {
        return Ok(());
    }
    great.is_answered = true;
    let seen = conversation.see_head(Side::Client, great.head, great.length);
    seen.map(drop)
        .map_err(|breach| Stop::new(Side::Client, breach))
}

impl Reading {
    fn new(length: usize, compressed: bool) -> Self {
        Self {
            unpacker: Unpacker::new(length, compressed, MOST),
            abridger: Abridger::new(),
        }
    }

    fn read(&mut self, mut bytes: &[u8]) -> Result<(), Unreadable> {
        loop {
            match self.unpacker.step(&mut bytes)? {
                Unpacked::Piece(piece) => self.abridger.push(piece)?,
                Unpacked::More | Unpacked::End => return Ok(()),
            }
        }
    }

    fn finish(self) -> Result<Abridgement, Unreadable> {
        let abridgement = self.abridger.finish()?;
        match abridgement.is_cut {
            // What else it refers to is not known.
            true => Err(Unreadable::TooGreat),
            false => Ok(abridgement),
        }
    }
}
