//! What the script is told when the guard ends its session.
//!
//! Nothing but rpyc can be said to a script, and rpyc raises only what answers a request. So
//! each of its requests that has no answer is answered with an exception that says why. A
//! script that waits for nothing sees the end of the connection.

use rpyc::{ExceptionClass, Head, Kind, Lane, Observer, Side, exception_frame};
use wire::Code;

use super::great::Great;
use super::{Inspector, Stop};

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
    /// The frames that tell a script why its session ends, to be written behind what it was
    /// sent from the lane `to_client`. Empty when it is in the middle of a frame there, or
    /// waits for nothing. What is left in the lane `from_client` counts as asked.
    pub(in crate::inspect) fn last_words(
        &self,
        stop: &Stop,
        from_client: &Lane,
        to_client: &Lane,
    ) -> Vec<u8> {
        let passes = matches!(self.great[Side::Server as usize], Great::Passes);
        if to_client.is_passing() && passes {
            return Vec::new();
        }
        let mut asked = self.state.conversation.outstanding(Side::Client);
        asked.extend(stop.asked);
        if !from_client.is_passing() {
            Observer::new().observe(&from_client.input, |head| asked.push(head));
        }
        asked.retain(waits);
        asked.sort_unstable_by_key(|head| head.seq);
        asked.dedup_by_key(|head| head.seq);
        let text = self.explained(stop);
        // The innermost call of a script ends first.
        let newest = asked.iter().rev().take(MOST);
        newest
            .flat_map(|head| exception_frame(*head, ExceptionClass::EofError, &text))
            .collect()
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
