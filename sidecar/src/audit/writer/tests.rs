use std::fs;
use std::io::Write as _;

use super::super::record::Event;
use super::*;

fn config() -> AuditConfig {
    AuditConfig {
        max_bytes: 1 << 20,
        max_age: Duration::from_secs(3600),
        keep: None,
    }
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
        let writer = Writer::open(folder.path(), config()).unwrap();
        writer.write(Record::new(Event::Started));
        assert_eq!(writer.finish(), 0);
        assert_eq!(lines(&folder.path().join(FILE)).len(), round);
    }
}

#[test]
fn a_session_that_a_killed_guard_left_open_is_closed_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let writer = Writer::open(folder.path(), config()).unwrap();
    writer.write(session(Event::Opened, "a"));
    writer.write(session(Event::Opened, "b"));
    writer.write(session(Event::Closed, "a"));
    writer.finish();
    // The last line was cut off in the middle.
    let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
    torn.write_all(br#"{"time":"2026-01-01T00:00:00Z","ev"#)
        .unwrap();

    Writer::open(folder.path(), config()).unwrap().finish();

    let text = fs::read_to_string(&path).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["session"], "b");
    assert_eq!(last["event"], "closed");
    assert_eq!(last["reason"], "guard-killed");
    assert_eq!(text.matches(r#""event":"closed""#).count(), 2);
}

#[test]
fn a_file_that_is_full_is_turned_over_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::open(
        folder.path(),
        AuditConfig {
            max_bytes: 500,
            ..config()
        },
    )
    .unwrap();
    for n in 0..50 {
        writer.write(session(Event::Refused, &n.to_string()));
    }
    writer.finish();
    let files: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert!(files.len() > 5, "{files:?}");
    let all: usize = files.iter().map(|path| lines(path).len()).sum();
    assert_eq!(all, 50, "no record is lost between two files");
    assert!(
        files
            .iter()
            .all(|path| fs::metadata(path).unwrap().len() <= 500)
    );
}

#[test]
fn a_session_opened_before_the_file_was_turned_over_is_closed_too() {
    let folder = tempfile::tempdir().unwrap();
    let small = AuditConfig {
        max_bytes: 500,
        ..config()
    };
    let writer = Writer::open(folder.path(), small.clone()).unwrap();
    writer.write(Record::new(Event::Started));
    writer.write(session(Event::Opened, "early"));
    for n in 0..50 {
        writer.write(session(Event::Refused, &n.to_string()));
    }
    writer.write(session(Event::Opened, "late"));
    writer.finish();
    for _ in 0..2 {
        let again = Writer::open(folder.path(), small.clone()).unwrap();
        again.write(Record::new(Event::Started));
        again.finish();
    }
    let mut closed: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .flat_map(|entry| lines(&entry.unwrap().path()))
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
        max_bytes: 500,
        keep: Some(2),
        ..config()
    };
    let writer = Writer::open(folder.path(), few).unwrap();
    for n in 0..50 {
        writer.write(session(Event::Refused, &n.to_string()));
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
    Writer::open(&directory, config()).unwrap().finish();
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

#[test]
fn closed_files_keep_their_order_when_the_clock_is_set_back() {
    let folder = tempfile::tempdir().unwrap();
    // What a guard left whose clock was ahead.
    let ahead = "connections-29991231T235959-999.jsonl";
    let mut started = Record::new(Event::Started).line();
    started.extend(session(Event::Opened, "a").line());
    fs::write(folder.path().join(ahead), started).unwrap();
    let small = AuditConfig {
        max_bytes: 500,
        ..config()
    };
    let writer = Writer::open(folder.path(), small.clone()).unwrap();
    for n in 0..20 {
        writer.write(session(Event::Opened, &n.to_string()));
    }
    writer.finish();
    let closed = super::super::log::closed_files(folder.path());
    let ids: Vec<_> = closed[1..]
        .iter()
        .flat_map(|path| lines(path))
        .filter(|record| record["event"] == "opened")
        .map(|record| record["session"].as_str().unwrap().to_owned())
        .collect();
    assert!(closed[0].ends_with(ahead) && ids.len() > 10, "{closed:?}");
    assert!(
        (0..ids.len()).all(|n| ids[n] == n.to_string()),
        "{closed:?}"
    );
    // So nothing that was left open is overlooked, nor the newest file taken for the oldest.
    let keep = AuditConfig {
        keep: Some(1),
        ..small
    };
    let writer = Writer::open(folder.path(), keep).unwrap();
    writer.finish();
    let ends: Vec<_> = super::super::log::closed_files(folder.path())
        .iter()
        .chain([&folder.path().join(FILE)])
        .flat_map(|path| lines(path))
        .filter(|record| record["reason"] == "guard-killed")
        .collect();
    assert!(!ends.is_empty());
}
