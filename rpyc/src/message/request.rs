//! What is asked for: `HANDLE_...` of `core/consts.py`, and what `core/netref.py` sends.

mod read;
mod write;

use super::{Args, Boxed, Kwargs, ObjectId, Owner};
use crate::head;

const GETATTR: u8 = 4;
const DELATTR: u8 = 5;
pub(super) const SETATTR: u8 = 6;
pub(super) const CALL: u8 = 7;
pub(super) const CALLATTR: u8 = 8;
const REPR: u8 = 9;
const STR: u8 = 10;
const CMP: u8 = 11;
const HASH: u8 = 12;
const DIR: u8 = 13;
const PICKLE: u8 = 14;
const DEL: u8 = 15;
const INSPECT: u8 = 16;
const BUFFITER: u8 = 17;
pub(super) const OLDSLICING: u8 = 18;
pub(super) const CTXEXIT: u8 = 19;
const INSTANCECHECK: u8 = 20;

/// A request. `target` is an object of the receiver in all of them.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// Gives `data` back.
    Ping {
        /// Anything.
        data: Boxed<'a>,
    },
    /// Ends the connection.
    Close,
    /// The receiver's service.
    GetRoot,
    /// `getattr(target, name)`.
    GetAttr {
        /// The object.
        target: ObjectId<'a>,
        /// Of the attribute.
        name: &'a str,
    },
    /// `delattr(target, name)`.
    DelAttr {
        /// The object.
        target: ObjectId<'a>,
        /// Of the attribute.
        name: &'a str,
    },
    /// `setattr(target, name, value)`.
    SetAttr {
        /// The object.
        target: ObjectId<'a>,
        /// Of the attribute.
        name: &'a str,
        /// The new value.
        value: Boxed<'a>,
    },
    /// `target(*args, **kwargs)`.
    Call {
        /// A function, a bound method, a class: whatever is called.
        target: ObjectId<'a>,
        /// Positional arguments.
        args: Args<'a>,
        /// Keyword arguments.
        kwargs: Kwargs<'a>,
    },
    /// `getattr(target, name)(*args, **kwargs)`: how Python's operators and `len`, `iter`,
    /// `[]` and the like reach a remote object.
    CallAttr {
        /// The object.
        target: ObjectId<'a>,
        /// Of the method.
        name: &'a str,
        /// Positional arguments.
        args: Args<'a>,
        /// Keyword arguments.
        kwargs: Kwargs<'a>,
    },
    /// `repr(target)`.
    Repr {
        /// The object.
        target: ObjectId<'a>,
    },
    /// `str(target)`.
    Str {
        /// The object.
        target: ObjectId<'a>,
    },
    /// `target == other` and the other comparisons.
    Cmp {
        /// The left side.
        target: ObjectId<'a>,
        /// The right side.
        other: Boxed<'a>,
        /// Which comparison.
        op: Compare,
    },
    /// `hash(target)`.
    Hash {
        /// The object.
        target: ObjectId<'a>,
    },
    /// `dir(target)`.
    Dir {
        /// The object.
        target: ObjectId<'a>,
    },
    /// `pickle.dumps(target, protocol)`.
    Pickle {
        /// The object.
        target: ObjectId<'a>,
        /// The version of the pickle format, or -1.
        protocol: i64,
    },
    /// The sender has dropped `count` references to the object.
    Del {
        /// The object.
        target: ObjectId<'a>,
        /// How often it had come. Never 0.
        count: u64,
    },
    /// The names and texts of the methods that the object has.
    Inspect {
        /// The object.
        target: ObjectId<'a>,
    },
    /// The next `count` items of an iterator.
    BuffIter {
        /// The iterator.
        target: ObjectId<'a>,
        /// At most so many.
        count: u64,
    },
    /// `target[start:stop]` of Python 2.
    OldSlicing {
        /// The object.
        target: ObjectId<'a>,
        /// `__getitem__`, `__delitem__` or `__setitem__`.
        attempt: &'a str,
        /// `__getslice__`, `__delslice__` or `__setslice__`.
        fallback: &'a str,
        /// Where it begins.
        start: Boxed<'a>,
        /// Where it ends.
        stop: Boxed<'a>,
        /// What to put there.
        args: Args<'a>,
    },
    /// The end of a `with` block.
    CtxExit {
        /// The context manager.
        target: ObjectId<'a>,
        /// What was raised in it, or `None`.
        exception: Boxed<'a>,
    },
    /// `isinstance(other, target)`.
    InstanceCheck {
        /// The class.
        target: ObjectId<'a>,
        /// An object of the receiver, as plain data.
        other: ObjectId<'a>,
    },
}

/// The comparisons that `BaseNetref` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "they are Python's operators")]
pub enum Compare {
    Cmp,
    Eq,
    Ne,
    Lt,
    Gt,
    Le,
    Ge,
}

impl Compare {
    const ALL: [Self; 7] = [
        Self::Cmp,
        Self::Eq,
        Self::Ne,
        Self::Lt,
        Self::Gt,
        Self::Le,
        Self::Ge,
    ];

    /// The method that is called.
    pub fn method(self) -> &'static str {
        match self {
            Self::Cmp => "__cmp__",
            Self::Eq => "__eq__",
            Self::Ne => "__ne__",
            Self::Lt => "__lt__",
            Self::Gt => "__gt__",
            Self::Le => "__le__",
            Self::Ge => "__ge__",
        }
    }

    fn from_method(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.method() == name)
    }
}

impl<'a> Request<'a> {
    /// `HANDLE_...` in `core/consts.py`.
    pub fn handler(&self) -> u8 {
        match self {
            Self::Ping { .. } => head::PING,
            Self::Close => head::CLOSE,
            Self::GetRoot => head::GETROOT,
            Self::GetAttr { .. } => GETATTR,
            Self::DelAttr { .. } => DELATTR,
            Self::SetAttr { .. } => SETATTR,
            Self::Call { .. } => CALL,
            Self::CallAttr { .. } => CALLATTR,
            Self::Repr { .. } => REPR,
            Self::Str { .. } => STR,
            Self::Cmp { .. } => CMP,
            Self::Hash { .. } => HASH,
            Self::Dir { .. } => DIR,
            Self::Pickle { .. } => PICKLE,
            Self::Del { .. } => DEL,
            Self::Inspect { .. } => INSPECT,
            Self::BuffIter { .. } => BUFFITER,
            Self::OldSlicing { .. } => OLDSLICING,
            Self::CtxExit { .. } => CTXEXIT,
            Self::InstanceCheck { .. } => INSTANCECHECK,
        }
    }

    /// Its name in `core/consts.py`, without `HANDLE_`.
    pub fn name(&self) -> &'static str {
        read::reader_of(self.handler()).map_or("", |(name, _)| name)
    }

    /// The object that it is about.
    pub fn target(&self) -> Option<ObjectId<'a>> {
        match *self {
            Self::Ping { .. } | Self::Close | Self::GetRoot => None,
            Self::GetAttr { target, .. }
            | Self::DelAttr { target, .. }
            | Self::SetAttr { target, .. }
            | Self::Call { target, .. }
            | Self::CallAttr { target, .. }
            | Self::Repr { target }
            | Self::Str { target }
            | Self::Cmp { target, .. }
            | Self::Hash { target }
            | Self::Dir { target }
            | Self::Pickle { target, .. }
            | Self::Del { target, .. }
            | Self::Inspect { target }
            | Self::BuffIter { target, .. }
            | Self::OldSlicing { target, .. }
            | Self::CtxExit { target, .. }
            | Self::InstanceCheck { target, .. } => Some(target),
        }
    }

    /// Every reference in it: the target first, then those in the arguments.
    pub(crate) fn references(&self, on: &mut impl FnMut(Owner, ObjectId<'a>)) {
        if let Some(target) = self.target() {
            on(Owner::Receiver, target);
        }
        match self {
            Self::Ping { data: value }
            | Self::SetAttr { value, .. }
            | Self::Cmp { other: value, .. }
            | Self::CtxExit {
                exception: value, ..
            } => value.references(on),
            Self::Call { args, kwargs, .. } | Self::CallAttr { args, kwargs, .. } => {
                args.references(on);
                kwargs.references(on);
            }
            Self::OldSlicing {
                start, stop, args, ..
            } => {
                start.references(on);
                stop.references(on);
                args.references(on);
            }
            Self::InstanceCheck { other, .. } => on(Owner::Receiver, *other),
            _ => {}
        }
    }
}
