//! What the script is told when the guard ends its session.
//!
//! Nothing but rpyc can be said to a script, and rpyc raises only what answers a request. So
//! each of its requests that has no answer is answered with an exception that says why. A
//! script that waits for nothing sees the end of the connection, as does a client that has not
//! sent one message of rpyc's: it would not know what it is told.

use rpyc::{
    ExceptionClass, Head, Inflater, Kind, Lane, Message, Next, Observer, Side, exception_frame,
};
use wire::Code;

use super::great::Great;
use super::inspector::INFLATED;
use super::{Inspector, Out, Stop, WHOLE};

/// So many requests are answered at most, the newest. A script has one open for each of its
/// threads, and one more for each callback within a callback.
const MOST: usize = 1000;

impl Stop {
    /// It is over this message.
    pub(super) fn about(self, from: Side, head: Option<Head>) -> Self {
        Self {
            asked: head.filter(|head| from == Side::Client && waits(head)),
            ..self
        }
    }
}

impl Inspector {
    /// The frames that tell a script why its session ends, to be written behind what is `out`
    /// for it. Empty when that leaves it in the middle of a message, or it waits for nothing.
    /// What is left in the lane `from_client` counts as asked.
    pub(in crate::inspect) fn last_words(
        &self,
        stop: &Stop,
        from_client: &Lane,
        out: &Out,
    ) -> Vec<u8> {
        if !out.to_client.is_between_messages() || !self.client_speaks(from_client) {
            return Vec::new();
        }
        let conversation = &self.state.conversation;
        let mut asked = conversation.outstanding(Side::Client);
        asked.extend(stop.asked);
        let great = &self.great[Side::Client as usize];
        asked.extend(great.as_ref().and_then(Great::goes_on));
        if !from_client.is_passing() {
            Observer::new().observe(&from_client.input, |head| asked.push(head));
        }
        asked.retain(|head| waits(head) && conversation.is_spoken(head));
        asked.sort_unstable_by_key(|head| head.seq);
        asked.dedup_by_key(|head| head.seq);
        let text = self.explained(stop);
        // The innermost call of a script ends first.
        let newest = asked.iter().rev().take(MOST);
        newest
            .flat_map(|head| exception_frame(*head, ExceptionClass::EofError, &text))
            .collect()
    }

    /// Was a message of the client's read, or can the one be read that waits?
    fn client_speaks(&self, from_client: &Lane) -> bool {
        if self.state.client_spoke || from_client.is_passing() {
            return self.state.client_spoke;
        }
        let mut lane = Lane::new(WHOLE);
        lane.input.extend_from_slice(&from_client.input);
        let Ok(Next::Whole(whole)) = lane.cut() else {
            return false;
        };
        let mut inflater = Inflater::new(INFLATED);
        let payload = inflater.payload(&whole.frame());
        payload.is_ok_and(|payload| Message::read(payload, self.state.limits).is_ok())
    }

    fn explained(&self, stop: &Stop) -> String {
        let ask = self.state.who.ask();
        let (why, own_hint) = match stop.why.split_once("\nhint: ") {
            Some((why, hint)) => (why, Some(hint.to_owned())),
            None => (stop.why.as_str(), None),
        };
        let hint = own_hint.unwrap_or_else(|| match stop.code {
            Code::AuditUnavailable => format!(
                "connect again in a minute. If this comes again, tell {ask}: the guard cannot \
                 write its audit log"
            ),
            Code::SessionIdle => AGAIN.into(),
            _ => format!("{AGAIN}. If this comes again, tell {ask}"),
        });
        let code = stop.code;
        format!("hrpyc-guard ended the session: {why} ({code})\nhint: {hint}")
    }
}

const AGAIN: &str = "connect again; what the script held of that session is gone";

/// Does a script wait for the answer? Not to what Python asks by itself when a name is
/// dropped, and the answer to a request to close is the end.
fn waits(request: &Head) -> bool {
    /// `HANDLE_DEL` (`core/consts.py`).
    const DEL: u8 = 15;
    !request.is_close() && matches!(request.kind, Kind::Request { handler } if handler != DEL)
}
