//! Whole messages, understood.
//!
//! Source: `core/protocol.py::_send`, `_dispatch`, `_box` and `_unbox`, `core/netref.py` and
//! `core/vinegar.py` of 4.1.0, 4.1.5, 5.3.1 and 6.0.2.
//!
//! A server takes much that no client sends: a float or a bool for a number, bytes for a
//! name, an operator of any name in a comparison, bytes after the message. None of that is
//! accepted here, so that what was judged is what the server sees.
//!
//! Nothing is copied: a [`Message`] borrows from the payload, and what is inside it is
//! gone through where it lies.

mod abridge;
mod args;
mod boxed;
mod raised;
mod request;

pub use abridge::{Abridgement, Abridger};
pub use args::{Args, Kwargs};
pub use boxed::{Boxed, BoxedTuple, ObjectId};
pub use raised::{Attributes, Raised};
pub use request::{Compare, Request};

use crate::brine::{self, Limits, Plain, Reader};
use crate::family::Family;
use crate::head::{Head, Kind, Threads};

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The number that ties an answer to its request.
    pub seq: u64,
    /// The family of rpyc versions that it is written in.
    pub family: Family,
    /// Present when both sides run with `RPYC_BIND_THREADS=true`.
    pub threads: Option<Threads>,
    /// What it says.
    pub body: Body<'a>,
}

/// What a message says.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// `MSG_REQUEST`.
    Request(Request<'a>),
    /// `MSG_REPLY`: the result.
    Reply(Boxed<'a>),
    /// `MSG_EXCEPTION`: what was raised.
    Exception(Raised<'a>),
}

/// Why a payload is no message that a stock peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// It does not begin as a message does.
    #[error("it does not begin as an rpyc message does")]
    Head,
    /// It is cut off, has bytes too many, or is not brine as rpyc writes it.
    #[error(transparent)]
    Brine(#[from] brine::Refused),
    /// A request for something that rpyc does not have.
    #[error("there is no request number {0}")]
    Handler(u8),
    /// A request with other arguments than its kind has.
    #[error("the arguments of a {0} request are not what a client sends")]
    Arguments(&'static str),
    /// Something is not boxed, or with a label that does not exist.
    #[error("a value has no label that rpyc knows")]
    Label,
    /// A tuple of plain data that is boxed item by item.
    #[error("plain data is not sent as plain data")]
    PlainTuple,
    /// A reference that is not `(name, type id, object id)`.
    #[error("a reference is not a name and two ids")]
    ObjectId,
    /// The name of an attribute is not text.
    #[error("the name of an attribute is not text")]
    Name,
    /// An operator of a comparison that is none.
    #[error("there is no comparison of this name")]
    Operator,
    /// A keyword argument without a name, or twice.
    #[error("a keyword argument has no name, or is there twice")]
    Keyword,
    /// References of a count that is zero or no number.
    #[error("a count is not a positive number")]
    Count,
    /// An exception of another form than rpyc gives it.
    #[error("an exception is not as rpyc sends it")]
    Exception,
    /// An attribute of an exception that rpyc does not send, such as `__class__`.
    #[error("an exception has an attribute that rpyc does not send")]
    ExceptionAttribute,
    /// A reference as rpyc 3.x to 4.0.x writes it.
    #[error(
        "the peer has rpyc 3.x or 4.0.x, which does not understand 4.1 and newer\n\
         hint: install rpyc 4.1.0 or newer there"
    )]
    OldFamily,
}

impl<'a> Message<'a> {
    /// Reads the payload of one frame.
    ///
    /// # Errors
    ///
    /// No stock peer sends this; see [`Malformed`]. What is accepted is written back by
    /// [`write`](Self::write) byte for byte.
    pub fn read(payload: &'a [u8], limits: Limits) -> Result<Self, Malformed> {
        let mut reader = Reader(payload);
        let head = Head::take(&mut reader).map_err(|_| Malformed::Head)?;
        let rest = Plain::read(reader.0, limits)?;
        let body = match head.kind {
            Kind::Request { handler } => Body::Request(Request::read(handler, rest)?),
            Kind::Reply => Body::Reply(Boxed::read(rest)?),
            Kind::Exception => Body::Exception(Raised::read(rest)?),
        };
        Ok(Self {
            seq: head.seq,
            family: head.family,
            threads: head.threads,
            body,
        })
    }

    /// What it begins with.
    pub fn head(&self) -> Head {
        Head {
            kind: match &self.body {
                Body::Request(request) => Kind::Request {
                    handler: request.handler(),
                },
                Body::Reply(_) => Kind::Reply,
                Body::Exception(_) => Kind::Exception,
            },
            seq: self.seq,
            family: self.family,
            threads: self.threads,
        }
    }

    /// Writes the payload, as rpyc does. With another `family` it is what a peer of that
    /// family would have sent; see also [`dialect`](crate::dialect).
    pub fn write(&self, out: &mut Vec<u8>) {
        self.head().write(out);
        match &self.body {
            Body::Request(request) => request.write(out),
            Body::Reply(result) => result.write(out),
            Body::Exception(raised) => raised.write(out),
        }
    }

    /// Every reference in it, in the order of the bytes: those to objects of the receiver
    /// and those to objects of the sender.
    pub fn references(&self, mut on: impl FnMut(Owner, ObjectId<'a>)) {
        match &self.body {
            Body::Request(request) => request.references(&mut on),
            Body::Reply(result) => result.references(&mut on),
            Body::Exception(_) => {}
        }
    }
}

/// Whose object a reference names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// `LABEL_LOCAL_REF`, and the object of an `INSPECT`.
    Receiver,
    /// `LABEL_REMOTE_REF`.
    Sender,
}

#[cfg(test)]
mod tests;
