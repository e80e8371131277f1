//! The one thread that writes the audit log.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::log::{FILE, Log, private};
use super::record::Record;
use crate::config::AuditConfig;

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
        // After a failure it tries again by itself, so that nobody is refused for longer than
        // the disk is full.
        let idle = log.waiting.is_empty() && !log.failing.load(Ordering::Relaxed);
        let first = if idle {
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

#[cfg(test)]
mod tests;
