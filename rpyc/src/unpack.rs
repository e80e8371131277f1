//! The payload of one great frame, piece by piece as it comes.

use flate2::{Decompress, FlushDecompress, Status};

use crate::frame::{FLUSH, FrameError, HEADER_LEN};

/// The longest piece, in bytes: inflating one takes some 0.2 ms.
pub(crate) const PIECE: usize = 64 * 1024;

/// Unpacks one frame that is too great to be held, in steps that cost little each.
///
/// It is as strict as a [`Lane`](crate::Lane) and an [`Inflater`](crate::Inflater) are with small ones.
#[derive(Debug)]
pub struct Unpacker {
    most: usize,
    /// Bytes of the frame's header, and of its body, that are still to come.
    header: usize,
    body: usize,
    zlib: Option<Zlib>,
    /// Bytes given out.
    given: usize,
}

#[derive(Debug)]
struct Zlib {
    inflater: Box<Decompress>,
    ended: bool,
    /// Room for one piece.
    room: Box<[u8]>,
}

/// What one step brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Unpacked<'a> {
    /// The next bytes of the payload, perhaps none. There may be more to do: call again.
    Piece(&'a [u8]),
    /// All that was given is used up: more must come.
    More,
    /// The frame is over, and whole. Nothing after it was taken.
    End,
}

impl Unpacker {
    /// For a frame that announces a body of `length` bytes, and holds a payload of at most
    /// `most` bytes.
    pub fn new(length: usize, compressed: bool, most: usize) -> Self {
        Self {
            most,
            header: HEADER_LEN,
            body: length,
            zlib: compressed.then(|| Zlib {
                inflater: Box::new(Decompress::new(true)),
                ended: false,
                room: vec![0; PIECE].into_boxed_slice(),
            }),
            given: 0,
        }
    }

    /// Takes bytes of the frame from `input`, its header and its last byte included.
    ///
    /// # Errors
    ///
    /// [`FrameError::Bomb`] when the payload has more than `most` bytes, and what else can
    /// be wrong with a frame and with a zlib stream.
    pub fn step<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Unpacked<'a>, FrameError> {
        self.header -= take(input, self.header).len();
        if self.header > 0 {
            return Ok(Unpacked::More);
        }
        let at_end = match &self.zlib {
            Some(zlib) => zlib.ended,
            None => self.body == 0,
        };
        if !at_end {
            return self.piece(input);
        }
        if self.body > 0 {
            return Err(FrameError::AfterZlib);
        }
        match take(input, 1) {
            [] => Ok(Unpacked::More),
            [FLUSH] if self.given == 0 => Err(FrameError::Empty),
            [FLUSH] => Ok(Unpacked::End),
            _ => Err(FrameError::Flush),
        }
    }

    fn piece<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Result<Unpacked<'a>, FrameError> {
        let here = input.len().min(self.body).min(PIECE);
        let Some(zlib) = &mut self.zlib else {
            let piece = take(input, here);
            self.body -= here;
            self.given += here;
            return match here {
                0 => Ok(Unpacked::More),
                _ if self.given > self.most => Err(FrameError::Bomb),
                _ => Ok(Unpacked::Piece(piece)),
            };
        };
        let (taken, made) = zlib.inflate(&input[..here])?;
        *input = &input[taken..];
        self.body -= taken;
        self.given += made;
        if self.given > self.most {
            return Err(FrameError::Bomb);
        }
        // What zlib holds back comes without anything being given.
        match (taken, made) {
            (0, 0) if !zlib.ended && self.body > 0 && input.is_empty() => Ok(Unpacked::More),
            (0, 0) if !zlib.ended => Err(FrameError::Zlib),
            _ => Ok(Unpacked::Piece(&zlib.room[..made])),
        }
    }
}

impl Zlib {
    /// Inflates into the room. Gives how much was taken and made.
    fn inflate(&mut self, given: &[u8]) -> Result<(usize, usize), FrameError> {
        let (taken, made) = (self.inflater.total_in(), self.inflater.total_out());
        let status = self
            .inflater
            .decompress(given, &mut self.room, FlushDecompress::None)
            .map_err(|_| FrameError::Zlib)?;
        self.ended = status == Status::StreamEnd;
        let taken = self.inflater.total_in() - taken;
        let made = self.inflater.total_out() - made;
        Ok((taken as usize, made as usize))
    }
}

fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    taken
}

#[cfg(test)]
mod tests;
