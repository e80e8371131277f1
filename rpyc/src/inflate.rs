//! Payloads out of frames, with an end to how far they inflate.

use flate2::{Decompress, FlushDecompress, Status};

use crate::frame::{Frame, FrameError};

/// Room that is kept between frames.
const ROOM_KEPT: usize = 64 * 1024;

/// How far a first guess goes; zlib at rpyc's level rarely does better.
const GUESSED_RATIO: usize = 4;

/// Gives the payload of each frame of one direction. It keeps zlib's state and some room
/// for the next one, both only once a compressed frame has come.
#[derive(Debug)]
pub struct Inflater {
    cap: usize,
    zlib: Option<Box<Decompress>>,
    room: Vec<u8>,
}

impl Inflater {
    /// For payloads of at most `cap` bytes, inflated.
    pub fn new(cap: usize) -> Self {
        Self {
            cap,
            zlib: None,
            room: Vec::new(),
        }
    }

    /// Gives back what it keeps from one frame for the next, about 50 KiB and the payload.
    pub fn give_back(&mut self) {
        self.zlib = None;
        self.room = Vec::new();
    }

    /// The payload of a frame: its body, or what that inflates to.
    ///
    /// rpyc inflates with `zlib.decompress`, which ignores bytes after the stream; here
    /// they are an error, so that no one can hide any. A body that rpyc itself would not
    /// have compressed, because it is short, is fine.
    ///
    /// # Errors
    ///
    /// The body is damaged, goes on after its end, or inflates to more than the cap.
    pub fn payload<'a>(&'a mut self, frame: &Frame<'a>) -> Result<&'a [u8], FrameError> {
        if !frame.compressed {
            return match frame.body.len() {
                length if length > self.cap => Err(FrameError::TooBig(length)),
                _ => Ok(frame.body),
            };
        }
        self.room.clear();
        self.room.shrink_to(ROOM_KEPT);
        let zlib = self
            .zlib
            .get_or_insert_with(|| Box::new(Decompress::new(true)));
        zlib.reset(true);
        inflate(zlib, frame.body, &mut self.room, self.cap)?;
        match self.room.len() {
            0 => Err(FrameError::Empty),
            _ => Ok(&self.room),
        }
    }
}

fn inflate(
    zlib: &mut Decompress,
    body: &[u8],
    room: &mut Vec<u8>,
    cap: usize,
) -> Result<(), FrameError> {
    let guess = body.len().saturating_mul(GUESSED_RATIO);
    // One byte more than the cap tells a payload that is too great.
    let most = cap.saturating_add(1);
    room.reserve(guess.clamp(256, ROOM_KEPT).min(most));
    loop {
        let taken = zlib.total_in();
        let rest = usize::try_from(taken).ok().and_then(|at| body.get(at..));
        let rest = rest.ok_or(FrameError::Zlib)?;
        let had = room.len();
        let status = zlib
            .decompress_vec(rest, room, FlushDecompress::None)
            .map_err(|_| FrameError::Zlib)?;
        if room.len() > cap {
            return Err(FrameError::Bomb);
        }
        if status == Status::StreamEnd {
            return match zlib.total_in() as usize == body.len() {
                true => Ok(()),
                false => Err(FrameError::AfterZlib),
            };
        }
        if room.len() == room.capacity() {
            let more = room.len().max(256).min(most - room.len());
            room.reserve_exact(more);
        } else if zlib.total_in() == taken && room.len() == had {
            return Err(FrameError::Zlib);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn zlib(payload: &[u8]) -> Vec<u8> {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::new(1));
        zlib.write_all(payload).unwrap();
        zlib.finish().unwrap()
    }

    fn compressed(body: &[u8]) -> Frame<'_> {
        Frame {
            compressed: true,
            body,
        }
    }

    #[test]
    fn payloads_of_all_sizes_up_to_the_cap_come_out() {
        let mut inflater = Inflater::new(1 << 20);
        for length in [1, 255, 256, 3001, 65_535, 65_537, 1 << 20] {
            for step in [0usize, 1, 7919] {
                let payload: Vec<u8> = (0..length).map(|i| ((i * step) >> 4) as u8).collect();
                let body = zlib(&payload);
                assert_eq!(inflater.payload(&compressed(&body)), Ok(&payload[..]));
            }
        }
        let plain = Frame {
            compressed: false,
            body: b"abc",
        };
        assert_eq!(inflater.payload(&plain), Ok(&b"abc"[..]));
        assert_eq!(Inflater::new(2).payload(&plain), Err(FrameError::TooBig(3)));
    }

    #[test]
    fn a_bomb_takes_no_more_room_than_the_cap() {
        let bomb = zlib(&vec![0; 64 << 20]);
        assert!(bomb.len() < 400_000);
        let mut inflater = Inflater::new(1 << 20);
        assert_eq!(inflater.payload(&compressed(&bomb)), Err(FrameError::Bomb));
        assert!(inflater.room.capacity() <= 2 << 20);
        let exact = zlib(&[7; 100]);
        assert_eq!(
            Inflater::new(99).payload(&compressed(&exact)),
            Err(FrameError::Bomb)
        );
        assert!(Inflater::new(100).payload(&compressed(&exact)).is_ok());
        // Room is given back for the next one.
        let _ = inflater.payload(&compressed(&exact));
        assert!(inflater.room.capacity() <= ROOM_KEPT);
    }

    #[test]
    fn damage_is_seen_wherever_it_is() {
        let mut inflater = Inflater::new(1 << 20);
        let body = zlib(&b"some text that goes on ".repeat(20));
        for cut in 0..body.len() {
            let result = inflater.payload(&compressed(&body[..cut]));
            assert_eq!(result, Err(FrameError::Zlib), "{cut}");
        }
        let mut wrong_checksum = body.clone();
        *wrong_checksum.last_mut().unwrap() ^= 1;
        let result = inflater.payload(&compressed(&wrong_checksum));
        assert_eq!(result, Err(FrameError::Zlib));
        for tail in [&b"\0"[..], b"\n", &body] {
            let result = [&body[..], tail].concat();
            let result = inflater.payload(&compressed(&result)).map(<[u8]>::len);
            assert_eq!(result, Err(FrameError::AfterZlib));
        }
        // A stream that wants a dictionary; raw deflate; a stream of nothing.
        let dictionary = b"\x78\x20\x00\x00\x00\x01\x03\x00";
        assert_eq!(
            inflater.payload(&compressed(dictionary)),
            Err(FrameError::Zlib)
        );
        let raw = &body[2..body.len() - 4];
        assert_eq!(inflater.payload(&compressed(raw)), Err(FrameError::Zlib));
        assert_eq!(
            inflater.payload(&compressed(&zlib(b""))),
            Err(FrameError::Empty)
        );
        // And the next good one is good.
        assert!(inflater.payload(&compressed(&body)).is_ok());
    }
}
