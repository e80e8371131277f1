//! The records of calls on their way to the disk: bounded, so that what cannot be written
//! down does not happen.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::checkpoint::Counted;
use super::writer::Order;
use crate::config::{AuditConfig, WhenFull};

/// Records that may wait, of all sessions together.
pub(super) const CAPACITY: usize = 8192;
/// So many at once wake the writer; fewer wait for its next turn.
const MANY: usize = 1024;

/// Why a call cannot be written down, so that it must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// There is no room, and `audit.when_full` is `refuse`.
    #[error("the guard cannot write its audit log now, so it refuses the call")]
    Refused,
    /// There was no room for all of `audit.wait_timeout`.
    #[error("the guard could not write its audit log for too long, so it refuses the call")]
    TimedOut,
    /// The guard stops.
    #[error("the guard is being stopped")]
    Stopped,
}

/// What sessions and the writer share.
#[derive(Debug)]
pub(super) struct Queue {
    pending: Mutex<Vec<Vec<u8>>>,
    room: Semaphore,
    /// The writer waits for an order, and not for its next turn.
    asleep: AtomicBool,
    orders: Sender<Order>,
    /// The last record could not be written.
    failing: std::sync::Arc<AtomicBool>,
    rules: RwLock<(WhenFull, Duration)>,
    waited: AtomicU64,
    longest_wait_us: AtomicU64,
    turned_away: AtomicU64,
}

impl Queue {
    pub(super) fn new(
        config: &AuditConfig,
        orders: Sender<Order>,
        failing: std::sync::Arc<AtomicBool>,
    ) -> Self {
        Self {
            pending: Mutex::default(),
            room: Semaphore::new(CAPACITY),
            asleep: AtomicBool::new(false),
            orders,
            failing,
            rules: RwLock::new((config.when_full, config.wait_timeout)),
            waited: AtomicU64::new(0),
            longest_wait_us: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        }
    }

    pub(super) fn reconfigure(&self, config: &AuditConfig) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) =
            (config.when_full, config.wait_timeout);
    }

    fn rules(&self) -> (WhenFull, Duration) {
        *self.rules.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the room for one record when it is there.
    pub(super) fn take_room_now(&self, own: &Semaphore) -> bool {
        let failing = self.failing.load(Ordering::Relaxed);
        let refuses = failing && self.rules().0 == WhenFull::Refuse;
        !refuses && take_now(own, &self.room).is_some()
    }

    /// Takes the room for one record, of the session's own share and of all.
    pub(super) async fn take_room(&self, own: &Semaphore) -> Result<(), Full> {
        if self.take_room_now(own) {
            return Ok(());
        }
        let (when_full, limit) = self.rules();
        if self.room.is_closed() {
            return Err(Full::Stopped);
        }
        if when_full == WhenFull::Refuse {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            return Err(Full::Refused);
        }
        let begun = Instant::now();
        let taken = timeout(limit, async {
            let mine = own.acquire().await.map_err(|_| Full::Stopped)?;
            let all = self.room.acquire().await.map_err(|_| Full::Stopped)?;
            mine.forget();
            all.forget();
            Ok(())
        })
        .await
        .unwrap_or(Err(Full::TimedOut));
        let waited = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.waited.fetch_add(1, Ordering::Relaxed);
        self.longest_wait_us.fetch_max(waited, Ordering::Relaxed);
        if taken == Err(Full::TimedOut) {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Gives back room of records that are written, or were never made.
    pub(super) fn give_room(&self, records: usize) {
        self.room.add_permits(records);
    }

    /// Hands a record to the writer. Its room was taken before.
    pub(super) fn push(&self, body: Vec<u8>) {
        let many = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.push(body);
            pending.len() == MANY
        };
        if (self.asleep.load(Ordering::Acquire) && self.asleep.swap(false, Ordering::AcqRel))
            || many
        {
            let _ = self.orders.send(Order::Look);
        }
    }

    /// What has come since the last time.
    pub(super) fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The writer goes to sleep, unless something has come.
    pub(super) fn may_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::Release);
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if !pending.is_empty() {
            self.asleep.store(false, Ordering::Release);
        }
        pending.is_empty()
    }

    /// From now on there is no room.
    pub(super) fn close(&self) {
        self.room.close();
    }

    /// Moves what was counted to where the next checkpoint tells it.
    pub(super) fn count_into(&self, counted: &mut Counted) {
        counted.waited += self.waited.swap(0, Ordering::Relaxed);
        counted.turned_away += self.turned_away.swap(0, Ordering::Relaxed);
        let longest = self.longest_wait_us.swap(0, Ordering::Relaxed);
        counted.longest_wait_us = counted.longest_wait_us.max(longest);
    }
}

fn take_now(own: &Semaphore, room: &Semaphore) -> Option<()> {
    let mine = own.try_acquire().ok()?;
    let all = room.try_acquire().ok()?;
    mine.forget();
    all.forget();
    Some(())
}
