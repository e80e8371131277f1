//! The store: one SQLite database that a running guard and the command line share.
//!
//! Each change happens in one immediate transaction, which also raises the *sequence*.
//! Readers use connections of their own and never wait for a writer (WAL).

mod database;
pub(crate) mod mark;
mod replacing;
mod rollback;

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

pub(crate) use database::{create, peek};
pub(crate) use rollback::ROLLBACK_STEP;

use crate::error::{IssueError, StateError, StoreError};
use crate::journal::Journal;
use crate::records;
use crate::state::MARK;
use database::{FileId, connect, connect_checked, file_id};
use mark::Mark;

/// What the file is, for messages.
pub(crate) const WHAT: &str = "the store of people, certificates and revocations";
/// How many idle connections are kept.
const IDLE: usize = 8;

/// The database with its journal.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    journal: Journal,
    mark: Mark,
    pool: Mutex<Pool>,
    writing: Mutex<()>,
    /// The highest sequence that this process has seen.
    highest: AtomicU64,
    /// A rollback that could not be written down, or 0.
    unwritten_alarm: AtomicU64,
}

#[derive(Debug)]
struct Pool {
    file: FileId,
    idle: Vec<Connection>,
}

/// Why a transaction is not committed.
pub(crate) enum Abort {
    Sql(rusqlite::Error),
    Issue(IssueError),
}

impl From<rusqlite::Error> for Abort {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<IssueError> for Abort {
    fn from(error: IssueError) -> Self {
        Self::Issue(error)
    }
}

impl Store {
    /// Opens the store, and brings it and the journal to the same state: what only the
    /// journal knows is revoked again and raises the alarm. So does a store that is older
    /// than its mark.
    pub(crate) fn open(path: PathBuf, journal: Journal) -> Result<Self, StateError> {
        let store = Self {
            pool: Mutex::new(Pool {
                file: file_id(&path)?,
                idle: Vec::new(),
            }),
            mark: Mark::new(path.with_file_name(MARK)),
            path,
            journal,
            writing: Mutex::new(()),
            highest: AtomicU64::new(0),
            unwritten_alarm: AtomicU64::new(0),
        };
        store.reconcile()?;
        Ok(store)
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Runs `f` in one consistent read.
    pub(crate) fn read<T>(
        &self,
        f: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let (mut connection, file) = self.checkout()?;
        let result = connection
            .transaction()
            .and_then(|transaction| f(&transaction));
        self.checkin(connection, file, result.is_ok());
        result.map_err(|e| self.failed(&e))
    }

    /// Runs `f` as the only writer, and commits what it did unless it says otherwise.
    pub(crate) fn write<T>(
        &self,
        f: impl FnOnce(&Transaction<'_>) -> Result<T, Abort>,
    ) -> Result<T, IssueError> {
        // Threads of this process queue here; SQLite lets other processes take turns.
        let _turn = lock(&self.writing);
        let (mut connection, file) = self.checkout()?;
        let result = run(&mut connection, |transaction| {
            let value = f(transaction)?;
            Ok((value, records::sequence(transaction)?))
        });
        self.checkin(connection, file, !matches!(result, Err(Abort::Sql(_))));
        if let Ok((_, sequence)) = &result {
            // What was committed holds all the same. The next change makes the mark good.
            let _ = self.mark.raise(*sequence);
        }
        result.map(|(value, _)| value).map_err(|abort| match abort {
            Abort::Sql(e) => self.failed(&e).into(),
            Abort::Issue(e) => e,
        })
    }

    /// A connection to the file that now has the store's name.
    fn checkout(&self) -> Result<(Connection, FileId), StoreError> {
        let now = file_id(&self.path)?;
        let mut pool = lock(&self.pool);
        if pool.file == now {
            if let Some(connection) = pool.idle.pop() {
                return Ok((connection, now));
            }
            drop(pool);
            let connection = connect(&self.path).map_err(|e| self.failed(&e))?;
            return Ok((connection, now));
        }
        // Somebody put another file there. Nobody else gets a connection until it has
        // been looked at.
        pool.idle.clear();
        let mut connection = connect_checked(&self.path)?;
        self.merge(&mut connection).map_err(|e| StoreError::Other {
            path: self.path.clone(),
            why: e.to_string(),
        })?;
        pool.file = now;
        Ok((connection, now))
    }

    fn checkin(&self, connection: Connection, file: FileId, sound: bool) {
        let mut pool = lock(&self.pool);
        if sound && pool.file == file && pool.idle.len() < IDLE {
            pool.idle.push(connection);
        }
    }

    pub(crate) fn failed(&self, error: &rusqlite::Error) -> StoreError {
        StoreError::from_sqlite(&self.path, error)
    }
}

fn run<T>(
    connection: &mut Connection,
    f: impl FnOnce(&Transaction<'_>) -> Result<T, Abort>,
) -> Result<T, Abort> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = f(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

/// Raises the sequence and returns the new one.
pub(crate) fn advance(transaction: &Transaction<'_>) -> rusqlite::Result<u64> {
    transaction
        .prepare_cached("UPDATE meta SET sequence = sequence + 1 RETURNING sequence")?
        .query_row(params![], |row| row.get(0))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves nothing half done: transactions roll back when dropped.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
