use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;

use super::*;
use crate::captures::{self, summary};
use crate::frame::encode;
use crate::head::{GETROOT, Kind};

/// What it says after these pieces: heads, whether between frames, whether opaque.
fn observe<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Head>, bool, bool) {
    let mut observer = Observer::new();
    let mut heads = Vec::new();
    for piece in pieces {
        observer.observe(piece, |head| heads.push(head));
    }
    (heads, observer.at_boundary(), observer.is_opaque())
}

fn request_frame(family: Family, seq: u64, tail: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    Head::request(family, seq, GETROOT).write(&mut payload);
    payload.extend_from_slice(tail);
    encode(&payload)
}

fn raw_frame(length: u32, flag: u8, payload: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes()[..], &[flag], payload, b"\n"].concat()
}

fn zlib(payload: &[u8]) -> Vec<u8> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::new(1));
    zlib.write_all(payload).unwrap();
    zlib.finish().unwrap()
}

#[test]
fn reads_real_sessions_of_every_version() {
    for capture in &captures::ALL {
        for (bytes, expected) in [
            (capture.client, capture.client_heads),
            (capture.server, capture.server_heads),
        ] {
            let (heads, at_boundary, opaque) = observe([bytes]);
            assert_eq!(summary(capture, &heads), expected, "{}", capture.version);
            assert!(at_boundary && !opaque);
            assert_eq!(observe(bytes.chunks(1)), (heads, true, false));
        }
    }
}

#[test]
fn a_head_is_reported_before_its_frame_is_complete() {
    let frame = request_frame(Family::Classic, 3, &[0x11; 2000]);
    let (heads, at_boundary, _) = observe([&frame[..20]]);
    assert_eq!(heads, [Head::request(Family::Classic, 3, GETROOT)]);
    assert!(!at_boundary);
}

#[test]
fn any_flush_byte_and_any_flag_will_do() {
    let payload = b"\x12\x52\x50\x11\x51\x00";
    let mut plain = raw_frame(6, 0, payload);
    *plain.last_mut().unwrap() = 0xff;
    let squeezed = zlib(payload);
    let compressed = raw_frame(squeezed.len() as u32, 0x80, &squeezed);
    let (heads, at_boundary, _) = observe([&plain[..], &compressed]);
    assert_eq!(heads.len(), 2);
    assert!(at_boundary);
}

#[test]
fn a_huge_length_costs_nothing_and_is_skipped() {
    let mut observer = Observer::new();
    let mut heads = 0;
    let start = raw_frame(u32::MAX, 0, b"\x12\x52\x50\x11\x51\x00");
    observer.observe(&start, |_| heads += 1);
    let megabyte = vec![0x12; 1 << 20];
    for _ in 0..64 {
        observer.observe(&megabyte, |_| heads += 1);
    }
    assert_eq!(heads, 1);
    assert!(!observer.is_opaque() && !observer.at_boundary());
}

#[test]
fn keeps_less_than_a_small_constant() {
    assert!(size_of::<Observer>() <= 128);
}

#[test]
fn a_zlib_bomb_is_not_inflated() {
    let mut payload = b"\x12\x52\x50\x11\x51".to_vec();
    payload.resize(64 << 20, 0);
    let bomb = zlib(&payload);
    let bomb = raw_frame(bomb.len() as u32, 1, &bomb);
    let (heads, at_boundary, opaque) = observe([&bomb[..]]);
    assert_eq!(heads.len(), 1);
    assert!(at_boundary && !opaque);
}

#[test]
fn zlib_that_gives_no_head_is_not_rpyc() {
    // Empty stored blocks without end.
    let mut blocks = vec![0x78, 0x01];
    while blocks.len() < 100_000 {
        blocks.extend_from_slice(&[0, 0, 0, 0xff, 0xff]);
    }
    let endless = raw_frame(blocks.len() as u32, 1, &blocks);
    let nonsense = raw_frame(6, 1, b"nonsen");
    let truncated = raw_frame(4, 1, &zlib(b"\x12\x52\x50\x11")[..4]);
    let empty = zlib(b"");
    let empty = raw_frame(empty.len() as u32, 1, &empty);
    let short = zlib(b"\x12\x52");
    let short = raw_frame(
        short.len() as u32 + 100,
        1,
        &[&short[..], &[0; 100]].concat(),
    );
    for frame in [endless, nonsense, truncated, empty, short] {
        assert_eq!(observe([&frame[..]]), (vec![], false, true));
        assert_eq!(observe(frame.chunks(1)), (vec![], false, true));
    }
}

#[test]
fn what_follows_the_head_does_not_matter_however_it_is_cut() {
    let mut corrupt = zlib(&[b"\x12\x52\x50\x11\x51".as_slice(), &[7; 5000]].concat());
    let end = corrupt.len();
    corrupt[end - 12..].fill(0xff);
    let corrupt = raw_frame(end as u32, 1, &corrupt);
    let whole = observe([&corrupt[..]]);
    assert_eq!(whole.0.len(), 1);
    assert_eq!(observe(corrupt.chunks(1)), whole);
}

#[test]
fn once_not_rpyc_it_stays_opaque() {
    let good = request_frame(Family::Classic, 0, b"\x11\x51\x02");
    for bad in [
        b"GET / HTTP/1.1\r\nHost: example\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        raw_frame(0, 0, b""),
        raw_frame(2, 0, b"\x12\x51"),
        raw_frame(4, 0, b"\x13\x51\x50\x11"),
        request_frame(Family::Six, 1, b"\x11\x51\x02"),
    ] {
        let mut observer = Observer::new();
        let mut heads = 0;
        observer.observe(&good, |_| heads += 1);
        observer.observe(&bad, |_| heads += 1);
        observer.observe(&good, |_| heads += 1);
        assert_eq!(heads, 1, "{bad:?}");
        // A text's "length" can be long enough that it is skipped, without harm.
        assert!(observer.is_opaque(), "{bad:?}");
    }
}

#[test]
fn knows_the_family_from_the_first_head_on() {
    let mut observer = Observer::new();
    assert_eq!(observer.family(), None);
    observer.observe(&request_frame(Family::Six, 0, b""), |_| {});
    assert_eq!(observer.family(), Some(Family::Six));
}

fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        4 => (any::<u64>(), proptest::collection::vec(any::<u8>(), 0..50))
            .prop_map(|(seq, tail)| request_frame(Family::Classic, seq, &tail)),
        2 => (0u64..300, 3000usize..4000)
            .prop_map(|(seq, size)| request_frame(Family::Classic, seq, &vec![b'x'; size])),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (0u32..60, 0u8..3, proptest::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(length, flag, payload)| raw_frame(length, flag, &payload)),
    ];
    proptest::collection::vec(frame, 0..8).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn segmentation_does_not_matter(
        stream in any_stream(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|ends| &stream[ends[0]..ends[1]]);
        let whole = observe([&stream[..]]);
        prop_assert_eq!(&observe(pieces), &whole);
        prop_assert_eq!(&observe(stream.chunks(1)), &whole);
    }

    #[test]
    fn all_answers_and_requests_of_a_good_stream_are_seen(
        seqs in proptest::collection::vec((any::<u64>(), 0usize..4000), 1..10),
    ) {
        let stream: Vec<u8> = seqs
            .iter()
            .flat_map(|(seq, size)| request_frame(Family::Six, *seq, &vec![b'y'; *size]))
            .collect();
        let (heads, at_boundary, opaque) = observe([&stream[..]]);
        let expected: Vec<u64> = seqs.iter().map(|(seq, _)| *seq).collect();
        let asks = Kind::Request { handler: GETROOT };
        prop_assert!(heads.iter().all(|head| head.kind == asks));
        prop_assert_eq!(heads.iter().map(|head| head.seq).collect::<Vec<_>>(), expected);
        prop_assert!(at_boundary && !opaque);
    }
}
