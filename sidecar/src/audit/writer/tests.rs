use std::fs;
use std::io::Write as _;

use super::super::record::Event;
use super::*;
use crate::config::HeadsTo;

const FILE: &str = "connections.jsonl";
/// A file of so many bytes holds a dozen records.
const SMALL: u64 = 6000;

fn config() -> AuditConfig {
    AuditConfig {
        heads: HeadsTo::Nowhere,
        ..AuditConfig::default()
    }
}

fn open(folder: &Path, config: AuditConfig) -> Writer {
    let key = Arc::new(AuditKey::ephemeral().unwrap());
    Writer::connections(folder, config, key).unwrap()
}

/// The records of a file without what the guard adds on its own account.
fn records(path: &Path) -> Vec<serde_json::Value> {
    let mut records = lines(path);
    records.retain(|record| {
        !["checkpoint", "pruned"]
            .iter()
            .any(|own| record["event"] == *own)
    });
    records
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn session(event: Event, id: &str) -> Record {
    let mut record = Record::new(event);
    record.session = Some(id.into());
    record
}

#[test]
fn records_are_appended_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let writer = open(folder.path(), config());
        writer.write(&Record::new(Event::Started));
        assert_eq!(writer.finish(), 0);
        assert_eq!(records(&folder.path().join(FILE)).len(), round);
    }
}

#[test]
fn a_session_that_a_killed_guard_left_open_is_closed_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let writer = open(folder.path(), config());
    writer.write(&session(Event::Opened, "a"));
    writer.write(&session(Event::Opened, "b"));
    writer.write(&session(Event::Closed, "a"));
    writer.finish();
    // The last line was cut off in the middle.
    let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
    torn.write_all(br#"{"time":"2026-01-01T00:00:00Z","ev"#)
        .unwrap();

    open(folder.path(), config()).finish();

    let text = fs::read_to_string(&path).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().rev().nth(1).unwrap()).unwrap();
    assert_eq!(last["session"], "b");
    assert_eq!(last["event"], "closed");
    assert_eq!(last["reason"], "guard-killed");
    assert_eq!(text.matches(r#""event":"closed""#).count(), 2);
}

#[test]
fn a_file_that_is_full_is_turned_over_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(
        folder.path(),
        AuditConfig {
            max_bytes: SMALL,
            ..config()
        },
    );
    for n in 0..160 {
        writer.write(&session(Event::Refused, &n.to_string()));
    }
    writer.finish();
    let files: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert!(files.len() > 5, "{files:?}");
    let all: usize = files.iter().map(|path| records(path).len()).sum();
    assert_eq!(all, 160, "no record is lost between two files");
    assert!(
        files
            .iter()
            .all(|path| fs::metadata(path).unwrap().len() <= SMALL)
    );
}

#[test]
fn a_session_opened_before_the_file_was_turned_over_is_closed_too() {
    let folder = tempfile::tempdir().unwrap();
    let small = AuditConfig {
        max_bytes: SMALL,
        ..config()
    };
    let writer = open(folder.path(), small.clone());
    writer.write(&Record::new(Event::Started));
    writer.write(&session(Event::Opened, "early"));
    for n in 0..160 {
        writer.write(&session(Event::Refused, &n.to_string()));
    }
    writer.write(&session(Event::Opened, "late"));
    writer.finish();
    for _ in 0..2 {
        let again = open(folder.path(), small.clone());
        again.write(&Record::new(Event::Started));
        again.finish();
    }
    let mut closed: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .flat_map(|entry| records(&entry.unwrap().path()))
        .filter(|record| record["event"] == "closed")
        .map(|record| record["session"].as_str().unwrap().to_owned())
        .collect();
    closed.sort();
    assert_eq!(
        closed,
        ["early", "late"],
        "each once, and not again at the start after"
    );
}

#[test]
fn old_files_are_removed_only_where_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let few = AuditConfig {
        max_bytes: SMALL,
        keep: Some(2),
        ..config()
    };
    let writer = open(folder.path(), few);
    for n in 0..160 {
        writer.write(&session(Event::Refused, &n.to_string()));
    }
    writer.finish();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("audit");
    open(&directory, config()).finish();
    assert_eq!(
        fs::metadata(&directory).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(
        fs::metadata(directory.join(FILE))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
}

#[test]
fn a_second_guard_does_not_take_the_same_directory() {
    let folder = tempfile::tempdir().unwrap();
    let held = lock_directory(folder.path()).unwrap();
    assert!(matches!(
        lock_directory(folder.path()),
        Err(AuditError::Locked { .. })
    ));
    drop(held);
    lock_directory(folder.path()).unwrap();
}
