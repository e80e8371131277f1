//! Whether the logs are what the guard wrote.

mod line;
mod link;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use certs::AuditPublicKey;

use self::line::Rest;
use super::super::chain::Head;
use super::super::files;
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

struct Verifier<'a> {
    keys: &'a [AuditPublicKey],
    expected: &'a [Expected],
    done: Verified,
    head: Option<Head>,
    /// The log begins just now, so that a guard may not have signed it yet.
    is_new: bool,
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
            is_new: false,
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
        if self.done.checkpoint.is_none() && self.done.lines > 0 && !self.is_new {
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

#[cfg(test)]
mod tests;
