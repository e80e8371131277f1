//! Both directions read, so that the server can ask of the client no more than callbacks
//! need.
//!
//! The guard does the same; here it is done once more, for an artist must not have to trust
//! that it does. What the client sends is only followed: it says which of its objects the
//! server was given. What is not rpyc in the server's direction goes no further.

mod great;

use bytes::{Buf as _, BytesMut};
use rpyc::brine;
use rpyc::conversation::Limits;
use rpyc::frame::HEADER_LEN;
use rpyc::{
    Body, Conversation, ExceptionClass, FrameError, Head, Inflater, Kind, Lane, Malformed, Message,
    Next, Request, Side, WholeFrame, exception_frame, reverse,
};

use super::open::Open;
use super::{Out, pass};
use great::Great;

/// Frames with a payload of more than this are not taken whole: they are read as they come.
const WHOLE: usize = 1 << 20;
/// How far a frame that is taken whole may inflate.
const INFLATED: usize = 16 << 20;
/// Why a session is ended here.
#[derive(Debug)]
pub(crate) struct Stop {
    /// Who sent what cannot be followed.
    pub(crate) from: Side,
    /// What is wrong with it.
    pub(crate) why: String,
}

impl Stop {
    fn new(from: Side, why: impl ToString) -> Self {
        let why = why.to_string();
        Self { from, why }
    }
}

/// Both directions, understood.
#[derive(Debug)]
pub(super) struct Guarded {
    client: Half,
    server: Half,
    conversation: Conversation,
    /// Bytes of what the client has sent that the tunnel has got already.
    sent_ahead: usize,
    /// Bytes of a great message of the client's that are still to come.
    passing_up: usize,
    /// Why the client cannot be followed any more.
    lost: Option<String>,
    /// So much is read of a great message, in bytes of its payload.
    most: usize,
    /// What becomes of the great message of the server's that is coming.
    onward: Onward,
    /// Was a refusal logged? There may be any number.
    reported: bool,
}

/// One direction.
#[derive(Debug)]
struct Half {
    lane: Lane,
    inflater: Inflater,
    /// The great message that is coming, while it is read.
    great: Option<Great>,
}

/// What becomes of the bytes of a great message.
#[derive(Debug)]
enum Onward {
    /// They go on as they come.
    Passes,
    /// They go nowhere.
    Dropped,
    /// They wait until it is judged.
    Held(BytesMut),
}

impl Half {
    fn new() -> Self {
        Self {
            lane: Lane::new(WHOLE),
            inflater: Inflater::new(INFLATED),
            great: None,
        }
    }

    /// Is the payload that comes next a compressed one?
    fn is_compressed(&self) -> bool {
        self.lane.input.get(HEADER_LEN - 1) == Some(&1)
    }
}

impl Guarded {
    /// Where the tunnel has got `first` already, which the client has sent.
    pub(super) fn new(first: &[u8]) -> Self {
        let mut client = Half::new();
        client.lane.input.extend_from_slice(first);
        Self {
            client,
            server: Half::new(),
            conversation: Conversation::behind_relay(Limits::WIDE),
            sent_ahead: first.len(),
            passing_up: 0,
            lost: None,
            most: great::HELD,
            onward: Onward::Passes,
            reported: false,
        }
    }

    /// Where what a side has sent is put.
    pub(super) fn input(&mut self, from: Side) -> &mut BytesMut {
        match from {
            Side::Client => &mut self.client.lane.input,
            Side::Server => &mut self.server.lane.input,
        }
    }

    /// Reads what has come of a side, and moves on what may go.
    ///
    /// # Errors
    /// [`Stop`]: the session cannot go on.
    pub(super) fn advance(&mut self, from: Side, out: &mut Out) -> Result<(), Stop> {
        let advanced = match from {
            Side::Client => {
                self.client_sent(out);
                Ok(())
            }
            Side::Server => self.server_sent(out),
        };
        match &self.lost {
            // Nobody knows any more what the server waits for, nor where an answer of ours
            // would have its place.
            Some(why) if advanced.is_err() || !out.answers.is_empty() => {
                Err(Stop::new(Side::Client, why))
            }
            _ => advanced,
        }
    }

    /// Is what was moved on towards the server a number of whole messages?
    pub(super) fn is_between_messages(&self) -> bool {
        self.passing_up == 0 && self.sent_ahead == 0 && self.lost.is_none()
    }

    /// From here on nobody needs to look: the server's direction has ended. What is left of
    /// it is half a message, of no use to anybody.
    pub(super) fn into_open(self) -> Open {
        Open::behind(self.client.lane.input, self.sent_ahead)
    }

    /// Whatever the client sends goes on: it is the guard's to judge, or the server's.
    fn client_sent(&mut self, out: &mut Out) {
        if self.lost.is_none()
            && let Err(why) = self.follow(out)
        {
            self.lost = Some(why);
        }
        if self.lost.is_some() {
            let rest = self.client.lane.input.split();
            self.pass_up(rest, out);
        }
    }

    /// Follows the client, and moves on what was understood. An error says why nothing more
    /// can be.
    fn follow(&mut self, out: &mut Out) -> Result<(), String> {
        loop {
            let (noted, bytes) = match self.client.lane.cut().map_err(|error| error.to_string())? {
                Next::More => return Ok(()),
                Next::Part(bytes) => {
                    self.passing_up -= bytes.len();
                    (self.note_part(&bytes), bytes)
                }
                Next::Great { head, length } => {
                    match head.kind {
                        Kind::Exception => self.unread(Side::Client, head, length)?,
                        _ => {
                            let compressed = self.client.is_compressed();
                            self.client.great =
                                Some(Great::new(head, length, compressed, self.most));
                        }
                    }
                    self.client.lane.pass(length);
                    self.passing_up = HEADER_LEN + length + 1;
                    continue;
                }
                Next::Whole(whole) => (self.note(&whole), whole.into_bytes()),
            };
            self.pass_up(bytes, out);
            noted?;
        }
    }

    /// Bytes of the client's as they came, but for those that the tunnel has got.
    fn pass_up(&mut self, mut bytes: BytesMut, out: &mut Out) {
        let sent = self.sent_ahead.min(bytes.len());
        bytes.advance(sent);
        self.sent_ahead -= sent;
        pass(&mut out.to_server, bytes);
    }

    /// Takes note of a message of the client's. One that cannot be read gives the server
    /// nothing that it may use.
    fn note(&mut self, whole: &WholeFrame) -> Result<(), String> {
        let frame = whole.frame();
        let size = frame.wire_len();
        let payload = self.client.inflater.payload(&frame);
        if matches!(payload, Err(FrameError::Bomb))
            && let Some(head) = frame.head()
            && head.kind != Kind::Exception
        {
            self.client.inflater.give_back();
            self.client.great = Some(Great::new(head, frame.body.len(), true, self.most));
            return self.note_part(whole.bytes());
        }
        let payload = payload.ok();
        let message = payload.and_then(|bytes| Message::read(bytes, brine::Limits::WIDE).ok());
        match message {
            Some(message) => {
                let seen = self.conversation.see(Side::Client, &message, size);
                seen.map(drop).map_err(|breach| breach.to_string())
            }
            None => {
                let no_head = || Malformed::Head.to_string();
                let head = frame.head().ok_or_else(no_head)?;
                self.unread(Side::Client, head, size)
            }
        }
    }

    /// Takes note of a message of which only the head was read.
    fn unread(&mut self, from: Side, head: Head, size: usize) -> Result<(), String> {
        let seen = self.conversation.see_head(from, head, size);
        seen.map(drop).map_err(|breach| breach.to_string())
    }

    fn server_sent(&mut self, out: &mut Out) -> Result<(), Stop> {
        let stop = |error: FrameError| Stop::new(Side::Server, error);
        loop {
            match self.server.lane.cut().map_err(stop)? {
                Next::More => return Ok(()),
                Next::Part(bytes) => self.part(bytes, out)?,
                Next::Great { head, length } => {
                    let compressed = self.server.is_compressed();
                    self.great(head, length, compressed, out)?;
                    self.server.lane.pass(length);
                }
                Next::Whole(whole) => {
                    if self.client.great.is_some()
                        && let Some(head) = whole.frame().head()
                    {
                        self.may_answer_early(head)?;
                    }
                    self.whole(whole, out)?;
                }
            }
        }
    }

    fn whole(&mut self, whole: WholeFrame, out: &mut Out) -> Result<(), Stop> {
        let stop = |error: FrameError| Stop::new(Side::Server, error);
        let frame = whole.frame();
        let size = frame.wire_len();
        let payload = match self.server.inflater.payload(&frame) {
            Ok(payload) => payload,
            Err(FrameError::Bomb) => {
                self.server.inflater.give_back();
                let head = frame.head().ok_or(FrameError::NoHead).map_err(stop)?;
                self.great(head, frame.body.len(), true, out)?;
                return self.part(whole.into_bytes(), out);
            }
            Err(error) => return Err(stop(error)),
        };
        let message = Message::read(payload, brine::Limits::WIDE)
            .map_err(|error| Stop::new(Side::Server, error))?;
        if !may_pass(
            &mut self.conversation,
            &mut self.reported,
            &message,
            size,
            out,
        )? {
            return Ok(());
        }
        match reverse::without_module(&message) {
            Some(frame) => out.to_client.extend_from_slice(&frame),
            None => pass(&mut out.to_client, whole.into_bytes()),
        }
        Ok(())
    }
}

/// Takes note of a message of the server's. A request that may not reach the client is answered.
fn may_pass(
    conversation: &mut Conversation,
    reported: &mut bool,
    message: &Message<'_>,
    size: usize,
    out: &mut Out,
) -> Result<bool, Stop> {
    conversation
        .see(Side::Server, message, size)
        .map_err(|breach| Stop::new(Side::Server, breach))?;
    let Body::Request(request) = &message.body else {
        return Ok(true);
    };
    let Err(why) = reverse::judge(conversation, request) else {
        return Ok(true);
    };
    if !std::mem::replace(reported, true) {
        report(conversation, message.seq, request, why);
    }
    conversation.withdraw(Side::Server, message);
    let answer = refusal(message.head(), reverse::refused_as(request), why);
    out.answers.extend_from_slice(&answer);
    Ok(false)
}

/// The frame that tells the server that it may not ask this of the client.
fn refusal(request: Head, class: ExceptionClass, why: &str) -> Vec<u8> {
    let text = format!("the artist's end of hrpyc-guard did not pass this on to the script: {why}");
    exception_frame(request, class, &text)
}

/// Logs a refusal.
fn report(conversation: &Conversation, seq: u64, request: &Request<'_>, why: &str) {
    let asked = conversation.request(Side::Server, seq);
    let what = asked.map(|asked| asked.callee().to_owned());
    let what = what.filter(|what| !what.is_empty());
    let what = what.unwrap_or_else(|| request.name().to_owned());
    tracing::warn!(
        what,
        why,
        "refused: what Houdini asked of the script; more of this session is not logged"
    );
}

#[cfg(test)]
mod tests;
