//! How each kind of request is read.

use super::{
    BUFFITER, CALL, CALLATTR, CMP, CTXEXIT, Compare, DEL, DELATTR, DIR, GETATTR, HASH, INSPECT,
    INSTANCECHECK, OLDSLICING, PICKLE, REPR, Request, SETATTR, STR,
};
use crate::brine::{Int, Plain};
use crate::head;
use crate::message::{Args, Boxed, Kwargs, Malformed, ObjectId};

impl<'a> Request<'a> {
    pub(in crate::message) fn read(handler: u8, args: Plain<'a>) -> Result<Self, Malformed> {
        let (name, read) = reader_of(handler).ok_or(Malformed::Handler(handler))?;
        let args = Args::read(Boxed::read(args)?).ok_or(Malformed::Arguments(name))?;
        read(Given { name, args })
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

/// The arguments of a request of a known kind.
pub(super) struct Given<'a> {
    name: &'static str,
    args: Args<'a>,
}

pub(super) type ReadArgs = for<'a> fn(Given<'a>) -> Result<Request<'a>, Malformed>;

/// The name and the reader for each kind of request.
pub(super) fn reader_of(handler: u8) -> Option<(&'static str, ReadArgs)> {
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
