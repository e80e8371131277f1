//! The database file: made, opened, checked.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::{StateError, StoreError};
use crate::files;
use crate::journal::Entry;
use crate::records;

/// `PRAGMA application_id`: `HRGS`.
const APPLICATION: i32 = 0x4852_4753;
/// `PRAGMA user_version`.
const VERSION: i32 = 1;
/// How long a writer waits for another process.
const BUSY: Duration = Duration::from_secs(5);

const SCHEMA: &str = include_str!("schema.sql");

/// Which file it is, whatever its name. `None` where the platform does not say.
pub(super) type FileId = Option<(u64, u64)>;

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

pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
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
pub(super) fn connect_checked(path: &Path) -> Result<Connection, StoreError> {
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

#[cfg(unix)]
pub(super) fn file_id(path: &Path) -> Result<FileId, StoreError> {
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
pub(super) fn file_id(path: &Path) -> Result<FileId, StoreError> {
    match fs::metadata(path) {
        Ok(_) => Ok(None),
        Err(_) => Err(StoreError::Gone { path: path.into() }),
    }
}
