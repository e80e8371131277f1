//! A passive look at one direction of a connection.

use crate::brine::Unread;
use crate::family::Family;
use crate::frame::{self, HEADER_LEN};
use crate::head::{Head, Prefix};

/// Reads the heads off a stream of frames that goes by, in pieces of any size.
///
/// It keeps at most one frame header and the first few bytes of one payload (and zlib's
/// window while the head of a compressed frame has not come yet), whatever length a frame
/// claims. It never fails: from the first byte that no stock rpyc sends it is *opaque*
/// and reports nothing more. A family and the binding of threads belong to a connection, so
/// a frame of another kind than the first makes it opaque too, as does an empty frame.
#[derive(Debug, Default)]
pub struct Observer {
    state: State,
    dialect: Option<Dialect>,
}

#[derive(Debug)]
enum State {
    Header {
        bytes: [u8; HEADER_LEN],
        have: usize,
    },
    Payload {
        left: u32,
        prefix: Option<Prefix>,
    },
    Flush,
    Opaque,
}

impl Default for State {
    fn default() -> Self {
        Self::Header {
            bytes: [0; HEADER_LEN],
            have: 0,
        }
    }
}

/// What stays the same for a whole connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dialect {
    family: Family,
    bound: bool,
}

impl Observer {
    /// At the beginning of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the next bytes and reports each head that they complete.
    pub fn observe(&mut self, mut bytes: &[u8], mut on: impl FnMut(Head)) {
        while let Some(head) = self.next_head(&mut bytes) {
            on(head);
        }
    }

    /// Is the stream between two frames?
    pub fn at_boundary(&self) -> bool {
        matches!(self.state, State::Header { have: 0, .. })
    }

    /// Has something gone by that is not rpyc?
    pub fn is_opaque(&self) -> bool {
        matches!(self.state, State::Opaque)
    }

    /// The family of the heads seen, when there was one.
    pub fn family(&self) -> Option<Family> {
        self.dialect.map(|dialect| dialect.family)
    }

    /// Takes from `input` until a head is complete, or all of it.
    pub(crate) fn next_head(&mut self, input: &mut &[u8]) -> Option<Head> {
        while !input.is_empty() {
            match &mut self.state {
                State::Header { bytes, have } => {
                    let piece = take(input, HEADER_LEN - *have);
                    bytes[*have..*have + piece.len()].copy_from_slice(piece);
                    *have += piece.len();
                    if *have == HEADER_LEN {
                        let (left, flag) = frame::decode_header(*bytes);
                        self.state = match left {
                            0 => State::Opaque,
                            _ => State::Payload {
                                left,
                                prefix: Some(Prefix::new(flag != 0)),
                            },
                        };
                    }
                }
                State::Payload { left, prefix } => {
                    let piece = take(input, usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= piece.len() as u32;
                    let read = prefix.as_mut().map(|prefix| prefix.read(piece));
                    let finished = *left == 0;
                    match read {
                        Some(Ok(_)) => *prefix = None,
                        Some(Err(Unread::Short)) if !finished => {}
                        Some(Err(_)) => {
                            self.state = State::Opaque;
                            continue;
                        }
                        None => {}
                    }
                    if finished {
                        self.state = State::Flush;
                    }
                    if let Some(Ok(head)) = read {
                        return self.in_dialect(head);
                    }
                }
                State::Flush => {
                    take(input, 1);
                    self.state = State::default();
                }
                State::Opaque => *input = &[],
            }
        }
        None
    }

    fn in_dialect(&mut self, head: Head) -> Option<Head> {
        let dialect = Dialect {
            family: head.family,
            bound: head.threads.is_some(),
        };
        if *self.dialect.get_or_insert(dialect) == dialect {
            Some(head)
        } else {
            self.state = State::Opaque;
            None
        }
    }
}

fn take<'a>(input: &mut &'a [u8], at_most: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(at_most.min(input.len()));
    *input = rest;
    taken
}

#[cfg(test)]
mod tests;
