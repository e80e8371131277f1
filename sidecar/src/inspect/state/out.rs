//! What is ready to be written to each side.

use bytes::BytesMut;
use rpyc::Side;

/// Both ways out.
#[derive(Debug, Default)]
pub(in crate::inspect) struct Out {
    pub(in crate::inspect) to_client: Way,
    pub(in crate::inspect) to_houdini: Way,
}

/// What goes to one side.
///
/// In the middle of a great message nothing else can be said: the receiver would take it for a
/// part of that. What the guard itself has to say waits for the end of it.
#[derive(Debug, Default)]
pub(in crate::inspect) struct Way {
    /// To be written.
    pub(in crate::inspect) ready: BytesMut,
    /// Our own messages that wait.
    waiting: BytesMut,
    /// A great message has begun to go out, and has not ended.
    is_amid: bool,
}

impl Way {
    /// Is what was put here a number of whole messages?
    pub(in crate::inspect) fn is_between_messages(&self) -> bool {
        !self.is_amid
    }

    /// Bytes of our own messages that wait for the end of another.
    pub(in crate::inspect) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What was cut from one buffer is put together without a copy.
    fn join(&mut self, bytes: BytesMut) {
        match self.ready.is_empty() {
            true => self.ready = bytes,
            false => self.ready.unsplit(bytes),
        }
    }
}

impl Out {
    pub(in crate::inspect) fn to(&self, side: Side) -> &Way {
        match side {
            Side::Client => &self.to_client,
            Side::Server => &self.to_houdini,
        }
    }

    fn way(&mut self, side: Side) -> &mut Way {
        match side {
            Side::Client => &mut self.to_client,
            Side::Server => &mut self.to_houdini,
        }
    }

    /// A part of a message from the other side, which has not ended.
    pub(super) fn begin(&mut self, side: Side, part: BytesMut) {
        let way = self.way(side);
        way.is_amid = true;
        way.join(part);
    }

    /// A message from the other side, or the last part of one.
    pub(super) fn pass(&mut self, side: Side, bytes: BytesMut) {
        let way = self.way(side);
        way.join(bytes);
        way.is_amid = false;
        if !way.waiting.is_empty() {
            let waiting = way.waiting.split();
            way.ready.unsplit(waiting);
        }
    }

    /// What stands in the place of a message from the other side.
    pub(super) fn put(&mut self, side: Side, frame: &[u8]) {
        self.way(side).ready.extend_from_slice(frame);
    }

    /// A message of our own.
    pub(super) fn say(&mut self, side: Side, frame: &[u8]) {
        let way = self.way(side);
        match way.is_amid {
            true => way.waiting.extend_from_slice(frame),
            false => way.ready.extend_from_slice(frame),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> BytesMut {
        text.as_bytes().into()
    }

    #[test]
    fn nothing_is_said_in_the_middle_of_a_message() {
        for side in [Side::Client, Side::Server] {
            let mut out = Out::default();
            out.say(side, b"1");
            out.begin(side, bytes("<"));
            out.say(side, b"2");
            out.say(side.other(), b"3");
            out.begin(side, bytes("="));
            out.say(side, b"4");
            assert_eq!(out.to(side).ready, "1<=");
            assert_eq!(out.to(side).waiting(), 2);
            assert!(!out.to(side).is_between_messages());
            assert_eq!(out.to(side.other()).ready, "3");
            assert!(out.to(side.other()).is_between_messages());
            out.pass(side, bytes(">"));
            out.say(side, b"5");
            assert_eq!(out.to(side).ready, "1<=>245");
            assert_eq!(out.to(side).waiting(), 0);
            assert!(out.to(side).is_between_messages());
        }
    }
}
