use proptest::prelude::*;

use super::*;
use crate::captures;
use crate::frame::encode;
use crate::observer::Observer;

/// A piece that outlives the reader.
#[derive(Clone, Debug, PartialEq)]
enum Found {
    Frame(bool, Vec<u8>),
    Big(Head, usize),
}

fn read(
    mut reader: FrameReader,
    pieces: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> (Vec<Found>, Result<bool, FrameError>) {
    let mut found = Vec::new();
    for piece in pieces {
        let mut input = piece.as_ref();
        loop {
            match reader.next(&mut input) {
                Ok(Some(Piece::Frame(frame))) => {
                    found.push(Found::Frame(frame.compressed, frame.body.to_vec()));
                }
                Ok(Some(Piece::Big { head, length })) => found.push(Found::Big(head, length)),
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
        assert!(input.is_empty());
    }
    (found, Ok(reader.at_boundary()))
}

fn raw(length: u32, flag: u8, payload: &[u8], flush: u8) -> Vec<u8> {
    [&length.to_be_bytes()[..], &[flag], payload, &[flush]].concat()
}

const REPLY: &[u8] = b"\x12\x52\x50\x11\x51\x00";

#[test]
fn real_sessions_are_cut_at_their_frames() {
    for capture in &captures::ALL {
        for bytes in [capture.client, capture.server] {
            let (frames, end) = read(FrameReader::new(4096), [bytes]);
            assert_eq!(end, Ok(true), "{}", capture.version);
            let (small_pieces, _) = read(FrameReader::new(4096), bytes.chunks(1));
            assert_eq!(frames, small_pieces);
            let mut heads = Vec::new();
            Observer::new().observe(bytes, |head| heads.push(head));
            let seen: Vec<_> = frames
                .iter()
                .map(|found| match found {
                    Found::Frame(compressed, body) => {
                        let compressed = *compressed;
                        Frame { compressed, body }.head().unwrap()
                    }
                    Found::Big(..) => panic!(),
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
        (raw(101, 0, &[0; 101], b'\n'), FrameError::TooBig(101)),
        (
            raw(u32::MAX, 0, b"", b'\n'),
            FrameError::TooBig(u32::MAX as usize),
        ),
    ] {
        for cut in [1, 3, 1000] {
            let (found, end) = read(FrameReader::new(100), bytes.chunks(cut));
            assert_eq!((found, end), (vec![], Err(error)), "{bytes:?}");
        }
    }
}

#[test]
fn a_frame_of_the_cap_is_taken_and_one_more_byte_is_not() {
    let at_cap = raw(100, 0, &[0x12; 100], b'\n');
    let (found, end) = read(FrameReader::new(100), [&at_cap]);
    assert_eq!((found.len(), end), (1, Ok(true)));
    let above = raw(101, 0, &[0x12; 101], b'\n');
    let (found, end) = read(FrameReader::new(100), [&above[..5]]);
    assert_eq!((found.len(), end), (0, Err(FrameError::TooBig(101))));
}

#[test]
fn greater_frames_can_pass_and_their_heads_are_seen() {
    let mut payload = REPLY[..5].to_vec();
    payload.extend(b"\x0f\x00\x01\x00\x00");
    payload.resize(payload.len() + 65536, b'x');
    let stream = [
        raw(6, 0, REPLY, b'\n'),
        raw(payload.len() as u32, 0, &payload, b'\n'),
        encode(&payload),
        raw(6, 0, REPLY, b'\n'),
    ]
    .concat();
    let cap = 64;
    let (found, end) = read(FrameReader::passing_bigger(cap), [&stream]);
    assert_eq!(end, Ok(true));
    let small = Found::Frame(false, REPLY.to_vec());
    let [
        first,
        Found::Big(head, length),
        Found::Big(squeezed, _),
        last,
    ] = &found[..]
    else {
        panic!("{found:?}")
    };
    assert_eq!((first, last), (&small, &small));
    assert_eq!((head.seq, *length, head), (0, payload.len(), squeezed));
    for cut in [1, 7, 64, 4096] {
        let again = read(FrameReader::passing_bigger(cap), stream.chunks(cut));
        assert_eq!(again, (found.clone(), Ok(true)));
    }
    let mut reader = FrameReader::passing_bigger(cap);
    for mut piece in stream.chunks(50) {
        while reader.next(&mut piece).unwrap().is_some() {}
        assert!(reader.held() <= cap + HEADER_LEN + 1);
    }

    let nonsense = raw(100, 0, &[0xee; 100], b'\n');
    let (_, end) = read(FrameReader::passing_bigger(cap), [&nonsense]);
    assert_eq!(end, Err(FrameError::NoHead));
    let unflushed = raw(payload.len() as u32, 0, &payload, b'?');
    let (_, end) = read(FrameReader::passing_bigger(cap), [&unflushed]);
    assert_eq!(end, Err(FrameError::Flush));
}

#[test]
fn room_of_a_great_frame_is_given_back() {
    let mut reader = FrameReader::new(1 << 20);
    let great = raw(1 << 20, 0, &vec![0x12; 1 << 20], b'\n');
    for mut piece in [&great[..10], &great[10..]] {
        let _ = reader.next(&mut piece).unwrap();
    }
    let small = raw(6, 0, REPLY, b'\n');
    assert!(reader.next(&mut &small[..]).unwrap().is_some());
    assert!(reader.partial.capacity() <= ROOM_KEPT);
}

proptest! {
    #[test]
    fn segmentation_does_not_matter(
        payloads in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 1..200), 1..8),
        tail in proptest::collection::vec(any::<u8>(), 0..20),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut stream: Vec<u8> = payloads
            .iter()
            .flat_map(|payload| raw(payload.len() as u32, 0, payload, b'\n'))
            .collect();
        stream.extend(tail);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        for (make, cap) in [
            (FrameReader::new as fn(usize) -> FrameReader, 200),
            (FrameReader::passing_bigger, 100),
        ] {
            prop_assert_eq!(read(make(cap), &pieces), read(make(cap), [&stream]));
        }
    }
}
