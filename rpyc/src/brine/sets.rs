//! Which elements of a set are one and the same in Python.
//!
//! `frozenset((1, True, 1.0))` has one element. rpyc reads such bytes and would write
//! others, so they are refused: what is judged must be what Python sees.

use std::collections::HashSet;
use std::io::Write;

use super::token::{Int, Refused, Token, Tokens};

/// Items of one set, with all that is inside them: each is kept for a while, and a number as
/// its digits, of which a float has up to 309.
const ITEMS_MAX: usize = 1 << 16;

/// The next `count` values, all of which have been read before, must be hashable and
/// unequal to each other; so must be the elements of sets inside them.
pub(super) fn check(mut tokens: Tokens<'_>, count: usize) -> Result<(), Refused> {
    let mut seen = Seen { items: 0, nans: 0 };
    keys(&mut tokens, count, &mut seen).map(drop)
}

/// Counts what was gone through.
struct Seen {
    items: usize,
    nans: u64,
}

impl Seen {
    fn add(&mut self, count: usize) -> Result<(), Refused> {
        self.items = self.items.saturating_add(count);
        match self.items > ITEMS_MAX {
            true => Err(Refused::TooMany),
            false => Ok(()),
        }
    }
}

/// For each of the next `count` values bytes that are the same for two values exactly when
/// Python finds them equal.
fn keys(
    tokens: &mut Tokens<'_>,
    count: usize,
    seen: &mut Seen,
) -> Result<HashSet<Vec<u8>>, Refused> {
    seen.add(count)?;
    let mut keys = HashSet::new();
    for _ in 0..count {
        let mut key = Vec::new();
        write_key(tokens, &mut key, seen)?;
        if !keys.insert(key) {
            return Err(Refused::NotASet);
        }
    }
    Ok(keys)
}

fn write_key(tokens: &mut Tokens<'_>, key: &mut Vec<u8>, seen: &mut Seen) -> Result<(), Refused> {
    match tokens.token()? {
        Token::None => key.push(b'N'),
        Token::NotImplemented => key.push(b'I'),
        Token::Ellipsis => key.push(b'E'),
        Token::Bool(value) => put(key, format_args!("n{}", u8::from(value))),
        Token::Int(Int::Small(value)) => put(key, format_args!("n{value}")),
        Token::Int(Int::Big(digits)) => put(key, format_args!("n{digits}")),
        Token::Float(value) => number(key, value, seen),
        Token::Complex(real, imaginary) => {
            number(key, real, seen);
            // Not -0.0 either.
            if imaginary != 0.0 {
                key.push(b'j');
                number(key, imaginary, seen);
            }
        }
        Token::Bytes(bytes) => {
            put(key, format_args!("b{}:", bytes.len()));
            key.extend_from_slice(bytes);
        }
        Token::Str(text) => put(key, format_args!("s{}:{text}", text.len())),
        Token::Tuple(count) => {
            seen.add(count)?;
            put(key, format_args!("({count}:"));
            for _ in 0..count {
                write_key(tokens, key, seen)?;
                key.push(b',');
            }
        }
        Token::Frozenset(count) => {
            let mut inner: Vec<_> = keys(tokens, count, seen)?.into_iter().collect();
            inner.sort_unstable();
            put(key, format_args!("{{{count}:"));
            key.extend(inner.join(&b','));
        }
        // Hashable from Python 3.12 on only.
        Token::Slice => return Err(Refused::NotASet),
    }
    Ok(())
}

/// Python compares numbers by their exact value, whatever their type. A NaN equals nothing.
fn number(key: &mut Vec<u8>, value: f64, seen: &mut Seen) {
    if value.is_nan() {
        seen.nans += 1;
        put(key, format_args!("?{}", seen.nans));
    } else if value == 0.0 {
        put(key, format_args!("n0"));
    } else if value.is_finite() && value.fract() == 0.0 {
        // All digits, exactly.
        put(key, format_args!("n{value:.0}"));
    } else {
        put(key, format_args!("f{:x}", value.to_bits()));
    }
}

fn put(key: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    key.write_fmt(text)
        .expect("writing to memory does not fail");
}
