//! What the messages of a session are, and what becomes of each. No I/O.

mod answers;
mod drops;
mod great;
mod houdini_asks;
mod last_words;
mod out;
mod records;
mod script_asks;

use std::collections::HashSet;
use std::sync::Arc;

use rpyc::conversation::{Breach, Limits, SEQ_MAX};
use rpyc::reverse::Reverse;
use rpyc::{
    Body, Conversation, Family, FrameError, Head, Ids, Inflater, Lane, Malformed, Message, Next,
    Side, WholeFrame, brine, frame,
};
use wire::Code;

use super::narrow::{self, Bench};
use crate::audit::{OpenCall, SessionCalls, Slot};
use crate::rules::{Live, Role};
use drops::Waiting;
use great::{BEGINNING, Great, Stepped};

pub use super::denial::Who;
pub(super) use out::Out;

/// Frames with a payload of more than this are not taken whole: under a full role they are read
/// as they go by, in a narrow one they are denied.
pub(super) const WHOLE: usize = 1 << 20;
/// How far a frame that is taken whole may inflate. zlib makes no more of 1 MiB of what rpyc
/// sends in practice.
const INFLATED: usize = 16 << 20;

/// Why the guard ends a session over what was sent in it.
#[derive(Debug)]
pub struct Stop {
    /// The code in the audit.
    pub code: Code,
    /// What was wrong, for the audit and for the script. It holds nothing that a peer has sent
    /// but numbers.
    pub why: String,
    /// The request of the script that was wrong.
    asked: Option<Head>,
}

impl Stop {
    pub(super) fn with_code(code: Code, why: impl std::fmt::Display) -> Self {
        Self {
            code,
            why: why.to_string(),
            asked: None,
        }
    }

    fn new(why: impl std::fmt::Display) -> Self {
        Self::with_code(Code::SessionProtocol, why)
    }

    fn of(side: Side, why: impl std::fmt::Display) -> Self {
        Self::new(format_args!(
            "{} sent something else than rpyc: {why}",
            end(side)
        ))
    }
}

fn end(side: Side) -> &'static str {
    match side {
        Side::Client => "the client",
        Side::Server => "Houdini",
    }
}

/// What a lane needs to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// More bytes.
    Bytes,
    /// Room for the record of a call.
    Slot,
    /// Another turn, when others have had theirs.
    Turn,
}

/// One session, inspected.
#[derive(Debug)]
pub struct Inspector {
    from_client: Inflater,
    from_houdini: Inflater,
    /// The great message that is coming: of the client, of Houdini.
    great: [Option<Great>; 2],
    state: State,
}

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

impl Inspector {
    /// For a session in a role. `held_bytes` is what may be held of one message.
    pub fn new(
        who: Who,
        role: &Role,
        rules: Arc<Live>,
        calls: SessionCalls,
        held_bytes: usize,
    ) -> Self {
        let narrow = !role.is_full();
        Self {
            from_client: Inflater::new(INFLATED),
            from_houdini: Inflater::new(INFLATED),
            great: [None, None],
            state: State {
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
            },
        }
    }

    /// Where room for records is to be had.
    pub(super) fn calls(&self) -> SessionCalls {
        self.state.calls.clone()
    }

    /// Takes room for the record of one call when it is there.
    pub(super) fn take_slot_now(&mut self) -> bool {
        self.state.slot = self.state.calls.reserve_now();
        self.state.slot.is_some()
    }

    /// Room for the record of one call.
    pub(super) fn take_slot(&mut self, slot: Slot) {
        self.state.slot = Some(slot);
    }

    /// The family that Houdini turned out to speak.
    pub fn houdini_showed(&self) -> Option<Family> {
        self.state.houdini_showed
    }

    /// What each end speaks, as far as it is known before the first message.
    pub(super) fn opens(&mut self, client: Option<Family>, houdini: Option<Family>) {
        self.state.client_family = client;
        self.state.houdini_family = houdini;
    }

    /// Goes through what has come in a lane as far as possible.
    ///
    /// # Errors
    /// [`Stop`]: the session must end.
    pub(super) fn pump(
        &mut self,
        from: Side,
        lane: &mut Lane,
        out: &mut Out,
    ) -> Result<Want, Stop> {
        loop {
            let waits = self.great[from as usize].as_ref().is_some_and(Great::waits);
            if self.state.slot.is_none() && (waits || !lane.is_empty()) {
                return Ok(Want::Slot);
            }
            if waits {
                match self.step(from, out)? {
                    true => return Ok(Want::Turn),
                    false => continue,
                }
            }
            let next = lane.cut().map_err(|error| Stop::of(from, error))?;
            match next {
                Next::More => return Ok(Want::Bytes),
                Next::Part(bytes) => {
                    if let Some(great) = &mut self.great[from as usize] {
                        great.give(bytes);
                    }
                }
                Next::Great { length, .. }
                    if self.state.is_enforced()
                        && lane.payload_mut().len() < BEGINNING.min(length) =>
                {
                    return Ok(Want::Bytes);
                }
                Next::Great { head, length } => {
                    let great = self.state.great(from, head, length, &mut lane.input, out);
                    let great = great.map_err(|stop| stop.about(from, Some(head)))?;
                    self.great[from as usize] = Some(great);
                    lane.pass(length);
                }
                Next::Whole(whole) => {
                    let head = whole.frame().head();
                    let done = self.whole(from, whole, out);
                    done.map_err(|stop| stop.about(from, head))?;
                }
            }
        }
    }

    /// Does a small piece of the work on a great message. Gives whether it is another's turn
    /// then.
    fn step(&mut self, from: Side, out: &mut Out) -> Result<bool, Stop> {
        let Some(great) = &mut self.great[from as usize] else {
            return Ok(false);
        };
        let (head, length) = (great.head(), great.length());
        let about = |stop: Stop| stop.about(from, Some(head));
        match great.step(out).map_err(about)? {
            Stepped::More => return Ok(false),
            Stepped::Again => {}
            Stepped::Unread(begun) => {
                let understood = self.state.understood(from, &begun, length, out);
                understood.map_err(about)?;
            }
            Stepped::Over(read, last) => {
                self.great[from as usize] = None;
                let goes_on = match read {
                    Some(read) => {
                        let understood = self.state.understood(from, &read, length, out);
                        understood.map_err(about)?
                    }
                    None => true,
                };
                if goes_on {
                    out.pass(from.other(), last);
                }
            }
        }
        Ok(true)
    }

    fn whole(&mut self, from: Side, whole: WholeFrame, out: &mut Out) -> Result<(), Stop> {
        let inflater = match from {
            Side::Client => &mut self.from_client,
            Side::Server => &mut self.from_houdini,
        };
        let view = whole.frame();
        let (size, was_compressed) = (view.wire_len(), view.compressed);
        let payload = match inflater.payload(&view) {
            Ok(payload) => payload,
            // Small as it travels, great inflated: what becomes of it is the same.
            Err(FrameError::Bomb) => {
                inflater.give_back();
                return self.inflates_far(from, whole, out);
            }
            Err(error) => return Err(Stop::of(from, error)),
        };
        let message =
            Message::read(payload, self.state.limits).map_err(|error| malformed(from, error))?;
        self.state.client_spoke |= from == Side::Client;
        let fate = self.state.message(from, message, size, out);
        if was_compressed {
            inflater.give_back();
        }
        match fate? {
            Fate::Pass => out.pass(from.other(), whole.into_bytes()),
            Fate::Instead(frame) => out.put(from.other(), &frame),
            Fate::Drop => {}
        }
        Ok(())
    }

    /// A frame that is taken whole and holds a great message.
    fn inflates_far(&mut self, from: Side, whole: WholeFrame, out: &mut Out) -> Result<(), Stop> {
        let frame = whole.frame();
        let head = frame
            .head()
            .ok_or_else(|| Stop::of(from, FrameError::NoHead))?;
        let length = frame.body.len();
        let mut bytes = whole.into_bytes();
        let mut great = self.state.great(from, head, length, &mut bytes, out)?;
        great.give(bytes);
        self.great[from as usize] = Some(great);
        Ok(())
    }
}

fn malformed(from: Side, error: Malformed) -> Stop {
    match error {
        Malformed::OldFamily => Stop::new(format_args!("{}: {error}", end(from))),
        error => Stop::of(from, error),
    }
}

impl State {
    fn family_of(&mut self, side: Side) -> &mut Option<Family> {
        match side {
            Side::Client => &mut self.client_family,
            Side::Server => &mut self.houdini_family,
        }
    }

    /// Takes note of what a side speaks.
    fn speaks(&mut self, from: Side, head: &Head) -> Result<(), Stop> {
        let first = from == Side::Server && self.houdini_showed.is_none();
        if first {
            self.houdini_showed = Some(head.family);
        }
        let known = self.family_of(from);
        match *known {
            Some(family) if family == head.family => {}
            None => *known = Some(head.family),
            // It got what it does not understand, and is about to end the connection.
            Some(_) if first => {
                return Err(Stop::new(
                    "Houdini's rpyc is of another version than was known of it\n\
                     hint: connect again; the next session knows",
                ));
            }
            Some(_) => return Err(Stop::of(from, Breach::Dialect)),
        }
        if self.is_bridged() && head.threads.is_some() {
            return Err(Stop::new(
                "client and Houdini have rpyc of different families, and one of them binds \
                 threads (RPYC_BIND_THREADS), which the other does not understand",
            ));
        }
        Ok(())
    }

    /// Is it a narrow role whose denials are carried out? One in shadow mode lets through what
    /// `full` does.
    fn is_enforced(&mut self) -> bool {
        self.bench.as_mut().is_some_and(Bench::enforces)
    }

    /// Do the two ends need a translation?
    fn is_bridged(&self) -> bool {
        matches!((self.client_family, self.houdini_family), (Some(a), Some(b)) if a != b)
    }

    /// The message as it goes on.
    fn forwarded(&mut self, from: Side, message: &Message<'_>) -> Fate {
        if !self.is_bridged() {
            return match self.bench {
                // What was understood is what is sent, byte for byte.
                Some(_) => Fate::Instead(encoded_for(from.other(), message)),
                None => Fate::Pass,
            };
        }
        let family = self.family_of(from.other()).unwrap_or(message.family);
        let message = Message { family, ..*message };
        Fate::Instead(encoded_for(from.other(), &message))
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

fn breached(from: Side, breach: Breach) -> Stop {
    Stop::of(from, breach)
}

/// The frame of a message.
fn encoded(message: &Message<'_>) -> Vec<u8> {
    frame::encode_with(|payload| message.write(payload))
}

/// The frame of a message for one side. Houdini is on this machine: there compressing would
/// cost time at both ends and spare nothing.
fn encoded_for(to: Side, message: &Message<'_>) -> Vec<u8> {
    match to {
        Side::Client => encoded(message),
        Side::Server => frame::encode_plain_with(|payload| message.write(payload)),
    }
}

#[cfg(test)]
mod tests;
