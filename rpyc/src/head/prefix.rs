//! The head of a payload that comes in pieces.

use flate2::{Decompress, FlushDecompress};

use super::{Head, LONGEST};
use crate::brine::Unread;

/// Compressed bytes that may go by before they have given a head. A deflate block's own
/// header takes a few hundred at most; a stream of empty blocks would never end.
const DEFLATED_MAX: u64 = 1024;

/// The first bytes of one payload, while its head is not complete.
#[derive(Debug)]
pub(crate) struct Prefix {
    bytes: [u8; LONGEST],
    have: usize,
    inflater: Option<Box<Decompress>>,
}

impl Prefix {
    pub(crate) fn new(compressed: bool) -> Self {
        Self {
            bytes: [0; LONGEST],
            have: 0,
            inflater: compressed.then(|| Box::new(Decompress::new(true))),
        }
    }

    pub(crate) fn read(&mut self, piece: &[u8]) -> Result<Head, Unread> {
        match &mut self.inflater {
            None => {
                let room = &mut self.bytes[self.have..];
                let more = piece.len().min(room.len());
                room[..more].copy_from_slice(&piece[..more]);
                self.have += more;
                self.head()
            }
            // Byte by byte: what follows a head and how the stream was cut must not
            // matter, and zlib would read on until the room is full.
            Some(_) => piece
                .iter()
                .map(|byte| self.inflate(*byte))
                .find(|result| *result != Err(Unread::Short))
                .unwrap_or(Err(Unread::Short)),
        }
    }

    fn inflate(&mut self, byte: u8) -> Result<Head, Unread> {
        let inflater = self.inflater.as_mut().ok_or(Unread::NotRpyc)?;
        let (taken, given) = (inflater.total_in(), inflater.total_out());
        if taken == DEFLATED_MAX {
            return Err(Unread::NotRpyc);
        }
        let room = &mut self.bytes[self.have..];
        inflater
            .decompress(&[byte], room, FlushDecompress::None)
            .map_err(|_| Unread::NotRpyc)?;
        if inflater.total_in() == taken {
            return Err(Unread::NotRpyc);
        }
        self.have += (inflater.total_out() - given) as usize;
        self.head()
    }

    fn head(&self) -> Result<Head, Unread> {
        match Head::read(&self.bytes[..self.have]) {
            // There is room for the longest head, so that more bytes would not help.
            Err(Unread::Short) if self.have == self.bytes.len() => Err(Unread::NotRpyc),
            result => result,
        }
    }
}
