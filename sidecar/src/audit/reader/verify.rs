//! Whether the logs are what the guard wrote.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use certs::AuditPublicKey;

use super::super::chain::{Hash, Head, Link, to_hash};
use super::super::checkpoint::Checkpoint;
use super::super::files::{self, is_event};
pub use super::verdict::{Broken, Expected, Verified, all_met};
use super::{Ended, ReadError, all_files, read_line};

/// How long a file that is missing because it is being turned over is waited for.
const TURNING: Duration = Duration::from_millis(200);

/// Looks through one log, which a guard may be writing meanwhile.
///
/// # Errors
/// [`ReadError`] when a file cannot be read.
pub fn verify(
    directory: &Path,
    log: &'static str,
    keys: &[AuditPublicKey],
    expected: &[Expected],
) -> Result<Result<Verified, Broken>, ReadError> {
    loop {
        let before = all_files(directory, log)?;
        let result = verify_copy(directory, log, keys, expected);
        let is_moving = match &result {
            Ok(Err(broken)) => broken.reason.starts_with("missing"),
            Err(_) => true,
            Ok(Ok(_)) => false,
        };
        if is_moving {
            // The guard may have turned a file over, or removed the oldest, meanwhile.
            std::thread::sleep(TURNING);
            if all_files(directory, log)? != before {
                continue;
            }
        }
        return result;
    }
}

/// Looks through one log as it lies there, a copy that nobody writes to.
///
/// # Errors
/// [`ReadError`] when a file cannot be read.
pub fn verify_copy(
    directory: &Path,
    log: &'static str,
    keys: &[AuditPublicKey],
    expected: &[Expected],
) -> Result<Result<Verified, Broken>, ReadError> {
    let files = all_files(directory, log)?;
    Verifier::new(log, keys, expected).run(directory, &files)
}

/// Something behind the last whole line that is none.
struct Rest {
    line: u64,
    /// What it would have to be, if nothing accounts for it.
    why: (&'static str, String),
    context: Context,
    length: u64,
    /// A line end came last; it is part of the rest only if more follows.
    line_end: bool,
}

struct Verifier<'a> {
    keys: &'a [AuditPublicKey],
    expected: &'a [Expected],
    done: Verified,
    head: Option<Head>,
    /// The highest number that the log says was removed.
    pruned: u64,
    rest: Option<Rest>,
    file: PathBuf,
    line: u64,
}

type Step = Result<(), Broken>;

impl<'a> Verifier<'a> {
    fn new(log: &'static str, keys: &'a [AuditPublicKey], expected: &'a [Expected]) -> Self {
        Self {
            keys,
            expected,
            done: Verified {
                log,
                ..Verified::default()
            },
            head: None,
            pruned: 0,
            rest: None,
            file: PathBuf::new(),
            line: 0,
        }
    }

    fn broken(&self, reason: &'static str, problem: impl Into<String>) -> Broken {
        Broken {
            log: self.done.log,
            file: self.file.clone(),
            line: self.line,
            reason,
            problem: problem.into(),
        }
    }

    fn run(
        mut self,
        directory: &Path,
        all: &[files::LogFile],
    ) -> Result<Result<Verified, Broken>, ReadError> {
        let current = files::current(directory, self.done.log);
        if !all.iter().any(|file| file.path == current)
            && !all.iter().any(|file| files::is_same(&file.path, &current))
        {
            self.file = current;
            return Ok(Err(self.broken(
                "missing-newest-file",
                "the file that is written to is missing",
            )));
        }
        for (place, file) in all.iter().enumerate() {
            self.file.clone_from(&file.path);
            self.line = 0;
            let is_newest = place + 1 == all.len();
            if let Err(broken) = self.file(is_newest)? {
                return Ok(Err(broken));
            }
        }
        Ok(self.end())
    }

    fn file(&mut self, is_newest: bool) -> Result<Step, ReadError> {
        let path = self.file.clone();
        let failed = |source| ReadError::io(&path, source);
        let mut reader = BufReader::new(File::open(&path).map_err(failed)?);
        let mut line = Vec::new();
        let mut links = 0_u64;
        let (mut is_fresh, mut last) = (true, None);
        while let Some(ended) = read_line(&mut reader, &mut line).map_err(failed)? {
            self.line += u64::from(is_fresh);
            is_fresh = ended != Ended::Limit;
            last = Some(ended);
            match self.line(&line, ended, links, &mut reader) {
                Ok(is_link) => links += u64::from(is_link),
                Err(broken) => return Ok(Err(broken)),
            }
        }
        if let Some(rest) = self.rest.take() {
            if is_newest && last == Some(Ended::FileEnd) {
                // It is being written at this moment, or was when the guard was killed. The
                // next start says what it found.
                self.done.torn_bytes = rest.length;
                self.done.files += 1;
                return Ok(Ok(()));
            }
            self.line = rest.line;
            return Ok(Err(self.broken(rest.why.0, rest.why.1)));
        }
        self.done.files += 1;
        if links == 0 && !is_newest {
            self.line = 0;
            return Ok(Err(
                self.broken("no-chain", "no line of it is part of a chain")
            ));
        }
        Ok(Ok(()))
    }

    /// One line. Whether it is a link.
    fn line(
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

    /// Whether a link follows what is before it, and if not, what that looks like.
    fn follow(
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
    fn take(&mut self, link: &Link<'_>, line: &[u8]) -> Step {
        let before = self.head;
        self.head = Some(link.head());
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

    fn end(mut self) -> Result<Verified, Broken> {
        self.line = 0;
        let head = self.head.unwrap_or(Head::genesis(self.done.log));
        if self.done.first > 1 && self.pruned < self.done.first - 1 {
            return Err(self.broken(
                "missing-oldest-file",
                format!(
                    "the log begins with line {}, and it says itself that only the lines up to {} were removed",
                    self.done.first, self.pruned
                ),
            ));
        }
        if self.done.checkpoint.is_none() && self.done.lines > 0 {
            return Err(self.broken(
                "unsigned",
                "there is no checkpoint in it, so anybody could have made it up",
            ));
        }
        for expected in self.expected {
            if expected.log != Some(self.done.log) {
                continue;
            }
            let seq = expected.head.seq;
            if seq > head.seq {
                return Err(self.broken(
                    "cut-tail",
                    format!("the log ends with line {}, and line {seq} was there when the head was kept", head.seq),
                ));
            }
            if seq < self.done.first {
                return Err(self.broken(
                    "pruned",
                    format!("line {seq}, whose hash was kept, was in a file that is removed; the log begins with line {}", self.done.first),
                ));
            }
        }
        self.done.last = head.seq;
        self.done.head = wire::hex(&head.hash);
        Ok(self.done)
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

#[cfg(test)]
mod tests;
