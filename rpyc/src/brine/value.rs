//! Values taken apart, and how they are written.

use super::plain::{CHECKED, Plain};
use super::token::{Int, Limits, Refused, Token, Tokens};
use super::{
    COMPLEX, ELLIPSIS, FALSE, FLOAT, FROZENSET, IMMEDIATE_ZERO, NONE, NOT_IMPLEMENTED, SLICE, TRUE,
    TUPLE_3, put_bytes, put_digits, put_str, put_tuple,
};

/// A value of plain data: everything that `core/brine.py` can write.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `None`.
    None,
    /// `NotImplemented`.
    NotImplemented,
    /// `Ellipsis`.
    Ellipsis,
    /// `True` and `False`, which are no integers here.
    Bool(bool),
    /// An `int`.
    Int(Int<'a>),
    /// A `float`. As in Python, a NaN is not equal to itself; its bits are kept.
    Float(f64),
    /// A `complex`: real and imaginary part.
    Complex(f64, f64),
    /// `bytes`.
    Bytes(&'a [u8]),
    /// A `str`.
    Str(&'a str),
    /// A `tuple`.
    Tuple(Vec<Value<'a>>),
    /// A `frozenset`, in the order of the bytes.
    Frozenset(Vec<Value<'a>>),
    /// A `slice`: start, stop and step.
    Slice(Box<[Value<'a>; 3]>),
}

impl<'a> Value<'a> {
    /// Reads one value that takes all of `bytes`. It costs up to 32 bytes of memory for
    /// each byte read.
    ///
    /// # Errors
    ///
    /// The bytes are not what rpyc writes for any value; see [`Refused`].
    pub fn read(bytes: &'a [u8], limits: Limits) -> Result<Self, Refused> {
        Plain::read(bytes, limits).map(|plain| plain.value())
    }

    /// Takes a value that was checked.
    pub(super) fn take(tokens: &mut Tokens<'a>) -> Self {
        match tokens.token().expect(CHECKED) {
            Token::None => Self::None,
            Token::NotImplemented => Self::NotImplemented,
            Token::Ellipsis => Self::Ellipsis,
            Token::Bool(value) => Self::Bool(value),
            Token::Int(value) => Self::Int(value),
            Token::Float(value) => Self::Float(value),
            Token::Complex(real, imaginary) => Self::Complex(real, imaginary),
            Token::Bytes(bytes) => Self::Bytes(bytes),
            Token::Str(text) => Self::Str(text),
            Token::Tuple(count) => Self::Tuple(Self::take_all(tokens, count)),
            Token::Frozenset(count) => Self::Frozenset(Self::take_all(tokens, count)),
            Token::Slice => Self::Slice(Box::new([(); 3].map(|()| Self::take(tokens)))),
        }
    }

    fn take_all(tokens: &mut Tokens<'a>, count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::take(tokens)).collect()
    }

    /// Writes the value as rpyc would.
    ///
    /// A value that [`read`](Self::read) gave is written as the bytes that it was read
    /// from. [`Int::Big`] is written as it is; lengths must be below 4 GiB.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => out.push(NONE),
            Self::NotImplemented => out.push(NOT_IMPLEMENTED),
            Self::Ellipsis => out.push(ELLIPSIS),
            Self::Bool(true) => out.push(TRUE),
            Self::Bool(false) => out.push(FALSE),
            Self::Int(Int::Small(value @ -48..160)) => {
                out.push((value + i64::from(IMMEDIATE_ZERO)) as u8);
            }
            Self::Int(Int::Small(value)) => put_digits(out, &value.to_string()),
            Self::Int(Int::Big(digits)) => put_digits(out, digits),
            Self::Float(value) => {
                out.push(FLOAT);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Complex(real, imaginary) => {
                out.push(COMPLEX);
                out.extend_from_slice(&real.to_be_bytes());
                out.extend_from_slice(&imaginary.to_be_bytes());
            }
            Self::Bytes(bytes) => put_bytes(out, bytes),
            Self::Str(text) => put_str(out, text),
            Self::Tuple(items) => {
                put_tuple(out, items.len());
                items.iter().for_each(|item| item.write(out));
            }
            Self::Frozenset(items) => {
                out.push(FROZENSET);
                put_tuple(out, items.len());
                items.iter().for_each(|item| item.write(out));
            }
            Self::Slice(parts) => {
                out.extend_from_slice(&[SLICE, TUPLE_3]);
                parts.iter().for_each(|part| part.write(out));
            }
        }
    }

    /// The bytes that rpyc would write.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

#[cfg(test)]
mod tests;
