//! Kills, torn lines, removed files and clocks, none of which is a change.

use super::*;

#[test]
fn a_line_torn_by_a_kill_is_told_from_a_change() {
    for torn in [
        &br#"{"time":"2026-01-01T00:00:00Z","ev"#[..],
        b"\0\0\0\0\0\0",
        b"two\nlines",
        b"\n",
        b"\n\n{",
    ] {
        let written = Written::short();
        let path = written.files()[0].clone();
        let good = fs::read(&path).unwrap();
        fs::write(&path, [&good, torn].concat()).unwrap();
        if torn.last() != Some(&b'\n') {
            // As it is before the next start.
            assert_eq!(written.verify().unwrap().torn_bytes, torn.len() as u64);
        }
        written.run(3, roomy());
        let verified = written.verify().unwrap();
        assert_eq!(verified.resumed, 1, "{torn:?}");
        // What was found is still there, and cannot be changed any more.
        let whole = fs::read(&path).unwrap();
        assert!(whole.starts_with(&[&good, torn].concat()));
        let mut changed = whole.clone();
        changed[good.len()] ^= 2;
        fs::write(&path, &changed).unwrap();
        assert!(written.verify().is_err(), "{torn:?}");
        let rest = &whole[good.len() + torn.len() + 1..];
        fs::write(&path, [&good, rest].concat()).unwrap();
        written.assert_broken("torn-line");
        let beyond = [&good, torn, &b"\nmore\n"[..], rest].concat();
        fs::write(&path, beyond).unwrap();
        written.assert_broken("edited");
    }
}

#[test]
fn a_whole_line_without_its_end_is_no_torn_line() {
    let written = Written::short();
    let path = written.files()[0].clone();
    let mut good = fs::read(&path).unwrap();
    good.pop();
    fs::write(&path, &good).unwrap();
    written.verify().unwrap();
    written.run(3, roomy());
    assert_eq!(written.verify().unwrap().resumed, 0);
    assert!(fs::read(&path).unwrap().starts_with(&good));
}

#[test]
fn a_torn_line_alone_in_a_new_file_is_accounted_for() {
    let written = Written::long();
    let current = written.folder.path().join("connections.jsonl");
    let closed = written
        .folder
        .path()
        .join("connections-20990101T000000-000.jsonl");
    fs::rename(&current, &closed).unwrap();
    fs::write(&current, "{\"time\":").unwrap();
    written.run(3, config());
    let verified = written.verify().unwrap();
    assert_eq!(verified.resumed, 1);
    assert_eq!(verified.lines, verified.last);
}

#[test]
fn what_was_removed_because_only_so_many_are_kept_is_no_change() {
    let written = Written::new();
    let few = AuditConfig {
        keep: Some(2),
        ..config()
    };
    written.run(100, few);
    assert_eq!(written.files().len(), 3);
    let verified = written.verify().unwrap();
    assert!(verified.first > 1);
    assert_eq!(verified.lines, verified.last - verified.first + 1);
    // One more is one too many.
    fs::remove_file(&written.files()[0]).unwrap();
    written.assert_broken("missing-oldest-file");
}

#[test]
fn a_kill_between_the_two_names_of_a_file_does_no_harm() {
    let written = Written::long();
    let current = written.folder.path().join("connections.jsonl");
    let closed = written
        .folder
        .path()
        .join("connections-20990101T000000-000.jsonl");
    fs::hard_link(&current, &closed).unwrap();
    let lines = written.verify().unwrap().lines;
    written.run(3, config());
    let verified = written.verify().unwrap();
    assert_eq!(verified.lines, verified.last);
    assert!(verified.lines > lines);
}

#[test]
fn a_clock_that_was_set_back_does_not_change_the_order() {
    let written = Written::long();
    let files = written.files();
    let early = written
        .folder
        .path()
        .join("connections-20000101T000000-000.jsonl");
    fs::rename(&files[1], early).unwrap();
    written.verify().unwrap();
}
