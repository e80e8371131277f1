//! Brine whose bytes come in pieces, item by item and in little memory.

use super::token::{Begun, Refused, Tokens};

/// Reads items as they arrive, as strictly as [`Tokens`], but for what a set may hold.
#[derive(Debug, Default)]
pub(crate) struct Arriving {
    /// The beginning of an item, when that has not come whole.
    begun: Vec<u8>,
    /// `begun` was given out as a whole item.
    given: bool,
    body: Option<Body>,
}

/// What follows the beginning of a text or of bytes.
#[derive(Debug)]
struct Body {
    left: usize,
    text: Option<Utf8>,
}

/// What has arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Item<'a> {
    /// How an item begins, and the bytes of that. Parts follow a text and bytes, also empty
    /// ones.
    Begun(Begun<'a>, &'a [u8]),
    /// Some bytes of the text or of the bytes.
    Part {
        /// What came. Of a text it may end within a character.
        bytes: &'a [u8],
        /// It was the last part.
        last: bool,
    },
}

impl Arriving {
    /// Takes the next item off `input`; `None` when all of it is taken and more must come.
    pub(crate) fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Item<'a>>, Refused> {
        if let Some(body) = &mut self.body {
            let (bytes, rest) = input.split_at(body.left.min(input.len()));
            *input = rest;
            body.left -= bytes.len();
            if bytes.is_empty() && body.left > 0 {
                return Ok(None);
            }
            let last = body.left == 0;
            if let Some(text) = &mut body.text {
                text.check(bytes, last)?;
            }
            if last {
                self.body = None;
            }
            return Ok(Some(Item::Part { bytes, last }));
        }
        if std::mem::take(&mut self.given) {
            self.begun.clear();
        }
        if self.begun.is_empty() {
            let mut tokens = Tokens(input);
            return match tokens.begin() {
                Ok(begun) => {
                    let (bytes, rest) = input.split_at(input.len() - tokens.0.len());
                    *input = rest;
                    self.body = Body::of(begun);
                    Ok(Some(Item::Begun(begun, bytes)))
                }
                Err(Refused::Truncated) => {
                    self.begun.extend_from_slice(input);
                    *input = &[];
                    Ok(None)
                }
                Err(refused) => Err(refused),
            };
        }
        loop {
            let Some((next, rest)) = input.split_first() else {
                return Ok(None);
            };
            *input = rest;
            self.begun.push(*next);
            match Tokens(&self.begun).begin() {
                Err(Refused::Truncated) => {}
                Ok(_) => break,
                Err(refused) => return Err(refused),
            }
        }
        self.given = true;
        let begun = Tokens(&self.begun).begin()?;
        self.body = Body::of(begun);
        Ok(Some(Item::Begun(begun, &self.begun)))
    }
}

impl Body {
    fn of(begun: Begun<'_>) -> Option<Self> {
        match begun {
            Begun::Str(left) => Some(Self {
                left,
                text: Some(Utf8::default()),
            }),
            Begun::Bytes(left) => Some(Self { left, text: None }),
            _ => None,
        }
    }
}

/// Checks UTF-8 that comes in pieces.
#[derive(Debug, Default)]
struct Utf8 {
    /// The beginning of a character.
    held: [u8; 4],
    have: usize,
}

impl Utf8 {
    fn check(&mut self, mut bytes: &[u8], last: bool) -> Result<(), Refused> {
        while self.have > 0
            && let Some((next, rest)) = bytes.split_first()
        {
            bytes = rest;
            self.held[self.have] = *next;
            self.have += 1;
            match std::str::from_utf8(&self.held[..self.have]) {
                Ok(_) => self.have = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(Refused::NotUtf8),
            }
        }
        if let Err(error) = std::str::from_utf8(bytes) {
            let rest = &bytes[error.valid_up_to()..];
            if error.error_len().is_some() {
                return Err(Refused::NotUtf8);
            }
            self.held[..rest.len()].copy_from_slice(rest);
            self.have = rest.len();
        }
        match last && self.have > 0 {
            true => Err(Refused::NotUtf8),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
