//! Frames: `!LB` (payload length, compressed flag), the payload, one flush byte.
//!
//! Source: `core/channel.py`, the same in 4.1.0, 5.3.1 and 6.0.2. A receiver there takes any
//! non-zero flag as "compressed" and any byte as the flush byte.

use std::fmt;
use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::head::{Head, Prefix};

/// Bytes before the payload: `Channel.FRAME_HEADER`.
pub const HEADER_LEN: usize = 5;

/// The byte after the payload: `Channel.FLUSHER`.
pub const FLUSH: u8 = b'\n';

/// Payloads longer than this are compressed: `Channel.COMPRESSION_THRESHOLD`.
pub const COMPRESSION_THRESHOLD: usize = 3000;

pub(crate) const COMPRESSION_LEVEL: u32 = 1;

const SHORT: &str = "a frame is shorter than 4 GiB";

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
    /// A payload that is greater than the cap as it travels; its length in bytes.
    #[error("a frame of {0} bytes is greater than the limit")]
    TooBig(usize),
    /// A frame that is too great to be taken whole and does not begin with a head.
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

/// The frame that carries `payload`, compressed where rpyc would.
///
/// # Panics
///
/// When the payload cannot be framed at all because it has 4 GiB or more.
pub fn encode(payload: &[u8]) -> Vec<u8> {
    if payload.len() > COMPRESSION_THRESHOLD {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::new(COMPRESSION_LEVEL));
        let deflated = zlib.write_all(payload).and_then(|()| zlib.finish());
        put(1, &deflated.expect("writing to memory does not fail"))
    } else {
        put(0, payload)
    }
}

/// As [`encode`], of a payload that `write` adds to the end of what it is given.
///
/// # Panics
///
/// As [`encode`].
pub fn encode_with(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let frame = encode_plain_with(write);
    match frame.len() - HEADER_LEN - 1 {
        ..=COMPRESSION_THRESHOLD => frame,
        _ => encode(&frame[HEADER_LEN..frame.len() - 1]),
    }
}

/// As [`encode_with`], never compressed: for a receiver on the same machine. rpyc takes
/// either.
///
/// # Panics
///
/// As [`encode`].
pub fn encode_plain_with(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = Vec::with_capacity(128);
    frame.extend_from_slice(&[0; HEADER_LEN]);
    write(&mut frame);
    let length = u32::try_from(frame.len() - HEADER_LEN).expect(SHORT);
    frame[..HEADER_LEN - 1].copy_from_slice(&length.to_be_bytes());
    frame.push(FLUSH);
    frame
}

fn put(flag: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect(SHORT);
    let mut frame = Vec::with_capacity(HEADER_LEN + payload.len() + 1);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.push(flag);
    frame.extend_from_slice(payload);
    frame.push(FLUSH);
    frame
}

/// The payload length and the compressed flag.
pub(crate) fn decode_header(header: [u8; HEADER_LEN]) -> (u32, u8) {
    let [a, b, c, d, flag] = header;
    (u32::from_be_bytes([a, b, c, d]), flag)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_short_payload_travels_as_it_is() {
        assert_eq!(encode(b"abc"), b"\x00\x00\x00\x03\x00abc\n");
        assert_eq!(encode(b""), b"\x00\x00\x00\x00\x00\n");
        let at_threshold = encode(&[b'x'; COMPRESSION_THRESHOLD]);
        assert_eq!(at_threshold.len(), HEADER_LEN + COMPRESSION_THRESHOLD + 1);
    }

    #[test]
    fn a_payload_is_framed_where_it_is_written() {
        for length in [0, 3, COMPRESSION_THRESHOLD, COMPRESSION_THRESHOLD + 1] {
            let payload = vec![b'x'; length];
            let written = |out: &mut Vec<u8>| out.extend_from_slice(&payload);
            assert_eq!(encode_with(written), encode(&payload), "{length}");
            assert_eq!(encode_plain_with(written), put(0, &payload), "{length}");
        }
    }

    #[test]
    fn a_long_payload_is_compressed() {
        let payload = [b'x'; COMPRESSION_THRESHOLD + 1];
        let frame = encode(&payload);
        let (length, flag) = decode_header(frame[..HEADER_LEN].try_into().unwrap());
        assert_eq!((length as usize, flag), (frame.len() - HEADER_LEN - 1, 1));
        assert_eq!(frame.last(), Some(&FLUSH));

        let body = &frame[HEADER_LEN..frame.len() - 1];
        let mut inflated = Vec::new();
        flate2::read::ZlibDecoder::new(body)
            .read_to_end(&mut inflated)
            .unwrap();
        assert_eq!(inflated, payload);
    }
}
