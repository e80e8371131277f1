//! The rpyc protocol, without I/O.
//!
//! Two ways to look at a connection that passes:
//!
//! - **Heads only**, in constant memory, for one who forwards bytes as they come: an
//!   [`Observer`] for each direction, [`Pending`] for what waits for an answer, a
//!   [`Refuser`] or an [`exception_frame`] to answer in a server's place, [`sniff()`] and
//!   [`Probe`] to tell rpyc from other protocols.
//! - **Everything**, for one who judges and records: a [`Lane`] and an [`Inflater`] for each
//!   direction give payloads, [`Message::read`] understands them, and one [`Conversation`]
//!   for the connection says what each call is.
//!
//! ```
//! use hrpyc_rpyc::brine::Limits;
//! use hrpyc_rpyc::conversation::Limits as Room;
//! use hrpyc_rpyc::{Conversation, Inflater, Lane, Message, Next, Side, Step};
//!
//! /// One direction of a connection.
//! struct Half {
//!     from: Side,
//!     lane: Lane,
//!     inflater: Inflater,
//! }
//!
//! /// Takes what was read from one end, and says what was done.
//! fn follow(
//!     half: &mut Half,
//!     conversation: &mut Conversation,
//!     bytes: &[u8],
//! ) -> Result<Vec<String>, Box<dyn std::error::Error>> {
//!     let mut done = Vec::new();
//!     half.lane.input.extend_from_slice(bytes);
//!     loop {
//!         let step = match half.lane.cut()? {
//!             Next::More => return Ok(done),
//!             Next::Whole(whole) => {
//!                 let frame = whole.frame();
//!                 let payload = half.inflater.payload(&frame)?;
//!                 let message = Message::read(payload, Limits::WIDE)?;
//!                 conversation.see(half.from, &message, frame.wire_len())?
//!             }
//!             // Too great to be taken whole: it goes by, and its head is all that is known.
//!             Next::Great { head, length } => {
//!                 half.lane.pass(length);
//!                 conversation.see_head(half.from, head, length)?
//!             }
//!             Next::Part(_) => continue,
//!         };
//!         match step {
//!             // Here a request is judged, before it is sent on: `asked` has its class,
//!             // method and expression (`Conversation::request` gives it again), `message` its
//!             // arguments, and `Conversation::object` tells how each of those was got. What is denied is
//!             // taken back with `Conversation::withdraw` and answered with
//!             // `exception_frame(message.head(), ...)`.
//!             Step::Asked(asked) => drop(asked),
//!             Step::Answered(call) if call.is_folded() => {}
//!             Step::Answered(call) => done.push(call.expression),
//!         }
//!     }
//! }
//!
//! let half = |from| Half {
//!     from,
//!     lane: Lane::new(1 << 20),
//!     inflater: Inflater::new(1 << 20),
//! };
//! let (mut client, mut server) = (half(Side::Client), half(Side::Server));
//! let mut conversation = Conversation::new(Room::NARROW);
//!
//! // `(1, 0, (1, (1, ("hi",))))`: a ping; and the reply to it.
//! let asked = b"\x00\x00\x00\x0c\x00\x12\x51\x50\x11\x51\x11\x51\x10\x08\x0bhi\n";
//! let reply = b"\x00\x00\x00\x09\x00\x12\x52\x50\x11\x51\x08\x0bhi\n";
//! assert!(follow(&mut client, &mut conversation, asked)?.is_empty());
//! assert!(follow(&mut server, &mut conversation, reply)?.is_empty());
//! assert_eq!(conversation.held(Side::Client), (0, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! All that stock clients and servers of 4.1.0, 4.1.5, 5.3.1 and 6.0.2 send is accepted, and
//! little else of what rpyc would take. What is accepted means the same to rpyc, and is
//! written back byte for byte. All memory is bounded by the limits that are given.
//!
//! A message that is too great to be taken whole goes through an [`Unpacker`] piece by piece: to
//! an [`Abridger`], which makes a small one of it to be read, and to a [`Transcoder`], which
//! makes one of the other family.
//!
//! To forward a message, write it anew with [`Message::write`] and [`frame::encode`], or, for
//! a peer of the other family, with [`dialect::rewrite`]. To answer an `INSPECT` or to drop
//! references in a peer's name, make a [`Message`]: numbers from [`conversation::SEQ_MAX`] on
//! are never a peer's own, and a [`Conversation::behind_relay`] takes them.
//!
//! Where the server is held to what callbacks need, [`reverse`] says what may pass.
//!
//! Facts name the rpyc source file that they come from; versions read are 4.1.0, 4.1.5, 5.3.1
//! and 6.0.2.

pub mod answering;
pub mod brine;
pub mod conversation;
pub mod dialect;
pub mod exception;
pub mod family;
pub mod frame;
pub mod head;
pub mod ids;
pub mod inflate;
pub mod lane;
pub mod message;
pub mod observer;
pub mod pending;
pub mod probe;
pub mod reverse;
pub mod sniff;
pub mod transcode;
pub mod unpack;

#[cfg(test)]
mod captures;

pub use answering::{Answer, Refuser};
pub use conversation::{Answered, Asked, Conversation, Side, Step};
pub use exception::{ExceptionClass, exception_frame};
pub use family::Family;
pub use frame::{Frame, FrameError};
pub use head::{Head, Kind, Threads};
pub use ids::Ids;
pub use inflate::Inflater;
pub use lane::{Lane, Next, WholeFrame};
pub use message::{Abridgement, Abridger, Body, Boxed, Malformed, Message, ObjectId, Request};
pub use observer::Observer;
pub use pending::Pending;
pub use probe::{Probe, Verdict};
pub use sniff::{Sniff, sniff};
pub use transcode::Transcoder;
pub use unpack::{Unpacked, Unpacker};

/// The bytes are not rpyc, or not any more: nothing after them can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not rpyc")]
pub struct NotRpyc;
