use jiff::Timestamp;

use super::*;
use crate::files;
use crate::journal::Entry;

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
