//! Copies of the store, and putting one in its place.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::Transaction;

use super::{Abort, Store, lock, run};
use crate::error::StoreError;
use crate::records;

impl Store {
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
