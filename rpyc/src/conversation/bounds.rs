//! How much is remembered, and what ends a connection.

/// How much of a connection is remembered at most. Reaching one of them is a [`Breach`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Objects of each side that the other can name.
    pub objects: usize,
    /// Requests of each side without an answer.
    pub open: usize,
    /// Bytes of text and names, for all objects and open requests of both sides.
    pub text: usize,
}

impl Limits {
    /// For roles that may do everything: a script that asks for all points of a great
    /// geometry gets as many objects. An object takes about 200 bytes and its text.
    pub const WIDE: Self = Self {
        objects: 1 << 18,
        open: 1 << 14,
        text: 64 << 20,
    };
    /// For narrow roles.
    pub const NARROW: Self = Self {
        objects: 1 << 15,
        open: 1 << 10,
        text: 4 << 20,
    };
}

/// Why the connection cannot be followed any more. No stock peer does this, but for the
/// limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Breach {
    /// Another family than before, or threads bound where they were not.
    #[error("a message is of another rpyc dialect than the ones before it")]
    Dialect,
    /// A request with the number of an earlier one, or a far too old or great one.
    #[error("the request number {0} was used before or is out of bounds")]
    Seq(u64),
    /// An answer to a request that was not sent, or has its answer.
    #[error("there is an answer to request {0}, which waits for none")]
    Unasked(u64),
    /// More references dropped than were sent.
    #[error("more references to an object are dropped than there are")]
    DropTooMany,
    /// The name of a class or of an attribute is longer than any.
    #[error("the name of a class or an attribute has more than {NAME_MAX} bytes")]
    LongName,
    /// [`Limits::objects`].
    #[error("too many objects are held at once")]
    TooManyObjects,
    /// Two ids under far more names than there can be.
    #[error("one object goes by too many names")]
    TooManyNames,
    /// [`Limits::open`].
    #[error("too many requests wait for an answer")]
    TooManyOpen,
    /// [`Limits::text`].
    #[error("the names of the objects that are held take too much room")]
    TooMuchText,
}

/// Longer names of classes and attributes are no names, in bytes.
pub(super) const NAME_MAX: usize = 1024;
