//! What verifying is told and tells.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::super::chain::{Head, unhex};
use super::super::files;
use super::LOGS;

/// A head that was kept outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Of which log; any when it was not said.
    pub log: Option<&'static str>,
    /// The head.
    pub head: Head,
}

impl std::str::FromStr for Expected {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str =
            "write SEQ:HASH or LOG:SEQ:HASH, as the guard's log shows it behind \"audit head\"";
        let mut parts = text.rsplitn(3, ':');
        let hash = parts.next().and_then(|hash| unhex(hash.as_bytes()));
        let seq = parts.next().and_then(|seq| seq.parse().ok());
        let log = match parts.next() {
            None => None,
            Some(name) => Some(*LOGS.iter().find(|log| **log == name).ok_or(FORM)?),
        };
        match (seq, hash) {
            (Some(seq), Some(hash)) => Ok(Self {
                log,
                head: Head { seq, hash },
            }),
            _ => Err(FORM),
        }
    }
}

/// What is right about a log.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verified {
    /// Which.
    pub log: &'static str,
    /// How many files it has.
    pub files: usize,
    /// The number of its first line that is there. 0 when there is none.
    pub first: u64,
    /// The number of its last.
    pub last: u64,
    /// The hash of its last, in hexadecimal.
    pub head: String,
    /// How many lines there are.
    pub lines: u64,
    /// The number of the last checkpoint; none when there is none.
    pub checkpoint: Option<u64>,
    /// When it was signed.
    pub checkpoint_time: Option<Timestamp>,
    /// How many lines follow it that nothing signs yet; all where there is none.
    pub unsigned: u64,
    /// How many times the guard went on after a torn line.
    pub resumed: u64,
    /// Bytes at the end that are no whole line: it is being written, or the guard was killed.
    pub torn_bytes: u64,
    /// Which of the expected heads are in this log, by their places.
    #[serde(skip)]
    pub(super) met: Vec<usize>,
}

/// What is wrong with a log: the first thing, because nothing behind it can be relied on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Which log.
    pub log: &'static str,
    /// In which file.
    pub file: PathBuf,
    /// In which line of the file; 0 when it is about the file.
    pub line: u64,
    /// What it is, in one stable word.
    pub reason: &'static str,
    /// What it is, in a sentence.
    pub problem: String,
}

impl Broken {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self.reason {
            "unknown-key" | "wrong-signature" => {
                "give the public key that was kept when the guard was set up with --key FILE; if that is what you did, somebody else signed this"
            }
            "pruned" => "compare with a head that is newer than the oldest file",
            "unsigned" => {
                "a guard signs a second after its first record: one that was killed before that leaves such a log, and so does whoever makes one up"
            }
            "no-chain" => "if it is from before the audit was chained, move it elsewhere",
            "missing-file" | "missing-oldest-file" | "missing-newest-file" => {
                "put the file back from a copy; if nobody knows where it went, treat what was in it as removed on purpose"
            }
            _ => {
                "keep the files as they are, compare them with a copy, and find out who could write there: what a checkpoint in front of that line signs is what the guard wrote"
            }
        }
    }
}

/// Whether each head that was kept without the name of its log is in one of the logs.
///
/// # Errors
/// [`Broken`] for the first that is in none.
pub fn all_met(
    directory: &Path,
    verified: &[Verified],
    expected: &[Expected],
) -> Result<(), Broken> {
    for (place, expected) in expected.iter().enumerate() {
        let is_met = verified.iter().any(|log| log.met.contains(&place));
        if expected.log.is_some() || is_met {
            continue;
        }
        let seq = expected.head.seq;
        let longest = verified.iter().max_by_key(|log| log.last);
        let (log, last) = longest.map_or((LOGS[0], 0), |log| (log.log, log.last));
        let (reason, problem) = if seq > last {
            (
                "cut-tail",
                format!("no log has a line {seq}, and one had when the head was kept"),
            )
        } else {
            (
                "other-head",
                format!("line {seq} of neither log has the hash that was kept"),
            )
        };
        return Err(Broken {
            log,
            file: files::current(directory, log),
            line: 0,
            reason,
            problem,
        });
    }
    Ok(())
}
