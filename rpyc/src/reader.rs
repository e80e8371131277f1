//! Whole frames out of a stream, in pieces of any size.

use std::fmt;

use crate::brine::Unread;
use crate::frame::{self, FLUSH, HEADER_LEN};
use crate::head::Head;
use crate::observer::Prefix;

/// Room that is kept between frames; what a great frame took is given back.
const ROOM_KEPT: usize = 16 * 1024;

/// Cuts one direction of a connection into frames.
///
/// Stricter than rpyc and than [`Observer`](crate::Observer): the compressed flag is 0 or 1,
/// the flush byte is a newline, and no frame is empty. It holds at most the one frame that
/// is not complete yet, and no more than the cap.
#[derive(Debug)]
pub struct FrameReader {
    cap: usize,
    pass_bigger: bool,
    /// The beginning of a frame, header included, when it has not come whole.
    partial: Vec<u8>,
    big: Option<Big>,
}

/// A frame that goes by without being kept.
#[derive(Debug)]
struct Big {
    /// Payload bytes to come.
    left: usize,
    prefix: Option<Prefix>,
    /// What is known of it, once that is reported.
    length: usize,
}

/// One frame, as it came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Whether `body` is a zlib stream.
    pub compressed: bool,
    /// What stands between header and flush byte, as it came.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        HEADER_LEN + self.body.len() + 1
    }

    /// The head of the message, got without inflating more than that. `None` when there is
    /// none.
    pub fn head(&self) -> Option<Head> {
        Prefix::new(self.compressed).read(self.body).ok()
    }
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("compressed", &self.compressed)
            .field("length", &self.body.len())
            .finish()
    }
}

/// What a [`FrameReader`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A whole frame.
    Frame(Frame<'a>),
    /// The head of a frame that is greater than the cap; its bytes are skipped.
    Big {
        /// What it begins with.
        head: Head,
        /// Bytes of its payload, as announced.
        length: usize,
    },
}

/// Why a stream cannot be cut into frames any more, or a frame not be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame without a payload.
    #[error("a frame is empty")]
    Empty,
    /// The compressed flag is neither 0 nor 1.
    #[error("a frame has the compressed flag {0}")]
    Flag(u8),
    /// The byte after the payload is no newline.
    #[error("a frame does not end in a newline")]
    Flush,
    /// A frame that announces more than the cap.
    #[error("a frame of {0} bytes is greater than the limit")]
    TooBig(usize),
    /// A frame that is greater than the cap and does not begin with a head.
    #[error("a great frame does not begin as an rpyc message does")]
    NoHead,
    /// The payload is greater than the cap once it is inflated.
    #[error("a compressed frame inflates to more than the limit")]
    Bomb,
    /// The body is no zlib stream, or one that is cut off, or its checksum is wrong.
    #[error("a compressed frame is damaged")]
    Zlib,
    /// Bytes after the end of the zlib stream, which rpyc would ignore.
    #[error("a compressed frame goes on after its end")]
    AfterZlib,
}

impl FrameReader {
    /// Takes frames whose payload has at most `cap` bytes as it travels. A greater one is an
    /// error before any of it is kept.
    pub fn new(cap: usize) -> Self {
        Self {
            cap,
            pass_bigger: false,
            partial: Vec::new(),
            big: None,
        }
    }

    /// Keeps no frame that has a payload of more than `cap` bytes and reports its head only:
    /// for one who lets frames pass whatever they are.
    pub fn passing_bigger(cap: usize) -> Self {
        Self {
            pass_bigger: true,
            ..Self::new(cap)
        }
    }

    /// Is the stream between two frames?
    pub fn at_boundary(&self) -> bool {
        self.partial.is_empty() && self.big.is_none()
    }

    /// Bytes of an unfinished frame that are held.
    pub fn held(&self) -> usize {
        self.partial.len()
    }

    /// Takes bytes from `input` until something is complete; `None` when they are all
    /// taken. A frame that lies whole in `input` is not copied.
    ///
    /// # Errors
    ///
    /// The stream is not rpyc's any more; close the connection.
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Piece<'a>>, FrameError> {
        if self.big.is_some() {
            if let Some(piece) = self.pass(input)? {
                return Ok(Some(piece));
            }
            if self.big.is_some() {
                return Ok(None);
            }
        }
        // What was given out last is not needed any more.
        if self.is_whole() {
            self.partial.clear();
            self.partial.shrink_to(ROOM_KEPT);
        }
        if self.partial.is_empty() {
            let Some((header, rest)) = input.split_first_chunk::<HEADER_LEN>() else {
                self.partial.extend_from_slice(input);
                *input = &[];
                return Ok(None);
            };
            let (length, compressed) = self.header(*header)?;
            if length > self.cap {
                *input = rest;
                return self.begin_big(length, compressed, input);
            }
            if let Some((body, rest)) = rest.split_at_checked(length)
                && let Some((flush, rest)) = rest.split_first()
            {
                *input = rest;
                return frame(compressed, body, *flush);
            }
        }
        self.gather(input)
    }

    /// Adds to the partial frame until it is whole.
    fn gather<'a>(&'a mut self, input: &mut &[u8]) -> Result<Option<Piece<'a>>, FrameError> {
        self.fill(HEADER_LEN, input);
        let Some(header) = self.partial.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let (length, compressed) = self.header(*header)?;
        if length > self.cap {
            self.partial.clear();
            return self.begin_big(length, compressed, input);
        }
        let whole = HEADER_LEN + length + 1;
        self.fill(whole, input);
        if self.partial.len() < whole {
            return Ok(None);
        }
        frame(
            compressed,
            &self.partial[HEADER_LEN..whole - 1],
            self.partial[whole - 1],
        )
    }

    fn fill(&mut self, up_to: usize, input: &mut &[u8]) {
        let missing = up_to.saturating_sub(self.partial.len());
        let (taken, rest) = input.split_at(missing.min(input.len()));
        self.partial.extend_from_slice(taken);
        *input = rest;
    }

    fn is_whole(&self) -> bool {
        self.partial
            .first_chunk()
            .is_some_and(|header: &[u8; HEADER_LEN]| {
                let (length, _) = frame::decode_header(*header);
                self.partial.len() == HEADER_LEN + length as usize + 1
            })
    }

    fn header(&self, header: [u8; HEADER_LEN]) -> Result<(usize, bool), FrameError> {
        let (length, flag) = frame::decode_header(header);
        let length = length as usize;
        match flag {
            0 | 1 if length == 0 => Err(FrameError::Empty),
            0 | 1 if length > self.cap && !self.pass_bigger => Err(FrameError::TooBig(length)),
            0 | 1 => Ok((length, flag == 1)),
            flag => Err(FrameError::Flag(flag)),
        }
    }

    fn begin_big<'a>(
        &mut self,
        length: usize,
        compressed: bool,
        input: &mut &[u8],
    ) -> Result<Option<Piece<'a>>, FrameError> {
        self.big = Some(Big {
            left: length,
            prefix: Some(Prefix::new(compressed)),
            length,
        });
        self.pass(input)
    }

    /// Lets a great frame go by. It is over when `self.big` is `None`.
    fn pass<'a>(&mut self, input: &mut &[u8]) -> Result<Option<Piece<'a>>, FrameError> {
        let Some(big) = &mut self.big else {
            return Ok(None);
        };
        let (taken, rest) = input.split_at(big.left.min(input.len()));
        *input = rest;
        big.left -= taken.len();
        if let Some(prefix) = &mut big.prefix {
            match prefix.read(taken) {
                Ok(head) => {
                    big.prefix = None;
                    let length = big.length;
                    return Ok(Some(Piece::Big { head, length }));
                }
                Err(Unread::Short) if big.left > 0 => return Ok(None),
                Err(_) => return Err(FrameError::NoHead),
            }
        }
        if big.left == 0
            && let Some((flush, rest)) = input.split_first()
        {
            *input = rest;
            self.big = None;
            if *flush != FLUSH {
                return Err(FrameError::Flush);
            }
        }
        Ok(None)
    }
}

fn frame(compressed: bool, body: &[u8], flush: u8) -> Result<Option<Piece<'_>>, FrameError> {
    if flush != FLUSH {
        return Err(FrameError::Flush);
    }
    Ok(Some(Piece::Frame(Frame { compressed, body })))
}

#[cfg(test)]
mod tests;
