//! What Houdini asks of the script.

use rpyc::conversation::Weight;
use rpyc::reverse::{self, Reverse};
use rpyc::{Message, Request, Side, Step};

use super::records::new_call;
use super::stop::breached;
use super::{Fate, Open, Out, State, Stop};
use crate::audit::{Direction, Outcome};
use crate::inspect::denial::refuses_houdini;

impl State {
    pub(super) fn houdini_asks(
        &mut self,
        message: &Message<'_>,
        request: &Request<'_>,
        size: usize,
        out: &mut Out,
    ) -> Result<Fate, Stop> {
        let step = self.conversation.see(Side::Server, message, size);
        let step = step.map_err(|breach| breached(Side::Server, breach))?;
        let Step::Asked(asked) = step else {
            return Err(Stop::of(Side::Server, "an answer that is a request"));
        };
        let weight = asked.weight();
        let call = new_call(Direction::ToClient, &asked, size);
        let refused = match self.reverse {
            Reverse::Guarded => reverse::judge(&self.conversation, request).err(),
            Reverse::Open => None,
        };
        // In a narrow role the script has passed nothing.
        let plumbing = matches!(
            request,
            Request::Ping { .. } | Request::Close | Request::Del { .. }
        );
        let narrow = !plumbing && self.is_enforced();
        let refused = refused.or(narrow.then_some("the session has a narrow role"));
        if let Some(why) = refused {
            self.conversation.withdraw(Side::Server, message);
            let mut head = message.head();
            head.family = self.houdini_family.unwrap_or(head.family);
            let frame = refuses_houdini(head, reverse::refused_as(request), why);
            out.say(Side::Server, &frame);
            if let Some(slot) = self.slot.take() {
                let denied = Outcome::Denied("reverse-calls".into());
                slot.write(call, &denied, std::time::Duration::ZERO, 0);
            }
            self.can_begin_without(request)?;
            return Ok(Fate::Drop);
        }
        let mut open = Open::default();
        let mut call = (weight != Weight::Housekeeping).then_some(call);
        if let Some(call) = &mut call {
            self.put_arguments(Side::Server, message.seq, request, call);
        }
        self.begin(&mut open, call);
        self.open.insert((Side::Server, message.seq), open);
        Ok(self.forwarded(Side::Server, message))
    }

    /// Houdini was refused this. Does it serve the script all the same?
    ///
    /// rpyc's `ClassicService` asks for the script's root before it serves anything
    /// (`core/service.py::MasterService.on_connect`), gives up when it is refused, and does not
    /// always close the connection.
    fn can_begin_without(&self, request: &Request<'_>) -> Result<(), Stop> {
        let (given, _) = self.conversation.held(Side::Server);
        match request {
            Request::GetRoot if given == 0 => Err(Stop::new(
                "Houdini's server asks for the script's own Python before it serves the script, \
                 and the guard does not hand that out\n\
                 hint: run rpyc's SlaveService in Houdini, as hrpyc.start_server() does, and not \
                 its ClassicService",
            )),
            _ => Ok(()),
        }
    }
}
