//! One line: a link of the chain, or a part of something torn that a record accounts for.

use std::fs::File;
use std::io::BufReader;

use aws_lc_rs::digest::{Context, SHA256};

use super::{Broken, Verifier};
use crate::audit::chain::{Link, to_hash};
use crate::audit::files::is_event;
use crate::audit::reader::Ended;

/// Something behind the last whole line that is none.
pub(super) struct Rest {
    pub(super) line: u64,
    /// What it would have to be, if nothing accounts for it.
    pub(super) why: (&'static str, String),
    pub(super) context: Context,
    pub(super) length: u64,
    /// A line end came last; it is part of the rest only if more follows.
    pub(super) line_end: bool,
}

impl Verifier<'_> {
    /// One line. Whether it is a link.
    pub(super) fn line(
        &mut self,
        line: &[u8],
        ended: Ended,
        links: u64,
        reader: &mut BufReader<File>,
    ) -> Result<bool, Broken> {
        let link = Link::parse(line).filter(|_| ended != Ended::Limit);
        let wrong = match &link {
            Some(link) => self.follow(link, line, links, reader).err(),
            None => Some((
                "edited",
                "it is not a whole record, and no record behind it accounts for that".to_owned(),
            )),
        };
        let Some(why) = wrong else {
            // What lies between two links must be what a record says was found there.
            let rest = self.rest.take();
            let is_resumed = is_event(line, "resumed");
            match (rest, is_resumed) {
                (None, false) => {}
                (Some(rest), true) if accounts_for(line, &rest) => self.done.resumed += 1,
                (Some(rest), _) => {
                    self.line = rest.line;
                    return Err(self.broken(rest.why.0, rest.why.1));
                }
                (None, true) => {
                    return Err(self.broken(
                        "torn-line",
                        "it accounts for a torn line that is not there any more",
                    ));
                }
            }
            let link = link.unwrap_or_else(|| unreachable!("only a link follows"));
            self.take(&link, line)?;
            return Ok(true);
        };
        if link.is_some() {
            // A torn line is never a whole link.
            return Err(match self.rest.take() {
                Some(rest) => {
                    self.line = rest.line;
                    self.broken(rest.why.0, rest.why.1)
                }
                None => self.broken(why.0, why.1),
            });
        }
        let number = self.line;
        let rest = self.rest.get_or_insert_with(|| Rest {
            line: number,
            why,
            context: Context::new(&SHA256),
            length: 0,
            line_end: false,
        });
        if std::mem::replace(&mut rest.line_end, ended == Ended::LineEnd) {
            rest.context.update(b"\n");
            rest.length += 1;
        }
        rest.context.update(line);
        rest.length += line.len() as u64;
        Ok(false)
    }
}

/// Whether a `resumed` record is about exactly this.
fn accounts_for(line: &[u8], rest: &Rest) -> bool {
    #[derive(serde::Deserialize)]
    struct Resumed {
        torn_bytes: u64,
        torn_sha256: String,
    }
    let found = to_hash(&rest.context.clone().finish());
    serde_json::from_slice(line).is_ok_and(|resumed: Resumed| {
        resumed.torn_bytes == rest.length && resumed.torn_sha256 == wire::hex(&found)
    })
}
