//! What is judged, and the judgement.

use std::sync::Arc;

use super::thing::Thing;

/// One request of the client, understood.
#[derive(Debug, Clone, Copy)]
pub struct Operation<'a> {
    /// The object it is asked of; [`Thing::CONNECTION`] for PING, CLOSE and GETROOT.
    pub on: Thing,
    /// What is asked.
    pub does: Does<'a>,
    /// The absolute path of the node or parm behind `on`, where the way by which it was
    /// asked for gives one: see [`follow`](super::follow). Only advisory rules look at it.
    pub node_path: Option<&'a str>,
}

impl<'a> Operation<'a> {
    /// An operation with no known node path.
    pub fn new(on: Thing, does: Does<'a>) -> Self {
        Self {
            on,
            does,
            node_path: None,
        }
    }
}

/// What a request asks: one for each handler of rpyc.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "they are rpyc's handlers and their arguments")]
pub enum Does<'a> {
    Ping(Arg<'a>),
    Close,
    GetRoot,
    GetAttr(&'a str),
    SetAttr(&'a str),
    DelAttr(&'a str),
    Call {
        args: &'a [Arg<'a>],
        kwargs: &'a [(&'a str, Arg<'a>)],
    },
    CallAttr {
        name: &'a str,
        args: &'a [Arg<'a>],
        kwargs: &'a [(&'a str, Arg<'a>)],
    },
    Repr,
    Str,
    Hash,
    Dir,
    Cmp {
        op: &'a str,
        other: Arg<'a>,
    },
    Pickle,
    Del,
    Inspect,
    BuffIter {
        count: u64,
    },
    OldSlicing,
    CtxExit {
        exception: Arg<'a>,
    },
    InstanceCheck {
        other: Thing,
    },
}

/// An argument: an exact value, or a reference.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "they are Python's types")]
pub enum Arg<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An int that does not fit into 64 bits.
    LongInt,
    Float(f64),
    Str(&'a str),
    Bytes(&'a [u8]),
    Tuple(&'a [Arg<'a>]),
    /// Plain data of another type: a slice, a complex number, a frozenset.
    OtherPlain,
    /// An object of the server.
    Thing(Thing),
    /// An object of the client. No narrow role forwards one: the server would call back.
    Client,
}

/// The judgement. It is `must_use`, since an ignored denial is a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It may be forwarded.
    Allow {
        /// Which rule says so.
        rule: Arc<str>,
    },
    /// It must not be forwarded.
    Deny {
        /// Which rule says so.
        rule: Arc<str>,
        /// A sentence for the artist, without the name of the role.
        why: Arc<str>,
    },
    /// The role is in shadow mode: it is forwarded, and reported.
    WouldDeny {
        /// Which rule would have said so.
        rule: Arc<str>,
        /// See [`Deny`](Self::Deny).
        why: Arc<str>,
    },
}

impl Verdict {
    /// May it go to the server?
    pub fn forwards(&self) -> bool {
        !matches!(self, Self::Deny { .. })
    }

    /// The rule that decided.
    pub fn rule(&self) -> &str {
        match self {
            Self::Allow { rule } | Self::Deny { rule, .. } | Self::WouldDeny { rule, .. } => rule,
        }
    }

    /// Why not.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Allow { .. } => None,
            Self::Deny { why, .. } | Self::WouldDeny { why, .. } => Some(why),
        }
    }

    /// The Python exception that a denial of this operation is best raised as. Python looks
    /// for names such as `__class__` and `__array__` by itself, in `isinstance` for
    /// example, and passes over an `AttributeError` only.
    pub fn raised_as(does: &Does<'_>) -> &'static str {
        match does {
            Does::GetAttr(name) if name.starts_with("__") && name.ends_with("__") => {
                "AttributeError"
            }
            _ => "PermissionError",
        }
    }
}
