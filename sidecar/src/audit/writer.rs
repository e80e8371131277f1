//! The threads that write the audit logs, one for each.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use certs::AuditKey;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::files::{CALLS, CONNECTIONS, current, private};
use super::leftovers::missing_ends;
use super::log::Log;
use super::queue::Queue;
use super::record::Record;
use crate::config::AuditConfig;

/// How long a session waits for its record to be on disk.
const DISK_TIME: Duration = Duration::from_secs(5);
/// How often a full disk is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How long calls may wait to be written together, while there are some.
const TURN: Duration = Duration::from_millis(10);

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

#[derive(Debug)]
pub(super) struct Writer {
    orders: Sender<Order>,
    failing: Arc<AtomicBool>,
}

#[derive(Debug)]
pub(super) enum Order {
    Write(Vec<u8>, Option<oneshot::Sender<io::Result<()>>>),
    /// There are calls in the queue.
    Look,
    Reconfigure(AuditConfig),
    Finish(std::sync::mpsc::Sender<usize>),
}

impl Writer {
    /// The writer of the log of connections.
    pub(super) fn connections(
        directory: &Path,
        config: AuditConfig,
        key: Arc<AuditKey>,
    ) -> Result<Self, AuditError> {
        let mut log = open(directory, CONNECTIONS, config, key)?;
        let failed = |source| AuditError::Io {
            path: current(directory, CONNECTIONS),
            source,
        };
        missing_ends(directory)
            .map_err(failed)?
            .into_iter()
            .for_each(|body| log.queue(body));
        let (orders, taken) = channel();
        let failing = log.failing.clone();
        spawn(directory, log, taken, None)?;
        Ok(Self { orders, failing })
    }

    /// The writer of the log of calls, and the queue that it takes them from.
    pub(super) fn calls(
        directory: &Path,
        config: AuditConfig,
        key: Arc<AuditKey>,
    ) -> Result<(Self, Arc<Queue>), AuditError> {
        let log = open(directory, CALLS, config.clone(), key)?;
        let (orders, taken) = channel();
        let failing = log.failing.clone();
        let queue = Arc::new(Queue::new(&config, orders.clone(), failing.clone()));
        spawn(directory, log, taken, Some(queue.clone()))?;
        Ok((Self { orders, failing }, queue))
    }

    /// Writes when it can. A record that meets a full disk waits for room.
    pub(super) fn write(&self, record: &Record) {
        let _ = self.orders.send(Order::Write(record.body(), None));
    }

    /// Whether the last record could not be written.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Writes now, or not at all. A disk that does not answer in time counts as full; the
    /// record may then still be written.
    pub(super) async fn write_through(&self, record: &Record) -> io::Result<()> {
        let (done, written) = oneshot::channel();
        let _ = self.orders.send(Order::Write(record.body(), Some(done)));
        timeout(DISK_TIME, written)
            .await?
            .map_err(io::Error::other)?
    }

    pub(super) fn reconfigure(&self, config: AuditConfig) {
        let _ = self.orders.send(Order::Reconfigure(config));
    }

    /// Writes and signs all that came, and writes nothing from then on. Gives how many records
    /// found no room.
    pub(super) fn finish(&self) -> usize {
        let (done, lost) = channel();
        let _ = self.orders.send(Order::Finish(done));
        lost.recv().unwrap_or(0)
    }
}

fn open(
    directory: &Path,
    name: &'static str,
    config: AuditConfig,
    key: Arc<AuditKey>,
) -> Result<Log, AuditError> {
    Log::open(directory, name, config, key).map_err(|source| AuditError::Io {
        path: current(directory, name),
        source,
    })
}

fn spawn(
    directory: &Path,
    log: Log,
    orders: Receiver<Order>,
    queue: Option<Arc<Queue>>,
) -> Result<(), AuditError> {
    std::thread::Builder::new()
        .name("audit".into())
        .spawn(move || serve(log, &orders, queue.as_deref()))
        .map(drop)
        .map_err(|source| AuditError::Io {
            path: directory.to_owned(),
            source,
        })
}

fn serve(mut log: Log, orders: &Receiver<Order>, queue: Option<&Queue>) {
    // Calls came in the last turn, so more are to be expected.
    let mut is_busy = false;
    loop {
        let Ok(first) = next(&log, orders, queue, is_busy) else {
            return;
        };
        let mut acknowledged = Vec::new();
        for order in first.into_iter().chain(orders.try_iter().take(1024)) {
            match order {
                Order::Write(body, None) => log.queue(body),
                Order::Write(body, Some(done)) => {
                    // What was there before it must go first.
                    let written = log.write_waiting().and_then(|()| log.append(&body));
                    acknowledged.push((done, written));
                }
                Order::Look => {}
                Order::Reconfigure(config) => {
                    if let Some(queue) = queue {
                        queue.reconfigure(&config);
                    }
                    log.reopen(config);
                }
                Order::Finish(done) => {
                    take_calls(&mut log, queue);
                    let _ = log.finish();
                    let _ = done.send(log.waiting.len());
                    return;
                }
            }
        }
        is_busy = take_calls(&mut log, queue);
        let before = log.waiting.len();
        let refused = acknowledged
            .iter()
            .find_map(|(_, written)| written.as_ref().err());
        let flushed = match refused {
            Some(error) => Err(again(error)),
            None => log.write_waiting().and_then(|()| log.keep_up()),
        };
        log.report(&flushed);
        if let Some(queue) = queue {
            queue.give_room(before - log.waiting.len());
        }
        if !acknowledged.is_empty() {
            let synced = log.sync();
            for (done, written) in acknowledged {
                let result = written.and_then(|()| match &synced {
                    Ok(()) => Ok(()),
                    Err(error) => Err(again(error)),
                });
                let _ = done.send(result);
            }
        }
    }
}

/// Waits for an order, or until there is something to do without one.
fn next(
    log: &Log,
    orders: &Receiver<Order>,
    queue: Option<&Queue>,
    is_busy: bool,
) -> Result<Option<Order>, ()> {
    // After a failure it tries again by itself, so that nobody is refused for longer than
    // the disk is full.
    let is_waiting = !log.waiting.is_empty() || log.failing.load(Ordering::Relaxed);
    let limit = if is_waiting {
        Some(RETRY)
    } else if is_busy || queue.is_some_and(|queue| !queue.may_sleep()) {
        Some(TURN)
    } else {
        log.due()
    };
    match limit {
        None => orders.recv().map(Some).map_err(drop),
        Some(limit) => match orders.recv_timeout(limit) {
            Ok(order) => Ok(Some(order)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(()),
        },
    }
}

/// Moves the calls of the queue to the log. Whether there were some.
fn take_calls(log: &mut Log, queue: Option<&Queue>) -> bool {
    let Some(queue) = queue else { return false };
    let calls = queue.take();
    queue.count_into(&mut log.counted);
    let some = !calls.is_empty();
    // There is always room: what is out is bounded by what was taken.
    log.waiting.extend(calls);
    some
}

fn again(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

#[cfg(test)]
mod tests;
