//! How much of what the server sent may go to the client.

use rpyc::frame::HEADER_LEN;

/// Frames up to this length are delivered whole or not at all. Longer ones stream: an
/// exception cannot be told in the middle of one.
pub(super) const HOLD_MAX: u64 = 64 * 1024;

/// Finds the frames in a buffer that grows at its end and is consumed at its beginning.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    /// Bytes at the beginning of the buffer that may go.
    ready: usize,
    /// Bytes of a long frame that are still to come behind those.
    streaming: u64,
}

impl Delivery {
    /// How many bytes at the beginning of the buffer may go.
    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    /// So many went, and were taken off the buffer.
    pub(super) fn delivered(&mut self, count: usize) {
        self.ready -= count;
    }

    /// Is what was and will be delivered a number of whole frames?
    pub(super) fn at_boundary(&self) -> bool {
        self.streaming == 0
    }

    /// The buffer has grown to `buffer`.
    pub(super) fn received(&mut self, buffer: &[u8]) {
        while let Some(rest) = buffer.get(self.ready..).filter(|rest| !rest.is_empty()) {
            if self.streaming > 0 {
                let piece = rest
                    .len()
                    .min(usize::try_from(self.streaming).unwrap_or(usize::MAX));
                self.ready += piece;
                self.streaming -= piece as u64;
                continue;
            }
            let Some(&[a, b, c, d, _flag]) = rest.first_chunk::<HEADER_LEN>() else {
                return;
            };
            let length = u64::from(u32::from_be_bytes([a, b, c, d])) + HEADER_LEN as u64 + 1;
            if rest.len() as u64 >= length || length > HOLD_MAX {
                self.streaming = length;
            } else {
                return;
            }
        }
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

    #[test]
    fn an_incomplete_short_frame_is_held_back() {
        let bytes = [frame(10), frame(20)].concat();
        for end in 0..bytes.len() {
            let mut delivery = Delivery::default();
            delivery.received(&bytes[..end]);
            let whole = if end < 16 { 0 } else { 16 };
            assert_eq!(delivery.ready(), whole);
            assert!(delivery.at_boundary());
        }
    }

    #[test]
    fn a_long_frame_streams() {
        let bytes = frame(HOLD_MAX as u32);
        let mut delivery = Delivery::default();
        delivery.received(&bytes[..100]);
        assert_eq!((delivery.ready(), delivery.at_boundary()), (100, false));
        delivery.delivered(100);
        delivery.received(&bytes[100..]);
        assert_eq!(delivery.ready(), bytes.len() - 100);
        assert!(delivery.at_boundary());
    }

    proptest! {
        #[test]
        fn every_byte_is_delivered_under_any_segmentation(
            lengths in prop::collection::vec(prop_oneof![0u32..3000, 60_000u32..70_000], 1..6),
            cuts in prop::collection::vec(1usize..20_000, 1..40),
        ) {
            let stream: Vec<u8> = lengths.iter().flat_map(|l| frame(*l)).collect();
            let mut delivery = Delivery::default();
            let (mut buffer, mut out, mut at) = (Vec::new(), Vec::new(), 0);
            for cut in cuts.iter().cycle() {
                let end = (at + cut).min(stream.len());
                buffer.extend_from_slice(&stream[at..end]);
                at = end;
                delivery.received(&buffer);
                let ready = delivery.ready();
                out.extend(buffer.drain(..ready));
                delivery.delivered(ready);
                prop_assert!(buffer.len() as u64 <= HOLD_MAX);
                if at == stream.len() { break; }
            }
            prop_assert!(delivery.at_boundary());
            prop_assert_eq!(out, stream);
        }
    }
}
