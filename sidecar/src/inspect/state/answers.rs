//! Answers, of either side.

use rpyc::conversation::Outcome as Ended;
use rpyc::ids::trim;
use rpyc::reverse::{self, Reverse};
use rpyc::{Answered, Message, Side, Step};

use super::stop::breached;
use super::{Fate, Open, Out, State, Stop};
use crate::audit::Outcome;

impl State {
    pub(super) fn answer(
        &mut self,
        from: Side,
        message: &Message<'_>,
        size: usize,
        out: &mut Out,
    ) -> Result<Fate, Stop> {
        let step = self.conversation.see(from, message, size);
        let step = step.map_err(|breach| breached(from, breach))?;
        let Step::Answered(answered) = step else {
            return Err(Stop::of(from, "a request that is an answer"));
        };
        let open = self.open.remove(&(from.other(), message.seq));
        trim(&mut self.open);
        if let Some(open) = open {
            if let (Some(bench), Some(asked)) = (&mut self.bench, &open.asked) {
                bench.answered(asked, message);
            }
            settle(open, &answered, size);
        }
        self.release_drops(out);
        if from == Side::Server && self.reverse == Reverse::Guarded {
            let family = self.client_family.unwrap_or(message.family);
            if let Some(frame) = reverse::without_module(&Message { family, ..*message }) {
                return Ok(Fate::Instead(frame));
            }
        }
        Ok(self.forwarded(from, message))
    }
}

/// Writes the record of a call that is over, unless it is left out.
pub(super) fn settle(open: Open, answered: &Answered, size: usize) {
    let Some(call) = open.call else { return };
    if answered.is_folded() && open.shadow.is_none() {
        return call.fold();
    }
    let raised = match &answered.outcome {
        Ended::StopIteration => Some("StopIteration".to_owned()),
        Ended::Raised(class) => Some(class.clone()),
        _ => None,
    };
    let outcome = match (open.shadow, raised) {
        (Some(rule), raised) => Outcome::WouldBeDenied(rule, raised),
        (None, Some(class)) => Outcome::Exception(class),
        (None, None) => Outcome::Ok,
    };
    call.answered(&outcome, size as u64);
}
