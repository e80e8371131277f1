use proptest::prelude::*;

use super::*;
use crate::captures;

/// Needs `certain` bytes to say so, and says it then and with all bytes after.
fn decides(bytes: &[u8], certain: usize, expected: Sniff) {
    for length in 0..=bytes.len() {
        let answer = if length < certain {
            Sniff::NeedMore
        } else {
            expected
        };
        assert_eq!(sniff(&bytes[..length]), answer, "{:?}", &bytes[..length]);
    }
}

#[test]
fn real_clients_of_every_version() {
    for capture in &captures::ALL {
        decides(capture.client, 7, Sniff::Rpyc);
    }
}

#[test]
fn a_compressed_first_frame() {
    decides(b"\0\0\x04\x10\x01\x78\x01\xab\xcd", 7, Sniff::Rpyc);
    decides(b"\0\0\x04\x10\x01\x78\x02\xab\xcd", 7, Sniff::Unknown);
}

#[test]
fn tls_and_http() {
    decides(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", 3, Sniff::Tls);
    decides(b"\x16\x03\x03\x02\0\x01", 3, Sniff::Tls);
    decides(b"GET / HTTP/1.1\r\n", 4, Sniff::Http);
    decides(b"OPTIONS * HTTP/1.1\r\n", 8, Sniff::Http);
    decides(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 6, Sniff::Http);
    decides(b"POST /mcp HTTP/1.1\r\n", 5, Sniff::Http);
}

#[test]
fn neither() {
    decides(b"\x16\x02\x01", 2, Sniff::Unknown);
    decides(b"\x16\x03\x05", 3, Sniff::Unknown);
    decides(b"SSH-2.0-OpenSSH", 1, Sniff::Unknown);
    decides(b"GETTING", 4, Sniff::Unknown);
    decides(b"\0\0\0\0\0\n", 5, Sniff::Unknown);
    decides(b"\0\0\0\x08\x02", 5, Sniff::Unknown);
    decides(b"\0\0\0\x08\0\x13", 6, Sniff::Unknown);
    decides(b"\0\0\0\x08\0\x12\x50", 7, Sniff::Unknown);
    // Only the 16 bytes of thread ids show that this is none.
    assert_eq!(
        sniff(&[&b"\0\0\0\x18\0"[..], &[0; 20]].concat()),
        Sniff::Unknown
    );
    // A server's answer is no client's beginning.
    assert_eq!(
        sniff(b"\0\0\0\x08\0\x12\x52\x50\x11\x51\0\n"),
        Sniff::Unknown
    );
}

proptest! {
    #[test]
    fn eight_bytes_are_always_enough(bytes in proptest::collection::vec(any::<u8>(), SNIFF_LEN..40)) {
        prop_assert_ne!(sniff(&bytes), Sniff::NeedMore);
    }
}
