//! Boxing: how a value or a reference to an object travels.

use super::{Malformed, Owner};
use crate::brine::{self, Int, Plain, Token, Tokens, put_count, put_str, put_tuple};

pub(super) const VALUE: i64 = 1;
pub(super) const TUPLE: i64 = 2;
pub(super) const LOCAL_REF: i64 = 3;
pub(super) const REMOTE_REF: i64 = 4;

const LABEL_ZERO: u8 = 0x50;

/// The name of an object on the wire: `get_id_pack` (`lib/__init__.py`).
///
/// Python uses an id again as soon as its object is gone; rpyc keeps what it has handed out
/// alive until the last `DEL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId<'a> {
    /// Module and name of the class, such as `hou.ObjNode`; of the object itself where
    /// that is a class, and in 4.1.5 and later where it is a module.
    pub name: &'a str,
    /// `id()` of the class.
    pub type_id: u64,
    /// `id()` of the object, or 0 where it is a class.
    pub object_id: u64,
}

impl<'a> ObjectId<'a> {
    /// Reads a checked value.
    pub(super) fn read(value: Plain<'a>) -> Result<Self, Malformed> {
        Self::take(&mut Tokens(value.as_bytes()))
    }

    fn take(tokens: &mut Tokens<'a>) -> Result<Self, Malformed> {
        match tokens.token()? {
            Token::Tuple(3) => {}
            // `(id, class, module)` travelled as the id alone when it came back.
            Token::Int(_) | Token::Str(_) => return Err(Malformed::OldFamily),
            _ => return Err(Malformed::ObjectId),
        }
        match [tokens.token()?, tokens.token()?, tokens.token()?] {
            [Token::Str(name), Token::Int(type_id), Token::Int(object_id)] => {
                match (type_id.to_u64(), object_id.to_u64()) {
                    (Some(type_id), Some(object_id)) => Ok(Self {
                        name,
                        type_id,
                        object_id,
                    }),
                    _ => Err(Malformed::ObjectId),
                }
            }
            [Token::Int(_), Token::Str(_), Token::Str(_)] => Err(Malformed::OldFamily),
            _ => Err(Malformed::ObjectId),
        }
    }

    /// Is the object a class?
    pub fn is_class(&self) -> bool {
        self.object_id == 0
    }

    /// Writes it as brine.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(brine::TUPLE_3);
        put_str(out, self.name);
        put_count(out, self.type_id);
        put_count(out, self.object_id);
    }
}

/// A value or a reference, as `_box` makes it.
#[derive(Clone, Copy, Debug)]
pub enum Boxed<'a> {
    /// `LABEL_VALUE`: plain data.
    Plain(Plain<'a>),
    /// `LABEL_TUPLE`: a tuple with at least one reference in it.
    Tuple(BoxedTuple<'a>),
    /// `LABEL_LOCAL_REF`: an object of the receiver.
    Local(ObjectId<'a>),
    /// `LABEL_REMOTE_REF`: an object of the sender.
    Remote(ObjectId<'a>),
}

impl<'a> Boxed<'a> {
    /// Reads a checked value that is nothing but one boxed value.
    pub(super) fn read(value: Plain<'a>) -> Result<Self, Malformed> {
        Self::take(&mut Tokens(value.as_bytes()))
    }

    fn take(tokens: &mut Tokens<'a>) -> Result<Self, Malformed> {
        let Token::Tuple(2) = tokens.token()? else {
            return Err(Malformed::Label);
        };
        let Token::Int(Int::Small(label)) = tokens.token()? else {
            return Err(Malformed::Label);
        };
        Ok(match label {
            VALUE => Self::Plain(Plain::take(tokens)),
            TUPLE => Self::Tuple(BoxedTuple::take(tokens)?),
            LOCAL_REF => Self::Local(ObjectId::take(tokens)?),
            REMOTE_REF => Self::Remote(ObjectId::take(tokens)?),
            _ => return Err(Malformed::Label),
        })
    }

    /// Takes a boxed value that was checked, without looking into what it holds.
    fn take_checked(tokens: &mut Tokens<'a>) -> Result<Self, Malformed> {
        let (Token::Tuple(2), Token::Int(Int::Small(label))) = (tokens.token()?, tokens.token()?)
        else {
            return Err(Malformed::Label);
        };
        Ok(match label {
            TUPLE => {
                let mut whole = *tokens;
                let Token::Tuple(left) = whole.token()? else {
                    return Err(Malformed::Label);
                };
                tokens.pass()?;
                Self::Tuple(BoxedTuple {
                    tokens: whole,
                    left,
                })
            }
            VALUE => Self::Plain(Plain::take(tokens)),
            LOCAL_REF => Self::Local(ObjectId::take(tokens)?),
            _ => Self::Remote(ObjectId::take(tokens)?),
        })
    }

    /// The plain data, where it is that.
    pub fn plain(&self) -> Option<Plain<'a>> {
        match self {
            Self::Plain(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(value) => {
                put_label(out, VALUE);
                out.extend_from_slice(value.as_bytes());
            }
            Self::Tuple(items) => {
                put_label(out, TUPLE);
                put_tuple(out, items.left);
                items.for_each(|item| item.write(out));
            }
            Self::Local(id) => put_local(out, id),
            Self::Remote(id) => {
                put_label(out, REMOTE_REF);
                id.write(out);
            }
        }
    }

    pub(super) fn references(&self, on: &mut impl FnMut(Owner, ObjectId<'a>)) {
        match self {
            Self::Plain(_) => {}
            Self::Tuple(items) => {
                // By hand, since a closure in a recursion would never end growing.
                for item in *items {
                    item.references(on);
                }
            }
            Self::Local(id) => on(Owner::Receiver, *id),
            Self::Remote(id) => on(Owner::Sender, *id),
        }
    }
}

/// The items of a boxed tuple, where they are.
#[derive(Clone, Copy, Debug)]
pub struct BoxedTuple<'a> {
    tokens: Tokens<'a>,
    left: usize,
}

impl<'a> BoxedTuple<'a> {
    fn take(tokens: &mut Tokens<'a>) -> Result<Self, Malformed> {
        let Token::Tuple(left) = tokens.token()? else {
            return Err(Malformed::Label);
        };
        let start = *tokens;
        let mut plain = true;
        for _ in 0..left {
            plain &= Boxed::take(tokens)?.plain().is_some();
        }
        // `_box` gives a label of its own to each item only where one is not plain.
        if plain {
            return Err(Malformed::PlainTuple);
        }
        Ok(Self {
            tokens: start,
            left,
        })
    }

    /// Exactly `N` items.
    pub(super) fn exactly<const N: usize>(mut self) -> Option<[Boxed<'a>; N]> {
        if self.left != N {
            return None;
        }
        let mut taken = [None; N];
        for place in &mut taken {
            *place = self.next();
        }
        let mut taken = taken.into_iter().flatten();
        let first = taken.next()?;
        let mut items = [first; N];
        for (place, item) in items[1..].iter_mut().zip(taken) {
            *place = item;
        }
        Some(items)
    }
}

impl<'a> Iterator for BoxedTuple<'a> {
    type Item = Boxed<'a>;

    fn next(&mut self) -> Option<Boxed<'a>> {
        self.left = self.left.checked_sub(1)?;
        Some(Boxed::take_checked(&mut self.tokens).expect(brine::CHECKED))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for BoxedTuple<'_> {}

pub(super) fn put_label(out: &mut Vec<u8>, label: i64) {
    out.extend_from_slice(&[brine::TUPLE_2, LABEL_ZERO + label as u8]);
}

/// A reference to an object of the receiver.
pub(super) fn put_local(out: &mut Vec<u8>, id: &ObjectId<'_>) {
    put_label(out, LOCAL_REF);
    id.write(out);
}

/// Plain data follows.
pub(super) fn put_value(out: &mut Vec<u8>) {
    put_label(out, VALUE);
}

/// `count` boxed items follow.
pub(super) fn put_items(out: &mut Vec<u8>, count: usize) {
    put_label(out, TUPLE);
    put_tuple(out, count);
}
