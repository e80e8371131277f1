//! What the messages of a session are, and what becomes of each. No I/O.

mod answers;
mod dialects;
mod drops;
mod great;
mod houdini_asks;
mod inspector;
mod last_words;
mod out;
mod records;
mod script_asks;
mod stop;

use std::collections::HashSet;
use std::sync::Arc;

use rpyc::conversation::{Limits, SEQ_MAX};
use rpyc::reverse::Reverse;
use rpyc::{Body, Conversation, Family, Ids, Message, Side, brine};

use super::narrow::{self, Bench};
use crate::audit::{OpenCall, SessionCalls, Slot};
use crate::rules::{Live, Role};
use drops::Waiting;

pub use super::denial::Who;
pub use inspector::Inspector;
pub(super) use inspector::{WHOLE, Want};
pub(super) use out::Out;
pub use stop::Stop;

/// What is known of a session, and what was asked in it.
#[derive(Debug)]
struct State {
    who: Who,
    conversation: Conversation,
    limits: brine::Limits,
    /// In a narrow role.
    bench: Option<Bench>,
    reverse: Reverse,
    calls: SessionCalls,
    slot: Option<Slot>,
    open: Ids<(Side, u64), Open>,
    /// In the order in which they came.
    drops: Vec<Waiting>,
    /// Numbers of our own requests to the client, whose answers are for us.
    own: HashSet<u64>,
    next_own: u64,
    client_family: Option<Family>,
    /// By a message that could be read.
    client_spoke: bool,
    houdini_family: Option<Family>,
    /// By a message of its own.
    houdini_showed: Option<Family>,
    /// What may be held of one message, in bytes, inflated.
    held_bytes: usize,
}

/// A request that was forwarded.
#[derive(Debug, Default)]
struct Open {
    call: Option<OpenCall>,
    asked: Option<narrow::Asked>,
    /// The rule that would have denied it.
    shadow: Option<String>,
}

/// What becomes of a message.
enum Fate {
    /// It goes on as it came.
    Pass,
    /// This goes on in its place.
    Instead(Vec<u8>),
    /// It does not go on.
    Drop,
}

impl State {
    fn new(
        who: Who,
        role: &Role,
        rules: Arc<Live>,
        calls: SessionCalls,
        held_bytes: usize,
    ) -> Self {
        let narrow = !role.is_full();
        Self {
            who,
            conversation: Conversation::new(match narrow {
                true => Limits::NARROW,
                false => Limits::WIDE,
            }),
            limits: match narrow {
                true => brine::Limits::NARROW,
                false => brine::Limits::WIDE,
            },
            bench: narrow.then(|| Bench::new(rules, role)),
            reverse: role.reverse_calls(),
            calls,
            slot: None,
            open: Ids::default(),
            drops: Vec::new(),
            own: HashSet::new(),
            next_own: SEQ_MAX,
            client_family: None,
            client_spoke: false,
            houdini_family: None,
            houdini_showed: None,
            held_bytes,
        }
    }

    /// Is it a narrow role whose denials are carried out? One in shadow mode lets through what
    /// `full` does.
    fn is_enforced(&mut self) -> bool {
        self.bench.as_mut().is_some_and(Bench::enforces)
    }

    fn message(
        &mut self,
        from: Side,
        message: Message<'_>,
        size: usize,
        out: &mut Out,
    ) -> Result<Fate, Stop> {
        let head = message.head();
        self.speaks(from, &head)?;
        if from == Side::Client
            && !matches!(message.body, Body::Request(_))
            && self.own.remove(&message.seq)
        {
            return Ok(Fate::Drop);
        }
        // The conversation is followed in one dialect, the client's.
        let family = self.client_family.unwrap_or(message.family);
        let message = Message { family, ..message };
        match (&message.body, from) {
            (Body::Request(request), Side::Client) => {
                self.script_asks(&message, request, size, out)
            }
            (Body::Request(request), Side::Server) => {
                self.houdini_asks(&message, request, size, out)
            }
            _ => self.answer(from, &message, size, out),
        }
    }
}

#[cfg(test)]
mod tests;
