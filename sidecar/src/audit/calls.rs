//! The records of calls: what the inspecting relay fills in, and how it is written down.
//!
//! A call takes a [`Slot`] before it is forwarded, so that no call happens that could not be
//! written down. What becomes of it is written when its answer is there and before the answer
//! is delivered:
//!
//! ```ignore
//! let slot = calls.reserve().await?;          // waits or refuses, as configured
//! let open = slot.begin(call);                // the request is forwarded
//! open.answered(Outcome::Ok, bytes_down);     // then the answer is delivered
//! ```
//!
//! An [`OpenCall`] that is dropped is written down as unanswered.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::queue::{Full, Queue};
use super::redact::Redactor;

/// Slots that one session may hold, so that it cannot take the room of all.
const SHARE: usize = 1024;

/// The most bytes of an expression that are written down.
const EXPRESSION: usize = 512;
/// The most bytes of the name of a class, method, keyword, rule or exception.
const NAME: usize = 128;
/// The most bytes of the value of an argument.
const VALUE: usize = 200;
/// The most arguments.
const ARGUMENTS: usize = 16;

/// The form of a call. It is not written down: a record without a form is that of a call.
pub const CALLED: &str = "(…)";

/// Who asks whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The artist's script calls Houdini.
    ToHoudini,
    /// Houdini calls back into the artist's script.
    ToClient,
}

impl Direction {
    /// The stable text in the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToHoudini => "to-houdini",
            Self::ToClient => "to-client",
        }
    }
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It returned.
    Ok,
    /// It raised an exception of this class.
    Exception(String),
    /// It was not forwarded, by this rule.
    Denied(String),
    /// It was forwarded although this rule would deny it; the exception, if it raised one.
    WouldBeDenied(String, Option<String>),
    /// The session ended before the answer came.
    Unanswered,
}

/// An argument as it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// The name of a keyword argument.
    pub keyword: Option<String>,
    /// The value, as Python would write it.
    pub value: String,
}

/// One call. Texts may be of any length; what is too long is cut, with `…` at its end.
#[derive(Debug, Clone)]
pub struct Call {
    /// When it was asked for.
    pub time: Timestamp,
    /// Who asked whom.
    pub direction: Direction,
    /// What is called, readable and without the arguments of this call:
    /// `hou.node('/obj/sphere1').parm('scale').set`.
    pub expression: String,
    /// How the arguments stand behind the expression, each in the place of a `…`: [`CALLED`],
    /// ` = …`, `[…]`; nothing where the expression says it all.
    pub form: &'static str,
    /// The class of the object, or nothing.
    pub class: Arc<str>,
    /// The method, or what is done with the object (`getattr`, `del`).
    pub method: Arc<str>,
    /// The arguments, in order, keywords last.
    pub arguments: Vec<Argument>,
    /// Bytes of the request.
    pub bytes_up: u64,
    /// What a denial names to the artist, so that this record can be found; see [`reference()`].
    pub reference: Option<String>,
}

/// A reference that can be read out on the telephone, unlikely to be there twice.
pub fn reference() -> String {
    let mut bytes = [0; 5];
    // Without randomness TLS would have failed first.
    let _ = rand::fill(&mut bytes);
    wire::hex(&bytes)
}

/// The calls of one session.
#[derive(Debug, Clone)]
pub struct SessionCalls {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Arc<Queue>,
    redactor: Arc<Redactor>,
    /// What all records of the session have in common, as JSON.
    who: Vec<u8>,
    own: Semaphore,
}

impl SessionCalls {
    pub(super) fn new(
        queue: Arc<Queue>,
        redactor: Arc<Redactor>,
        session: &str,
        identity: &str,
        role: &str,
    ) -> Self {
        let mut who = Vec::new();
        for (name, value) in [("session", session), ("identity", identity), ("role", role)] {
            push_text(&mut who, name, value, usize::MAX);
        }
        Self {
            shared: Arc::new(Shared {
                queue,
                redactor,
                who,
                own: Semaphore::new(SHARE),
            }),
        }
    }

    /// Takes room for the record of one call. With `audit.when_full = "wait"` it waits for
    /// `audit.wait_timeout` at most; with `"refuse"` not at all.
    ///
    /// # Errors
    /// [`Full`]: the call must not happen.
    pub async fn reserve(&self) -> Result<Slot, Full> {
        self.shared.queue.take_room(&self.shared.own).await?;
        Ok(Slot {
            shared: Some(self.shared.clone()),
        })
    }

    /// As [`reserve`](Self::reserve) when there is room at once, which is nearly always.
    pub fn reserve_now(&self) -> Option<Slot> {
        let shared = &self.shared;
        let taken = shared.queue.take_room_now(&shared.own);
        taken.then(|| Slot {
            shared: Some(shared.clone()),
        })
    }

    /// The rules by which values are left out, for who shows calls elsewhere: texts in which
    /// arguments of earlier calls stand should have been through it.
    pub fn redactor(&self) -> &Redactor {
        &self.shared.redactor
    }
}

/// The room for one record. Dropped, it is given back: the call was not made.
#[derive(Debug)]
#[must_use]
pub struct Slot {
    /// Until it is used.
    shared: Option<Arc<Shared>>,
}

impl Slot {
    /// The call is forwarded from here on. Whatever happens, it leaves a record.
    pub fn begin(self, call: Call) -> OpenCall {
        OpenCall {
            open: Some((self, call)),
            begun: Instant::now(),
        }
    }

    /// Writes down a call that is over. Never blocks.
    pub fn write(mut self, call: Call, outcome: &Outcome, took: Duration, bytes_down: u64) {
        if let Some(shared) = self.shared.take() {
            let body = body(&shared, call, outcome, took, bytes_down);
            shared.queue.push(body);
            shared.own.add_permits(1);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.queue.give_room(1);
            shared.own.add_permits(1);
        }
    }
}

/// A call that was forwarded. Dropped without a word it is recorded as unanswered.
#[derive(Debug)]
#[must_use]
pub struct OpenCall {
    open: Option<(Slot, Call)>,
    begun: Instant,
}

impl OpenCall {
    /// The call is no record of its own: what comes of it will tell of it.
    pub fn fold(mut self) {
        self.open = None;
    }

    /// The answer is there. Write it down before it is delivered. Never blocks.
    pub fn answered(mut self, outcome: &Outcome, bytes_down: u64) {
        self.write(outcome, bytes_down);
    }

    fn write(&mut self, outcome: &Outcome, bytes_down: u64) {
        if let Some((slot, call)) = self.open.take() {
            slot.write(call, outcome, self.begun.elapsed(), bytes_down);
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.write(&Outcome::Unanswered, 0);
    }
}

/// The record, as far as it goes before it has its place in the chain.
fn body(
    shared: &Shared,
    mut call: Call,
    outcome: &Outcome,
    took: Duration,
    bytes_down: u64,
) -> Vec<u8> {
    let Call {
        expression,
        class,
        method,
        arguments,
        ..
    } = &mut call;
    shared.redactor.redact(expression, class, method, arguments);
    let mut out = Vec::with_capacity(640);
    // Writing to a vector cannot fail.
    let _ = write!(out, "{{\"time\":\"{:.6}\",\"event\":\"call\"", call.time);
    out.extend_from_slice(&shared.who);
    push_text(&mut out, "direction", call.direction.as_str(), NAME);
    push_text(&mut out, "call", &call.expression, EXPRESSION);
    if call.form != CALLED {
        push_text(&mut out, "form", call.form, NAME);
    }
    if !call.class.is_empty() {
        push_text(&mut out, "class", &call.class, NAME);
    }
    push_text(&mut out, "method", &call.method, NAME);
    push_arguments(&mut out, &call.arguments);
    let (word, rule, exception) = match outcome {
        Outcome::Ok => ("ok", None, None),
        Outcome::Exception(class) => ("exception", None, Some(class)),
        Outcome::Denied(rule) => ("denied", Some(rule), None),
        Outcome::WouldBeDenied(rule, raised) => ("would-be-denied", Some(rule), raised.as_ref()),
        Outcome::Unanswered => ("unanswered", None, None),
    };
    push_text(&mut out, "outcome", word, NAME);
    for (name, value) in [("rule", rule), ("exception", exception)] {
        if let Some(value) = value {
            push_text(&mut out, name, value, NAME);
        }
    }
    if let Some(reference) = &call.reference {
        push_text(&mut out, "ref", reference, NAME);
    }
    for (name, number) in [
        ("us", u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
        ("bytes_up", call.bytes_up),
        ("bytes_down", bytes_down),
    ] {
        push_name(&mut out, name);
        push_number(&mut out, number);
    }
    out
}

fn push_arguments(out: &mut Vec<u8>, arguments: &[Argument]) {
    if arguments.is_empty() {
        return;
    }
    push_name(out, "args");
    let mut separator = b'[';
    for argument in arguments.iter().take(ARGUMENTS) {
        out.push(separator);
        separator = b',';
        out.push(b'"');
        if let Some(keyword) = &argument.keyword {
            push_escaped(out, keyword, NAME);
            out.push(b'=');
        }
        push_escaped(out, &argument.value, VALUE);
        out.push(b'"');
    }
    if let Some(more @ 1..) = arguments.len().checked_sub(ARGUMENTS) {
        let _ = write!(out, ",\"… {more} more\"");
    }
    out.push(b']');
}

fn push_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn push_text(out: &mut Vec<u8>, name: &str, value: &str, most: usize) {
    push_name(out, name);
    out.push(b'"');
    push_escaped(out, value, most);
    out.push(b'"');
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The content of a JSON text, cut to so many bytes.
fn push_escaped(out: &mut Vec<u8>, text: &str, most: usize) {
    let kept = &text[..text.floor_char_boundary(most)];
    let mut rest = kept.as_bytes();
    while let Some(at) = rest
        .iter()
        .position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\' | 0x7f))
    {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            byte => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    if kept.len() < text.len() {
        out.extend_from_slice("…".as_bytes());
    }
}

#[cfg(test)]
mod tests;
