use proptest::prelude::*;

use super::*;

/// What a probe says of these bytes, read in pieces of `size`.
fn verdict(bytes: &[u8], size: usize) -> Option<Verdict> {
    let mut probe = Probe::new();
    bytes.chunks(size).find_map(|piece| probe.feed(piece))
}

#[test]
fn golden_questions() {
    assert_eq!(
        Probe::new().to_send(),
        b"\0\0\0\x09\0\x12\x51\x50\x11\x51\x11\x51\x10\0\n\0\0\0\x08\0\x12\x51\x51\x11\x52\x11\x51\x02\n"
    );
    assert_eq!(
        Probe::expecting(Family::Six).to_send(),
        b"\0\0\0\x09\0\x01\x11\x50\x11\x51\x11\x51\x10\0\n\0\0\0\x08\0\x01\x11\x51\x11\x52\x11\x51\x02\n"
    );
}

/// What real servers sent back.
#[test]
fn real_answers() {
    for (bytes, family) in [
        // 4.1.0 and 5.3.1 to the question in their own family, and in the other one.
        (&b"\0\0\0\x06\0\x12\x52\x50\x11\x51\0\n"[..], Family::Classic),
        (b"\0\0\0\x08\0\x12\x51\x50\x11\x52\x11\x51\x02\n", Family::Classic),
        // 6.0.2, the same.
        (b"\0\0\0\x06\0\x02\x11\x50\x11\x51\0\n", Family::Six),
        (b"\0\0\0\x08\0\x01\x11\x50\x11\x52\x11\x51\x02\n", Family::Six),
        // 5.3.1 and 6.0.2 that bind threads.
        (
            b"\0\0\0\x18\0\0\0\x7f\xca\xcf\x7e\xa6\xc0\0\0\0\0\0\0\0\0\x12\x51\x50\x11\x52\x11\x51\x02\n",
            Family::Classic,
        ),
        (
            b"\0\0\0\x18\0\0\0\x7f\x2a\x50\xde\xa6\xc0\0\0\0\0\0\0\0\0\x01\x11\x50\x11\x52\x11\x51\x02\n",
            Family::Six,
        ),
    ] {
        for size in [1, 7, bytes.len()] {
            assert_eq!(verdict(bytes, size), Some(Verdict::Rpyc(family)));
        }
    }
}

#[test]
fn names_what_else_listens() {
    for (bytes, what) in [
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], "HTTP"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "TLS"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH"),
        (b"\0\0\0\x05\0hello\n", "an unknown protocol"),
        (b"220 mail.example ESMTP\r\n", "an unknown protocol"),
    ] {
        for size in [1, 3, bytes.len()] {
            assert_eq!(verdict(bytes, size), Some(Verdict::NotRpyc { what }));
        }
    }
}

#[test]
fn says_nothing_too_early() {
    for bytes in [&b""[..], b"HTT", b"\x15", b"\0\0\0\x06\0\x12\x52"] {
        assert_eq!(verdict(bytes, 1), None);
    }
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100), size in 1usize..20) {
        prop_assert_eq!(verdict(&bytes, size), verdict(&bytes, 1));
    }
}
