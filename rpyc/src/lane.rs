//! One direction of a connection, cut into frames that can be forwarded as they came.

use bytes::BytesMut;

use crate::brine::Unread;
use crate::frame::{self, FLUSH, Frame, FrameError, HEADER_LEN};
use crate::head::{Head, Prefix};

/// Cuts one direction of a connection into frames, however it came in pieces.
///
/// Stricter than rpyc and than [`Observer`](crate::Observer): the compressed flag is 0 or 1,
/// the flush byte is a newline, and no frame is empty.
///
/// It reads nothing itself: put what was read at the end of [`input`](Self::input), then
/// [`cut`](Self::cut) until that wants [`More`](Next::More). A caller who does so finds
/// less than one frame there afterwards: at most [`HEADER_LEN`] + `most` bytes, or, where a
/// great frame begins, the kilobyte within which its head must have shown. What is read on
/// top of that at a time, and whether an empty buffer is kept for the next reading, is the
/// caller's choice.
#[derive(Debug)]
pub struct Lane {
    /// Received, not cut yet. What is read is put at its end; nothing else is done to it,
    /// but to replace it when it is empty.
    pub input: BytesMut,
    /// Frames with a greater payload are not taken whole.
    most: usize,
    /// The head of the great frame that begins `input`, while it is not complete.
    announced: Option<Announced>,
    /// Bytes of a great frame that are still to go by.
    passing: usize,
}

#[derive(Debug)]
struct Announced {
    prefix: Prefix,
    /// Bytes of the payload that it has seen.
    seen: usize,
}

/// What comes next in a lane.
#[derive(Debug)]
pub enum Next {
    /// A whole frame, taken out of the lane.
    Whole(WholeFrame),
    /// A frame that is too great to be taken whole begins. Nothing was taken: say
    /// [`Lane::pass`], or drop the connection.
    Great {
        /// What it begins with.
        head: Head,
        /// Bytes of its payload, as announced.
        length: usize,
    },
    /// Bytes of a great frame, taken out.
    Part(BytesMut),
    /// More must be received first.
    More,
}

/// A frame as it came.
#[derive(Debug)]
pub struct WholeFrame(BytesMut);

impl WholeFrame {
    /// What is in it.
    pub fn frame(&self) -> Frame<'_> {
        Frame {
            compressed: self.0[HEADER_LEN - 1] == 1,
            body: &self.0[HEADER_LEN..self.0.len() - 1],
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same, to be kept.
    pub fn into_bytes(self) -> BytesMut {
        self.0
    }
}

impl Lane {
    /// Takes frames whose payload has at most `most` bytes, as it travels, whole.
    pub fn new(most: usize) -> Self {
        Self {
            input: BytesMut::new(),
            most,
            announced: None,
            passing: 0,
        }
    }

    /// Is nothing held?
    pub fn is_empty(&self) -> bool {
        self.input.is_empty()
    }

    /// Is the direction between two frames? If it ends anywhere else, it was cut off.
    pub fn at_boundary(&self) -> bool {
        self.is_empty() && self.passing == 0
    }

    /// Are bytes of a great frame still to go by? Then its receiver is in the middle of it.
    pub fn is_passing(&self) -> bool {
        self.passing > 0
    }

    /// Cuts off what is complete.
    ///
    /// # Errors
    ///
    /// These are no frames as rpyc writes them: an [`Empty`](FrameError::Empty) one, a wrong
    /// [`Flag`](FrameError::Flag) or [`Flush`](FrameError::Flush), or a great one with
    /// [`NoHead`](FrameError::NoHead). Close the connection.
    pub fn cut(&mut self) -> Result<Next, FrameError> {
        if self.passing > 0 {
            return self.part();
        }
        let Some((length, compressed)) = self.header()? else {
            return Ok(Next::More);
        };
        if length > self.most {
            return self.great(length, compressed);
        }
        let whole = HEADER_LEN + length + 1;
        if self.input.len() < whole {
            return Ok(Next::More);
        }
        if self.input[whole - 1] != FLUSH {
            return Err(FrameError::Flush);
        }
        Ok(Next::Whole(WholeFrame(self.input.split_to(whole))))
    }

    /// Lets the great frame that begins here go by in parts, with its header and its flush
    /// byte. `length` is that of its payload, from [`Next::Great`].
    pub fn pass(&mut self, length: usize) {
        self.passing = HEADER_LEN + length + 1;
    }

    /// The first bytes of the payload that begins here.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let start = HEADER_LEN.min(self.input.len());
        &mut self.input[start..]
    }

    /// Is the frame that begins here compressed?
    pub fn is_compressed(&self) -> bool {
        self.input.get(HEADER_LEN - 1) == Some(&1)
    }

    fn part(&mut self) -> Result<Next, FrameError> {
        if self.input.is_empty() {
            return Ok(Next::More);
        }
        let length = self.passing.min(self.input.len());
        // What does not end as a frame does is not taken: its receiver stays in the middle of it.
        if length == self.passing && self.input[length - 1] != FLUSH {
            return Err(FrameError::Flush);
        }
        self.passing -= length;
        Ok(Next::Part(self.input.split_to(length)))
    }

    fn header(&self) -> Result<Option<(usize, bool)>, FrameError> {
        let Some(header) = self.input.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let (length, flag) = frame::decode_header(*header);
        match flag {
            0 | 1 if length == 0 => Err(FrameError::Empty),
            0 | 1 => Ok(Some((length as usize, flag == 1))),
            flag => Err(FrameError::Flag(flag)),
        }
    }

    fn great(&mut self, length: usize, compressed: bool) -> Result<Next, FrameError> {
        let payload = &self.input[HEADER_LEN..];
        let payload = &payload[..length.min(payload.len())];
        let announced = self.announced.get_or_insert_with(|| Announced {
            prefix: Prefix::new(compressed),
            seen: 0,
        });
        // Nothing is inflated twice, in however small pieces it comes.
        let new = payload.get(announced.seen..).unwrap_or_default();
        announced.seen = payload.len();
        match announced.prefix.read(new) {
            Ok(head) => {
                self.announced = None;
                Ok(Next::Great { head, length })
            }
            Err(Unread::Short) if payload.len() < length => Ok(Next::More),
            Err(_) => Err(FrameError::NoHead),
        }
    }
}

#[cfg(test)]
mod tests;
