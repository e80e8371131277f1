//! Bytes that nobody looks at, and how much of what the server sent may go to the client.

use bytes::{Buf as _, BytesMut};
use rpyc::Side;
use rpyc::frame::HEADER_LEN;

use super::{Out, pass};

/// Frames up to this length are delivered whole or not at all. Longer ones stream: an
/// exception cannot be told in the middle of one.
const HOLD_MAX: u64 = 64 * 1024;

/// Both directions, whatever is sent in them.
#[derive(Debug, Default)]
pub(super) struct Open {
    from_client: BytesMut,
    from_server: BytesMut,
    /// Bytes of a long frame of the server's that are still to come.
    streaming: u64,
}

impl Open {
    /// Where the tunnel has got the first `sent` bytes of the client's already.
    pub(super) fn behind(from_client: BytesMut, sent: usize) -> Self {
        let mut open = Self {
            from_client,
            ..Self::default()
        };
        open.from_client.advance(sent);
        open
    }

    /// Where what a side has sent is put.
    pub(super) fn input(&mut self, from: Side) -> &mut BytesMut {
        match from {
            Side::Client => &mut self.from_client,
            Side::Server => &mut self.from_server,
        }
    }

    /// Moves on what may go.
    pub(super) fn advance(&mut self, from: Side, out: &mut Out) {
        match from {
            Side::Client => pass(&mut out.to_server, self.from_client.split()),
            Side::Server => {
                let ready = self.ready();
                pass(&mut out.to_client, self.from_server.split_to(ready));
            }
        }
    }

    /// Gives what was held back, at the end of the server's direction.
    pub(super) fn rest(&mut self) -> BytesMut {
        self.from_server.split()
    }

    /// How many bytes at the beginning may be delivered.
    fn ready(&mut self) -> usize {
        let held = &self.from_server;
        let mut ready = 0;
        while let Some(rest) = held.get(ready..).filter(|rest| !rest.is_empty()) {
            if self.streaming > 0 {
                let left = usize::try_from(self.streaming).unwrap_or(usize::MAX);
                let piece = rest.len().min(left);
                ready += piece;
                self.streaming -= piece as u64;
                continue;
            }
            let Some(&[a, b, c, d, _flag]) = rest.first_chunk::<HEADER_LEN>() else {
                break;
            };
            let length = u64::from(u32::from_be_bytes([a, b, c, d])) + HEADER_LEN as u64 + 1;
            if rest.len() as u64 >= length || length > HOLD_MAX {
                self.streaming = length;
            } else {
                break;
            }
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(length: u32) -> Vec<u8> {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.push(0);
        bytes.resize(HEADER_LEN + length as usize + 1, 7);
        bytes
    }

    /// The server sends these; gives what is delivered of all that it has sent.
    fn delivered(open: &mut Open, bytes: &[u8]) -> Vec<u8> {
        let mut out = Out::default();
        open.input(Side::Server).extend_from_slice(bytes);
        open.advance(Side::Server, &mut out);
        assert!(out.to_server.is_empty());
        out.to_client.to_vec()
    }

    #[test]
    fn an_incomplete_short_frame_is_held_back() {
        let bytes = [frame(10), frame(20)].concat();
        for end in 0..bytes.len() {
            let mut open = Open::default();
            let whole = if end < 16 { 0 } else { 16 };
            assert_eq!(delivered(&mut open, &bytes[..end]), &bytes[..whole]);
            assert_eq!(open.rest(), &bytes[whole..end]);
        }
    }

    #[test]
    fn a_long_frame_streams() {
        let bytes = frame(HOLD_MAX as u32);
        let mut open = Open::default();
        assert_eq!(delivered(&mut open, &bytes[..100]), &bytes[..100]);
        assert_eq!(delivered(&mut open, &bytes[100..]), &bytes[100..]);
        assert_eq!(delivered(&mut open, &frame(10)[..9]), b"");
    }

    #[test]
    fn what_the_tunnel_has_got_does_not_go_again() {
        let mut open = Open::behind(BytesMut::from(&b"first"[..]), 3);
        let mut out = Out::default();
        open.input(Side::Client).extend_from_slice(b" second");
        open.advance(Side::Client, &mut out);
        assert_eq!(out.to_server, "st second");
    }

    proptest! {
        #[test]
        fn every_byte_is_delivered_under_any_segmentation(
            lengths in prop::collection::vec(prop_oneof![0u32..3000, 60_000u32..70_000], 1..6),
            cuts in prop::collection::vec(1usize..20_000, 1..40),
        ) {
            let stream: Vec<u8> = lengths.iter().flat_map(|l| frame(*l)).collect();
            let mut open = Open::default();
            let (mut out, mut at) = (Vec::new(), 0);
            for cut in cuts.iter().cycle() {
                let end = (at + cut).min(stream.len());
                out.extend(delivered(&mut open, &stream[at..end]));
                at = end;
                prop_assert!(open.from_server.len() as u64 <= HOLD_MAX);
                if at == stream.len() { break; }
            }
            prop_assert_eq!(out, stream);
        }
    }
}
