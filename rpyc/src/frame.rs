//! Frames: `!LB` (payload length, compressed flag), the payload, one flush byte.
//!
//! Source: `core/channel.py`, the same in 4.1.0, 5.3.1 and 6.0.2. A receiver there takes any
//! non-zero flag as "compressed" and any byte as the flush byte.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// Bytes before the payload: `Channel.FRAME_HEADER`.
pub const HEADER_LEN: usize = 5;

/// The byte after the payload: `Channel.FLUSHER`.
pub const FLUSH: u8 = b'\n';

/// Payloads longer than this are compressed: `Channel.COMPRESSION_THRESHOLD`.
pub const COMPRESSION_THRESHOLD: usize = 3000;

pub(crate) const COMPRESSION_LEVEL: u32 = 1;

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

fn put(flag: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is shorter than 4 GiB");
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
