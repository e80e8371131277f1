//! Brine: rpyc's serialization of plain data, read strictly.
//!
//! Source: `core/brine.py` of 4.1.0, 4.1.5, 5.3.1 and 6.0.2. They write the same bytes on
//! Python 3 and differ in one tag: 4.x still reads `0x09`, the `long` of Python 2, which no
//! Python 3 writes and which is refused here.
//!
//! rpyc reads a value in many forms and writes it in one. Only that one is accepted here:
//! whatever is accepted is written back byte for byte the same, by us and by rpyc, except
//! that rpyc orders the elements of a set anew.
//!
//! - [`Plain`] is a value that was checked and stays where it is, in the frame's bytes.
//! - [`Value`] is a value taken apart.

mod abridged;
mod arriving;
mod plain;
mod sets;
mod token;
mod value;

pub use plain::{Items, Plain};
pub use token::{Int, Limits, Refused};
pub use value::Value;

pub(crate) use abridged::{Abridged, LEFT_OUT};
pub(crate) use arriving::{Arriving, Item};
pub(crate) use plain::CHECKED;
pub(crate) use token::{Begun, Token, Tokens};

pub(crate) const EMPTY_TUPLE: u8 = 0x02;
pub(crate) const TUPLE_1: u8 = 0x10;
pub(crate) const TUPLE_2: u8 = 0x11;
pub(crate) const TUPLE_3: u8 = 0x12;
pub(crate) const TUPLE_4: u8 = 0x13;

pub(crate) const NONE: u8 = 0x00;
const EMPTY_BYTES: u8 = 0x01;
const TRUE: u8 = 0x03;
const FALSE: u8 = 0x04;
const NOT_IMPLEMENTED: u8 = 0x05;
const ELLIPSIS: u8 = 0x06;
const UNICODE: u8 = 0x08;
const BYTES_1: u8 = 0x0a;
const BYTES_4: u8 = 0x0d;
const BYTES_U8: u8 = 0x0e;
const BYTES_U32: u8 = 0x0f;
const TUPLE_U8: u8 = 0x14;
const TUPLE_U32: u8 = 0x15;
const INT_U8: u8 = 0x16;
const INT_U32: u8 = 0x17;
const FLOAT: u8 = 0x18;
const SLICE: u8 = 0x19;
const FROZENSET: u8 = 0x1a;
const COMPLEX: u8 = 0x1b;
const IMMEDIATE_FIRST: u8 = 0x20;
pub(crate) const IMMEDIATE_ZERO: u8 = 0x50;
const IMMEDIATE_LAST: u8 = 0xef;

/// Decimal digits of `u64::MAX`.
const INT_DIGITS_MAX: u8 = 20;

/// Why an item could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// What there is agrees so far; the rest has not come.
    Short,
    /// No stock peer sends this here.
    NotRpyc,
}

/// Reads from the front of a payload.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn byte(&mut self) -> Result<u8, Unread> {
        let (first, rest) = self.0.split_first().ok_or(Unread::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Unread> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Unread::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn expect(&mut self, tag: u8) -> Result<(), Unread> {
        if self.byte()? == tag {
            Ok(())
        } else {
            Err(Unread::NotRpyc)
        }
    }

    /// A number that counts something, in the one form that rpyc's own encoder gives it.
    pub(crate) fn count(&mut self) -> Result<u64, Unread> {
        match self.byte()? {
            tag @ IMMEDIATE_ZERO..=IMMEDIATE_LAST => Ok(u64::from(tag - IMMEDIATE_ZERO)),
            INT_U8 => {
                let length = self.byte()?;
                if !(1..=INT_DIGITS_MAX).contains(&length) {
                    return Err(Unread::NotRpyc);
                }
                decimal(self.take(usize::from(length))?).ok_or(Unread::NotRpyc)
            }
            _ => Err(Unread::NotRpyc),
        }
    }

    /// A number that fits one immediate item.
    pub(crate) fn small(&mut self) -> Result<u8, Unread> {
        self.byte()?
            .checked_sub(IMMEDIATE_ZERO)
            .filter(|value| *value <= IMMEDIATE_LAST - IMMEDIATE_ZERO)
            .ok_or(Unread::NotRpyc)
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits[0] == b'0' || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (value > u64::from(IMMEDIATE_LAST - IMMEDIATE_ZERO)).then_some(value)
}

pub(crate) fn put_count(out: &mut Vec<u8>, value: u64) {
    match u8::try_from(value) {
        Ok(small) if small <= IMMEDIATE_LAST - IMMEDIATE_ZERO => out.push(IMMEDIATE_ZERO + small),
        _ => put_digits(out, &value.to_string()),
    }
}

/// An integer that has no immediate form, as its decimal digits.
fn put_digits(out: &mut Vec<u8>, digits: &str) {
    put_length(out, INT_U8, digits.len());
    out.extend_from_slice(digits.as_bytes());
}

/// `text` must be shorter than 4 GiB; callers bound it.
pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) {
    out.push(UNICODE);
    put_bytes(out, text.as_bytes());
}

/// `bytes` must be fewer than 4 GiB; callers bound them.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        0 => out.push(EMPTY_BYTES),
        length @ 1..=4 => out.push(BYTES_1 + length as u8 - 1),
        length => put_length(out, BYTES_U8, length),
    }
    out.extend_from_slice(bytes);
}

/// The head of a tuple of `count` items, which must be fewer than 2^32.
pub(crate) fn put_tuple(out: &mut Vec<u8>, count: usize) {
    match count {
        0 => out.push(EMPTY_TUPLE),
        1..=4 => out.push(TUPLE_1 + count as u8 - 1),
        count => put_length(out, TUPLE_U8, count),
    }
}

/// The tag for a length of one byte, or the next one, for a length of four.
fn put_length(out: &mut Vec<u8>, tag: u8, length: usize) {
    match u8::try_from(length) {
        Ok(length) => out.extend_from_slice(&[tag, length]),
        Err(_) => {
            out.push(tag + 1);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_have_rpycs_own_form() {
        for (value, bytes) in [
            (0, &b"\x50"[..]),
            (159, b"\xef"),
            (160, b"\x16\x03160"),
            (u64::MAX, b"\x16\x1418446744073709551615"),
        ] {
            let mut out = Vec::new();
            put_count(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(Reader(bytes).count(), Ok(value));
        }
    }

    #[test]
    fn other_forms_of_a_number_are_not_rpyc() {
        for bytes in [
            &b"\x4f"[..],
            b"\x03",
            b"\x16\x00",
            b"\x16\x15",
            b"\x16\x03159",
            b"\x16\x040160",
            b"\x16\x04+160",
            b"\x16\x04 160",
            b"\x16\x041_60",
            b"\x16\x1418446744073709551616",
            b"\x17\x00\x00\x00\x03160",
            b"\x18\x00\x00\x00\x00\x00\x00\x00\x00",
        ] {
            assert_eq!(Reader(bytes).count(), Err(Unread::NotRpyc), "{bytes:?}");
        }
    }

    #[test]
    fn strings_have_rpycs_own_form() {
        for (text, head) in [
            (String::new(), &b"\x08\x01"[..]),
            ("a".into(), b"\x08\x0a"),
            ("abcd".into(), b"\x08\x0d"),
            ("abcde".into(), b"\x08\x0e\x05"),
            ("é".repeat(127), b"\x08\x0e\xfe"),
            ("x".repeat(255), b"\x08\x0e\xff"),
            ("x".repeat(256), b"\x08\x0f\x00\x00\x01\x00"),
        ] {
            let mut out = Vec::new();
            put_str(&mut out, &text);
            assert_eq!(out, [head, text.as_bytes()].concat());
        }
    }

    proptest! {
        #[test]
        fn every_count_reads_back(value: u64) {
            let mut out = Vec::new();
            put_count(&mut out, value);
            prop_assert_eq!(Reader(&out).count(), Ok(value));
            for cut in 0..out.len() {
                prop_assert_eq!(Reader(&out[..cut]).count(), Err(Unread::Short));
            }
        }
    }
}
