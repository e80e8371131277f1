//! The records of calls.

use jiff::Timestamp;
use rpyc::conversation::Weight;
use rpyc::{Body, Boxed, Message, Request, Side, Step};

use super::stop::breached;
use super::{Open, State, Stop};
use crate::audit::{Argument, Call, Direction};

impl State {
    pub(super) fn begin(&mut self, open: &mut Open, call: Option<Call>) {
        if let Some(call) = call
            && let Some(slot) = self.slot.take()
        {
            open.call = Some(slot.begin(call));
        }
    }

    /// Follows a great request. Gives its record, unless it is left out. `is_cut` says that only
    /// the beginning of it was read.
    pub(super) fn note(
        &mut self,
        from: Side,
        message: &Message<'_>,
        is_cut: bool,
        size: usize,
    ) -> Result<Option<Call>, Stop> {
        let step = match is_cut {
            true => self.conversation.see_beginning(from, message, size),
            false => self.conversation.see(from, message, size),
        };
        let step = step.map_err(|breach| breached(from, breach))?;
        let (Step::Asked(asked), Body::Request(request)) = (step, &message.body) else {
            return Err(Stop::of(from, "an answer that is a request"));
        };
        if asked.weight() == Weight::Housekeeping {
            return Ok(None);
        }
        let mut call = new_call(direction(from), &asked, size);
        self.put_arguments(from, message.seq, request, &mut call);
        if is_cut && matches!(request, Request::Call { .. } | Request::CallAttr { .. }) {
            call.arguments.push(Argument {
                keyword: None,
                value: "…".into(),
            });
        }
        Ok(Some(call))
    }

    /// Puts the arguments of a request into its record, and leaves them out of all that
    /// comes of it where a rule says so.
    pub(super) fn put_arguments(
        &mut self,
        asker: Side,
        seq: u64,
        request: &Request<'_>,
        call: &mut Call,
    ) {
        let mut put = |keyword: Option<&str>, value: &Boxed<'_>| {
            call.arguments.push(Argument {
                keyword: keyword.map(str::to_owned),
                value: self.conversation.show(asker, value),
            });
        };
        match request {
            Request::Call { args, kwargs, .. } | Request::CallAttr { args, kwargs, .. } => {
                args.iter().for_each(|value| put(None, &value));
                kwargs
                    .iter()
                    .for_each(|(name, value)| put(Some(name), &value));
            }
            Request::SetAttr { value, .. } => put(None, value),
            Request::Cmp { other, .. } => put(None, other),
            Request::CtxExit { exception, .. } => put(None, exception),
            _ => return,
        }
        if call.arguments.is_empty() {
            return;
        }
        let redactor = self.calls.redactor();
        if redactor.hides(&call.expression, &call.class, &call.method, &call.arguments) {
            self.conversation.hide_arguments(asker, seq);
        }
    }
}

fn direction(asker: Side) -> Direction {
    match asker {
        Side::Client => Direction::ToHoudini,
        Side::Server => Direction::ToClient,
    }
}

pub(super) fn new_call(direction: Direction, asked: &rpyc::Asked<'_>, size: usize) -> Call {
    Call {
        time: Timestamp::now(),
        direction,
        expression: asked.callee().to_owned(),
        form: asked.form(),
        class: asked.class().clone(),
        method: asked.method().clone(),
        arguments: Vec::new(),
        bytes_up: size as u64,
        reference: None,
    }
}

/// The record of what has no expression of its own.
pub(super) fn plain_call(direction: Direction, request: &Request<'_>, size: usize) -> Call {
    Call {
        time: Timestamp::now(),
        direction,
        expression: request.name().to_owned(),
        form: "",
        class: "".into(),
        method: request.name().into(),
        arguments: Vec::new(),
        bytes_up: size as u64,
        reference: None,
    }
}

/// The record of a request of which nothing can be said.
pub(super) fn great_call(size: usize) -> Call {
    Call {
        time: Timestamp::now(),
        direction: Direction::ToHoudini,
        expression: "<a great request>".into(),
        form: "",
        class: "".into(),
        method: "?".into(),
        arguments: Vec::new(),
        bytes_up: size as u64,
        reference: None,
    }
}
