//! What the messages of a session are, and what becomes of each. No I/O.

mod last_words;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use jiff::Timestamp;
use rpyc::conversation::{Breach, Limits, Outcome as Ended, SEQ_MAX, Weight};
use rpyc::message::{Owner, Raised};
use rpyc::reverse::{self, Reverse};
use rpyc::{
    Answered, Body, Boxed, Conversation, ExceptionClass, Family, FrameError, Head, Inflater, Kind,
    Lane, Malformed, Message, Next, Request, Side, Step, WholeFrame, brine, dialect,
    exception_frame, frame, none_frame,
};
use wire::Code;

use super::denial::refuses_houdini;
use super::narrow::{self, Bench};
use crate::audit::{
    Argument, Call, Direction, MARKER, OpenCall, Outcome, SessionCalls, Slot, reference,
};
use crate::rules::{Live, Role, Verdict};

pub use super::denial::Who;

/// Frames with a payload of more than this are not taken whole: under a full role they go by
/// and only their heads are looked at, in a narrow one they are denied.
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
}

/// One session, inspected.
#[derive(Debug)]
pub struct Inspector {
    from_client: Inflater,
    from_houdini: Inflater,
    /// Parts of a great frame that was denied are dropped: of the client, of Houdini.
    discarding: [bool; 2],
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
    /// Numbers of our own requests to the client, whose answers are for us.
    own: HashSet<u64>,
    next_own: u64,
    client_family: Option<Family>,
    houdini_family: Option<Family>,
    /// By a message of its own.
    houdini_showed: Option<Family>,
    began: Instant,
}

/// A request that was forwarded.
#[derive(Debug)]
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
    /// For a session in a role.
    pub fn new(who: Who, role: &Role, rules: Arc<Live>, calls: SessionCalls) -> Self {
        let narrow = !role.is_full();
        Self {
            from_client: Inflater::new(INFLATED),
            from_houdini: Inflater::new(INFLATED),
            discarding: [false; 2],
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
                own: HashSet::new(),
                next_own: SEQ_MAX,
                client_family: None,
                houdini_family: None,
                houdini_showed: None,
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
        let stop = |error: FrameError| Stop::of(from, error);
        loop {
            if self.state.slot.is_none() && !lane.is_empty() {
                return Ok(Want::Slot);
            }
            match lane.cut().map_err(stop)? {
                Next::More => return Ok(Want::Bytes),
                Next::Part(bytes) => {
                    if !self.discarding[from as usize] {
                        out.pass(from.other(), bytes);
                    }
                }
                Next::Great { head, length } => {
                    let passes = self.state.great(from, head, length, lane, out);
                    let passes = passes.map_err(|stop| stop.about(from, Some(head)))?;
                    self.discarding[from as usize] = !passes;
                    lane.pass(length);
                }
                Next::Whole(whole) => match self.whole(from, &whole, out) {
                    Ok(Fate::Pass) => out.pass(from.other(), whole.into_bytes()),
                    Ok(Fate::Instead(bytes)) => out.to(from.other()).extend_from_slice(&bytes),
                    Ok(Fate::Drop) => {}
                    Err(stop) => return Err(stop.about(from, whole.frame().head())),
                },
            }
        }
    }

    fn whole(&mut self, from: Side, whole: &WholeFrame, out: &mut Out) -> Result<Fate, Stop> {
        let inflater = match from {
            Side::Client => &mut self.from_client,
            Side::Server => &mut self.from_houdini,
        };
        let view = whole.frame();
        let size = view.wire_len();
        let payload = match inflater.payload(&view) {
            Ok(payload) => payload,
            // Under a full role nothing is too great; only its head is looked at.
            Err(FrameError::Bomb | FrameError::TooBig(_)) if self.state.bench.is_none() => {
                let head = view
                    .head()
                    .ok_or_else(|| Stop::of(from, FrameError::NoHead))?;
                self.state.unread(from, head, size)?;
                return Ok(Fate::Pass);
            }
            Err(error) => return Err(Stop::of(from, error)),
        };
        let message =
            Message::read(payload, self.state.limits).map_err(|error| malformed(from, error))?;
        self.state.message(from, message, size, out)
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
            _ => self.answer(from, &message, size),
        }
    }

    fn script_asks(
        &mut self,
        message: &Message<'_>,
        request: &Request<'_>,
        size: usize,
        out: &mut Out,
    ) -> Result<Fate, Stop> {
        let judged = self.bench.as_mut().map(|bench| bench.judge(request));
        let now = self.now();
        let step = self.conversation.see(Side::Client, message, size, now);
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
        let mut open = Open {
            call: None,
            asked: None,
            shadow: None,
        };
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
            if unknown {
                let call = call.unwrap_or_else(|| plain_call(Direction::ToHoudini, request, size));
                let why = "it names an object that Houdini has not given to this session";
                let class = ExceptionClass::PermissionError;
                self.deny(message, call, class, "floor/unknown", why, out);
                return Ok(Fate::Drop);
            }
            // The id could mean another object by the time an open request is looked at.
            if last_drop.is_some_and(|drops| drops.open_requests > 0) {
                self.conversation.withdraw(Side::Client, message);
                out.to_client
                    .extend_from_slice(&none_frame(self.client_head(message)));
                return Ok(Fate::Drop);
            }
            if let Verdict::WouldDeny { rule, .. } = &judged.verdict {
                open.shadow = Some(rule.to_string());
            }
            open.asked = Some(judged.asked);
            if last_drop.is_some()
                && let (Some(bench), Some(target)) = (&mut self.bench, request.target())
            {
                bench.dropped(&target);
            }
        }
        self.begin(&mut open, call);
        self.open.insert((Side::Client, message.seq), open);
        Ok(self.forwarded(Side::Client, message))
    }

    fn houdini_asks(
        &mut self,
        message: &Message<'_>,
        request: &Request<'_>,
        size: usize,
        out: &mut Out,
    ) -> Result<Fate, Stop> {
        let now = self.now();
        let step = self.conversation.see(Side::Server, message, size, now);
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
        let refused = refused.or_else(|| {
            let plumbing = matches!(
                request,
                Request::Ping { .. } | Request::Close | Request::Del { .. }
            );
            (self.bench.is_some() && !plumbing).then_some("the session has a narrow role")
        });
        if let Some(why) = refused {
            self.conversation.withdraw(Side::Server, message);
            let mut head = message.head();
            head.family = self.houdini_family.unwrap_or(head.family);
            out.to_houdini.extend_from_slice(&refuses_houdini(
                head,
                reverse::refused_as(request),
                why,
            ));
            if let Some(slot) = self.slot.take() {
                let denied = Outcome::Denied("reverse-calls".into());
                slot.write(call, &denied, std::time::Duration::ZERO, 0);
            }
            self.can_begin_without(request)?;
            return Ok(Fate::Drop);
        }
        let mut open = Open {
            call: None,
            asked: None,
            shadow: None,
        };
        let mut call = (weight != Weight::Housekeeping).then_some(call);
        if let Some(call) = &mut call {
            self.put_arguments(Side::Server, message.seq, request, call);
        }
        self.begin(&mut open, call);
        self.open.insert((Side::Server, message.seq), open);
        Ok(self.forwarded(Side::Server, message))
    }

    fn answer(&mut self, from: Side, message: &Message<'_>, size: usize) -> Result<Fate, Stop> {
        let now = self.now();
        let step = self.conversation.see(from, message, size, now);
        let step = step.map_err(|breach| breached(from, breach))?;
        let Step::Answered(answered) = step else {
            return Err(Stop::of(from, "a request that is an answer"));
        };
        let open = self.open.remove(&(from.other(), message.seq));
        if let Some(open) = open {
            if let (Some(bench), Some(asked)) = (&mut self.bench, &open.asked) {
                bench.answered(asked, message);
            }
            settle(open, &answered, size);
        }
        if from == Side::Server
            && self.reverse == Reverse::Guarded
            && let Body::Exception(raised) = &message.body
            && let Some(module) = reverse::instead_of_module(raised)
            && let Raised::Exception {
                class,
                args,
                attributes,
                traceback,
                ..
            } = *raised
        {
            let raised = Raised::Exception {
                module: &module,
                class,
                args,
                attributes,
                traceback,
            };
            let body = Body::Exception(raised);
            let family = self.client_family.unwrap_or(message.family);
            return Ok(Fate::Instead(encoded(&Message {
                body,
                family,
                ..*message
            })));
        }
        Ok(self.forwarded(from, message))
    }

    /// A frame of which only the head is known. Gives whether it goes on.
    fn great(
        &mut self,
        from: Side,
        head: Head,
        length: usize,
        lane: &mut Lane,
        out: &mut Out,
    ) -> Result<bool, Stop> {
        self.speaks(from, &head)?;
        let narrow = self.bench.is_some();
        match (from, head.kind) {
            (Side::Client, Kind::Request { .. }) if narrow => {
                let why = format!("a request of {length} bytes is greater than this role allows");
                let call = great_call(length);
                let reference = reference();
                let frame = self.who.denies(
                    head,
                    ExceptionClass::PermissionError,
                    &why,
                    "floor/size",
                    &reference,
                );
                self.write_denied(call, "floor/size", reference);
                out.to_client.extend_from_slice(&frame);
                return Ok(false);
            }
            (Side::Client, _) if narrow => {
                return Err(Stop::of(from, FrameError::TooBig(length)));
            }
            (Side::Server, Kind::Request { .. } | Kind::Exception) => {
                return Err(Stop::of(from, FrameError::TooBig(length)));
            }
            _ => {}
        }
        self.unread(from, head, length)?;
        if narrow {
            // The answer is known to be great and nothing else: what it refers to cannot be
            // judged later.
            let family = self.client_family.unwrap_or(head.family);
            let text = format!(
                "the answer of {length} bytes is greater than this role allows\nhint: ask for \
                 less at a time"
            );
            let asked = Head::request(family, head.seq, 0);
            let frame = exception_frame(asked, ExceptionClass::PermissionError, &text);
            out.to_client.extend_from_slice(&frame);
            return Ok(false);
        }
        if self.is_bridged() {
            let to = self.family_of(from.other()).unwrap_or(head.family);
            if lane.is_compressed() || dialect::rewrite(lane.payload_mut(), to).is_err() {
                return Err(Stop::new(format_args!(
                    "{} sent {length} compressed bytes in one message, more than can be \
                     translated to the other end's rpyc",
                    end(from)
                )));
            }
        }
        Ok(true)
    }

    /// Follows a message of which only the head was read.
    fn unread(&mut self, from: Side, head: Head, size: usize) -> Result<(), Stop> {
        let now = self.now();
        let family = self.client_family.unwrap_or(head.family);
        let head = Head { family, ..head };
        let step = self.conversation.see_head(from, head, size, now);
        match step.map_err(|breach| breached(from, breach))? {
            Step::Asked(asked) => {
                let call = new_call(direction(from), &asked, size);
                let mut open = Open {
                    call: None,
                    asked: None,
                    shadow: None,
                };
                self.begin(&mut open, Some(call));
                self.open.insert((from, head.seq), open);
            }
            Step::Answered(answered) => {
                if let Some(open) = self.open.remove(&(from.other(), head.seq)) {
                    settle(open, &answered, size);
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, open: &mut Open, call: Option<Call>) {
        if let Some(call) = call
            && let Some(slot) = self.slot.take()
        {
            open.call = Some(slot.begin(call));
        }
    }

    fn client_head(&self, message: &Message<'_>) -> Head {
        let head = message.head();
        Head {
            family: self.client_family.unwrap_or(head.family),
            ..head
        }
    }

    /// Tells the script, writes it down, and releases what the request passed by reference.
    fn deny(
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
                    out.to_client.extend_from_slice(&encoded(&release));
                }
            });
        }
        out.to_client.extend_from_slice(&frame);
    }

    fn write_denied(&mut self, mut call: Call, rule: &str, reference: String) {
        call.reference = Some(reference);
        if let Some(slot) = self.slot.take() {
            let denied = Outcome::Denied(rule.into());
            slot.write(call, &denied, std::time::Duration::ZERO, 0);
        }
    }

    /// Puts the arguments of a request into its record, and leaves them out of all that
    /// comes of it where a rule says so.
    fn put_arguments(&mut self, asker: Side, seq: u64, request: &Request<'_>, call: &mut Call) {
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
        let mut shown = call.clone();
        self.calls.redactor().redact(
            &mut shown.expression,
            &shown.class,
            &shown.method,
            &mut shown.arguments,
        );
        if shown
            .arguments
            .iter()
            .any(|argument| argument.value.contains(MARKER))
        {
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

fn new_call(direction: Direction, asked: &rpyc::Asked<'_>, size: usize) -> Call {
    let callee = asked.callee();
    let expression = match callee.is_empty() {
        true => asked.expression(),
        false => callee,
    };
    Call {
        time: Timestamp::now(),
        direction,
        expression: expression.to_owned(),
        class: asked.class().to_owned(),
        method: asked.method().to_owned(),
        arguments: Vec::new(),
        bytes_up: size as u64,
        reference: None,
    }
}

/// The record of what has no expression of its own.
fn plain_call(direction: Direction, request: &Request<'_>, size: usize) -> Call {
    Call {
        time: Timestamp::now(),
        direction,
        expression: request.name().to_owned(),
        class: String::new(),
        method: request.name().to_owned(),
        arguments: Vec::new(),
        bytes_up: size as u64,
        reference: None,
    }
}

fn great_call(size: usize) -> Call {
    Call {
        time: Timestamp::now(),
        direction: Direction::ToHoudini,
        expression: "<a great request>".into(),
        class: String::new(),
        method: "?".into(),
        arguments: Vec::new(),
        bytes_up: size as u64,
        reference: None,
    }
}

/// Writes the record of a call that is over, unless it is left out.
fn settle(open: Open, answered: &Answered, size: usize) {
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

fn breached(from: Side, breach: Breach) -> Stop {
    Stop::of(from, breach)
}

/// The frame of a message.
fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut payload = Vec::with_capacity(128);
    message.write(&mut payload);
    frame::encode(&payload)
}
