//! One connection, followed in both directions.
//!
//! A [`Conversation`] is shown each message as it passes. It knows which objects each side
//! has handed out, how each was got, and which requests wait for an answer, so that it can
//! say of each call what a programmer would have written:
//! `hou.node('/obj/sphere1').parm('scale').set(2.0)`.
//!
//! On the wire that line is three times `GETATTR` and `CALL`. A `GETATTR` of a method gives
//! a reference to a bound method, an object with an id of its own, and the `CALL` goes to
//! that id. So each object keeps the expression that gave it; for an attribute also the class
//! that it was read from and its name, which is what the call of it is reported as.
//!
//! Sources: `core/protocol.py` (`_box`, `_unbox`, `_dispatch`), `core/netref.py`,
//! `lib/colls.py::RefCountingColl`, `core/service.py`; 4.1.0, 4.1.5, 5.3.1 and 6.0.2.
//!
//! What a peer sends cannot make it grow without end: see [`Limits`].

mod arrivals;
mod bounds;
mod event;
mod expression;
mod following;
mod known;
mod naming;
mod objects;
mod pending;
mod text;
mod window;

pub use bounds::{Breach, Limits};
pub use event::{Answered, Asked, Dropped, Outcome, Step, Weight};
pub use known::Known;
pub use objects::How;
pub use window::SEQ_MAX;

use crate::family::Family;
use crate::head::{Head, Kind};
use crate::ids::Ids;
use crate::message::{Body, Boxed, Message, ObjectId, Owner, Raised};

use event::outcome;
use expression::Writer;
use objects::Objects;
use pending::Open;
use text::{Names, Text};
use window::Window;

/// An end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The end that connected: the script.
    Client,
    /// The end that listened: Houdini.
    Server,
}

impl Side {
    /// The opposite end.
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// A connection, followed.
#[derive(Debug)]
pub struct Conversation {
    limits: Limits,
    dialect: Option<(Family, bool)>,
    client: Party,
    server: Party,
    names: Names,
    /// Bytes of the expressions and names of open requests.
    open_text: usize,
    /// `id()` of the class `module` at the server, once a module has been seen.
    module_type: Option<u64>,
}

/// What one side has handed out and asked.
#[derive(Debug)]
struct Party {
    objects: Objects,
    open: Ids<u64, Open>,
    window: Window,
    /// Of the numbers from [`SEQ_MAX`] on, when a relay beyond may use them.
    relay: Option<Window>,
}

impl Party {
    fn new(limits: Limits) -> Self {
        Self {
            objects: Objects::new(limits.objects),
            open: Ids::default(),
            window: Window::new(),
            relay: None,
        }
    }
}

impl Conversation {
    /// At the beginning of a connection.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            dialect: None,
            client: Party::new(limits),
            server: Party::new(limits),
            names: Names::new(),
            open_text: 0,
            module_type: None,
        }
    }

    /// At the beginning of a connection on which another relay is nearer to the server. It
    /// makes requests of its own towards the client, with numbers from [`SEQ_MAX`] on.
    pub fn behind_relay(limits: Limits) -> Self {
        let mut conversation = Self::new(limits);
        conversation.server.relay = Some(Window::new());
        conversation
    }

    /// Takes note of a message. `size` is what it takes on the wire; it comes back with the
    /// answer and means nothing here.
    ///
    /// A request is taken for sent. One that is not let through must be
    /// [withdrawn](Self::withdraw), and its answer not be shown here.
    ///
    /// # Errors
    ///
    /// The connection cannot be followed any more; see [`Breach`]. Close it.
    pub fn see(
        &mut self,
        from: Side,
        message: &Message<'_>,
        size: usize,
    ) -> Result<Step<'_>, Breach> {
        self.same_dialect(message.head())?;
        match &message.body {
            Body::Request(request) => {
                let asked = self.ask(from, message.head(), request, size)?;
                Ok(Step::Asked(asked))
            }
            Body::Reply(result) => {
                let open = self.close(from, message.seq, true)?;
                let unknown = match self.returned(from, &open, result) {
                    Ok(unknown) => unknown,
                    Err(breach) => {
                        // An answer that nobody gets is none.
                        self.party(from.other()).open.insert(message.seq, open);
                        return Err(breach);
                    }
                };
                let mut answered = open.answered(from.other(), outcome(result), size);
                answered.unknown = unknown;
                Ok(Step::Answered(answered))
            }
            Body::Exception(raised) => {
                let open = self.close(from, message.seq, false)?;
                let outcome = match raised {
                    Raised::StopIteration => Outcome::StopIteration,
                    Raised::Exception { module, class, .. } => Outcome::raised(module, class),
                };
                Ok(Step::Answered(open.answered(from.other(), outcome, size)))
            }
        }
    }

    /// Takes note of a request of which only the beginning was read, made whole: see
    /// [`Abridgement::is_cut`](crate::Abridgement::is_cut). Its expression says that there is
    /// more; what else it refers to stays unknown.
    ///
    /// # Errors
    ///
    /// As [`see`](Self::see).
    pub fn see_beginning(
        &mut self,
        from: Side,
        message: &Message<'_>,
        size: usize,
    ) -> Result<Step<'_>, Breach> {
        self.see(from, message, size)?;
        let seq = message.seq;
        let before = self.cost_of(from, seq);
        let open = self.party(from).open.get_mut(&seq);
        open.ok_or(Breach::Unasked(seq))?.has_more_arguments();
        self.open_text = self.open_text + self.cost_of(from, seq) - before;
        let asked = self.request(from, seq).ok_or(Breach::Unasked(seq))?;
        Ok(Step::Asked(asked))
    }

    /// How many more objects of `owner` can be known.
    pub fn room(&self, owner: Side) -> usize {
        let held = self.party_ref(owner).objects.len();
        self.limits.objects.saturating_sub(held)
    }

    /// Takes note of a message that is too great to be read: only its head is known. What
    /// it refers to stays unknown.
    ///
    /// # Errors
    ///
    /// As [`see`](Self::see).
    pub fn see_head(&mut self, from: Side, head: Head, size: usize) -> Result<Step<'_>, Breach> {
        self.same_dialect(head)?;
        if let Kind::Request { handler } = head.kind {
            self.may_ask(from, head.seq)?;
            let open = Open::unread(handler, &mut self.names, size);
            return Ok(Step::Asked(self.opened(from, head, open)?));
        }
        let open = self.close(from, head.seq, head.kind == Kind::Reply)?;
        let answered = open.answered(from.other(), Outcome::Unread, size);
        Ok(Step::Answered(answered))
    }

    /// The request that was just seen is not sent on. What it passed by reference is taken
    /// for not sent either: tell its sender so with `DEL`, once for each reference in
    /// [`Message::references`] that is the sender's.
    pub fn withdraw(&mut self, from: Side, message: &Message<'_>) {
        let Some(open) = self.party(from).open.remove(&message.seq) else {
            return;
        };
        self.settle(from, &open, false);
        let own = &mut self.party(from).objects;
        message.references(|owner, id| {
            if owner == Owner::Sender {
                own.unsend(&id);
            }
        });
    }

    /// A request of `asker` that waits for its answer. Unlike the one that
    /// [`see`](Self::see) gives, it can be looked at together with the objects that it names.
    pub fn request(&self, asker: Side, seq: u64) -> Option<Asked<'_>> {
        let open = self.party_ref(asker).open.get(&seq)?;
        Some(Asked { asker, seq, open })
    }

    /// The heads of the requests of `asker` that wait for an answer, oldest first.
    pub fn outstanding(&self, asker: Side) -> Vec<Head> {
        let Some((family, _)) = self.dialect else {
            return Vec::new();
        };
        let open = self.party_ref(asker).open.iter();
        let mut heads: Vec<_> = open
            .map(|(seq, open)| Head {
                threads: open.threads,
                ..Head::request(family, *seq, open.handler)
            })
            .collect();
        heads.sort_unstable_by_key(|head| head.seq);
        heads
    }

    /// An object of `owner`, while the other side can name it.
    pub fn object(&self, owner: Side, id: &ObjectId<'_>) -> Option<Known<'_>> {
        let objects = &self.party_ref(owner).objects;
        let object = objects.get(objects.find(id)?)?;
        Some(Known { object })
    }

    /// A value in a message of `from`, as it stands in expressions.
    pub fn show(&self, from: Side, value: &Boxed<'_>) -> String {
        let mut text = Text::new();
        Writer {
            asker: from,
            text: &mut text,
            theirs: &self.party_ref(from.other()).objects,
            own: &self.party_ref(from).objects,
        }
        .value(value);
        text.into_string()
    }

    /// Leaves the arguments of an open request out of its expression, and so of the
    /// expressions of all that comes of it.
    pub fn hide_arguments(&mut self, asker: Side, seq: u64) {
        if let Some(open) = self.party(asker).open.get_mut(&seq) {
            let before = open.cost();
            open.hide_arguments();
            self.open_text = self.open_text + self.cost_of(asker, seq) - before;
        }
    }

    fn cost_of(&self, asker: Side, seq: u64) -> usize {
        let open = self.party_ref(asker).open.get(&seq);
        open.map_or(0, Open::cost)
    }

    /// Objects of `owner` that are held, and requests of it that wait for an answer.
    pub fn held(&self, owner: Side) -> (usize, usize) {
        let party = self.party_ref(owner);
        (party.objects.len(), party.open.len())
    }

    /// Open requests that name an object of `owner`, also one that is being dropped: how long
    /// a last `DEL` has to wait; see [`Dropped`].
    pub fn open_requests(&self, owner: Side, id: &ObjectId<'_>) -> u32 {
        let objects = &self.party_ref(owner).objects;
        objects.search(id).map_or(0, |slot| objects.named(slot))
    }

    /// Is a message with this head of the dialect that is spoken here: its family, and whether
    /// threads are bound? Before the first message any is.
    pub fn is_spoken(&self, head: &Head) -> bool {
        let dialect = (head.family, head.threads.is_some());
        self.dialect.is_none_or(|spoken| spoken == dialect)
    }

    fn party(&mut self, side: Side) -> &mut Party {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn party_ref(&self, side: Side) -> &Party {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    fn same_dialect(&mut self, head: Head) -> Result<(), Breach> {
        let dialect = (head.family, head.threads.is_some());
        match *self.dialect.get_or_insert(dialect) == dialect {
            true => Ok(()),
            false => Err(Breach::Dialect),
        }
    }
}

#[cfg(test)]
mod tests;
