//! What each end speaks, and messages as the other one understands them.

use rpyc::conversation::Breach;
use rpyc::{Family, Head, Message, Side, frame};

use super::{Fate, State, Stop};

impl State {
    pub(super) fn family_of(&mut self, side: Side) -> &mut Option<Family> {
        match side {
            Side::Client => &mut self.client_family,
            Side::Server => &mut self.houdini_family,
        }
    }

    /// Takes note of what a side speaks.
    pub(super) fn speaks(&mut self, from: Side, head: &Head) -> Result<(), Stop> {
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
    pub(super) fn is_bridged(&self) -> bool {
        matches!((self.client_family, self.houdini_family), (Some(a), Some(b)) if a != b)
    }

    /// The message as it goes on.
    pub(super) fn forwarded(&mut self, from: Side, message: &Message<'_>) -> Fate {
        if !self.is_bridged() {
            return match self.bench {
                // What was understood is what is sent, byte for byte.
                Some(_) => Fate::Instead(encoded_for(from.other(), message)),
                None => Fate::Pass,
            };
        }
        let family = self.family_of(from.other()).unwrap_or(message.family);
        let message = Message { family, ..*message };
        Fate::Instead(encoded_for(from.other(), &message))
    }
}

/// The frame of a message.
pub(super) fn encoded(message: &Message<'_>) -> Vec<u8> {
    frame::encode_with(|payload| message.write(payload))
}

/// The frame of a message for one side. Houdini is on this machine: there compressing would
/// cost time at both ends and spare nothing.
pub(super) fn encoded_for(to: Side, message: &Message<'_>) -> Vec<u8> {
    match to {
        Side::Client => encoded(message),
        Side::Server => frame::encode_plain_with(|payload| message.write(payload)),
    }
}
