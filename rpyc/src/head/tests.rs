use proptest::prelude::*;

use super::*;

#[test]
fn golden_heads_of_both_families() {
    let get_root = |family| Head::request(family, 0, GETROOT);
    for (head, bytes) in [
        (get_root(Family::Classic), &b"\x12\x51\x50\x11\x53"[..]),
        (get_root(Family::Six), b"\x01\x11\x50\x11\x53"),
    ] {
        assert_eq!(Head::read(bytes), Ok(head));
        let mut out = Vec::new();
        head.write(&mut out);
        assert_eq!(out, bytes);
    }
}

#[test]
fn what_no_stock_peer_sends_is_not_rpyc() {
    for bytes in [
        &b"\x11"[..],
        b"\x04",
        b"GET /",
        b"\x16\x03\x01",
        // A kind that is none, or is a bool, or a long form of a small number.
        b"\x12\x50",
        b"\x12\x54",
        b"\x12\x03",
        b"\x12\x16\x011",
        // A negative number; no tuple after a raw kind; no request in a request.
        b"\x12\x51\x4f",
        b"\x01\x12",
        b"\x01\x11\x50\x50",
        b"\x01\x11\x50\x11\x03",
        // Thread 0 never sends.
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\x13",
    ] {
        assert_eq!(Head::read(bytes), Err(Unread::NotRpyc), "{bytes:?}");
    }
}

fn any_head() -> impl Strategy<Value = Head> {
    let kind = prop_oneof![
        (0u8..160).prop_map(|handler| Kind::Request { handler }),
        Just(Kind::Reply),
        Just(Kind::Exception),
    ];
    let family = prop_oneof![Just(Family::Classic), Just(Family::Six)];
    let threads = (1u64..1 << 56, any::<u64>());
    let threads = threads.prop_map(|(sender, receiver)| Threads { sender, receiver });
    let seq = prop_oneof![0u64..400, any::<u64>()];
    (kind, seq, family, proptest::option::of(threads)).prop_map(|(kind, seq, family, threads)| {
        Head {
            kind,
            seq,
            family,
            threads,
        }
    })
}

proptest! {
    #[test]
    fn every_head_reads_back_and_waits_for_its_last_byte(head in any_head()) {
        let mut bytes = Vec::new();
        head.write(&mut bytes);
        prop_assert!(bytes.len() <= LONGEST);
        prop_assert_eq!(Head::read(&bytes), Ok(head));
        for cut in 0..bytes.len() {
            prop_assert_eq!(Head::read(&bytes[..cut]), Err(Unread::Short));
        }
    }

    #[test]
    fn what_is_read_is_what_would_be_written(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(head) = Head::read(&bytes) {
            let mut out = Vec::new();
            head.write(&mut out);
            prop_assert!(bytes.starts_with(&out));
        }
    }
}
