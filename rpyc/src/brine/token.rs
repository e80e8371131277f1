//! Brine, item by item: each in the one form that rpyc writes it in.

use super::{
    BYTES_1, BYTES_4, BYTES_U8, BYTES_U32, COMPLEX, ELLIPSIS, EMPTY_BYTES, EMPTY_TUPLE, FALSE,
    FLOAT, FROZENSET, IMMEDIATE_FIRST, IMMEDIATE_LAST, IMMEDIATE_ZERO, INT_U8, INT_U32, NONE,
    NOT_IMPLEMENTED, SLICE, TRUE, TUPLE_1, TUPLE_3, TUPLE_4, TUPLE_U8, TUPLE_U32, UNICODE, sets,
};

/// The most digits that every Python reads and writes: `sys.int_info.default_max_str_digits`
/// since 3.11. Older ones take more.
const DIGITS_MAX: usize = 4300;

/// What one value may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tuples, sets and slices within each other. A boxed tuple takes two.
    pub depth: usize,
    /// Items in all, the containers counted too.
    pub items: usize,
}

impl Limits {
    /// For roles that may do everything: nothing that a real script sends comes near.
    pub const WIDE: Self = Self {
        depth: 64,
        items: 1 << 22,
    };
    /// For narrow roles.
    pub const NARROW: Self = Self {
        depth: 32,
        items: 1 << 16,
    };
}

/// Why bytes are not brine as rpyc writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The value goes on where the bytes end.
    #[error("the value is cut off")]
    Truncated,
    /// Bytes after the value.
    #[error("there are bytes after the value")]
    Trailing,
    /// No rpyc for Python 3 writes this tag.
    #[error("there is no brine tag {0:#04x}")]
    Tag(u8),
    /// A length or a small integer in a longer form than it needs.
    #[error("a length or a number is longer than it needs to be")]
    LongForm,
    /// Digits that Python would write in another way, such as `+1` or `007`.
    #[error("an integer is not written as Python writes it")]
    Digits,
    /// More digits than every Python takes.
    #[error("an integer has more than {DIGITS_MAX} digits")]
    HugeInt,
    /// Text that is not UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// Text, a set or a slice without what must follow it.
    #[error("the inside of a text, a set or a slice is of another type")]
    Inside,
    /// More containers within each other than [`Limits::depth`].
    #[error("the value is nested too deeply")]
    TooDeep,
    /// More items than [`Limits::items`].
    #[error("the value has too many items")]
    TooMany,
    /// Two elements of a set are equal in Python, or one has no hash.
    #[error("a set has an element twice, or one that cannot be in a set")]
    NotASet,
}

/// An integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Int<'a> {
    /// One that fits.
    Small(i64),
    /// Any other: its digits, with a `-` in front when it is negative.
    Big(&'a str),
}

impl Int<'_> {
    /// Its value where it is from 0 to `u64::MAX`.
    pub fn to_u64(self) -> Option<u64> {
        match self {
            Self::Small(value) => value.try_into().ok(),
            Self::Big(digits) => digits.parse().ok(),
        }
    }
}

/// One item. Containers say how many items follow.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Token<'a> {
    None,
    NotImplemented,
    Ellipsis,
    Bool(bool),
    Int(Int<'a>),
    Float(f64),
    Complex(f64, f64),
    Bytes(&'a [u8]),
    Str(&'a str),
    Tuple(usize),
    Frozenset(usize),
    /// Three items follow.
    Slice,
}

/// How an item begins, where its bytes have not all come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Begun<'a> {
    /// All of it: anything but what follows here.
    Whole(Token<'a>),
    /// So many bytes of text follow.
    Str(usize),
    /// So many bytes follow.
    Bytes(usize),
    /// So many items follow.
    Tuple(usize),
    /// So many items follow.
    Frozenset(usize),
    /// Three items follow.
    Slice,
}

/// Reads items off the front of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tokens<'a>(pub(crate) &'a [u8]);

impl<'a> Tokens<'a> {
    #[inline]
    pub(crate) fn token(&mut self) -> Result<Token<'a>, Refused> {
        let tag = self.byte()?;
        Ok(match tag {
            IMMEDIATE_FIRST..=IMMEDIATE_LAST => {
                Token::Int(Int::Small(i64::from(tag) - i64::from(IMMEDIATE_ZERO)))
            }
            UNICODE => {
                let tag = self.byte()?;
                let bytes = self.bytes(tag)?.ok_or(Refused::Inside)?;
                Token::Str(std::str::from_utf8(bytes).map_err(|_| Refused::NotUtf8)?)
            }
            INT_U8 | INT_U32 => {
                let digits = self.length(tag == INT_U32, 1)?;
                Token::Int(int(self.take(digits)?)?)
            }
            EMPTY_TUPLE | TUPLE_1..=TUPLE_4 | TUPLE_U8 | TUPLE_U32 => {
                Token::Tuple(self.tuple(tag)?)
            }
            NONE => Token::None,
            TRUE => Token::Bool(true),
            FALSE => Token::Bool(false),
            FLOAT => Token::Float(self.float()?),
            COMPLEX => Token::Complex(self.float()?, self.float()?),
            NOT_IMPLEMENTED => Token::NotImplemented,
            ELLIPSIS => Token::Ellipsis,
            SLICE => match self.byte()? {
                TUPLE_3 => Token::Slice,
                _ => return Err(Refused::Inside),
            },
            FROZENSET => match self.byte()? {
                tag @ (EMPTY_TUPLE | TUPLE_1..=TUPLE_4 | TUPLE_U8 | TUPLE_U32) => {
                    Token::Frozenset(self.tuple(tag)?)
                }
                _ => return Err(Refused::Inside),
            },
            tag => Token::Bytes(self.bytes(tag)?.ok_or(Refused::Tag(tag))?),
        })
    }

    /// Takes how an item begins. [`Refused::Truncated`] means that more bytes must come; not
    /// many, whatever they announce.
    pub(crate) fn begin(&mut self) -> Result<Begun<'a>, Refused> {
        let start = *self;
        Ok(match self.byte()? {
            UNICODE => {
                let tag = self.byte()?;
                Begun::Str(self.bytes_length(tag)?.ok_or(Refused::Inside)?)
            }
            tag @ (EMPTY_BYTES | BYTES_1..=BYTES_4 | BYTES_U8 | BYTES_U32) => {
                Begun::Bytes(self.bytes_length(tag)?.ok_or(Refused::Tag(tag))?)
            }
            tag @ (EMPTY_TUPLE | TUPLE_1..=TUPLE_4 | TUPLE_U8 | TUPLE_U32) => {
                Begun::Tuple(self.tuple_count(tag)?)
            }
            FROZENSET => match self.byte()? {
                tag @ (EMPTY_TUPLE | TUPLE_1..=TUPLE_4 | TUPLE_U8 | TUPLE_U32) => {
                    Begun::Frozenset(self.tuple_count(tag)?)
                }
                _ => return Err(Refused::Inside),
            },
            SLICE => match self.byte()? {
                TUPLE_3 => Begun::Slice,
                _ => return Err(Refused::Inside),
            },
            tag @ (INT_U8 | INT_U32) if self.length(tag == INT_U32, 1)? > DIGITS_MAX + 1 => {
                return Err(Refused::HugeInt);
            }
            _ => {
                *self = start;
                Begun::Whole(self.token()?)
            }
        })
    }

    /// Takes one whole value. `depth` and `items` are what is left of the limits.
    pub(crate) fn skip(&mut self, depth: usize, items: &mut usize) -> Result<(), Refused> {
        self.skip_in(depth, items, false)
    }

    fn skip_in(&mut self, depth: usize, items: &mut usize, in_set: bool) -> Result<(), Refused> {
        *items = items.checked_sub(1).ok_or(Refused::TooMany)?;
        let (count, is_set) = match self.token()? {
            Token::Tuple(count) => (count, false),
            Token::Frozenset(count) => (count, true),
            Token::Slice => (3, false),
            _ => return Ok(()),
        };
        let depth = depth.checked_sub(1).ok_or(Refused::TooDeep)?;
        let start = self.0;
        for _ in 0..count {
            self.skip_in(depth, items, in_set || is_set)?;
        }
        // The outermost set looks into those inside it.
        if is_set && !in_set {
            sets::check(Tokens(start), count)?;
        }
        Ok(())
    }

    /// Takes one whole value that was checked before, without looking into it again.
    pub(crate) fn pass(&mut self) -> Result<(), Refused> {
        let mut left = 1usize;
        while left > 0 {
            left -= 1;
            let length = match self.byte()? {
                UNICODE => {
                    let tag = self.byte()?;
                    self.bytes_length(tag)?.ok_or(Refused::Inside)?
                }
                tag @ (INT_U8 | INT_U32) => self.length(tag == INT_U32, 1)?,
                FLOAT => 8,
                COMPLEX => 16,
                // A tuple follows each.
                SLICE | FROZENSET => {
                    left += 1;
                    0
                }
                tag @ (TUPLE_1..=TUPLE_4 | TUPLE_U8 | TUPLE_U32) => {
                    left += self.tuple(tag)?;
                    0
                }
                tag => self.bytes_length(tag)?.unwrap_or(0),
            };
            self.take(length)?;
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Refused> {
        let (first, rest) = self.0.split_first().ok_or(Refused::Truncated)?;
        self.0 = rest;
        Ok(*first)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Refused> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Refused::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refused> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Refused::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// Any bits: Python keeps them, those of a NaN too.
    fn float(&mut self) -> Result<f64, Refused> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    /// A length that could not have been written shorter: `least` is the first without a
    /// form of its own.
    fn length(&mut self, four_bytes: bool, least: usize) -> Result<usize, Refused> {
        let (length, least) = if four_bytes {
            (u32::from_be_bytes(self.array()?) as usize, 256)
        } else {
            (usize::from(self.byte()?), least)
        };
        if length < least {
            return Err(Refused::LongForm);
        }
        Ok(length)
    }

    /// What a tag of bytes promises; `None` when it is no such tag.
    fn bytes(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Refused> {
        match self.bytes_length(tag)? {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    fn bytes_length(&mut self, tag: u8) -> Result<Option<usize>, Refused> {
        Ok(Some(match tag {
            EMPTY_BYTES => 0,
            BYTES_1..=BYTES_4 => usize::from(tag - BYTES_1) + 1,
            BYTES_U8 | BYTES_U32 => self.length(tag == BYTES_U32, 5)?,
            _ => return Ok(None),
        }))
    }

    fn tuple(&mut self, tag: u8) -> Result<usize, Refused> {
        let count = self.tuple_count(tag)?;
        // Each item takes a byte at least, so that no count promises more than there is.
        if count > self.0.len() {
            return Err(Refused::Truncated);
        }
        Ok(count)
    }

    fn tuple_count(&mut self, tag: u8) -> Result<usize, Refused> {
        Ok(match tag {
            EMPTY_TUPLE => 0,
            TUPLE_1..=TUPLE_4 => usize::from(tag - TUPLE_1) + 1,
            _ => self.length(tag == TUPLE_U32, 5)?,
        })
    }
}

/// An integer by its digits, of which there is one at least.
fn int(text: &[u8]) -> Result<Int<'_>, Refused> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !matches!(digits.first(), Some(b'1'..=b'9')) {
        return Err(Refused::Digits);
    }
    if digits.len() > DIGITS_MAX {
        return Err(Refused::HugeInt);
    }
    // 18 digits always fit.
    if digits.len() <= 18 {
        let mut value = 0i64;
        for digit in digits {
            match digit {
                b'0'..=b'9' => value = value * 10 + i64::from(digit - b'0'),
                _ => return Err(Refused::Digits),
            }
        }
        let value = if negative { -value } else { value };
        if (-48..160).contains(&value) {
            return Err(Refused::LongForm);
        }
        return Ok(Int::Small(value));
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Refused::Digits);
    }
    let text = std::str::from_utf8(text).map_err(|_| Refused::Digits)?;
    Ok(match text.parse() {
        Ok(value) => Int::Small(value),
        Err(_) => Int::Big(text),
    })
}
