//! What is asked for: `HANDLE_...` of `core/consts.py`, and what `core/netref.py` sends.

use super::boxed::{put_items, put_local, put_value};
use super::{Args, Boxed, Kwargs, Malformed, ObjectId, Owner};
use crate::brine::{Int, Plain, Value, put_count, put_str, put_tuple};
use crate::head;

const GETATTR: u8 = 4;
const DELATTR: u8 = 5;
const SETATTR: u8 = 6;
const CALL: u8 = 7;
const CALLATTR: u8 = 8;
const REPR: u8 = 9;
const STR: u8 = 10;
const CMP: u8 = 11;
const HASH: u8 = 12;
const DIR: u8 = 13;
const PICKLE: u8 = 14;
const DEL: u8 = 15;
const INSPECT: u8 = 16;
const BUFFITER: u8 = 17;
const OLDSLICING: u8 = 18;
const CTXEXIT: u8 = 19;
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

/// What `core/netref.py::_make_method` calls for each method of Python 2's slices.
fn slicer(fallback: &str) -> Option<&'static str> {
    match fallback {
        "__getslice__" => Some("__getitem__"),
        "__delslice__" => Some("__delitem__"),
        "__setslice__" => Some("__setitem__"),
        _ => None,
    }
}

impl<'a> Request<'a> {
    pub(super) fn read(handler: u8, args: Plain<'a>) -> Result<Self, Malformed> {
        let (name, read) = reader_of(handler).ok_or(Malformed::Handler(handler))?;
        let args = Args::read(Boxed::read(args)?).ok_or(Malformed::Arguments(name))?;
        read(Given { name, args })
    }

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
        reader_of(self.handler()).map_or("", |(name, _)| name)
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

    pub(super) fn references(&self, on: &mut impl FnMut(Owner, ObjectId<'a>)) {
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

    /// Writes the boxed arguments.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut with = |count: usize| {
            put_items(out, count + 1);
            if let Some(target) = self.target() {
                put_local(out, &target);
            }
        };
        match self {
            Self::Ping {
                data: Boxed::Plain(data),
            } => {
                put_value(out);
                put_tuple(out, 1);
                out.extend_from_slice(data.as_bytes());
            }
            Self::Ping { data } => {
                put_items(out, 1);
                data.write(out);
            }
            Self::Close | Self::GetRoot => {
                put_value(out);
                put_tuple(out, 0);
            }
            Self::Inspect { target } => {
                put_value(out);
                put_tuple(out, 1);
                target.write(out);
            }
            Self::GetAttr { name, .. } | Self::DelAttr { name, .. } => {
                with(1);
                put_text(out, name);
            }
            Self::SetAttr { name, value, .. } => {
                with(2);
                put_text(out, name);
                value.write(out);
            }
            Self::Call { args, kwargs, .. } => {
                with(2);
                args.write(out);
                kwargs.write(out);
            }
            Self::CallAttr {
                name, args, kwargs, ..
            } => {
                with(3);
                put_text(out, name);
                args.write(out);
                kwargs.write(out);
            }
            Self::Repr { .. } | Self::Str { .. } | Self::Hash { .. } | Self::Dir { .. } => with(0),
            Self::Cmp { other, op, .. } => {
                with(2);
                other.write(out);
                put_text(out, op.method());
            }
            Self::Pickle { protocol, .. } => {
                with(1);
                put_value(out);
                Value::Int(Int::Small(*protocol)).write(out);
            }
            Self::Del { count, .. } | Self::BuffIter { count, .. } => {
                with(1);
                put_value(out);
                put_count(out, *count);
            }
            Self::OldSlicing {
                attempt,
                fallback,
                start,
                stop,
                args,
                ..
            } => {
                with(5);
                put_text(out, attempt);
                put_text(out, fallback);
                start.write(out);
                stop.write(out);
                args.write(out);
            }
            Self::CtxExit { exception, .. } => {
                with(1);
                exception.write(out);
            }
            Self::InstanceCheck { other, .. } => {
                with(1);
                put_value(out);
                other.write(out);
            }
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_value(out);
    put_str(out, text);
}

/// The arguments of a request of a known kind.
struct Given<'a> {
    name: &'static str,
    args: Args<'a>,
}

type ReadArgs = for<'a> fn(Given<'a>) -> Result<Request<'a>, Malformed>;

/// The name and the reader for each kind of request.
fn reader_of(handler: u8) -> Option<(&'static str, ReadArgs)> {
    let found: (&'static str, ReadArgs) = match handler {
        head::PING => ("PING", |given| {
            let [data] = given.items()?;
            Ok(Request::Ping { data })
        }),
        head::CLOSE => ("CLOSE", |given| given.nothing(Request::Close)),
        head::GETROOT => ("GETROOT", |given| given.nothing(Request::GetRoot)),
        GETATTR => ("GETATTR", |given| {
            let (target, [name]) = given.target_and()?;
            let name = text(name)?;
            Ok(Request::GetAttr { target, name })
        }),
        DELATTR => ("DELATTR", |given| {
            let (target, [name]) = given.target_and()?;
            let name = text(name)?;
            Ok(Request::DelAttr { target, name })
        }),
        SETATTR => ("SETATTR", |given| {
            let (target, [name, value]) = given.target_and()?;
            let name = text(name)?;
            Ok(Request::SetAttr {
                target,
                name,
                value,
            })
        }),
        CALL => ("CALL", |given| {
            let (target, [args, kwargs]) = given.target_and()?;
            Ok(Request::Call {
                target,
                args: given.tuple(args)?,
                kwargs: Kwargs::read(kwargs)?,
            })
        }),
        CALLATTR => ("CALLATTR", |given| {
            let (target, [name, args, kwargs]) = given.target_and()?;
            Ok(Request::CallAttr {
                target,
                name: text(name)?,
                args: given.tuple(args)?,
                kwargs: Kwargs::read(kwargs)?,
            })
        }),
        REPR => ("REPR", |given| {
            let target = given.target()?;
            Ok(Request::Repr { target })
        }),
        STR => ("STR", |given| {
            let target = given.target()?;
            Ok(Request::Str { target })
        }),
        CMP => ("CMP", |given| {
            let (target, [other, op]) = given.target_and()?;
            let op = Compare::from_method(text(op)?).ok_or(Malformed::Operator)?;
            Ok(Request::Cmp { target, other, op })
        }),
        HASH => ("HASH", |given| {
            let target = given.target()?;
            Ok(Request::Hash { target })
        }),
        DIR => ("DIR", |given| {
            let target = given.target()?;
            Ok(Request::Dir { target })
        }),
        PICKLE => ("PICKLE", |given| {
            let (target, [protocol]) = given.target_and()?;
            let Some(Int::Small(protocol)) = protocol.plain().and_then(|value| value.as_int())
            else {
                return Err(Malformed::Arguments(given.name));
            };
            Ok(Request::Pickle { target, protocol })
        }),
        DEL => ("DEL", |given| {
            let (target, [count]) = given.target_and()?;
            let count = number(count).filter(|count| *count > 0);
            let count = count.ok_or(Malformed::Count)?;
            Ok(Request::Del { target, count })
        }),
        INSPECT => ("INSPECT", |given| {
            let [target] = given.items()?;
            let target = given.plain_id(target)?;
            Ok(Request::Inspect { target })
        }),
        BUFFITER => ("BUFFITER", |given| {
            let (target, [count]) = given.target_and()?;
            let count = number(count).ok_or(Malformed::Count)?;
            Ok(Request::BuffIter { target, count })
        }),
        OLDSLICING => ("OLDSLICING", |given| {
            let (target, [attempt, fallback, start, stop, args]) = given.target_and()?;
            let (attempt, fallback) = (text(attempt)?, text(fallback)?);
            if slicer(fallback) != Some(attempt) {
                return Err(Malformed::Operator);
            }
            Ok(Request::OldSlicing {
                target,
                attempt,
                fallback,
                start,
                stop,
                args: given.tuple(args)?,
            })
        }),
        CTXEXIT => ("CTXEXIT", |given| {
            let (target, [exception]) = given.target_and()?;
            Ok(Request::CtxExit { target, exception })
        }),
        INSTANCECHECK => ("INSTANCECHECK", |given| {
            let (target, [other]) = given.target_and()?;
            let other = given.plain_id(other)?;
            Ok(Request::InstanceCheck { target, other })
        }),
        _ => return None,
    };
    Some(found)
}

impl<'a> Given<'a> {
    fn wrong(&self) -> Malformed {
        Malformed::Arguments(self.name)
    }

    fn nothing(&self, request: Request<'a>) -> Result<Request<'a>, Malformed> {
        match self.args.is_empty() {
            true => Ok(request),
            false => Err(self.wrong()),
        }
    }

    fn items<const N: usize>(&self) -> Result<[Boxed<'a>; N], Malformed> {
        self.args.exactly().ok_or_else(|| self.wrong())
    }

    fn target(&self) -> Result<ObjectId<'a>, Malformed> {
        let (target, []) = self.target_and()?;
        Ok(target)
    }

    /// The object that the request is about, and what else there is.
    fn target_and<const N: usize>(&self) -> Result<(ObjectId<'a>, [Boxed<'a>; N]), Malformed> {
        let mut items = self.args.iter();
        if items.len() != N + 1 {
            return Err(self.wrong());
        }
        let Some(Boxed::Local(target)) = items.next() else {
            return Err(self.wrong());
        };
        let mut rest = [Boxed::Local(target); N];
        for (place, item) in rest.iter_mut().zip(items) {
            *place = item;
        }
        Ok((target, rest))
    }

    fn tuple(&self, boxed: Boxed<'a>) -> Result<Args<'a>, Malformed> {
        Args::read(boxed).ok_or_else(|| self.wrong())
    }

    fn plain_id(&self, boxed: Boxed<'a>) -> Result<ObjectId<'a>, Malformed> {
        ObjectId::read(boxed.plain().ok_or_else(|| self.wrong())?)
    }
}

fn text(boxed: Boxed<'_>) -> Result<&str, Malformed> {
    let plain = boxed.plain().ok_or(Malformed::Name)?;
    plain.as_str().ok_or(Malformed::Name)
}

fn number(boxed: Boxed<'_>) -> Option<u64> {
    boxed.plain()?.as_int()?.to_u64()
}
