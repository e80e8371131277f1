//! What the script asks of Houdini: judged in a narrow role, forwarded or denied.

use rpyc::conversation::Weight;
use rpyc::message::Owner;
use rpyc::{Body, ExceptionClass, Head, Message, Request, Side, Step};

use super::dialects::encoded;
use super::records::{new_call, plain_call};
use super::stop::breached;
use super::{Fate, Open, Out, State, Stop};
use crate::audit::{Call, Direction, Outcome, reference};
use crate::rules::Verdict;

/// The rule against what names an object that nobody has given to the session.
const UNKNOWN: &str = "floor/unknown";

impl State {
    pub(super) fn script_asks(
        &mut self,
        message: &Message<'_>,
        request: &Request<'_>,
        size: usize,
        out: &mut Out,
    ) -> Result<Fate, Stop> {
        let judged = self.bench.as_mut().map(|bench| bench.judge(request));
        let step = self.conversation.see(Side::Client, message, size);
        let step = step.map_err(|breach| breached(Side::Client, breach))?;
        let Step::Asked(asked) = step else {
            return Err(Stop::of(Side::Client, "an answer that is a request"));
        };
        let last_drop = asked.drops().filter(|drops| drops.last);
        let unknown = asked.unknown() > 0;
        let weight = asked.weight();
        let mut call =
            (weight != Weight::Housekeeping).then(|| new_call(Direction::ToHoudini, &asked, size));
        if let Some(call) = &mut call {
            self.put_arguments(Side::Client, message.seq, request, call);
        }
        let mut open = Open::default();
        if let Some(judged) = judged {
            if let Verdict::Deny { rule, why } = &judged.verdict {
                let class = match judged.raised_as {
                    "AttributeError" => ExceptionClass::AttributeError,
                    _ => ExceptionClass::PermissionError,
                };
                let call = call.unwrap_or_else(|| plain_call(Direction::ToHoudini, request, size));
                self.deny(message, call, class, rule, why, out);
                return Ok(Fate::Drop);
            }
            if unknown && self.is_enforced() {
                let call = call.unwrap_or_else(|| plain_call(Direction::ToHoudini, request, size));
                let why = "it names an object that Houdini has not given to this session";
                let class = ExceptionClass::PermissionError;
                self.deny(message, call, class, UNKNOWN, why, out);
                return Ok(Fate::Drop);
            }
            open.shadow = match &judged.verdict {
                Verdict::WouldDeny { rule, .. } => Some(rule.to_string()),
                _ if unknown => Some(UNKNOWN.into()),
                _ => None,
            };
            open.asked = Some(judged.asked);
            if let Some(drops) = last_drop
                && let Some(target) = request.target()
            {
                if drops.open_requests > 0
                    && let Fate::Instead(frame) = self.forwarded(Side::Client, message)
                {
                    self.hold_drop(&target, frame);
                    self.open.insert((Side::Client, message.seq), open);
                    return Ok(Fate::Drop);
                }
                if let Some(bench) = &mut self.bench {
                    bench.dropped(&target);
                }
            }
        }
        self.begin(&mut open, call);
        self.open.insert((Side::Client, message.seq), open);
        Ok(self.forwarded(Side::Client, message))
    }

    fn client_head(&self, message: &Message<'_>) -> Head {
        let head = message.head();
        Head {
            family: self.client_family.unwrap_or(head.family),
            ..head
        }
    }

    /// Tells the script, writes it down, and releases what the request passed by reference.
    pub(super) fn deny(
        &mut self,
        message: &Message<'_>,
        call: Call,
        class: ExceptionClass,
        rule: &str,
        why: &str,
        out: &mut Out,
    ) {
        self.conversation.withdraw(Side::Client, message);
        let reference = reference();
        let head = self.client_head(message);
        let frame = self.who.denies(head, class, why, rule, &reference);
        self.write_denied(call, rule, reference);
        if message.threads.is_none() {
            let family = head.family;
            message.references(|owner, id| {
                if owner == Owner::Sender {
                    self.next_own += 1;
                    self.own.insert(self.next_own);
                    let release = Message {
                        seq: self.next_own,
                        family,
                        threads: None,
                        body: Body::Request(Request::Del {
                            target: id,
                            count: 1,
                        }),
                    };
                    out.say(Side::Client, &encoded(&release));
                }
            });
        }
        out.say(Side::Client, &frame);
    }

    pub(super) fn write_denied(&mut self, mut call: Call, rule: &str, reference: String) {
        call.reference = Some(reference);
        if let Some(slot) = self.slot.take() {
            let denied = Outcome::Denied(rule.into());
            slot.write(call, &denied, std::time::Duration::ZERO, 0);
        }
    }
}
