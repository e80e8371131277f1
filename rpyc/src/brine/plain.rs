//! Values that were checked and stay where they are.

use super::token::{Int, Limits, Refused, Token, Tokens};
use super::value::Value;

/// One value of plain data, as the bytes that rpyc wrote: checked, and not copied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Plain<'a>(&'a [u8]);

impl<'a> Plain<'a> {
    /// Checks that `bytes` are one value and nothing else.
    ///
    /// # Errors
    ///
    /// They are not, in the one form that rpyc writes.
    pub fn read(bytes: &'a [u8], limits: Limits) -> Result<Self, Refused> {
        let mut tokens = Tokens(bytes);
        tokens.skip(limits.depth, &mut { limits.items })?;
        match tokens.0 {
            [] => Ok(Self(bytes)),
            _ => Err(Refused::Trailing),
        }
    }

    /// Takes one value that was checked as a part of a greater one.
    pub(crate) fn take(tokens: &mut Tokens<'a>) -> Self {
        let start = tokens.0;
        tokens.skip(usize::MAX, &mut { usize::MAX }).expect(CHECKED);
        Self(&start[..start.len() - tokens.0.len()])
    }

    /// The bytes that rpyc wrote.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Takes the value apart. This allocates for each container.
    pub fn value(&self) -> Value<'a> {
        Value::take(&mut Tokens(self.0))
    }

    /// The text, where it is one.
    pub fn as_str(&self) -> Option<&'a str> {
        match self.token() {
            Token::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, where it is one. A bool is none.
    pub fn as_int(&self) -> Option<Int<'a>> {
        match self.token() {
            Token::Int(value) => Some(value),
            _ => None,
        }
    }

    /// Is it `None`?
    pub fn is_none(&self) -> bool {
        matches!(self.token(), Token::None)
    }

    /// The items, where it is a tuple.
    pub fn as_tuple(&self) -> Option<Items<'a>> {
        let mut tokens = Tokens(self.0);
        match tokens.token() {
            Ok(Token::Tuple(left)) => Some(Items { tokens, left }),
            _ => None,
        }
    }

    /// Exactly `N` items of a tuple.
    pub(crate) fn exactly<const N: usize>(&self) -> Option<[Self; N]> {
        let mut items = self.as_tuple().filter(|items| items.len() == N)?;
        let mut taken = [*self; N];
        for place in &mut taken {
            *place = items.next()?;
        }
        Some(taken)
    }

    pub(crate) fn token(&self) -> Token<'a> {
        Tokens(self.0).token().expect(CHECKED)
    }
}

impl std::fmt::Debug for Plain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value().fmt(f)
    }
}

/// Why reading bytes a second time cannot fail: `Plain::read` has seen all of them.
pub(crate) const CHECKED: &str = "these bytes were read before, in the same way";

/// The items of a tuple, where they are.
#[derive(Clone, Copy, Debug)]
pub struct Items<'a> {
    pub(crate) tokens: Tokens<'a>,
    pub(crate) left: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = Plain<'a>;

    fn next(&mut self) -> Option<Plain<'a>> {
        self.left = self.left.checked_sub(1)?;
        Some(Plain::take(&mut self.tokens))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Items<'_> {}
