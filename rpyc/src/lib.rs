//! The rpyc protocol, without I/O.
//!
//! What a proxy beside an rpyc connection has to know: where frames begin and end, which
//! request waits for an answer, how to answer one so that the caller's Python raises an
//! ordinary exception, and how to tell rpyc from what else may talk to a port.
//!
//! Facts name the rpyc source file that they come from; versions read are 4.1.0, 5.3.1 and
//! 6.0.2.

pub mod answering;
pub mod brine;
pub mod conversation;
pub mod dialect;
pub mod exception;
pub mod family;
pub mod frame;
pub mod head;
pub mod inflate;
pub mod message;
pub mod observer;
pub mod pending;
pub mod probe;
pub mod reader;
pub mod reverse;
pub mod sniff;

#[cfg(test)]
mod captures;

pub use answering::{Answer, Refuser, none_frame};
pub use conversation::{Answered, Asked, Conversation, Side, Step};
pub use exception::{ExceptionClass, exception_frame};
pub use family::Family;
pub use head::{Head, Kind, Threads};
pub use inflate::Inflater;
pub use message::{Body, Boxed, Malformed, Message, ObjectId, Request};
pub use observer::Observer;
pub use pending::Pending;
pub use probe::{Probe, Verdict};
pub use reader::{Frame, FrameError, FrameReader, Piece};
pub use sniff::{Sniff, sniff};

/// The bytes are not rpyc, or not any more: nothing after them can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not rpyc")]
pub struct NotRpyc;
