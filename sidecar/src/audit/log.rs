//! A log: whole lines are chained and appended, files are turned over, and nothing is
//! overwritten.

mod recovery;
mod signing;
mod turnover;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use certs::AuditKey;

use super::chain::{ADDED, Head};
use super::checkpoint::{Counted, Outside, Why};
use super::files::{self, current, open_to_append};
use super::record::{Event, Record};
use crate::config::AuditConfig;

/// Records that wait for room on the disk; those beyond are counted.
const WAITING: usize = 100_000;
/// What is written at a time, in bytes, unless one record is longer.
const BATCH: usize = 64 * 1024;
/// What a file has room for beyond its records: checkpoints.
const ROOM: u64 = 2048;

/// The open file and what waits for it.
pub(super) struct Log {
    directory: PathBuf,
    /// `connections` or `calls`.
    name: &'static str,
    config: AuditConfig,
    key: Arc<AuditKey>,
    outside: Outside,
    file: File,
    /// Up to here it is whole lines.
    length: u64,
    begun: SystemTime,
    /// The end of the chain in the file.
    head: Head,
    pub(super) waiting: VecDeque<Vec<u8>>,
    /// Records that found no place even to wait.
    lost: u64,
    /// Behind `length` there may be something that is no whole line.
    torn: bool,
    /// The last line lacks its line end.
    unended: bool,
    /// The last line closes the file.
    closing: bool,
    /// Lines since the last checkpoint, and when the first of them was written.
    unsigned: u64,
    unsigned_since: Instant,
    /// This process has signed something.
    signed: bool,
    /// When the first byte was written that may not be on the disk.
    unsynced: Option<Instant>,
    pub(super) counted: Counted,
    buffer: Vec<u8>,
    ends: Vec<(usize, Head)>,
    pub(super) failing: Arc<AtomicBool>,
}

impl Log {
    /// Opens a log, goes on where its chain ends, and looks at what a killed guard left.
    pub(super) fn open(
        directory: &Path,
        name: &'static str,
        config: AuditConfig,
        key: Arc<AuditKey>,
    ) -> io::Result<Self> {
        files::make_private_directory(directory)?;
        files::mend(directory, name)?;
        let path = current(directory, name);
        let mut log = Self {
            file: open_to_append(&path)?,
            directory: directory.to_owned(),
            name,
            outside: Outside::new(config.heads.clone()),
            config,
            key,
            length: 0,
            begun: SystemTime::now(),
            head: Head::genesis(name),
            waiting: VecDeque::new(),
            lost: 0,
            torn: false,
            unended: false,
            closing: false,
            unsigned: 0,
            unsigned_since: Instant::now(),
            signed: false,
            unsynced: None,
            counted: Counted::default(),
            buffer: Vec::new(),
            ends: Vec::new(),
            failing: Arc::default(),
        };
        log.find_end()?;
        Ok(log)
    }

    pub(super) fn queue(&mut self, body: Vec<u8>) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(body);
        } else {
            self.lost += 1;
        }
    }

    /// Writes what waits, as far as it can.
    pub(super) fn write_waiting(&mut self) -> io::Result<()> {
        while let Some(first) = self.waiting.front() {
            self.prepare(first.len())?;
            let room = self.room();
            let (mut count, mut size) = (0, 0);
            // Not over the place of the next checkpoint.
            let most = self.config.checkpoint_records.saturating_sub(self.unsigned);
            let most = usize::try_from(most.max(1)).unwrap_or(usize::MAX);
            for body in self.waiting.iter().take(most) {
                size += body.len() + ADDED;
                if count > 0 && (size > BATCH || size as u64 > room) {
                    break;
                }
                count += 1;
            }
            let bodies: Vec<Vec<u8>> = self.waiting.drain(..count).collect();
            let (written, result) = self.write(&bodies);
            for body in bodies.into_iter().skip(written).rev() {
                self.waiting.push_front(body);
            }
            result?;
            if self.unsigned >= self.config.checkpoint_records {
                self.checkpoint(Why::Records)?;
            }
        }
        if self.lost > 0 {
            let mut record = Record::new(Event::Suppressed);
            record.reason = Some("disk-full".into());
            record.count = Some(self.lost);
            self.append(&record.body())?;
            self.lost = 0;
        }
        Ok(())
    }

    /// Appends a whole line or nothing.
    pub(super) fn append(&mut self, body: &[u8]) -> io::Result<()> {
        self.prepare(body.len())?;
        self.write(&[body]).1
    }

    /// What is to be done before a record: the file is mended, turned over, begun.
    fn prepare(&mut self, body: usize) -> io::Result<()> {
        if self.torn {
            self.resume()?;
        }
        self.turn_over((body + ADDED) as u64)?;
        if self.length == 0 && self.head.seq > 0 {
            self.checkpoint(Why::Begin)?;
        }
        Ok(())
    }

    fn room(&self) -> u64 {
        self.config.max_bytes.saturating_sub(self.length + ROOM)
    }

    /// Appends lines. Gives how many of them are whole in the file; that is all of them unless
    /// there is an error.
    fn write<B: AsRef<[u8]>>(&mut self, bodies: &[B]) -> (usize, io::Result<()>) {
        self.buffer.clear();
        self.ends.clear();
        if self.unended {
            self.buffer.push(b'\n');
        }
        let before = self.buffer.len();
        let mut head = self.head;
        for body in bodies {
            head.append(body.as_ref(), &mut self.buffer);
            self.ends.push((self.buffer.len(), head));
        }
        self.unsynced.get_or_insert_with(Instant::now);
        if let Err(error) = self.file.write_all(&self.buffer) {
            // Take back what was written of it. Where that does not work, the next record
            // says what it found.
            let _ = self.file.set_len(self.length);
            let mut whole = 0;
            let now = self.file.metadata().map(|now| now.len());
            self.torn = !now.as_ref().is_ok_and(|now| *now == self.length);
            if let Ok(now) = now
                && let Some(came) = now.checked_sub(self.length)
                && self.torn
            {
                let came = usize::try_from(came).unwrap_or(usize::MAX);
                whole = self.ends.iter().take_while(|(end, _)| *end <= came).count();
                if before > 0 && came >= before {
                    self.unended = false;
                    self.length += before as u64;
                }
                if let Some((end, head)) = whole.checked_sub(1).map(|last| self.ends[last]) {
                    self.head = head;
                    self.length += (end - before) as u64;
                }
                self.torn = now != self.length;
            }
            self.wrote(whole);
            return (whole, Err(error));
        }
        self.length += self.buffer.len() as u64;
        self.unended = false;
        self.head = head;
        self.wrote(bodies.len());
        (bodies.len(), Ok(()))
    }

    fn wrote(&mut self, lines: usize) {
        if lines > 0 {
            if self.unsigned == 0 {
                self.unsigned_since = Instant::now();
            }
            self.unsigned += lines as u64;
            self.closing = false;
        }
    }

    pub(super) fn report(&self, result: &io::Result<()>) {
        let was_failing = self.failing.swap(result.is_err(), Ordering::Relaxed);
        match result {
            Err(error) if !was_failing => {
                tracing::error!(%error, log = self.name, directory = %self.directory.display(), "the audit log cannot be written: no new session is opened until it can");
            }
            Ok(()) if was_failing => tracing::info!("the audit log can be written again"),
            _ => {}
        }
    }
}
