//! What the messages of a session are, and what becomes of each. No I/O.

mod answers;
mod drops;
mod great;
mod houdini_asks;
mod records;
mod script_asks;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use rpyc::conversation::{Breach, Limits, SEQ_MAX};
use rpyc::reverse::Reverse;
use rpyc::{
    Body, Conversation, Family, FrameError, Head, Inflater, Lane, Malformed, Message, Next, Side,
    WholeFrame, brine, frame,
};
use wire::Code;

use super::narrow::{self, Bench};
use crate::audit::{OpenCall, SessionCalls, Slot};
use crate::rules::{Live, Role};
use drops::Waiting;
use great::{BEGINNING, Great, Stepped};

pub use super::denial::Who;

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
    /// What was wrong, for the audit.
    pub why: String,
}

impl Stop {
    fn new(why: impl std::fmt::Display) -> Self {
        Self {
            code: Code::SessionProtocol,
            why: why.to_string(),
        }
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

/// What is ready to be written.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) to_client: BytesMut,
    pub(super) to_houdini: BytesMut,
}

impl Out {
    fn to(&mut self, side: Side) -> &mut BytesMut {
        match side {
            Side::Client => &mut self.to_client,
            Side::Server => &mut self.to_houdini,
        }
    }

    /// Bytes as they came. What was cut from one buffer is put together without a copy.
    fn pass(&mut self, side: Side, bytes: BytesMut) {
        let out = self.to(side);
        match out.is_empty() {
            true => *out = bytes,
            false => out.unsplit(bytes),
        }
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
    open: HashMap<(Side, u64), Open>,
    /// In the order in which they came.
    drops: Vec<Waiting>,
    /// Numbers of our own requests to the client, whose answers are for us.
    own: HashSet<u64>,
    next_own: u64,
    client_family: Option<Family>,
    houdini_family: Option<Family>,
    /// What may be held of one message, in bytes, inflated.
    held_bytes: usize,
    began: Instant,
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
    /// For a session in a role. `houdini` is the family that Houdini is known to speak,
    /// `held_bytes` what may be held of one message.
    pub fn new(
        who: Who,
        role: &Role,
        rules: Arc<Live>,
        calls: SessionCalls,
        houdini: Option<Family>,
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
                reverse: Reverse::Guarded,
                calls,
                slot: None,
                open: HashMap::new(),
                drops: Vec::new(),
                own: HashSet::new(),
                next_own: SEQ_MAX,
                client_family: None,
                houdini_family: houdini,
                held_bytes,
                began: Instant::now(),
            },
        }
    }

    /// Where room for records is to be had.
    pub(super) fn calls(&self) -> SessionCalls {
        self.state.calls.clone()
    }

    /// Room for the record of one call.
    pub(super) fn take_slot(&mut self, slot: Slot) {
        self.state.slot = Some(slot);
    }

    /// The family that Houdini turned out to speak.
    pub fn houdini_family(&self) -> Option<Family> {
        self.state.houdini_family
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
        let stop = |error: FrameError| Stop::of(from, error);
        loop {
            let great = &mut self.great[from as usize];
            let waits = great.as_ref().is_some_and(Great::waits);
            if self.state.slot.is_none() && (waits || !lane.is_empty()) {
                return Ok(Want::Slot);
            }
            if let Some(coming) = great
                && waits
            {
                let length = coming.length();
                match coming.step(out)? {
                    Stepped::More => {}
                    Stepped::Again => return Ok(Want::Turn),
                    Stepped::Unread(begun) => {
                        self.state.understood(from, &begun, length, out)?;
                        return Ok(Want::Turn);
                    }
                    Stepped::Over(read, last) => {
                        *great = None;
                        let goes_on = match read {
                            Some(read) => self.state.understood(from, &read, length, out)?,
                            None => true,
                        };
                        if goes_on {
                            out.pass(from.other(), last);
                        }
                        return Ok(Want::Turn);
                    }
                }
            }
            match lane.cut().map_err(stop)? {
                Next::More => return Ok(Want::Bytes),
                Next::Part(bytes) => {
                    if let Some(great) = &mut self.great[from as usize] {
                        great.give(bytes);
                    }
                }
                Next::Great { length, .. }
                    if self.state.bench.is_some()
                        && lane.payload_mut().len() < BEGINNING.min(length) =>
                {
                    return Ok(Want::Bytes);
                }
                Next::Great { head, length } => {
                    let great = self.state.great(from, head, length, &mut lane.input, out)?;
                    self.great[from as usize] = Some(great);
                    lane.pass(length);
                }
                Next::Whole(whole) => self.whole(from, whole, out)?,
            }
        }
    }

    fn whole(&mut self, from: Side, whole: WholeFrame, out: &mut Out) -> Result<(), Stop> {
        let inflater = match from {
            Side::Client => &mut self.from_client,
            Side::Server => &mut self.from_houdini,
        };
        let view = whole.frame();
        let size = view.wire_len();
        let payload = match inflater.payload(&view) {
            Ok(payload) => payload,
            // Small as it travels, great inflated. In a narrow role no honest client asks so.
            Err(FrameError::Bomb) if self.state.bench.is_none() || from == Side::Server => {
                return self.inflates_far(from, whole, out);
            }
            Err(error) => return Err(Stop::of(from, error)),
        };
        let message =
            Message::read(payload, self.state.limits).map_err(|error| malformed(from, error))?;
        match self.state.message(from, message, size, out)? {
            Fate::Pass => out.pass(from.other(), whole.into_bytes()),
            Fate::Instead(bytes) => out.to(from.other()).extend_from_slice(&bytes),
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
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn family_of(&mut self, side: Side) -> &mut Option<Family> {
        match side {
            Side::Client => &mut self.client_family,
            Side::Server => &mut self.houdini_family,
        }
    }

    /// Takes note of what a side speaks.
    fn speaks(&mut self, from: Side, head: &Head) -> Result<(), Stop> {
        let known = self.family_of(from);
        match *known {
            Some(family) if family == head.family => {}
            None => *known = Some(head.family),
            Some(_) if from == Side::Server => {
                // Another Houdini than the one that was there the last time.
                *known = Some(head.family);
                return Err(Stop::new(
                    "Houdini's rpyc is of another version than it was before; the next session \
                     knows",
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

    /// Do the two ends need a translation?
    fn is_bridged(&self) -> bool {
        matches!((self.client_family, self.houdini_family), (Some(a), Some(b)) if a != b)
    }

    /// The message as it goes on.
    fn forwarded(&mut self, from: Side, message: &Message<'_>) -> Fate {
        if !self.is_bridged() {
            return match self.bench {
                // What was understood is what is sent, byte for byte.
                Some(_) => Fate::Instead(encoded(message)),
                None => Fate::Pass,
            };
        }
        let family = self.family_of(from.other()).unwrap_or(message.family);
        Fate::Instead(encoded(&Message { family, ..*message }))
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
            _ => {
                let fate = self.answer(from, &message, size)?;
                self.release_drops(out);
                Ok(fate)
            }
        }
    }
}

fn breached(from: Side, breach: Breach) -> Stop {
    Stop::of(from, breach)
}

/// The frame of a message.
fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut payload = Vec::with_capacity(128);
    message.write(&mut payload);
    frame::encode(&payload)
}

#[cfg(test)]
mod tests;
