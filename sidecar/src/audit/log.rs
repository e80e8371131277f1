//! The files of the audit log: whole lines are appended, files are turned over, and nothing
//! is overwritten.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use jiff::Timestamp;

use super::leftovers::{ends_with_line_end, missing_ends};
use super::record::{Event, Record};
use crate::config::AuditConfig;

/// The file that is written to; closed ones are `connections-<UTC>-<n>.jsonl`.
pub(super) const FILE: &str = "connections.jsonl";
/// Records that wait for room on the disk; those beyond are counted.
const WAITING: usize = 100_000;

/// The open file and what waits for it.
pub(super) struct Log {
    directory: PathBuf,
    config: AuditConfig,
    file: File,
    length: u64,
    begun: SystemTime,
    pub(super) waiting: VecDeque<Vec<u8>>,
    /// Records that found no place even to wait.
    lost: u64,
    /// The file may end within a line.
    torn: bool,
    pub(super) failing: Arc<AtomicBool>,
}

impl Log {
    pub(super) fn open(directory: &Path, config: AuditConfig) -> io::Result<Self> {
        make_private_directory(directory)?;
        let mut log = Self {
            directory: directory.to_owned(),
            config,
            file: open_file(&directory.join(FILE))?,
            length: 0,
            begun: SystemTime::now(),
            waiting: VecDeque::new(),
            lost: 0,
            torn: false,
            failing: Arc::default(),
        };
        log.measure()?;
        log.torn = !ends_with_line_end(&directory.join(FILE))?;
        missing_ends(directory)?
            .into_iter()
            .for_each(|line| log.queue(line));
        Ok(log)
    }

    fn measure(&mut self) -> io::Result<()> {
        let metadata = self.file.metadata()?;
        self.length = metadata.len();
        self.begun = first_time(&self.directory.join(FILE)).unwrap_or_else(SystemTime::now);
        Ok(())
    }

    pub(super) fn queue(&mut self, line: Vec<u8>) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(line);
        } else {
            self.lost += 1;
        }
    }

    pub(super) fn write_waiting(&mut self) -> io::Result<()> {
        while let Some(line) = self.waiting.pop_front() {
            if let Err(error) = self.append(&line) {
                self.waiting.push_front(line);
                return Err(error);
            }
        }
        if self.lost > 0 {
            let mut record = Record::new(Event::Suppressed);
            record.reason = Some("disk-full".into());
            record.count = Some(self.lost);
            self.append(&record.line())?;
            self.lost = 0;
        }
        Ok(())
    }

    /// Appends a whole line or nothing.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.turn_over(line.len() as u64)?;
        let whole: Cow<'_, [u8]> = if self.torn {
            [b"\n", line].concat().into()
        } else {
            line.into()
        };
        if let Err(error) = self.file.write_all(&whole) {
            // Take back what was written of it. Where that does not work, the next record
            // begins on a line of its own.
            let _ = self.file.set_len(self.length);
            let now = self.file.metadata().map(|metadata| metadata.len());
            self.torn |= now.as_ref().map_or(true, |now| *now != self.length);
            self.length = now.unwrap_or(self.length);
            return Err(error);
        }
        self.torn = false;
        self.length += whole.len() as u64;
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn turn_over(&mut self, more: u64) -> io::Result<()> {
        let old = self
            .begun
            .elapsed()
            .is_ok_and(|age| age > self.config.max_age);
        if self.length == 0 || (self.length + more <= self.config.max_bytes && !old) {
            return Ok(());
        }
        let current = self.directory.join(FILE);
        let closed = self.directory.join(self.next_closed_name());
        self.file.sync_data()?;
        std::fs::rename(&current, &closed)?;
        match open_file(&current) {
            Ok(file) => self.file = file,
            Err(error) => {
                // Go on in the old file under its old name.
                let _ = std::fs::rename(&closed, &current);
                return Err(error);
            }
        }
        self.length = 0;
        self.begun = SystemTime::now();
        if let Some(keep) = self.config.keep {
            remove_old(&self.directory, keep);
        }
        Ok(())
    }

    /// A name that sorts behind those of all closed files, also after the clock was set back.
    fn next_closed_name(&self) -> String {
        let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%S").to_string();
        let newest = closed_files(&self.directory).pop();
        let newest = newest.as_deref().and_then(parts_of_closed_name);
        let (stamp, number) = match newest {
            Some((newest, number)) if newest >= stamp.as_str() => (newest.into(), number + 1),
            _ => (stamp, 0),
        };
        format!("connections-{stamp}-{number:03}.jsonl")
    }

    pub(super) fn reopen(&mut self, config: AuditConfig) {
        self.config = config;
        match open_file(&self.directory.join(FILE)) {
            Ok(file) => {
                self.file = file;
                if let Err(error) = self.measure() {
                    tracing::error!(%error, "the audit log cannot be measured");
                }
            }
            Err(error) => tracing::error!(%error, "the audit log cannot be opened anew"),
        }
    }

    pub(super) fn report(&self, result: &io::Result<()>) {
        let was_failing = self.failing.swap(result.is_err(), Ordering::Relaxed);
        match result {
            Err(error) if !was_failing => {
                tracing::error!(%error, directory = %self.directory.display(), "the audit log cannot be written: no new session is opened until it can");
            }
            Ok(()) if was_failing => tracing::info!("the audit log can be written again"),
            _ => {}
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().append(true).create(true)).open(path)
}

#[cfg(unix)]
fn private_builder() -> std::fs::DirBuilder {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700);
    builder
}

#[cfg(not(unix))]
fn private_builder() -> std::fs::DirBuilder {
    std::fs::DirBuilder::new()
}

fn make_private_directory(path: &Path) -> io::Result<()> {
    match private_builder().create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// When the first record of a file was written.
fn first_time(path: &Path) -> Option<SystemTime> {
    #[derive(serde::Deserialize)]
    struct Stamp {
        time: Timestamp,
    }
    let mut line = String::new();
    BufReader::new(File::open(path).ok()?)
        .read_line(&mut line)
        .ok()?;
    let stamp: Stamp = serde_json::from_str(&line).ok()?;
    Some(stamp.time.into())
}

fn remove_old(directory: &Path, keep: usize) {
    let closed = closed_files(directory);
    for path in &closed[..closed.len().saturating_sub(keep)] {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::warn!(%error, path = %path.display(), "an old audit file cannot be removed");
        }
    }
}

/// Time and number in the name of a closed file.
fn parts_of_closed_name(path: &Path) -> Option<(&str, u32)> {
    let name = path.file_name()?.to_str()?;
    let parts = name.strip_prefix("connections-")?.strip_suffix(".jsonl")?;
    let (stamp, number) = parts.split_once('-')?;
    Some((stamp, number.parse().ok()?))
}

/// The closed files, the oldest first: their names sort by age.
pub(super) fn closed_files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut closed: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with("connections-") && name.ends_with(".jsonl"))
        })
        .collect();
    // A number may have more than three digits.
    closed.sort_by_cached_key(|path| {
        let parts = parts_of_closed_name(path);
        let parts = parts.map(|(stamp, number)| (stamp.to_owned(), number));
        (parts, path.clone())
    });
    closed
}

/// Only for the guard's own user.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}
