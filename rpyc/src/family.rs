//! The families of rpyc versions that do not understand each other.

/// How a message begins inside its frame.
///
/// A peer that meets the other family raises and ends the connection: 6.x prints
/// `invalid message type: 18`, 3.x to 5.x `not enough values to unpack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// rpyc 3.x to 5.x: the payload is the brine of `(message, seq, args)`
    /// (`core/protocol.py::_send`, 4.1.0 and 5.3.1). References inside `args` differ
    /// between 4.0 and 4.1; that does not show in the head.
    Classic,
    /// rpyc 6.x: one raw byte for the message, then the brine of `(seq, args)`
    /// (`core/protocol.py::_send`, 6.0.2).
    Six,
}
