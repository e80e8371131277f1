use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;

use super::*;
use crate::frame::Frame;
use crate::inflate::Inflater;

const MIB: usize = 1 << 20;

fn zlib(payload: &[u8], level: u32) -> Vec<u8> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::new(level));
    zlib.write_all(payload).unwrap();
    zlib.finish().unwrap()
}

fn framed(compressed: bool, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&length[..], &[u8::from(compressed)], body, b"\n"].concat()
}

/// Unpacks a frame that comes in pieces. Gives the payload, and how much was not taken.
fn unpack<'a>(
    frame: &[u8],
    pieces: impl IntoIterator<Item = &'a [u8]>,
    most: usize,
) -> Result<Option<(Vec<u8>, usize)>, FrameError> {
    let length = u32::from_be_bytes(frame[..4].try_into().unwrap());
    let mut unpacker = Unpacker::new(length as usize, frame[4] == 1, most);
    let mut payload = Vec::new();
    let mut pieces = pieces.into_iter();
    while let Some(mut input) = pieces.next() {
        loop {
            match unpacker.step(&mut input)? {
                Unpacked::Piece(piece) => {
                    assert!(piece.len() <= PIECE);
                    payload.extend_from_slice(piece);
                }
                Unpacked::More => break assert!(input.is_empty()),
                Unpacked::End => {
                    let rest = input.len() + pieces.map(<[u8]>::len).sum::<usize>();
                    return Ok(Some((payload, rest)));
                }
            }
        }
    }
    Ok(None)
}

fn error(frame: &[u8], most: usize) -> FrameError {
    unpack(frame, [frame], most).unwrap_err()
}

#[test]
fn payloads_of_all_sizes_come_out_and_what_follows_is_left() {
    for length in [1, 3001, 65_535, 65_536, 65_537, 3 * MIB] {
        let payload: Vec<u8> = (0..length).map(|i| ((i * 7919) >> 4) as u8).collect();
        let packed = framed(true, &zlib(&payload, 1));
        for frame in [packed, framed(false, &payload)] {
            let stream = [&frame[..], b"next"].concat();
            for size in [100_000, stream.len()] {
                let unpacked = unpack(&frame, stream.chunks(size), 3 * MIB).unwrap();
                assert!(unpacked == Some((payload.clone(), 4)), "{length} {size}");
            }
        }
    }
}

#[test]
fn the_limit_is_what_the_payload_has() {
    for frame in [
        framed(false, &[7; 5000]),
        framed(true, &zlib(&[7; 5000], 1)),
    ] {
        assert!(unpack(&frame, [&frame[..]], 5000).unwrap().is_some());
        assert_eq!(error(&frame, 4999), FrameError::Bomb);
    }
}

#[test]
fn a_bomb_costs_no_more_than_the_limit_and_a_step_no_more_than_its_share() {
    let frame = framed(true, &zlib(&vec![0; 64 * MIB], 9));
    assert!(frame.len() < 100_000);
    let mut unpacker = Unpacker::new(frame.len() - 6, true, 8 * MIB);
    let (mut input, mut steps) = (&frame[..], 0);
    let error = loop {
        match unpacker.step(&mut input) {
            Ok(Unpacked::Piece(piece)) => assert!(piece.len() <= PIECE),
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
        steps += 1;
    };
    assert_eq!(error, FrameError::Bomb);
    let least = 8 * MIB / PIECE;
    assert!((least..3 * least).contains(&steps), "{steps}");
}

#[test]
fn damage_is_an_error_wherever_it_is() {
    let body = zlib(&b"some text that goes on ".repeat(20), 1);
    for cut in 1..body.len() {
        assert_eq!(
            error(&framed(true, &body[..cut]), MIB),
            FrameError::Zlib,
            "{cut}"
        );
    }
    let mut wrong_checksum = body.clone();
    *wrong_checksum.last_mut().unwrap() ^= 1;
    assert_eq!(error(&framed(true, &wrong_checksum), MIB), FrameError::Zlib);
    for tail in [&b"\0"[..], b"\n", &body] {
        let longer = [&body[..], tail].concat();
        assert_eq!(error(&framed(true, &longer), MIB), FrameError::AfterZlib);
    }
    assert_eq!(error(&framed(true, &zlib(b"", 1)), MIB), FrameError::Empty);
    for mut frame in [framed(true, &body), framed(false, &body)] {
        *frame.last_mut().unwrap() = 0;
        assert_eq!(error(&frame, MIB), FrameError::Flush);
    }
}

#[test]
fn a_stream_of_nothing_for_ever_gives_nothing() {
    // Stored blocks without content, each of which is five bytes.
    let body = [&b"\x78\x01"[..], &b"\0\0\0\xff\xff".repeat(MIB)].concat();
    let frame = framed(true, &body);
    let rest = &frame[..frame.len() - 10];
    assert_eq!(unpack(&frame, [rest], MIB), Ok(None));
}

proptest! {
    #[test]
    fn however_it_is_cut_the_payload_is_the_inflaters(
        content in proptest::collection::vec(any::<u8>(), 1..3000),
        times in 1usize..100,
        level in 0u32..10,
        damage in proptest::option::of((any::<usize>(), any::<u8>())),
        sizes in proptest::collection::vec(1usize..5000, 1..40),
    ) {
        let mut body = zlib(&content.repeat(times), level);
        if let Some((at, by)) = damage {
            let at = at % body.len();
            body[at] ^= by;
        }
        let bytes = framed(true, &body);
        let mut rest = &bytes[..];
        let mut sizes = sizes.into_iter().cycle();
        let pieces = std::iter::from_fn(|| {
            let (piece, after) = rest.split_at(sizes.next()?.min(rest.len()));
            rest = after;
            (!piece.is_empty()).then_some(piece)
        });
        let cut = unpack(&bytes, pieces, MIB);
        prop_assert_eq!(&cut, &unpack(&bytes, [&bytes[..]], MIB));
        let frame = Frame { compressed: true, body: &body };
        let mut inflater = Inflater::new(MIB);
        match inflater.payload(&frame) {
            Ok(payload) => prop_assert_eq!(cut, Ok(Some((payload.to_vec(), 0)))),
            Err(_) => prop_assert!(cut.is_err()),
        }
    }
}
