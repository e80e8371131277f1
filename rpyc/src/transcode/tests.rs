use proptest::prelude::*;

use super::*;
use crate::inflate::Inflater;
use crate::lane::{Lane, Next};

const MIB: usize = 1 << 20;

/// A reply with the number 0, as rpyc 5 begins it, and as rpyc 6.
const CLASSIC: &[u8] = b"\x12\x52\x50\x11\x51";
const SIX: &[u8] = b"\x02\x11\x50\x11\x51";

/// What does not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn translate<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    to: Family,
) -> Result<Vec<u8>, FrameError> {
    let mut transcoder = Transcoder::new(to);
    for piece in pieces {
        let held = transcoder.frame.len();
        transcoder.push(piece)?;
        assert!(transcoder.frame.len() <= held + piece.len() + 2 * PIECE);
    }
    transcoder.finish()
}

/// The payload of the one frame that these bytes are.
fn payload(frame: &[u8]) -> Vec<u8> {
    let mut lane = Lane::new(256 * MIB);
    lane.input.extend_from_slice(frame);
    let Ok(Next::Whole(whole)) = lane.cut() else {
        panic!("{frame:?}")
    };
    assert!(whole.frame().compressed && lane.is_empty());
    let mut inflater = Inflater::new(256 * MIB);
    inflater.payload(&whole.frame()).unwrap().to_vec()
}

#[test]
fn great_values_come_out_whole_in_the_other_family() {
    let even = b"houdini!".repeat(3 * MIB / 8);
    for (content, most) in [(noise(3 * MIB), 3 * MIB + 4096), (even, MIB / 8)] {
        for (from, to, family) in [
            (CLASSIC, SIX, Family::Six),
            (SIX, CLASSIC, Family::Classic),
            (SIX, SIX, Family::Six),
        ] {
            let message = [from, &content].concat();
            let frame = translate(message.chunks(PIECE), family).unwrap();
            assert!(payload(&frame) == [to, &content].concat());
            assert!(frame.len() < most, "{}", frame.len());
        }
    }
}

#[test]
fn what_is_no_message_is_not_translated() {
    for other in [&b""[..], b"\x12", b"\x12\x54\x50", &[b'x'; 5000]] {
        assert_eq!(translate([other], Family::Six), Err(FrameError::NoHead));
    }
}

proptest! {
    #[test]
    fn however_it_is_cut_the_frame_is_the_same(
        content in proptest::collection::vec(any::<u8>(), 0..3000),
        times in 1usize..100,
        size in 1usize..5000,
    ) {
        let content = content.repeat(times);
        let message = [CLASSIC, &content].concat();
        let cut = translate(message.chunks(size), Family::Six);
        prop_assert_eq!(&cut, &translate([&message[..]], Family::Six));
        prop_assert!(payload(&cut.unwrap()) == [SIX, &content].concat());
    }
}
