//! A great compressed message of one family, made one of the other while it comes.
//!
//! The head of a message differs between the families in two bytes; see
//! [`dialect`]. Inside a zlib stream they cannot be changed in place, so what
//! was inflated is deflated again. The length of the result must be written in front of it:
//! what is ready is held until all of it is.

use flate2::{Compress, Compression, FlushCompress, Status};

use crate::dialect;
use crate::family::Family;
use crate::frame::FrameError;
use crate::frame::{COMPRESSION_LEVEL, FLUSH, HEADER_LEN};
use crate::head;
use crate::unpack::PIECE;

/// Makes one frame of the pieces that an [`Unpacker`](crate::Unpacker) gives.
///
/// It is compressed, whichever way it goes and as rpyc itself would compress it. On the way
/// to a client each byte may have to cross a slow network. On the way to a server beside the
/// guard that saves nothing, and costs both some time (one processor deflates 200 to 300 MB a
/// second at this level, while the message is still coming in); but what is held stays about
/// as long as what was received. Inflated, a mebibyte could become a thousand.
#[derive(Debug)]
pub struct Transcoder {
    to: Family,
    /// The first bytes of the message, until there are enough to be rewritten.
    head: Option<Vec<u8>>,
    deflater: Box<Compress>,
    /// What is ready, behind room for its header.
    frame: Vec<u8>,
}

impl Transcoder {
    /// For a message that a peer of the family `to` is to understand.
    pub fn new(to: Family) -> Self {
        Self {
            to,
            head: Some(Vec::with_capacity(head::LONGEST)),
            deflater: Box::new(Compress::new(Compression::new(COMPRESSION_LEVEL), true)),
            frame: vec![0; HEADER_LEN],
        }
    }

    /// Takes the next bytes of the message.
    ///
    /// # Errors
    ///
    /// [`FrameError::NoHead`]: it does not begin as a message does.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), FrameError> {
        match &mut self.head {
            None => deflate(&mut self.deflater, piece, &mut self.frame),
            Some(head) => {
                head.extend_from_slice(piece);
                if head.len() >= head::LONGEST {
                    self.rewrite()?;
                }
            }
        }
        Ok(())
    }

    /// The frame, when all of the message was given. Nothing is left after that.
    ///
    /// # Errors
    ///
    /// [`FrameError::NoHead`] as above; [`FrameError::TooBig`] when it has 4 GiB or more.
    pub fn finish(&mut self) -> Result<Vec<u8>, FrameError> {
        if self.head.is_some() {
            self.rewrite()?;
        }
        while compress(
            &mut self.deflater,
            &[],
            &mut self.frame,
            FlushCompress::Finish,
        ) != Status::StreamEnd
        {}
        let length = self.frame.len() - HEADER_LEN;
        let announced = u32::try_from(length).map_err(|_| FrameError::TooBig(length))?;
        self.frame[..HEADER_LEN - 1].copy_from_slice(&announced.to_be_bytes());
        self.frame[HEADER_LEN - 1] = 1;
        self.frame.push(FLUSH);
        Ok(std::mem::take(&mut self.frame))
    }

    fn rewrite(&mut self) -> Result<(), FrameError> {
        let mut head = self.head.take().unwrap_or_default();
        dialect::rewrite(&mut head, self.to).map_err(|_| FrameError::NoHead)?;
        deflate(&mut self.deflater, &head, &mut self.frame);
        Ok(())
    }
}

fn deflate(deflater: &mut Compress, bytes: &[u8], out: &mut Vec<u8>) {
    let start = deflater.total_in();
    loop {
        let at = (deflater.total_in() - start) as usize;
        if at == bytes.len() {
            return;
        }
        compress(deflater, &bytes[at..], out, FlushCompress::None);
    }
}

fn compress(
    deflater: &mut Compress,
    bytes: &[u8],
    out: &mut Vec<u8>,
    flush: FlushCompress,
) -> Status {
    out.reserve(PIECE);
    deflater
        .compress_vec(bytes, out, flush)
        .expect("a deflater that is given room does not fail")
}

#[cfg(test)]
mod tests;
