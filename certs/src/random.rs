//! Random identifiers and secrets.

use aws_lc_rs::rand;

/// Random bytes from the operating system's generator.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // AWS-LC ends the process rather than hand out weak randomness, so this cannot be
    // reached; a predictable identifier or secret must not be the answer to it.
    #[expect(
        clippy::expect_used,
        reason = "there is no safe way on without randomness"
    )]
    rand::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

/// `count` random bytes, at most 32, in hexadecimal.
pub(crate) fn hex(count: usize) -> String {
    wire::hex(&bytes::<32>()[..count.min(32)])
}
