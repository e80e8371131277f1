//! A store that went back to an older state is noticed, and what was revoked stays so.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use rusqlite::Connection;

use super::database::{connect_checked, file_id};
use super::{Abort, Store, run};
use crate::error::{IssueError, StateError, StoreError};
use crate::journal::Entry;
use crate::records;

/// How far the sequence jumps when a rollback is accepted: further than a store gets in
/// the years that a backup may be old, so that tokens of the lost time cannot be
/// mistaken for tokens of the new one.
pub(crate) const ROLLBACK_STEP: u64 = 1_000_000;

impl Store {
    /// The number of the last change. Raises the alarm when it fell.
    pub(crate) fn sequence(&self) -> Result<u64, StoreError> {
        let unwritten = self.unwritten_alarm.load(Ordering::SeqCst);
        if unwritten != 0 {
            // Once it is in the store, the operator can see and end it.
            let _ = self.alarm(unwritten, "the store went back to an older state");
        }
        let sequence = self.read(|transaction| records::sequence(transaction))?;
        self.notice(sequence)
    }

    /// Compares a sequence just read with the highest one seen, and returns the sequence
    /// that now holds.
    pub(crate) fn notice(&self, sequence: u64) -> Result<u64, StoreError> {
        let highest = self.highest.fetch_max(sequence, Ordering::SeqCst);
        if sequence >= highest {
            return Ok(sequence);
        }
        // Another thread may have read before a change and come here after it.
        let sequence = self.read(|transaction| records::sequence(transaction))?;
        if sequence >= highest {
            return Ok(sequence);
        }
        // An old state was put in the place of the newer one while this process ran. The
        // sequence goes on above what was seen, so that whoever polls it notices.
        let now = Timestamp::now();
        let raised = self.write(|transaction| {
            let sequence = records::sequence(transaction)?;
            if sequence >= highest {
                return Ok(sequence);
            }
            let why = "the store went back to an older state while a guard used it";
            records::raise_alarm(transaction, now, highest, why)?;
            records::set_sequence(transaction, highest + 1)?;
            Ok(highest + 1)
        });
        match raised {
            Ok(sequence) => {
                self.highest.fetch_max(sequence, Ordering::SeqCst);
                self.unwritten_alarm.store(0, Ordering::SeqCst);
                Ok(sequence)
            }
            // It stands in memory until it can be written; the next look tries again.
            Err(_) => {
                self.unwritten_alarm.fetch_max(highest, Ordering::SeqCst);
                Ok(sequence)
            }
        }
    }

    /// Writes the rollback alarm down, or keeps it in memory.
    pub(crate) fn alarm(&self, seen: u64, why: &str) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let written =
            self.write(|transaction| Ok(records::raise_alarm(transaction, now, seen, why)?));
        match written {
            Ok(()) => self.unwritten_alarm.store(0, Ordering::SeqCst),
            Err(_) => {
                self.unwritten_alarm
                    .fetch_max(seen.max(1), Ordering::SeqCst);
            }
        }
        written.map_err(IssueError::into_store)
    }

    /// Whether an alarm stands that could not be written down.
    pub(crate) fn has_unwritten_alarm(&self) -> bool {
        self.unwritten_alarm.load(Ordering::SeqCst) != 0
    }

    /// Lets the mark stand where the store now is, after a rollback was accepted.
    pub(crate) fn reset_mark(&self, sequence: u64) -> Result<(), StoreError> {
        self.mark
            .reset(sequence)
            .map_err(|e| StoreError::from_io(self.mark.path(), &e))
    }

    pub(super) fn reconcile(&self) -> Result<(), StateError> {
        let mut connection = connect_checked(&self.path)?;
        self.merge(&mut connection)?;
        self.checkin(connection, file_id(&self.path)?, true);
        Ok(())
    }

    /// Revokes again what only the journal knows, and adds to the journal what only the
    /// store knows. The journal is read first: the store is written first.
    pub(super) fn merge(&self, connection: &mut Connection) -> Result<(), StateError> {
        // The mark as well: it is written after the store, so that it is never the higher
        // one unless the store went back.
        let mark = self.mark.read()?;
        let journal = self.journal.read()?;
        let failed = |e| StateError::from(self.failed(&e));
        let sequence = records::sequence(connection).map_err(failed)?;
        let older = match mark {
            Some(mark) if sequence >= mark => None,
            Some(mark) => Some((
                mark,
                "the store is older than the last change that was made to it",
            )),
            None => Some((
                sequence,
                "the mark of how far the store had come cannot be read",
            )),
        };
        if let Some((seen, why)) = older {
            let now = Timestamp::now();
            run(connection, |transaction| {
                Ok(records::raise_alarm(transaction, now, seen, why)?)
            })
            .map_err(|abort| match abort {
                Abort::Sql(e) => failed(e),
                Abort::Issue(e) => e.into_state(),
            })?;
        } else {
            // A store that cannot be written anyway is told by whoever writes to it.
            let _ = self.mark.raise(sequence);
        }
        let stored = records::revocations(connection).map_err(failed)?;
        let ids = |entries: &[Entry]| -> HashSet<String> {
            entries.iter().map(|entry| entry.id.clone()).collect()
        };
        let (in_store, in_journal) = (ids(&stored), ids(&journal));
        let lost: Vec<Entry> = journal
            .into_iter()
            .filter(|entry| !in_store.contains(&entry.id))
            .collect();
        if !lost.is_empty() {
            let now = Timestamp::now();
            run(connection, |transaction| {
                records::merge(transaction, &lost, now)?;
                Ok(())
            })
            .map_err(|abort| match abort {
                Abort::Sql(e) => failed(e),
                Abort::Issue(e) => e.into_state(),
            })?;
        }
        let unwritten: Vec<Entry> = stored
            .into_iter()
            .filter(|entry| !in_journal.contains(&entry.id))
            .collect();
        self.journal.append(&unwritten)?;
        Ok(())
    }
}
