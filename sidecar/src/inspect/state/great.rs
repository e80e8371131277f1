//! Messages that are too great to be taken whole.

use jiff::Timestamp;
use rpyc::{ExceptionClass, FrameError, Head, Kind, Lane, Side, Step, dialect, exception_frame};

use super::answers::settle;
use super::records::{direction, new_call};
use super::{Open, Out, State, Stop, breached, end};
use crate::audit::{Call, Direction, reference};

impl State {
    /// A frame of which only the head is known. Gives whether it goes on.
    pub(super) fn great(
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
    pub(super) fn unread(&mut self, from: Side, head: Head, size: usize) -> Result<(), Stop> {
        let family = self.client_family.unwrap_or(head.family);
        let head = Head { family, ..head };
        let step = self.conversation.see_head(from, head, size);
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
}

fn great_call(size: usize) -> Call {
    Call {
        time: Timestamp::now(),
        direction: Direction::ToHoudini,
        expression: "<a great request>".into(),
        class: "".into(),
        method: "?".into(),
        arguments: Vec::new(),
        bytes_up: size as u64,
        reference: None,
    }
}
