//! One great message, as its bytes go by.

use bytes::{Bytes, BytesMut};
use rpyc::{Abridgement, Abridger, FrameError, Head, Side, Transcoder, Unpacked, Unpacker};

use crate::inspect::state::stop::{end, malformed};
use crate::inspect::state::{Out, Stop};

/// A great message that is coming.
#[derive(Debug)]
pub(in crate::inspect::state) struct Great {
    from: Side,
    head: Head,
    length: usize,
    /// What may be held of it, in bytes, inflated.
    most: usize,
    /// Bytes of its frame that are still to be given.
    left: usize,
    /// `None` when nothing more of it is looked at.
    reading: Option<Reading>,
    onward: Onward,
    /// Given, and gone through up to here.
    part: BytesMut,
    at: usize,
}

#[derive(Debug)]
pub(super) struct Reading {
    pub(super) unpacker: Unpacker,
    /// `None` of what is translated only.
    pub(super) abridger: Option<Abridger>,
}

/// What becomes of its bytes.
#[derive(Debug)]
pub(super) enum Onward {
    /// They go nowhere.
    Dropped,
    /// They go on as they came.
    Passes,
    /// They wait until it is judged.
    Held(BytesMut),
    /// They wait until all of them are translated.
    Translated(Transcoder),
}

/// What became of one step.
pub(in crate::inspect::state) enum Stepped {
    /// All that was given is used up.
    More,
    /// There is more to do.
    Again,
    /// So far and no further it is read; the rest goes by.
    Unread(Abridgement),
    /// It is over: what there is of it to be looked at, and what is to go on then.
    Over(Option<Abridgement>, BytesMut),
}

impl Great {
    pub(super) fn new(
        from: Side,
        head: Head,
        length: usize,
        most: usize,
        reading: Option<Reading>,
        onward: Onward,
    ) -> Self {
        Self {
            from,
            head,
            length,
            most,
            left: rpyc::frame::HEADER_LEN + length + 1,
            reading,
            onward,
            part: BytesMut::new(),
            at: 0,
        }
    }

    /// What it begins with.
    pub(in crate::inspect::state) fn head(&self) -> Head {
        self.head
    }

    /// The same, unless it was answered already and goes nowhere.
    pub(in crate::inspect::state) fn goes_on(&self) -> Option<Head> {
        match self.onward {
            Onward::Dropped => None,
            _ => Some(self.head),
        }
    }

    /// Bytes of its payload as it travels.
    pub(in crate::inspect::state) fn length(&self) -> usize {
        self.length
    }

    /// Is there something to be gone through?
    pub(in crate::inspect::state) fn waits(&self) -> bool {
        !self.part.is_empty()
    }

    /// Takes the next bytes of the frame, when those before are used up.
    pub(in crate::inspect::state) fn give(&mut self, bytes: BytesMut) {
        self.left -= bytes.len();
        self.part = bytes;
        self.at = 0;
    }

    /// Does a small piece of the work.
    pub(in crate::inspect::state) fn step(&mut self, out: &mut Out) -> Result<Stepped, Stop> {
        let Some(reading) = &mut self.reading else {
            if self.left == 0 {
                return self.over();
            }
            let part = std::mem::take(&mut self.part);
            self.go_on(part, out);
            return Ok(Stepped::More);
        };
        let mut rest = &self.part[self.at..];
        let unpacked = match reading.unpacker.step(&mut rest) {
            Ok(unpacked) => unpacked,
            // What is not held has no limit. It is read no further.
            Err(FrameError::Bomb) if matches!(self.onward, Onward::Passes) => {
                let abridger = self.reading.take().and_then(|reading| reading.abridger);
                let abridged = abridger.map(Abridger::so_far).transpose();
                return match abridged
                    .map_err(|error| malformed(self.from, error))?
                    .flatten()
                {
                    Some(abridged) => Ok(Stepped::Unread(abridged)),
                    None => Err(Stop::of(self.from, FrameError::NoHead)),
                };
            }
            Err(error) => return Err(self.wrong(error)),
        };
        match unpacked {
            Unpacked::Piece(piece) => {
                if let Some(abridger) = &mut reading.abridger {
                    let pushed = abridger.push(piece);
                    pushed.map_err(|error| malformed(self.from, error))?;
                }
                if let Onward::Translated(transcoder) = &mut self.onward {
                    let pushed = transcoder.push(piece);
                    pushed.map_err(|error| Stop::of(self.from, error))?;
                }
                self.at = self.part.len() - rest.len();
                Ok(Stepped::Again)
            }
            Unpacked::More => {
                let part = std::mem::take(&mut self.part);
                self.at = 0;
                self.go_on(part, out);
                Ok(Stepped::More)
            }
            Unpacked::End => self.over(),
        }
    }

    fn over(&mut self) -> Result<Stepped, Stop> {
        let part = std::mem::take(&mut self.part);
        let last = match std::mem::replace(&mut self.onward, Onward::Dropped) {
            Onward::Dropped => BytesMut::new(),
            Onward::Passes => part,
            Onward::Held(mut held) => {
                held.unsplit(part);
                held
            }
            Onward::Translated(mut transcoder) => {
                let frame = transcoder.finish();
                let frame = frame.map_err(|error| Stop::of(self.from, error))?;
                Bytes::from(frame).into()
            }
        };
        let abridger = self.reading.take().and_then(|reading| reading.abridger);
        let abridged = abridger.map(Abridger::finish).transpose();
        let abridged = abridged.map_err(|error| malformed(self.from, error))?;
        Ok(Stepped::Over(abridged, last))
    }

    /// A part of it that was gone through.
    fn go_on(&mut self, part: BytesMut, out: &mut Out) {
        match &mut self.onward {
            Onward::Passes => out.begin(self.from.other(), part),
            Onward::Held(held) => held.unsplit(part),
            Onward::Dropped | Onward::Translated(_) => {}
        }
    }

    fn wrong(&self, error: FrameError) -> Stop {
        match error {
            FrameError::Bomb => beyond_held(self.from, self.most),
            error => Stop::of(self.from, error),
        }
    }
}

/// The session must end: a message is greater than what may be held of it, in bytes.
pub(super) fn beyond_held(from: Side, most: usize) -> Stop {
    Stop::new(format_args!(
        "{} sent a message of more than {most} bytes, which is more than may be held until it is \
         translated or judged (limits.held_bytes)",
        end(from)
    ))
}
