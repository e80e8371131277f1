use proptest::prelude::*;

use super::*;
use crate::captures;
use crate::frame::encode;
use crate::observer::Observer;

/// A reply with the number 0 and the value `()`.
const REPLY: &[u8] = b"\x12\x52\x50\x11\x51\x02";

/// What a lane found, without the bytes that belong to a great frame.
#[derive(Clone, Debug, PartialEq)]
enum Found {
    Whole(bool, Vec<u8>),
    Great(Head, usize),
}

/// What a stream in these pieces holds, whether it ends between two frames, and all bytes
/// that came out. Great frames are let pass.
fn cut(
    most: usize,
    pieces: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> (Vec<Found>, Result<bool, FrameError>, Vec<u8>) {
    let mut lane = Lane::new(most);
    let (mut found, mut out) = (Vec::new(), Vec::new());
    for piece in pieces {
        lane.input.extend_from_slice(piece.as_ref());
        loop {
            match lane.cut() {
                Ok(Next::Whole(whole)) => {
                    let frame = whole.frame();
                    found.push(Found::Whole(frame.compressed, frame.body.to_vec()));
                    out.extend_from_slice(&whole.into_bytes());
                }
                Ok(Next::Great { head, length }) => {
                    found.push(Found::Great(head, length));
                    lane.pass(length);
                }
                Ok(Next::Part(part)) => out.extend_from_slice(&part),
                Ok(Next::More) => break,
                Err(error) => return (found, Err(error), out),
            }
        }
        let held = lane.input.len();
        assert!(held <= HEADER_LEN + most.max(1024), "{held}");
    }
    (found, Ok(lane.at_boundary()), out)
}

fn raw(length: u32, flag: u8, payload: &[u8], flush: u8) -> Vec<u8> {
    [&length.to_be_bytes()[..], &[flag], payload, &[flush]].concat()
}

/// A payload that is greater than a few kilobytes however it travels.
fn great_payload() -> Vec<u8> {
    let noise = (0..40_000u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes());
    let mut payload = REPLY[..5].to_vec();
    payload.extend(b"\x0f\x00\x02\x71\x00");
    payload.extend(noise);
    payload
}

#[test]
fn real_sessions_are_cut_at_their_frames() {
    for capture in &captures::ALL {
        for bytes in [capture.client, capture.server] {
            let (found, end, out) = cut(4096, [bytes]);
            assert_eq!((end, &out[..]), (Ok(true), bytes), "{}", capture.version);
            assert_eq!(cut(4096, bytes.chunks(1)), (found.clone(), Ok(true), out));
            let mut heads = Vec::new();
            Observer::new().observe(bytes, |head| heads.push(head));
            let seen: Vec<_> = found
                .iter()
                .map(|found| match found {
                    Found::Whole(compressed, body) => {
                        let compressed = *compressed;
                        Frame { compressed, body }.head().unwrap()
                    }
                    Found::Great(..) => panic!(),
                })
                .collect();
            assert_eq!(seen, heads);
        }
    }
}

#[test]
fn what_rpyc_takes_and_never_sends_is_an_error() {
    for (bytes, error) in [
        (raw(6, 0, REPLY, 0), FrameError::Flush),
        (raw(6, 2, REPLY, b'\n'), FrameError::Flag(2)),
        (raw(6, 0xff, REPLY, b'\n'), FrameError::Flag(0xff)),
        (raw(0, 0, b"", b'\n'), FrameError::Empty),
        (raw(0, 1, b"", b'\n'), FrameError::Empty),
        (raw(101, 0, &[0xee; 101], b'\n'), FrameError::NoHead),
        (raw(101, 1, &[0xee; 101], b'\n'), FrameError::NoHead),
        (raw(u32::MAX, 0, &[0xee; 9], 0xee), FrameError::NoHead),
    ] {
        for size in [1, 3, 1000] {
            let (found, end, out) = cut(100, bytes.chunks(size));
            assert_eq!((found, end, out), (vec![], Err(error), vec![]), "{bytes:?}");
        }
    }
}

#[test]
fn a_frame_of_most_bytes_is_taken_whole_and_a_greater_one_is_not() {
    let payload = [REPLY, &[0; 95]].concat();
    let whole = raw(100, 0, &payload[..100], b'\n');
    let (found, end, _) = cut(100, [&whole]);
    assert_eq!(found, [Found::Whole(false, payload[..100].to_vec())]);
    assert_eq!(end, Ok(true));
    let great = raw(101, 0, &payload, b'\n');
    let (found, end, _) = cut(100, [&great[..11]]);
    assert!(matches!(found[..], [Found::Great(_, 101)]), "{found:?}");
    assert_eq!(end, Ok(false));
}

#[test]
fn a_great_frame_is_announced_by_its_head_and_goes_by_in_parts() {
    let payload = great_payload();
    let stream = [
        raw(6, 0, REPLY, b'\n'),
        raw(payload.len() as u32, 0, &payload, b'\n'),
        encode(&payload),
        raw(6, 0, REPLY, b'\n'),
    ]
    .concat();
    let (found, end, out) = cut(64, [&stream]);
    assert_eq!((end, out == stream), (Ok(true), true));
    let small = Found::Whole(false, REPLY.to_vec());
    let [
        first,
        Found::Great(head, length),
        Found::Great(squeezed, _),
        last,
    ] = &found[..]
    else {
        panic!("{found:?}")
    };
    assert_eq!((first, last), (&small, &small));
    assert_eq!((head.seq, *length, head), (0, payload.len(), squeezed));
    for size in [1, 7, 64, 4096] {
        let (again, end, out) = cut(64, stream.chunks(size));
        assert_eq!((again, end, out == stream), (found.clone(), Ok(true), true));
    }

    let unflushed = raw(payload.len() as u32, 0, &payload, b'?');
    let (_, end, _) = cut(64, [&unflushed]);
    assert_eq!(end, Err(FrameError::Flush));
}

#[test]
fn a_great_frame_waits_for_its_head() {
    let payload = great_payload();
    let stream = raw(payload.len() as u32, 0, &payload, b'\n');
    let mut lane = Lane::new(64);
    for byte in &stream[..HEADER_LEN + 2] {
        lane.input.extend_from_slice(&[*byte]);
        let next = lane.cut().unwrap();
        assert!(matches!(next, Next::More), "{next:?}");
    }
    assert!(!lane.at_boundary());
    lane.input.extend_from_slice(&stream[HEADER_LEN + 2..]);
    // As often as it is asked for, until it is let pass.
    for _ in 0..2 {
        let next = lane.cut().unwrap();
        assert!(matches!(next, Next::Great { .. }), "{next:?}");
    }
}

#[test]
fn a_great_frame_without_a_head_is_held_for_no_more_than_a_kilobyte() {
    // Empty deflate blocks, of which zlib makes nothing.
    let nothing = [&b"\x78\x01"[..], &b"\x00\x00\x00\xff\xff".repeat(1000)].concat();
    let stream = raw(nothing.len() as u32, 1, &nothing, b'\n');
    for size in [1, 100, stream.len()] {
        // `cut` here looks at what is held after each piece.
        let (found, end, out) = cut(64, stream.chunks(size));
        let nothing = (vec![], Err(FrameError::NoHead), vec![]);
        assert_eq!((found, end, out), nothing);
    }
}

#[test]
fn a_head_must_lie_in_its_own_frame() {
    // Two bytes, then the flush byte where the third would be.
    let (found, end, _) = cut(1, [raw(2, 0, &REPLY[..2], REPLY[2])]);
    assert_eq!((found, end), (vec![], Err(FrameError::NoHead)));
    let (found, end, _) = cut(1, [raw(3, 0, &REPLY[..3], b'\n')]);
    assert!(matches!(found[..], [Found::Great(_, 3)]), "{found:?}");
    assert_eq!(end, Ok(true));
}

proptest! {
    #[test]
    fn segmentation_does_not_matter(
        payloads in proptest::collection::vec(
            (any::<bool>(), proptest::collection::vec(any::<u8>(), 1..200)), 1..8),
        tail in proptest::collection::vec(any::<u8>(), 0..20),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut stream: Vec<u8> = payloads
            .iter()
            .flat_map(|(sound, noise)| {
                let head = if *sound { &REPLY[..3] } else { b"" };
                let payload = [head, noise].concat();
                raw(payload.len() as u32, 0, &payload, b'\n')
            })
            .collect();
        stream.extend(tail);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        for most in [300, 100] {
            let (found, end, out) = cut(most, &pieces);
            let (expected, expected_end, expected_out) = cut(most, [&stream]);
            prop_assert_eq!((found, end), (expected, expected_end));
            // An error may come after parts that were given out already.
            prop_assert!(stream.starts_with(&out) && out.starts_with(&expected_out));
        }
    }
}

#[test]
fn a_great_frame_with_a_wrong_end_is_never_over() {
    let payload = great_payload();
    let stream = raw(payload.len() as u32, 0, &payload, b'!');
    let (first, rest) = stream.split_at(stream.len() / 2);
    let mut lane = Lane::new(64);
    lane.input.extend_from_slice(first);
    assert!(matches!(lane.cut().unwrap(), Next::Great { .. }));
    assert!(!lane.is_passing());
    lane.pass(payload.len());
    assert!(matches!(lane.cut().unwrap(), Next::Part(part) if part == first));
    lane.input.extend_from_slice(rest);
    assert_eq!(lane.cut().unwrap_err(), FrameError::Flush);
    assert!(lane.is_passing());
}
