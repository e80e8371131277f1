//! Objects that the script lets go of while its requests that name them are open.
//!
//! A server with several threads would look the id up when it means another object. So the
//! last `DEL` waits for the answers to these requests. Until it is sent on, Houdini holds the
//! object, and its id can mean no other one; given out again meanwhile it counts one more,
//! and what was dropped is not the last of it.

use rpyc::{ObjectId, Side};

use super::{Out, State};

/// A `DEL` that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    name: Box<str>,
    type_id: u64,
    object_id: u64,
    /// As it is sent on.
    frame: Vec<u8>,
}

impl Waiting {
    fn id(&self) -> ObjectId<'_> {
        ObjectId {
            name: &self.name,
            type_id: self.type_id,
            object_id: self.object_id,
        }
    }
}

impl State {
    /// Keeps a `DEL` back. It is open like any request, so that there are not more of them
    /// than may be open.
    pub(super) fn hold_drop(&mut self, id: &ObjectId<'_>, frame: Vec<u8>) {
        self.drops.push(Waiting {
            name: id.name.into(),
            type_id: id.type_id,
            object_id: id.object_id,
            frame,
        });
    }

    /// Sends on what needs to wait no more, in the order in which it came.
    pub(super) fn release_drops(&mut self, out: &mut Out) {
        let Self {
            drops,
            conversation,
            bench,
            ..
        } = self;
        drops.retain(|waiting| {
            let id = waiting.id();
            let lives = conversation.object(Side::Server, &id).is_some();
            if !lives && conversation.open_requests(Side::Server, &id) > 0 {
                return true;
            }
            out.say(Side::Server, &waiting.frame);
            if let Some(bench) = bench
                && !lives
            {
                bench.dropped(&id);
            }
            false
        });
    }
}
