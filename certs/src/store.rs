//! The store: one SQLite database that a running guard and the command line share.
//!
//! Each change happens in one immediate transaction, which also raises the *sequence*.
//! Readers use connections of their own and never wait for a writer (WAL).

pub(crate) mod mark;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};

use crate::error::{IssueError, StateError, StoreError};
use crate::files;
use crate::journal::{Entry, Journal};
use crate::records;
use crate::state::MARK;

use mark::Mark;

/// What the file is, for messages.
pub(crate) const WHAT: &str = "the store of people, certificates and revocations";
/// `PRAGMA application_id`: `HRGS`.
const APPLICATION: i32 = 0x4852_4753;
/// `PRAGMA user_version`.
const VERSION: i32 = 1;
/// How long a writer waits for another process.
const BUSY: Duration = Duration::from_secs(5);
/// How many idle connections are kept.
const IDLE: usize = 8;
/// How far the sequence jumps when a rollback is accepted: further than a store gets in
/// the years that a backup may be old, so that tokens of the lost time cannot be
/// mistaken for tokens of the new one.
pub(crate) const ROLLBACK_STEP: u64 = 1_000_000;

const SCHEMA: &str = include_str!("store/schema.sql");

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

/// Which file it is, whatever its name. `None` where the platform does not say.
type FileId = Option<(u64, u64)>;

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

/// Makes the database file of a new store.
pub(crate) fn create(path: &Path) -> Result<(), StateError> {
    files::create(path, b"")?;
    let make = || -> rusqlite::Result<()> {
        let connection = connect(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        connection.execute_batch(SCHEMA)?;
        connection.pragma_update(None, "application_id", APPLICATION)?;
        connection.pragma_update(None, "user_version", VERSION)?;
        connection.execute_batch("COMMIT")?;
        connection.close().map_err(|(_, error)| error)
    };
    make().map_err(|e| StoreError::from_sqlite(path, &e).into())
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Opens a database and checks that it is a whole one of ours.
fn connect_checked(path: &Path) -> Result<Connection, StoreError> {
    let failed = |e: rusqlite::Error| StoreError::from_sqlite(path, &e);
    let damaged = |why: String| StoreError::Damaged {
        path: path.into(),
        why,
    };
    let connection = connect(path).map_err(failed)?;
    let number = |name: &str| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i32>(0))
            .map_err(failed)
    };
    if number("application_id")? != APPLICATION {
        return Err(damaged("it is not a store of hrpyc-guard".into()));
    }
    let version = number("user_version")?;
    if version != VERSION {
        return Err(StoreError::Version {
            path: path.into(),
            found: version.unsigned_abs(),
            known: VERSION.unsigned_abs(),
        });
    }
    let check: String = connection
        .pragma_query_value(None, "quick_check", |row| row.get(0))
        .map_err(failed)?;
    if check != "ok" {
        return Err(damaged(check));
    }
    Ok(connection)
}

/// The sequence and the revocations of a sound database, without touching the journal.
pub(crate) fn peek(path: &Path) -> Result<(u64, Vec<Entry>), StoreError> {
    file_id(path)?;
    let connection = connect_checked(path)?;
    records::sequence(&connection)
        .and_then(|sequence| Ok((sequence, records::revocations(&connection)?)))
        .map_err(|e| StoreError::from_sqlite(path, &e))
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

    /// Lets the mark stand where the store now is, after a rollback was accepted.
    pub(crate) fn reset_mark(&self, sequence: u64) -> Result<(), StoreError> {
        self.mark
            .reset(sequence)
            .map_err(|e| StoreError::from_io(self.mark.path(), &e))
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

    /// A copy of the whole database into a file that must not exist.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let (connection, file) = self.checkout()?;
        let result = connection.execute("VACUUM INTO ?1", [path.to_string_lossy()]);
        self.checkin(connection, file, result.is_ok());
        result
            .map(drop)
            .map_err(|e| StoreError::from_sqlite(path, &e))
    }

    /// Puts the content of another store in the place of this one's, as one change that
    /// every process sees. The other one was made knowing this one up to the sequence
    /// `known`: what was revoked here since is revoked again, and any later change raises
    /// the alarm with `why`. An alarm that stands goes on standing.
    pub(crate) fn replace_with(
        &self,
        path: &Path,
        known: u64,
        why: &str,
    ) -> Result<(), StoreError> {
        let _turn = lock(&self.writing);
        let (mut connection, file) = self.checkout()?;
        let now = Timestamp::now();
        let replaced = connection
            .execute("ATTACH ?1 AS other", [path.to_string_lossy()])
            .map_err(Abort::from)
            .and_then(|_| {
                run(&mut connection, |transaction| {
                    let before = records::sequence(transaction)?;
                    let alarm = records::alarm(transaction)?;
                    let revocations = records::revocations(transaction)?;
                    copy_tables(transaction)?;
                    if let Some(alarm) = alarm {
                        records::raise_alarm(transaction, now, alarm.seen, &alarm.why)?;
                    }
                    if before > known {
                        records::raise_alarm(transaction, now, before, why)?;
                    }
                    records::merge(transaction, &revocations, now)?;
                    // A running guard must see that something changed.
                    let sequence = records::sequence(transaction)?.max(before) + 1;
                    records::set_sequence(transaction, sequence)?;
                    Ok(sequence)
                })
            });
        // The other store goes with the connection.
        self.checkin(connection, file, false);
        match replaced {
            Ok(sequence) => {
                let _ = self.mark.raise(sequence);
                Ok(())
            }
            Err(Abort::Sql(e)) => Err(self.failed(&e)),
            Err(Abort::Issue(e)) => Err(e.into_store()),
        }
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

    fn reconcile(&self) -> Result<(), StateError> {
        let mut connection = connect_checked(&self.path)?;
        self.merge(&mut connection)?;
        self.checkin(connection, file_id(&self.path)?, true);
        Ok(())
    }

    /// Revokes again what only the journal knows, and adds to the journal what only the
    /// store knows. The journal is read first: the store is written first.
    fn merge(&self, connection: &mut Connection) -> Result<(), StateError> {
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
        let is_in = |entries: &[Entry], id: &str| entries.iter().any(|other| other.id == id);
        let lost: Vec<Entry> = journal
            .iter()
            .filter(|entry| !is_in(&stored, &entry.id))
            .cloned()
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
            .filter(|entry| !is_in(&journal, &entry.id))
            .collect();
        self.journal.append(&unwritten)?;
        Ok(())
    }

    pub(crate) fn failed(&self, error: &rusqlite::Error) -> StoreError {
        StoreError::from_sqlite(&self.path, error)
    }
}

/// Puts the rows of the attached store in the place of all rows. Row by row, because only
/// that can happen in a transaction with what else must happen.
fn copy_tables(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let tables: Vec<String> = transaction
        .prepare("SELECT name FROM main.sqlite_schema WHERE type = 'table'")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for table in tables {
        transaction.execute_batch(&format!(
            "DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM other.{table}"
        ))?;
    }
    Ok(())
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

#[cfg(unix)]
fn file_id(path: &Path) -> Result<FileId, StoreError> {
    use std::os::unix::fs::MetadataExt as _;

    match fs::metadata(path) {
        Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(StoreError::Gone { path: path.into() })
        }
        Err(e) => Err(StoreError::from_io(path, &e)),
    }
}

/// Windows does not let an open database be replaced.
#[cfg(not(unix))]
fn file_id(path: &Path) -> Result<FileId, StoreError> {
    match fs::metadata(path) {
        Ok(_) => Ok(None),
        Err(_) => Err(StoreError::Gone { path: path.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let journal = directory.path().join("revocations.jsonl");
        create(&path).unwrap();
        files::create(&journal, b"").unwrap();
        let store = Store::open(path, Journal::new(journal)).unwrap();
        (directory, store)
    }

    #[test]
    fn a_full_disk_is_called_so_and_nothing_is_changed() {
        let (_directory, store) = store();
        let full = store.write(|transaction| {
            advance(transaction)?;
            transaction.pragma_update(None, "max_page_count", 1)?;
            let long = "x".repeat(1 << 20);
            Ok(records::event(
                transaction,
                Timestamp::now(),
                "test",
                None,
                &long,
            )?)
        });
        assert!(matches!(
            full,
            Err(IssueError::Store(StoreError::Full { .. }))
        ));
        assert_eq!(store.sequence().unwrap(), 0);
        store
            .write(|transaction| Ok(advance(transaction)?))
            .unwrap();
    }

    #[test]
    fn what_is_revoked_while_the_store_is_replaced_stays_revoked() {
        let (_directory, store) = store();
        let other = copy_of(&store);
        let known = store.sequence().unwrap();
        // Another process has written the store, and not yet the journal.
        let late = Entry {
            id: "00ff".into(),
            sequence: known + 1,
            at: Timestamp::UNIX_EPOCH,
            kind: crate::journal::EntryKind::Token,
            subject: "0011".into(),
            device: None,
            why: "stolen".into(),
        };
        store
            .write(|transaction| {
                advance(transaction)?;
                Ok(records::revoke(transaction, &late)?)
            })
            .unwrap();
        store.replace_with(&other, known, "put back").unwrap();
        assert!(store.sequence().unwrap() > known + 1);
        let (alarm, revocations) = store
            .read(|transaction| {
                Ok((
                    records::alarm(transaction)?,
                    records::revocations(transaction)?,
                ))
            })
            .unwrap();
        assert_eq!(alarm.unwrap().why, "put back");
        assert_eq!(revocations, [late]);
    }

    #[test]
    fn an_alarm_that_stands_outlives_a_replacement() {
        let (_directory, store) = store();
        let other = copy_of(&store);
        let known = store.sequence().unwrap();
        store.alarm(40, "seen").unwrap();
        store.replace_with(&other, known, "put back").unwrap();
        let alarm = store
            .read(|transaction| records::alarm(transaction))
            .unwrap();
        assert_eq!(alarm.unwrap().seen, 40);
    }

    fn copy_of(store: &Store) -> PathBuf {
        let other = store.path.with_file_name("other.db");
        files::create(&other, b"").unwrap();
        store.copy_to(&other).unwrap();
        other
    }

    #[test]
    fn an_alarm_that_cannot_be_written_stands_in_memory() {
        let (_directory, store) = store();
        store
            .write(|transaction| Ok(advance(transaction)?))
            .unwrap();
        store.sequence().unwrap();
        let reader = Connection::open(&store.path).unwrap();
        reader
            .execute_batch("UPDATE meta SET sequence = 0; CREATE TRIGGER no BEFORE UPDATE ON meta BEGIN SELECT raise(abort, 'no'); END")
            .unwrap();
        assert_eq!(store.sequence().unwrap(), 0);
        assert!(store.has_unwritten_alarm());
        reader.execute_batch("DROP TRIGGER no").unwrap();
        assert_eq!(store.sequence().unwrap(), 2);
        let alarm = store
            .read(|transaction| records::alarm(transaction))
            .unwrap();
        assert_eq!(alarm.unwrap().seen, 1);
        assert!(!store.has_unwritten_alarm());
    }
}
