//! What a conversation reports.

use std::ops::Range;
use std::sync::Arc;

use super::Side;
use super::pending::Open;
use crate::message::Boxed;

/// Longer names of exception classes are cut.
const EXCEPTION_MAX: usize = 128;

/// What a message was.
#[derive(Debug)]
pub enum Step<'c> {
    /// A request.
    Asked(Asked<'c>),
    /// The answer to one: the call is complete.
    Answered(Answered),
}

/// How much a request says about what a script does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weight {
    /// Something is done or read.
    Call,
    /// A `GETATTR`. When an object came back it is on its way to a call, and that call's
    /// expression has it; else a value was read.
    Lookup,
    /// What rpyc and hrpyc do on their own: `INSPECT`, `DEL`, `GETROOT`, `HASH`,
    /// `INSTANCECHECK`, `PING`, `CLOSE`, and the two calls that copy Houdini's main
    /// context.
    Housekeeping,
}

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'c> {
    /// Who asks.
    pub asker: Side,
    /// Its number.
    pub seq: u64,
    pub(super) open: &'c Open,
}

impl Asked<'_> {
    /// `HANDLE_...` in `core/consts.py`.
    pub fn handler(&self) -> u8 {
        self.open.handler
    }

    /// How many of the objects that it names the other side has never handed out, or let
    /// go. rpyc answers such a request with an exception, which happens to a stock server
    /// of 4.1.5 and later after an `isinstance`, and to nobody else.
    pub fn unknown(&self) -> usize {
        self.open.unknown
    }

    /// What a programmer would have written, on one line.
    pub fn expression(&self) -> &str {
        &self.open.expression
    }

    /// The same without what [`form`](Self::form) tells of: `hou.node('/obj/a').parm('tx').set`.
    pub fn callee(&self) -> &str {
        self.open.callee()
    }

    /// How the arguments stand behind the callee, each in the place of a `…`: `(…)` of a call,
    /// ` = …`, `[…]`, ` == …`. Nothing where the callee is all of the expression.
    pub fn form(&self) -> &'static str {
        self.open.form
    }

    /// The class of the object that it is about, or the module; of a call of a bound
    /// method the class that the method was read from.
    pub fn class(&self) -> &Arc<str> {
        &self.open.class
    }

    /// The method or the attribute.
    pub fn method(&self) -> &Arc<str> {
        &self.open.method
    }

    /// How much it says.
    pub fn weight(&self) -> Weight {
        self.open.weight
    }

    /// What a `DEL` of a known object does.
    pub fn drops(&self) -> Option<Dropped> {
        self.open.drops.map(|(_, _, dropped)| dropped)
    }
}

/// A `DEL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// No reference is left.
    pub last: bool,
    /// Requests that name the object and are open. The last `DEL` must not overtake them:
    /// a server with several threads would look the id up when it means another object.
    pub open_requests: u32,
}

/// A call that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Who asked.
    pub asker: Side,
    /// `HANDLE_...` in `core/consts.py`.
    pub handler: u8,
    /// See [`Asked::expression`].
    pub expression: String,
    /// Where in the expression the arguments are; empty when there are none.
    pub args: Range<usize>,
    /// See [`Asked::class`].
    pub class: Arc<str>,
    /// See [`Asked::method`].
    pub method: Arc<str>,
    /// How much it says.
    pub weight: Weight,
    /// How it ended.
    pub outcome: Outcome,
    /// Bytes of the request, as given then.
    pub asked_size: usize,
    /// Bytes of the answer.
    pub answered_size: usize,
    /// References in the answer that the asker has never handed out.
    pub unknown: usize,
}

impl Answered {
    /// The arguments, as they stand in the expression.
    pub fn arguments(&self) -> &str {
        self.expression.get(self.args.clone()).unwrap_or_default()
    }

    /// Can it be left out of a list of what a script did? True of housekeeping, and of a
    /// look-up that gave an object.
    pub fn is_folded(&self) -> bool {
        match self.weight {
            Weight::Call => false,
            Weight::Lookup => self.outcome == Outcome::Object,
            Weight::Housekeeping => true,
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It gave plain data.
    Value,
    /// It gave an object, or a tuple with some.
    Object,
    /// It raised `StopIteration`, which ends every loop.
    StopIteration,
    /// It raised another exception: module and class.
    Raised(String),
    /// The answer was too great to be read.
    Unread,
}

impl Outcome {
    pub(super) fn raised(module: &str, class: &str) -> Self {
        let mut name = String::with_capacity(module.len().min(EXCEPTION_MAX) + 32);
        let shown = module
            .chars()
            .chain(std::iter::once('.'))
            .chain(class.chars());
        for char in shown {
            if name.len() >= EXCEPTION_MAX {
                name.push('…');
                break;
            }
            let plain = char.is_alphanumeric() || matches!(char, '.' | '_');
            name.push(if plain { char } else { '?' });
        }
        Self::Raised(name)
    }
}

pub(super) fn outcome(result: &Boxed<'_>) -> Outcome {
    match result {
        Boxed::Plain(_) => Outcome::Value,
        _ => Outcome::Object,
    }
}
