//! One direction of a connection, cut into frames that can be forwarded as they came.

use bytes::BytesMut;

use crate::frame::{FLUSH, HEADER_LEN};
use crate::head::Head;
use crate::reader::{Frame, FrameError};

/// A head shows within so many bytes of a payload, compressed or not.
const HEAD_WITHIN: usize = 4 * 1024;

/// Bytes of one direction, and where in a frame they are.
#[derive(Debug)]
pub struct Lane {
    /// Received, not cut yet. What is read is put at its end.
    pub input: BytesMut,
    /// Bytes of a great frame that are still to go by.
    passing: usize,
    /// Frames with a greater payload are not taken whole.
    most: usize,
}

/// What comes next in a lane.
#[derive(Debug)]
pub enum Next {
    /// A whole frame, taken out of the lane.
    Whole(WholeFrame),
    /// A frame that is too great to be taken whole begins. Nothing was taken.
    Great {
        /// What it begins with.
        head: Head,
        /// Bytes of its payload.
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
    pub fn into_bytes(self) -> BytesMut {
        self.0
    }
}

impl Lane {
    /// Takes frames of at most `most` bytes of payload whole.
    pub fn new(most: usize) -> Self {
        Self {
            input: BytesMut::new(),
            passing: 0,
            most,
        }
    }

    /// Is nothing held?
    pub fn is_empty(&self) -> bool {
        self.input.is_empty()
    }

    /// Are bytes of a great frame still to go by? Then its receiver is in the middle of it.
    pub fn is_passing(&self) -> bool {
        self.passing > 0
    }

    /// Cuts off what is complete.
    ///
    /// # Errors
    /// These are no frames as rpyc writes them.
    pub fn cut(&mut self) -> Result<Next, FrameError> {
        if self.passing > 0 {
            return self.part();
        }
        let Some((length, compressed)) = self.header()? else {
            return Ok(Next::More);
        };
        if length > self.most {
            return Ok(match self.head(compressed)? {
                Some(head) => Next::Great { head, length },
                None => Next::More,
            });
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

    /// Lets the great frame that begins here go by in parts.
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
        let Some([a, b, c, d, flag]) = self.input.first_chunk::<HEADER_LEN>().copied() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        match flag {
            0 | 1 if length == 0 => Err(FrameError::Empty),
            0 | 1 => Ok(Some((length, flag == 1))),
            flag => Err(FrameError::Flag(flag)),
        }
    }

    fn head(&self, compressed: bool) -> Result<Option<Head>, FrameError> {
        let body = &self.input[HEADER_LEN..];
        let head = Frame { compressed, body }.head();
        match head {
            Some(head) => Ok(Some(head)),
            None if body.len() < HEAD_WITHIN => Ok(None),
            None => Err(FrameError::NoHead),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// `GETROOT` as rpyc 5 sends it, with the number 0.
    const ASK: &[u8] = &[0x12, 0x51, 0x50, 0x11, 0x53, 0x02];

    fn frame(payload: &[u8]) -> Vec<u8> {
        crate::frame::encode(payload)
    }

    #[test]
    fn frames_are_cut_at_their_ends_however_they_come() {
        let stream = [frame(ASK), frame(&[7; 5000]), frame(ASK)].concat();
        for step in [1, 3, 64, stream.len()] {
            let mut lane = Lane::new(1 << 20);
            let mut out = Vec::new();
            let mut frames = 0;
            for chunk in stream.chunks(step) {
                lane.input.extend_from_slice(chunk);
                while let Next::Whole(whole) = lane.cut().unwrap() {
                    frames += 1;
                    out.extend_from_slice(&whole.into_bytes());
                }
            }
            assert_eq!((frames, out == stream), (3, true), "{step}");
            assert!(lane.is_empty());
        }
    }

    #[test]
    fn a_great_frame_is_announced_by_its_head_and_goes_by_in_parts() {
        let payload = [ASK, &[0; 2000]].concat();
        let stream = [frame(&payload), frame(ASK)].concat();
        let mut lane = Lane::new(1000);
        lane.input.extend_from_slice(&stream[..9]);
        assert!(matches!(lane.cut().unwrap(), Next::More));
        lane.input.extend_from_slice(&stream[9..700]);
        let Next::Great { head, length } = lane.cut().unwrap() else {
            panic!()
        };
        assert_eq!((head.seq, length), (0, payload.len()));
        assert!(!lane.is_passing());
        lane.pass(length);
        assert!(lane.is_passing());
        lane.input.extend_from_slice(&stream[700..]);
        let mut out = Vec::new();
        loop {
            match lane.cut().unwrap() {
                Next::Part(part) => out.extend_from_slice(&part),
                Next::Whole(whole) => out.extend_from_slice(&whole.into_bytes()),
                Next::More => break,
                Next::Great { .. } => panic!(),
            }
        }
        assert_eq!(out, stream);
        assert!(!lane.is_passing());
    }

    #[test]
    fn a_great_frame_with_a_wrong_end_is_never_over() {
        let mut stream = frame(&[ASK, &[0; 2000]].concat());
        *stream.last_mut().unwrap() = b'!';
        let mut lane = Lane::new(1000);
        lane.input.extend_from_slice(&stream[..1500]);
        let Next::Great { length, .. } = lane.cut().unwrap() else {
            panic!()
        };
        lane.pass(length);
        assert!(matches!(lane.cut().unwrap(), Next::Part(part) if part.len() == 1500));
        lane.input.extend_from_slice(&stream[1500..]);
        assert_eq!(lane.cut().unwrap_err(), FrameError::Flush);
        assert!(lane.is_passing());
    }

    #[test]
    fn what_rpyc_never_writes_is_an_error() {
        for (bytes, error) in [
            (&b"\0\0\0\0\0\n"[..], FrameError::Empty),
            (b"\0\0\0\x01\x02x\n", FrameError::Flag(2)),
            (b"\0\0\0\x01\0x!", FrameError::Flush),
        ] {
            let mut lane = Lane::new(100);
            lane.input.extend_from_slice(bytes);
            assert_eq!(lane.cut().unwrap_err(), error);
        }
    }
}
