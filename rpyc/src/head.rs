//! What the first bytes of a message say: who asks, who answers, about which request.

use crate::brine::{self, Reader, Unread};
use crate::family::Family;

mod prefix;

pub(crate) use prefix::Prefix;

/// `HANDLE_PING` (`core/consts.py`).
pub const PING: u8 = 1;
/// `HANDLE_CLOSE` (`core/consts.py`).
pub const CLOSE: u8 = 2;
/// `HANDLE_GETROOT` (`core/consts.py`): a client's first request.
pub const GETROOT: u8 = 3;

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const EXCEPTION: u8 = 3;

/// The longest head: thread ids, the kind, a sequence number of 20 digits, the handler.
pub(crate) const LONGEST: usize = 16 + 2 + (2 + 20) + 2;

/// The beginning of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whether it asks or answers.
    pub kind: Kind,
    /// The number that ties an answer to its request. Both sides count on their own.
    pub seq: u64,
    /// The family of rpyc versions that it is written in.
    pub family: Family,
    /// Present when both sides run with `RPYC_BIND_THREADS=true`.
    pub threads: Option<Threads>,
}

/// `MSG_REQUEST`, `MSG_REPLY`, `MSG_EXCEPTION` (`core/consts.py`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Asks for something.
    Request {
        /// What it asks for: `HANDLE_...` in `core/consts.py`.
        handler: u8,
    },
    /// Answers with a value.
    Reply,
    /// Answers with an exception.
    Exception,
}

/// The `!QQ` in front of the message when threads are bound (`core/protocol.py::_send`,
/// 5.3.1 and 6.0.2). A message goes to the waiting thread that it names, so that an answer
/// must name the one that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// The thread that sent the message; never 0.
    pub sender: u64,
    /// The thread that it is for, 0 when any will do (`UNBOUND_THREAD_ID`).
    pub receiver: u64,
}

impl Head {
    /// A request with nothing in front, such as one made up to be asked or answered.
    pub fn request(family: Family, seq: u64, handler: u8) -> Self {
        Self {
            kind: Kind::Request { handler },
            seq,
            family,
            threads: None,
        }
    }

    /// Is it a request to close the connection?
    pub fn is_close(&self) -> bool {
        self.kind == Kind::Request { handler: CLOSE }
    }

    /// The head of an answer to this request: an exception.
    pub(crate) fn exception(&self) -> Self {
        self.answer(Kind::Exception)
    }

    /// The head of an answer to this request.
    pub(crate) fn answer(&self, kind: Kind) -> Self {
        Self {
            kind,
            // Our own thread can have any number, but 0 means "unbound".
            threads: self.threads.map(|asked| Threads {
                sender: asked.receiver.max(1),
                receiver: asked.sender,
            }),
            ..*self
        }
    }

    /// Reads the head of a payload of which `bytes` are the beginning.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Unread> {
        Self::take(&mut Reader(bytes))
    }

    /// Reads the head and leaves what follows it.
    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, Unread> {
        let mut first = reader.byte()?;

        // A message begins with 0x12, or with 1 to 3. A thread id is a pointer in user space
        // or a small number, so its first byte is 0 where the threads are bound.
        let threads = if first == 0 {
            let sender = be_u64(reader.take(7)?);
            let receiver = be_u64(reader.take(8)?);
            if sender == 0 {
                return Err(Unread::NotRpyc);
            }
            first = reader.byte()?;
            Some(Threads { sender, receiver })
        } else {
            None
        };

        let (family, kind) = match first {
            brine::TUPLE_3 => (Family::Classic, reader.small()?),
            REQUEST..=EXCEPTION => {
                reader.expect(brine::TUPLE_2)?;
                (Family::Six, first)
            }
            _ => return Err(Unread::NotRpyc),
        };
        if !(REQUEST..=EXCEPTION).contains(&kind) {
            return Err(Unread::NotRpyc);
        }
        let seq = reader.count()?;
        let kind = match kind {
            REQUEST => {
                reader.expect(brine::TUPLE_2)?;
                let handler = reader.small()?;
                Kind::Request { handler }
            }
            REPLY => Kind::Reply,
            _ => Kind::Exception,
        };
        Ok(Self {
            kind,
            seq,
            family,
            threads,
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if let Some(threads) = self.threads {
            out.extend_from_slice(&threads.sender.to_be_bytes());
            out.extend_from_slice(&threads.receiver.to_be_bytes());
        }
        let kind = match self.kind {
            Kind::Request { .. } => REQUEST,
            Kind::Reply => REPLY,
            Kind::Exception => EXCEPTION,
        };
        match self.family {
            Family::Classic => {
                out.push(brine::TUPLE_3);
                brine::put_count(out, u64::from(kind));
            }
            Family::Six => out.extend_from_slice(&[kind, brine::TUPLE_2]),
        }
        brine::put_count(out, self.seq);
        if let Kind::Request { handler } = self.kind {
            out.push(brine::TUPLE_2);
            brine::put_count(out, u64::from(handler));
        }
    }
}

fn be_u64(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
