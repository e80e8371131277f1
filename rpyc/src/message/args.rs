//! The arguments of a call.

use std::collections::HashSet;

use super::{Boxed, BoxedTuple, Malformed, ObjectId, Owner};
use crate::brine::{Items, Plain};

/// Positional arguments: a tuple, plain or boxed item by item.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    boxed: Boxed<'a>,
}

impl<'a> Args<'a> {
    pub(super) fn read(boxed: Boxed<'a>) -> Option<Self> {
        match boxed {
            Boxed::Plain(value) => value.as_tuple().map(|_| Self { boxed }),
            Boxed::Tuple(_) => Some(Self { boxed }),
            _ => None,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.iter().len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in order.
    pub fn iter(&self) -> ArgsIter<'a> {
        match self.boxed {
            Boxed::Tuple(items) => ArgsIter::Boxed(items),
            // Nothing but a tuple gets here.
            other => match other.plain().and_then(|value| value.as_tuple()) {
                Some(items) => ArgsIter::Plain(items),
                None => unreachable!("arguments are a tuple"),
            },
        }
    }

    /// Exactly `N` of them.
    pub(super) fn exactly<const N: usize>(&self) -> Option<[Boxed<'a>; N]> {
        match self.boxed {
            Boxed::Plain(value) => value.exactly().map(|items| items.map(Boxed::Plain)),
            Boxed::Tuple(items) => items.exactly(),
            _ => None,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.boxed.write(out);
    }

    pub(super) fn references(&self, on: &mut impl FnMut(Owner, ObjectId<'a>)) {
        self.boxed.references(on);
    }
}

/// Goes through [`Args`].
#[derive(Clone, Copy, Debug)]
pub enum ArgsIter<'a> {
    /// All are plain.
    Plain(Items<'a>),
    /// At least one has a reference in it.
    Boxed(BoxedTuple<'a>),
}

impl<'a> Iterator for ArgsIter<'a> {
    type Item = Boxed<'a>;

    fn next(&mut self) -> Option<Boxed<'a>> {
        match self {
            Self::Plain(items) => items.next().map(Boxed::Plain),
            Self::Boxed(items) => items.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Plain(items) => items.size_hint(),
            Self::Boxed(items) => items.size_hint(),
        }
    }
}

impl ExactSizeIterator for ArgsIter<'_> {}

/// Keyword arguments: pairs of a name and a value.
#[derive(Clone, Copy, Debug)]
pub struct Kwargs<'a> {
    pairs: Args<'a>,
}

impl<'a> Kwargs<'a> {
    pub(super) fn read(boxed: Boxed<'a>) -> Result<Self, Malformed> {
        let pairs = Args::read(boxed).ok_or(Malformed::Keyword)?;
        // They come from a dict. The server makes one of them again, in which the last of
        // two would win.
        if !pairs.is_empty() {
            let mut names = HashSet::new();
            for item in pairs.iter() {
                let (name, _) = pair(item).ok_or(Malformed::Keyword)?;
                if !names.insert(name) {
                    return Err(Malformed::Keyword);
                }
            }
        }
        Ok(Self { pairs })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// All of them, in the order in which they were given.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, Boxed<'a>)> + use<'a> {
        self.pairs
            .iter()
            .map(|item| pair(item).expect(crate::brine::CHECKED))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.pairs.write(out);
    }

    pub(super) fn references(&self, on: &mut impl FnMut(Owner, ObjectId<'a>)) {
        self.pairs.references(on);
    }
}

fn pair(item: Boxed<'_>) -> Option<(&str, Boxed<'_>)> {
    let [name, value]: [Boxed<'_>; 2] = Args::read(item)?.exactly()?;
    Some((name.plain().as_ref().and_then(Plain::as_str)?, value))
}
