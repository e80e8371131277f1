//! Finds out whether an rpyc server listens, and of which family.
//!
//! A classic server says nothing unasked (`SlaveService.on_connect`), and no message is
//! valid in both families. So a question is asked in one of them. A server of that family answers
//! it and closes without a word on its side; one of the other family asks, in its own
//! family, to close, and prints one traceback.

use crate::brine;
use crate::family::Family;
use crate::frame;
use crate::head::{self, Head};
use crate::observer::Observer;

const LABEL_VALUE: u8 = 0x51;
const NONE: u8 = 0x00;

/// Bytes that tell what else may listen.
const FIRST_BYTES: usize = 5;

/// One question to a server. The caller connects, writes [`to_send`](Self::to_send), feeds
/// what it reads until there is a verdict, and closes: the question ends with a polite
/// request to close. A connection that is accepted but does not answer is up and busy.
#[derive(Debug)]
pub struct Probe {
    question: Vec<u8>,
    server: Observer,
    first: Vec<u8>,
}

/// Who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An rpyc server.
    Rpyc(Family),
    /// Something else.
    NotRpyc {
        /// Its protocol, or "an unknown protocol".
        what: &'static str,
    },
}

impl Probe {
    /// For a server that nothing is known about: asks as Houdini's own rpyc would.
    pub fn new() -> Self {
        Self::expecting(Family::Classic)
    }

    /// For a server that was of this family the last time: it then prints no traceback.
    pub fn expecting(family: Family) -> Self {
        Self {
            question: question(family),
            server: Observer::new(),
            first: Vec::with_capacity(FIRST_BYTES),
        }
    }

    /// What to write to the server, once.
    pub fn to_send(&self) -> &[u8] {
        &self.question
    }

    /// Looks at the next bytes that the server sent.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<Verdict> {
        let missing = FIRST_BYTES - self.first.len();
        self.first.extend(bytes.iter().take(missing));
        if let Some(what) = other_protocol(&self.first) {
            return Some(Verdict::NotRpyc { what });
        }
        if let Some(head) = self.server.next_head(&mut { bytes }) {
            return Some(Verdict::Rpyc(head.family));
        }
        self.server.is_opaque().then_some(Verdict::NotRpyc {
            what: "an unknown protocol",
        })
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

/// `HANDLE_PING(None)`, then `HANDLE_CLOSE()`.
fn question(family: Family) -> Vec<u8> {
    let request = |seq, handler, args: &[u8]| {
        let mut payload = Vec::new();
        Head::request(family, seq, handler).write(&mut payload);
        payload.extend_from_slice(&[brine::TUPLE_2, LABEL_VALUE]);
        payload.extend_from_slice(args);
        frame::encode(&payload)
    };
    let mut question = request(0, head::PING, &[brine::TUPLE_1, NONE]);
    question.extend(request(1, head::CLOSE, &[brine::EMPTY_TUPLE]));
    question
}

fn other_protocol(first: &[u8]) -> Option<&'static str> {
    match first {
        [b'H', b'T', b'T', b'P', b'/', ..] => Some("HTTP"),
        [b'S', b'S', b'H', b'-', ..] => Some("SSH"),
        // An alert, or a handshake message.
        [0x15 | 0x16, 0x03, ..] => Some("TLS"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
