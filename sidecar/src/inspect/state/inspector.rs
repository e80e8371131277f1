//! Both directions of a session, taken apart into messages.

use std::sync::Arc;

use rpyc::{Family, FrameError, Inflater, Lane, Message, Next, Side, WholeFrame};

use super::great::{BEGINNING, Great, Stepped};
use super::stop::malformed;
use super::{Fate, Out, State, Stop, Who};
use crate::audit::{SessionCalls, Slot};
use crate::rules::{Live, Role};

/// Frames with a payload of more than this are not taken whole: under a full role they are read
/// as they go by, in a narrow one they are denied.
pub(in crate::inspect) const WHOLE: usize = 1 << 20;
/// How far a frame that is taken whole may inflate. zlib makes no more of 1 MiB of what rpyc
/// sends in practice.
pub(super) const INFLATED: usize = 16 << 20;

/// What a lane needs to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::inspect) enum Want {
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
    pub(super) great: [Option<Great>; 2],
    pub(super) state: State,
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
        Self {
            from_client: Inflater::new(INFLATED),
            from_houdini: Inflater::new(INFLATED),
            great: [None, None],
            state: State::new(who, role, rules, calls, held_bytes),
        }
    }

    /// Where room for records is to be had.
    pub(in crate::inspect) fn calls(&self) -> SessionCalls {
        self.state.calls.clone()
    }

    /// Takes room for the record of one call when it is there.
    pub(in crate::inspect) fn take_slot_now(&mut self) -> bool {
        self.state.slot = self.state.calls.reserve_now();
        self.state.slot.is_some()
    }

    /// Room for the record of one call.
    pub(in crate::inspect) fn take_slot(&mut self, slot: Slot) {
        self.state.slot = Some(slot);
    }

    /// The family that Houdini turned out to speak.
    pub fn houdini_showed(&self) -> Option<Family> {
        self.state.houdini_showed
    }

    /// What each end speaks, as far as it is known before the first message.
    pub(in crate::inspect) fn opens(&mut self, client: Option<Family>, houdini: Option<Family>) {
        self.state.client_family = client;
        self.state.houdini_family = houdini;
    }

    /// Goes through what has come in a lane as far as possible.
    ///
    /// # Errors
    /// [`Stop`]: the session must end.
    pub(in crate::inspect) fn pump(
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
