//! Both directions read, so that the server can ask of the client no more than callbacks
//! need.
//!
//! The guard does the same; here it is done once more, for an artist must not have to trust
//! that it does. What the client sends is only followed: it says which of its objects the
//! server was given. What is not rpyc in the server's direction goes no further.

mod great;
mod refusals;

use bytes::{Buf as _, BytesMut};
use rpyc::brine;
use rpyc::conversation::Limits;
use rpyc::{
    Abridgement, Conversation, ExceptionClass, FrameError, Head, Inflater, Kind, Lane, Malformed,
    Message, Next, Side, WholeFrame, exception_frame, reverse,
};

use super::open::Open;
use super::{Out, pass};
use great::{Great, Onward, Unreadable, abridged, answered};
use refusals::{asked, may_go, refusal};

/// Frames with a payload of more than this are not taken whole: they are read as they come.
const WHOLE: usize = 1 << 20;
/// How far a frame that is taken whole may inflate.
const INFLATED: usize = 16 << 20;

/// What one great message brings has no end but that of its frame.
const ITEMS: brine::Limits = brine::Limits {
    items: usize::MAX,
    ..brine::Limits::WIDE
};

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
    /// Why the client cannot be followed any more.
    lost: Option<String>,
    /// Was a refusal logged? There may be any number.
    reported: bool,
}

/// One direction.
#[derive(Debug)]
struct Half {
    lane: Lane,
    inflater: Inflater,
    /// The great message that is coming.
    great: Option<Great>,
}

impl Half {
    fn new() -> Self {
        Self {
            lane: Lane::new(WHOLE),
            inflater: Inflater::new(INFLATED),
            great: None,
        }
    }

    /// Lets the great message that begins here go by in parts.
    fn begin(&mut self, head: Head, length: usize, onward: Onward) {
        let compressed = self.lane.is_compressed();
        self.great = Some(Great::new(head, length, compressed, onward));
        self.lane.pass(length);
    }

    /// Takes a part of it. Gives what goes on, and the message when it is over.
    fn part(&mut self, bytes: BytesMut) -> (BytesMut, Option<Great>) {
        match &mut self.great {
            Some(great) => {
                let onward = great.take(bytes);
                (onward, self.great.take_if(|great| great.is_over()))
            }
            None => (bytes, None),
        }
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
            lost: None,
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
        self.client.great.is_none() && self.sent_ahead == 0 && self.lost.is_none()
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
            match self.client.lane.cut().map_err(|error| error.to_string())? {
                Next::More => return Ok(()),
                Next::Part(bytes) => {
                    let (bytes, over) = self.client.part(bytes);
                    self.pass_up(bytes, out);
                    if let Some(great) = over.filter(|great| !great.is_answered) {
                        let (head, length) = (great.head, great.length);
                        self.note_read(great.finish().0, head, length)?;
                    }
                }
                Next::Great { head, length } => self.client.begin(head, length, Onward::Passes),
                Next::Whole(whole) => {
                    let noted = self.note(&whole);
                    self.pass_up(whole.into_bytes(), out);
                    noted?;
                }
            }
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
        let head = || frame.head().ok_or_else(|| Malformed::Head.to_string());
        let payload = match self.client.inflater.payload(&frame) {
            Ok(payload) => payload,
            Err(FrameError::Bomb) => {
                self.client.inflater.give_back();
                return self.note_read(abridged(&frame), head()?, size);
            }
            Err(_) => return self.unread(Side::Client, head()?, size),
        };
        match Message::read(payload, brine::Limits::WIDE) {
            Ok(message) => {
                let seen = self.conversation.see(Side::Client, &message, size);
                seen.map(drop).map_err(|breach| breach.to_string())
            }
            Err(_) => self.unread(Side::Client, head()?, size),
        }
    }

    /// Takes note of a great message of the client's, as far as it was read.
    fn note_read(
        &mut self,
        read: Result<Abridgement, Unreadable>,
        head: Head,
        size: usize,
    ) -> Result<(), String> {
        let read = read.ok();
        let message = read
            .as_ref()
            .and_then(|read| Message::read(&read.payload, ITEMS).ok());
        let Some(message) = message else {
            return self.unread(Side::Client, head, size);
        };
        let mut references = 0;
        message.references(|_, _| references += 1);
        if references > self.conversation.room(Side::Client) {
            return self.unread(Side::Client, head, size);
        }
        let seen = self.conversation.see(Side::Client, &message, size);
        seen.map(drop).map_err(|breach| breach.to_string())
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
                Next::Part(bytes) => {
                    let (bytes, over) = self.server.part(bytes);
                    pass(&mut out.to_client, bytes);
                    if let Some(great) = over {
                        self.over(great, out)?;
                    }
                }
                Next::Great { head, length } => {
                    let onward = self.onward(head, length, out)?;
                    self.server.begin(head, length, onward);
                }
                Next::Whole(whole) => self.whole(whole, out)?,
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
                return self.inflates_far(whole, out);
            }
            Err(error) => return Err(stop(error)),
        };
        let message = Message::read(payload, brine::Limits::WIDE)
            .map_err(|error| Stop::new(Side::Server, error))?;
        let (conversation, reported) = (&mut self.conversation, &mut self.reported);
        answered(&mut self.client.great, conversation, message.head())?;
        if !may_go(conversation, reported, &message, size, out)? {
            return Ok(());
        }
        match reverse::without_module(&message) {
            Some(frame) => out.to_client.extend_from_slice(&frame),
            None => pass(&mut out.to_client, whole.into_bytes()),
        }
        Ok(())
    }

    /// A frame that was taken whole and holds a great message.
    fn inflates_far(&mut self, whole: WholeFrame, out: &mut Out) -> Result<(), Stop> {
        let frame = whole.frame();
        let head = frame.head().ok_or(FrameError::NoHead);
        let head = head.map_err(|error| Stop::new(Side::Server, error))?;
        let (length, compressed) = (frame.body.len(), frame.compressed);
        let onward = self.onward(head, length, out)?;
        let mut great = Great::new(head, length, compressed, onward);
        let bytes = great.take(whole.into_bytes());
        pass(&mut out.to_client, bytes);
        self.over(great, out)
    }

    /// What becomes of the bytes of a great message of the server's.
    fn onward(&mut self, head: Head, length: usize, out: &mut Out) -> Result<Onward, Stop> {
        if let Kind::Request { .. } = head.kind {
            return Ok(Onward::Held(BytesMut::new()));
        }
        answered(&mut self.client.great, &mut self.conversation, head)?;
        self.unread(Side::Server, head, length)
            .map_err(|why| Stop::new(Side::Server, why))?;
        if reverse::may_go_unread(head.kind) {
            return Ok(Onward::Unread);
        }
        let text = format!(
            "Houdini raised an exception of {length} bytes, which hrpyc-guard did not hand over: \
             {}",
            Unreadable::TooGreat
        );
        let answer = exception_frame(asked(head), ExceptionClass::RuntimeError, &text);
        out.to_client.extend_from_slice(&answer);
        Ok(Onward::Dropped)
    }

    /// A great message of the server's has come to its end, and is judged when it asks for
    /// something. It is not answered before: who relays it may know of it by its end only.
    fn over(&mut self, great: Great, out: &mut Out) -> Result<(), Stop> {
        let (head, length) = (great.head, great.length);
        let Kind::Request { .. } = head.kind else {
            return Ok(());
        };
        let (read, held) = great.finish();
        let read = match read {
            Ok(read) => read,
            Err(unread @ Unreadable::TooGreat) => {
                let why = unread.to_string();
                let answer = refusal(head, ExceptionClass::RuntimeError, &why);
                out.answers.extend_from_slice(&answer);
                return Ok(());
            }
            Err(unread) => return Err(Stop::new(Side::Server, unread)),
        };
        let message = Message::read(&read.payload, ITEMS);
        let message = message.map_err(|error| Stop::new(Side::Server, error))?;
        let (conversation, reported) = (&mut self.conversation, &mut self.reported);
        if may_go(conversation, reported, &message, length, out)? {
            pass(&mut out.to_client, held);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
