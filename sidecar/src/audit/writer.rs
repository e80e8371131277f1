//! The file behind the audit log: one thread that appends, turns files over, and never
//! overwrites.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read as _, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::record::{Event, Record};
use crate::config::AuditConfig;

const FILE: &str = "connections.jsonl";
/// Records that wait for room on the disk; those beyond are counted.
const WAITING: usize = 100_000;
/// How long a session waits for its record to be on disk.
const DISK_TIME: Duration = Duration::from_secs(5);
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
    failing: Arc<AtomicBool>,
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
        let failing = log.failing.clone();
        std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || serve(log, &taken))
            .map_err(|source| AuditError::Io {
                path: directory.to_owned(),
                source,
            })?;
        Ok(Self { orders, failing })
    }

    /// Writes when it can. A record that meets a full disk waits for room.
    pub(super) fn write(&self, record: Record) {
        let _ = self.orders.send(Order::Write(Box::new(record), None));
    }

    /// Whether the last record could not be written.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Writes now, or not at all. A disk that does not answer in time counts as full; the
    /// record may then still be written.
    pub(super) async fn write_through(&self, record: Record) -> io::Result<()> {
        let (done, written) = oneshot::channel();
        let _ = self.orders.send(Order::Write(Box::new(record), Some(done)));
        timeout(DISK_TIME, written)
            .await?
            .map_err(io::Error::other)?
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
        let refused = acknowledged
            .iter()
            .find_map(|(_, written)| written.as_ref().err());
        let flushed = match refused {
            Some(error) => Err(io::Error::new(error.kind(), error.to_string())),
            None => log.write_waiting(),
        };
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
    /// The file may end within a line.
    torn: bool,
    failing: Arc<AtomicBool>,
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
            torn: false,
            failing: Arc::default(),
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
        let current = self.directory.join(FILE);
        self.torn = !ends_with_line_end(&current)?;
        // The files of one run reach back to the record of its start.
        let mut files = vec![current];
        files.extend(closed_files(&self.directory).into_iter().rev());
        let mut open = HashMap::new();
        let mut closed: HashSet<String> = HashSet::new();
        for path in files {
            let found = scan(&path)?;
            let still_open = found
                .open
                .into_iter()
                .filter(|(id, _)| !closed.contains(id));
            open.extend(still_open);
            closed.extend(found.closed);
            if found.started {
                break;
            }
        }
        for mut record in open.into_values() {
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

    fn report(&self, result: &io::Result<()>) {
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

/// What one file says about sessions.
#[derive(Default)]
struct Scan {
    /// Opened in it and not closed in it, with their records.
    open: HashMap<String, serde_json::Map<String, serde_json::Value>>,
    /// Closed in it and opened before it.
    closed: HashSet<String>,
    /// The guard started in it.
    started: bool,
}

fn scan(path: &Path) -> io::Result<Scan> {
    let mut found = Scan::default();
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if let Ok(serde_json::Value::Object(record)) = serde_json::from_slice(&line) {
            let text = |key: &str| record.get(key).and_then(|value| value.as_str());
            match (text("event"), text("session").map(str::to_owned)) {
                (Some("started"), _) => {
                    // What the run before left open was closed when this one started.
                    found = Scan {
                        started: true,
                        ..Scan::default()
                    };
                }
                (Some("opened"), Some(session)) => {
                    found.open.insert(session, record);
                }
                (Some("closed"), Some(session)) if found.open.remove(&session).is_none() => {
                    found.closed.insert(session);
                }
                _ => {}
            }
        }
        line.clear();
    }
    Ok(found)
}

fn ends_with_line_end(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
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

/// The closed files, the oldest first: their names sort by age.
fn closed_files(directory: &Path) -> Vec<PathBuf> {
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
    closed.sort();
    closed
}

fn remove_old(directory: &Path, keep: usize) {
    let closed = closed_files(directory);
    for path in &closed[..closed.len().saturating_sub(keep)] {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::warn!(%error, path = %path.display(), "an old audit file cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests;
