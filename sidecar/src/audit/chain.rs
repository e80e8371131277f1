//! The hash chain: each line of a log commits to all lines before it.
//!
//! A line ends in `,"seq":N,"hash":"H"}`. `N` counts the lines of the log from 1, through all
//! of its files. `H` is the SHA-256, in lower-case hexadecimal, of the 32 bytes of the hash
//! before it and the bytes of the line in front of `,"hash":"`. Before the first line stands
//! the SHA-256 of a fixed text with the log's name.

use std::io::Write as _;

use aws_lc_rs::digest::{Context, SHA256, digest};

/// A SHA-256.
pub type Hash = [u8; 32];

/// `,"hash":"` + 64 digits + `"}`.
const TAIL: usize = 9 + 64 + 2;
/// The most that [`Head::append`] adds to a body: `,"seq":` + 20 digits + the tail + the line
/// end.
pub(super) const ADDED: usize = 7 + 20 + TAIL + 1;

/// The end of a chain: the number and hash of its last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The number of the last line; 0 when there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Head {
    /// What the first line of a log links to.
    pub fn genesis(log: &str) -> Self {
        let text = format!("hrpyc-guard audit log 1 {log}");
        Self {
            seq: 0,
            hash: sha256(text.as_bytes()),
        }
    }

    /// Writes a line to `out`, with its end, and moves on to it. `body` is a JSON object with
    /// at least one member, without its last brace.
    pub fn append(&mut self, body: &[u8], out: &mut Vec<u8>) {
        self.seq += 1;
        let start = out.len();
        out.extend_from_slice(body);
        // Writing to a vector cannot fail.
        let _ = write!(out, ",\"seq\":{}", self.seq);
        self.hash = link(&self.hash, &out[start..]);
        out.extend_from_slice(b",\"hash\":\"");
        push_hex(&self.hash, out);
        out.extend_from_slice(b"\"}\n");
    }

    /// `SEQ:HASH`, as people pass it on.
    pub fn to_text(self) -> String {
        format!("{}:{}", self.seq, wire::hex(&self.hash))
    }
}

/// A line that has the form of a link. Whether it is one is for [`Link::follows`].
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// Its number, as it says.
    pub seq: u64,
    /// Its hash, as it says.
    pub hash: Hash,
    hashed: &'a [u8],
}

impl<'a> Link<'a> {
    /// Takes a line apart, without its end.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let (hashed, tail) = line.split_at_checked(line.len().checked_sub(TAIL)?)?;
        let digits = tail.strip_prefix(b",\"hash\":\"")?.strip_suffix(b"\"}")?;
        let hash = unhex(digits)?;
        let comma = hashed.iter().rposition(|byte| *byte == b',')?;
        let digits = hashed[comma..].strip_prefix(b",\"seq\":")?;
        let plain = digits.iter().all(u8::is_ascii_digit) && !digits.starts_with(b"0");
        let seq = plain
            .then(|| std::str::from_utf8(digits).ok()?.parse().ok())
            .flatten()?;
        Some(Self { seq, hash, hashed })
    }

    /// Whether its hash is right when `before` is the hash of the line before it.
    pub fn follows(&self, before: &Hash) -> bool {
        link(before, self.hashed) == self.hash
    }

    /// The chain's end when this is the last line.
    pub fn head(&self) -> Head {
        Head {
            seq: self.seq,
            hash: self.hash,
        }
    }
}

/// SHA-256 of some bytes.
pub(super) fn sha256(bytes: &[u8]) -> Hash {
    to_hash(&digest(&SHA256, bytes))
}

/// The result of a SHA-256.
pub(super) fn to_hash(digest: &aws_lc_rs::digest::Digest) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest.as_ref());
    hash
}

fn link(before: &Hash, hashed: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(before);
    context.update(hashed);
    to_hash(&context.finish())
}

fn push_hex(hash: &Hash, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(hash) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    out.extend_from_slice(&text);
}

/// Reads 64 lower-case hexadecimal digits.
pub(super) fn unhex(text: &[u8]) -> Option<Hash> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut hash = Hash::default();
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chain(bodies: &[String]) -> Vec<Vec<u8>> {
        let mut head = Head::genesis("test");
        bodies
            .iter()
            .map(|text| {
                let text = serde_json::to_string(text).unwrap();
                let mut line = Vec::new();
                head.append(format!("{{\"text\":{text}").as_bytes(), &mut line);
                assert_eq!(line.pop(), Some(b'\n'));
                line
            })
            .collect()
    }

    /// The first line that does not follow, by its place.
    fn broken(lines: &[Vec<u8>]) -> Option<usize> {
        let mut head = Head::genesis("test");
        lines.iter().position(|line| {
            let follows = Link::parse(line)
                .filter(|link| link.seq == head.seq + 1 && link.follows(&head.hash));
            head = follows.map_or(head, |link| link.head());
            follows.is_none()
        })
    }

    proptest! {
        #[test]
        fn what_is_chained_follows_and_is_json(texts in prop::collection::vec(".*", 1..20)) {
            let lines = chain(&texts);
            prop_assert_eq!(broken(&lines), None);
            for (line, text) in lines.iter().zip(&texts) {
                prop_assert!(line.len() <= ADDED + text.len() * 6 + 12);
                let value: serde_json::Value = serde_json::from_slice(line).unwrap();
                prop_assert_eq!(value["text"].as_str().unwrap(), text);
            }
        }

        #[test]
        fn one_changed_byte_breaks_it(
            texts in prop::collection::vec("[a-z]{0,9}", 1..9),
            which: prop::sample::Index,
            place: prop::sample::Index,
            flip in 1..=255_u8,
        ) {
            let mut lines = chain(&texts);
            let which = which.index(lines.len());
            let place = place.index(lines[which].len());
            lines[which][place] ^= flip;
            prop_assert_eq!(broken(&lines), Some(which));
        }

        #[test]
        fn a_line_that_is_missing_doubled_or_swapped_breaks_it(
            texts in prop::collection::vec("[a-z]{0,9}", 3..9),
            which: prop::sample::Index,
        ) {
            let lines = chain(&texts);
            let at = which.index(lines.len() - 1);
            let mut missing = lines.clone();
            missing.remove(at);
            prop_assert_eq!(broken(&missing), Some(at));
            let mut doubled = lines.clone();
            doubled.insert(at, lines[at].clone());
            prop_assert_eq!(broken(&doubled), Some(at + 1));
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            prop_assert_eq!(broken(&swapped), Some(at));
        }

        #[test]
        fn no_bytes_make_the_parser_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Link::parse(&line);
        }
    }

    #[test]
    fn the_two_logs_do_not_begin_alike() {
        assert_ne!(Head::genesis("connections"), Head::genesis("calls"));
    }
}
