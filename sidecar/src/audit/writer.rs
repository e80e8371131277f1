//! The file behind the audit log: one thread that appends, turns files over, and never
//! overwrites.

use std::collections::{HashSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::record::{Event, Record};
use crate::config::AuditConfig;

const FILE: &str = "connections.jsonl";
/// Records that wait for room on the disk; those beyond are counted.
const WAITING: usize = 100_000;
/// How often a full disk is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Why there is no audit log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file or directory cannot be used.
    #[error("the audit log {path} cannot be used: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another guard writes there.
    #[error("another hrpyc-guard runs with the state directory {path}")]
    Locked {
        /// The state directory.
        path: PathBuf,
    },
}

/// Takes the state directory for this process, for as long as the file lives.
///
/// # Errors
/// [`AuditError::Locked`] when another guard has it.
pub fn lock_directory(state: &Path) -> Result<File, AuditError> {
    let path = state.join("guard.lock");
    let file = private(OpenOptions::new().write(true).create(true).truncate(false))
        .open(&path)
        .map_err(|source| AuditError::Io { path, source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(AuditError::Locked {
            path: state.to_owned(),
        }),
    }
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

#[derive(Debug)]
pub(super) struct Writer {
    orders: Sender<Order>,
}

enum Order {
    Write(Box<Record>, Option<oneshot::Sender<io::Result<()>>>),
    Reconfigure(AuditConfig),
    Finish(std::sync::mpsc::Sender<usize>),
}

impl Writer {
    pub(super) fn open(directory: &Path, config: AuditConfig) -> Result<Self, AuditError> {
        let log = Log::open(directory, config).map_err(|source| AuditError::Io {
            path: directory.join(FILE),
            source,
        })?;
        let (orders, taken) = channel();
        std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || serve(log, &taken))
            .map_err(|source| AuditError::Io {
                path: directory.to_owned(),
                source,
            })?;
        Ok(Self { orders })
    }

    /// Writes when it can. A record that meets a full disk waits for room.
    pub(super) fn write(&self, record: Record) {
        let _ = self.orders.send(Order::Write(Box::new(record), None));
    }

    /// Writes now, or not at all.
    pub(super) async fn write_through(&self, record: Record) -> io::Result<()> {
        let (done, written) = oneshot::channel();
        let _ = self.orders.send(Order::Write(Box::new(record), Some(done)));
        written.await.map_err(io::Error::other)?
    }

    pub(super) fn reconfigure(&self, config: AuditConfig) {
        let _ = self.orders.send(Order::Reconfigure(config));
    }

    pub(super) fn finish(&self) -> usize {
        let (done, lost) = channel();
        let _ = self.orders.send(Order::Finish(done));
        lost.recv().unwrap_or(0)
    }
}

fn serve(mut log: Log, orders: &Receiver<Order>) {
    loop {
        let first = if log.waiting.is_empty() {
            match orders.recv() {
                Ok(order) => Some(order),
                Err(_) => return,
            }
        } else {
            match orders.recv_timeout(RETRY) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        };
        let mut acknowledged = Vec::new();
        for order in first.into_iter().chain(orders.try_iter().take(1024)) {
            match order {
                Order::Write(record, None) => log.queue(record.line()),
                Order::Write(record, Some(done)) => {
                    // What was there before it must go first.
                    let written = log
                        .write_waiting()
                        .and_then(|()| log.append(&record.line()));
                    acknowledged.push((done, written));
                }
                Order::Reconfigure(config) => log.reopen(config),
                Order::Finish(done) => {
                    let _ = log.write_waiting().and_then(|()| log.sync());
                    let _ = done.send(log.waiting.len());
                }
            }
        }
        let flushed = log.write_waiting();
        log.report(&flushed);
        if !acknowledged.is_empty() {
            let synced = log.sync();
            for (done, written) in acknowledged {
                let result = written.and_then(|()| match &synced {
                    Ok(()) => Ok(()),
                    Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
                });
                let _ = done.send(result);
            }
        }
    }
}

struct Log {
    directory: PathBuf,
    config: AuditConfig,
    file: File,
    length: u64,
    begun: SystemTime,
    waiting: VecDeque<Vec<u8>>,
    /// Records that found no place even to wait.
    lost: u64,
    failing: bool,
}

impl Log {
    fn open(directory: &Path, config: AuditConfig) -> io::Result<Self> {
        make_private_directory(directory)?;
        let mut log = Self {
            directory: directory.to_owned(),
            config,
            file: open_file(&directory.join(FILE))?,
            length: 0,
            begun: SystemTime::now(),
            waiting: VecDeque::new(),
            lost: 0,
            failing: false,
        };
        log.measure()?;
        log.close_what_was_left_open()?;
        Ok(log)
    }

    fn measure(&mut self) -> io::Result<()> {
        let metadata = self.file.metadata()?;
        self.length = metadata.len();
        self.begun = first_time(&self.directory.join(FILE)).unwrap_or_else(SystemTime::now);
        Ok(())
    }

    /// Sessions that a killed guard could not close get their end now, and a line that was
    /// cut off in the middle gets its line end.
    fn close_what_was_left_open(&mut self) -> io::Result<()> {
        let mut open: Vec<serde_json::Map<String, serde_json::Value>> = Vec::new();
        let mut closed = HashSet::new();
        let mut ended = true;
        let mut reader = BufReader::new(File::open(self.directory.join(FILE))?);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            ended = line.ends_with(b"\n");
            if let Ok(serde_json::Value::Object(record)) = serde_json::from_slice(&line) {
                let session = record
                    .get("session")
                    .and_then(|id| id.as_str())
                    .map(str::to_owned);
                match record.get("event").and_then(|event| event.as_str()) {
                    Some("opened") => open.push(record),
                    Some("closed") => closed.extend(session),
                    _ => {}
                }
            }
            line.clear();
        }
        if !ended {
            self.append(b"\n")?;
        }
        for mut record in open {
            let id = record
                .get("session")
                .and_then(|id| id.as_str())
                .unwrap_or_default();
            if closed.contains(id) {
                continue;
            }
            record.insert("time".into(), Timestamp::now().to_string().into());
            record.insert("event".into(), "closed".into());
            record.insert("reason".into(), "guard-killed".into());
            let mut line = serde_json::to_vec(&record)?;
            line.push(b'\n');
            self.queue(line);
        }
        Ok(())
    }

    fn queue(&mut self, line: Vec<u8>) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(line);
        } else {
            self.lost += 1;
        }
    }

    fn write_waiting(&mut self) -> io::Result<()> {
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
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.turn_over(line.len() as u64)?;
        if let Err(error) = self.file.write_all(line) {
            // Take back what was written of it; an append-only file has its old end.
            let _ = self.file.set_len(self.length);
            let _ = self.file.seek(SeekFrom::End(0));
            return Err(error);
        }
        self.length += line.len() as u64;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
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
        let mut number = 0;
        let closed = loop {
            let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%S");
            let name = format!("connections-{stamp}-{number:03}.jsonl");
            let path = self.directory.join(name);
            if !path.exists() {
                break path;
            }
            number += 1;
        };
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

    fn reopen(&mut self, config: AuditConfig) {
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

    fn report(&mut self, result: &io::Result<()>) {
        match result {
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(%error, directory = %self.directory.display(), "the audit log cannot be written: no new session is opened until it can");
            }
            Ok(()) if self.failing => {
                self.failing = false;
                tracing::info!("the audit log can be written again");
            }
            _ => {}
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().append(true).create(true)).open(path)
}

fn make_private_directory(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    match builder.create(path) {
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

/// The names sort by age.
fn remove_old(directory: &Path, keep: usize) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    let mut closed: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with("connections-") && name.ends_with(".jsonl"))
        })
        .collect();
    closed.sort();
    let many = closed.len().saturating_sub(keep);
    for path in &closed[..many] {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::warn!(%error, path = %path.display(), "an old audit file cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests;
