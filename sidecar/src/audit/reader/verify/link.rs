//! A link of the chain: what it follows, what it signs, and which head was kept of it.

use std::fs::File;
use std::io::BufReader;

use jiff::{SignedDuration, Timestamp};

use super::{Step, Verifier};
use crate::audit::chain::{Hash, Head, Link};
use crate::audit::checkpoint::Checkpoint;
use crate::audit::files::is_event;
use crate::audit::reader::read_line;

/// How old the first line of a log may be before something signs it. A guard does so a second
/// after it has written it; a busy machine may need longer.
const UNSIGNED: SignedDuration = SignedDuration::from_secs(10);

impl Verifier<'_> {
    /// Whether a link follows what is before it, and if not, what that looks like.
    pub(super) fn follow(
        &mut self,
        link: &Link<'_>,
        line: &[u8],
        links: u64,
        reader: &mut BufReader<File>,
    ) -> Result<(), (&'static str, String)> {
        let head = match self.head {
            Some(head) => head,
            None => {
                let head = self.anchor(link, line)?;
                *self.head.insert(head)
            }
        };
        let wanted = head.seq + 1;
        if link.seq == wanted {
            return if link.follows(&head.hash) {
                Ok(())
            } else {
                Err((
                    "edited",
                    format!(
                        "line {wanted} of the log does not have the hash that it says, or does not follow the line before it: one of the two was changed"
                    ),
                ))
            };
        }
        if link.seq == head.seq && link.hash == head.hash {
            return Err((
                "duplicate",
                format!("line {} of the log is there twice", link.seq),
            ));
        }
        if link.seq < wanted {
            return Err((
                "out-of-order",
                format!(
                    "line {} of the log stands behind line {}",
                    link.seq, head.seq
                ),
            ));
        }
        let mut next = Vec::new();
        let is_swapped = read_line(reader, &mut next).is_ok()
            && Link::parse(&next).is_some_and(|next| next.seq == wanted);
        if is_swapped {
            return Err((
                "out-of-order",
                format!("line {} of the log stands before line {wanted}", link.seq),
            ));
        }
        let missing = format!("lines {wanted} to {} of the log are missing", link.seq - 1);
        if links == 0 {
            let problem =
                format!("{missing}: the file before this one is not there, or its end is not");
            Err(("missing-file", problem))
        } else {
            Err(("missing-lines", missing))
        }
    }

    /// What the first line that is there links to: the beginning of the log, or what a signed
    /// checkpoint says was before it.
    fn anchor(&mut self, link: &Link<'_>, line: &[u8]) -> Result<Head, (&'static str, String)> {
        self.done.first = link.seq;
        if link.seq == 1 {
            return Ok(Head::genesis(self.done.log));
        }
        let hash: Option<Hash> = serde_json::from_slice::<Checkpoint>(line)
            .ok()
            .filter(|_| is_event(line, "checkpoint"))
            .and_then(|checkpoint| checkpoint.signed_hash());
        // Its signature is looked at like that of every checkpoint.
        hash.map(|hash| Head {
            seq: link.seq - 1,
            hash,
        })
        .ok_or_else(|| {
            (
                "missing-oldest-file",
                format!(
                    "lines 1 to {} of the log are missing, and no checkpoint stands in their place",
                    link.seq - 1
                ),
            )
        })
    }

    /// A link that follows.
    pub(super) fn take(&mut self, link: &Link<'_>, line: &[u8]) -> Step {
        let before = self.head;
        self.head = Some(link.head());
        if link.seq == 1 {
            self.is_new = written_at(line)
                .is_some_and(|time| Timestamp::now().duration_since(time).abs() < UNSIGNED);
        }
        self.done.lines += 1;
        self.done.unsigned += 1;
        for (place, expected) in self.expected.iter().enumerate() {
            if expected.head == link.head() {
                self.done.met.push(place);
            }
            let is_other = expected.head.seq == link.seq && expected.head.hash != link.hash;
            if is_other && expected.log == Some(self.done.log) {
                return Err(self.broken(
                    "other-head",
                    format!(
                        "line {} of the log has another hash than the one that was kept",
                        link.seq
                    ),
                ));
            }
        }
        if is_event(line, "checkpoint") {
            self.checkpoint(link, line, before)?;
        } else if is_event(line, "pruned") {
            #[derive(serde::Deserialize)]
            struct Pruned {
                through: u64,
            }
            let pruned = serde_json::from_slice(line).map_or(0, |pruned: Pruned| pruned.through);
            self.pruned = self.pruned.max(pruned);
        }
        Ok(())
    }

    fn checkpoint(&mut self, link: &Link<'_>, line: &[u8], before: Option<Head>) -> Step {
        let checkpoint: Checkpoint = serde_json::from_slice(line).map_err(|_| {
            self.broken("wrong-signature", "it is a checkpoint that cannot be read")
        })?;
        let is_of_this = checkpoint.log == self.done.log
            && checkpoint.signed_hash() == before.map(|head| head.hash);
        match checkpoint.is_signed(link.seq, self.keys) {
            Some(true) if is_of_this => {}
            None => {
                return Err(self.broken(
                    "unknown-key",
                    format!("the checkpoint was signed with the key {}, and not with the one that is known", checkpoint.key),
                ));
            }
            Some(_) => {
                return Err(self.broken(
                    "wrong-signature",
                    "the signature of the checkpoint is not that of the key over the lines before it",
                ));
            }
        }
        self.done.checkpoint = Some(link.seq);
        self.done.checkpoint_time = Some(checkpoint.time);
        self.done.unsigned = 0;
        Ok(())
    }
}

/// When a record was written: a call's once it was answered.
fn written_at(line: &[u8]) -> Option<Timestamp> {
    #[derive(serde::Deserialize)]
    struct Written {
        time: Timestamp,
        #[serde(default)]
        us: i64,
    }
    let written: Written = serde_json::from_slice(line).ok()?;
    let took = SignedDuration::from_micros(written.us);
    written.time.checked_add(took).ok()
}
