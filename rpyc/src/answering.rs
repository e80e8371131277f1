//! Answers every request of a client with one exception.

use crate::NotRpyc;
use crate::exception::{ExceptionClass, exception_frame};
use crate::head::Kind;
use crate::observer::Observer;

/// Stands in for a server that cannot be had: whatever the client asks, it is told why not.
#[derive(Debug)]
pub struct Refuser {
    client: Observer,
    class: ExceptionClass,
    message: String,
}

/// What to do about something that the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Write this frame to the client and go on.
    Frame(Vec<u8>),
    /// Close the connection: the client asked for that, and takes the end of the connection
    /// as the answer. (4.1.0 and 5.3.1 do not wait for any; 6.0.2 waits for up to 30 seconds and
    /// would print an exception: `core/protocol.py::close`.)
    Close,
}

impl Refuser {
    /// For a connection that has just begun.
    pub fn new(class: ExceptionClass, message: impl Into<String>) -> Self {
        Self::from_observer(Observer::new(), class, message)
    }

    /// For a connection that already ran: `client` has seen all bytes that the client sent
    /// until now. Requests that it has reported are not answered here, see
    /// [`Pending`](crate::Pending); one whose head was not complete is.
    pub fn from_observer(
        client: Observer,
        class: ExceptionClass,
        message: impl Into<String>,
    ) -> Self {
        Self {
            client,
            class,
            message: message.into(),
        }
    }

    /// Takes bytes of the client from `input` until one of them calls for an answer; `None`
    /// when they are all taken.
    ///
    /// One answer at a time, so that a client that asks much and reads nothing fills no
    /// memory here: write it before the next call.
    ///
    /// # Errors
    ///
    /// The client does not speak rpyc; close the connection.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Answer>, NotRpyc> {
        while let Some(head) = self.client.next_head(input) {
            if head.is_close() {
                return Ok(Some(Answer::Close));
            }
            if let Kind::Request { .. } = head.kind {
                let frame = exception_frame(head, self.class, &self.message);
                return Ok(Some(Answer::Frame(frame)));
            }
        }
        if self.client.is_opaque() {
            Err(NotRpyc)
        } else {
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests;
