use std::fs;
use std::sync::Arc;

use certs::AuditKey;
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::super::record::{Event, Record};
use super::super::super::writer::Writer;
use super::*;
use crate::config::{AuditConfig, HeadsTo};

const LOG: &str = "connections";

/// A log of some files, and the key that signed it.
struct Written {
    folder: TempDir,
    key: AuditKey,
    pem: TempDir,
}

fn config() -> AuditConfig {
    AuditConfig {
        heads: HeadsTo::Nowhere,
        max_bytes: 6000,
        checkpoint_records: 10,
        ..AuditConfig::default()
    }
}

impl Written {
    /// Nothing yet.
    fn new() -> Self {
        let pem = tempfile::tempdir().unwrap();
        let state = pem.path().join("state");
        certs::Authority::init(&state, None, &"ws12".parse().unwrap()).unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            key: AuditKey::load(&state).unwrap(),
            pem,
        }
    }

    /// Three files or more, of two runs.
    fn long() -> Self {
        let written = Self::new();
        written.run(60, config());
        written.run(60, config());
        assert!(written.files().len() > 3);
        written
    }

    /// One file.
    fn short() -> Self {
        let written = Self::new();
        written.run(30, roomy());
        written
    }

    fn run(&self, records: usize, config: AuditConfig) {
        let key = AuditKey::load(&self.pem.path().join("state")).unwrap();
        let writer = Writer::connections(self.folder.path(), config, Arc::new(key)).unwrap();
        writer.write(&Record::new(Event::Started));
        for n in 0..records {
            let mut record = Record::new(Event::Refused);
            record.session = Some(n.to_string());
            writer.write(&record);
        }
        assert_eq!(writer.finish(), 0);
    }

    /// The files, the oldest first.
    fn files(&self) -> Vec<PathBuf> {
        let files = all_files(self.folder.path(), LOG).unwrap();
        files.into_iter().map(|file| file.path).collect()
    }

    fn verify_with(
        &self,
        keys: &[AuditPublicKey],
        expected: &[Expected],
    ) -> Result<Verified, Broken> {
        verify(self.folder.path(), LOG, keys, expected).unwrap()
    }

    fn verify(&self) -> Result<Verified, Broken> {
        self.verify_with(&[self.key.public().clone()], &[])
    }

    #[track_caller]
    fn assert_broken(&self, reason: &str) -> Broken {
        let broken = self.verify().unwrap_err();
        assert_eq!(broken.reason, reason, "{broken:?}");
        assert!(!broken.hint().is_empty());
        broken
    }

    fn change(&self, path: &Path, change: impl FnOnce(&mut Vec<String>)) {
        let text = fs::read_to_string(path).unwrap();
        let mut lines = text.lines().map(str::to_owned).collect();
        change(&mut lines);
        fs::write(path, lines.join("\n") + "\n").unwrap();
    }

    fn head(&self) -> Expected {
        let verified = self.verify().unwrap();
        let text = format!("{LOG}:{}:{}", verified.last, verified.head);
        text.parse().unwrap()
    }
}

fn roomy() -> AuditConfig {
    AuditConfig {
        max_bytes: 1 << 20,
        ..config()
    }
}

#[test]
fn what_the_guard_wrote_is_whole() {
    let written = Written::long();
    let verified = written.verify().unwrap();
    assert_eq!(verified.first, 1);
    assert_eq!(verified.lines, verified.last);
    assert_eq!(verified.files, written.files().len());
    assert_eq!(verified.checkpoint, Some(verified.last), "a stop signs");
    assert_eq!(verified.unsigned, 0);
    let head = written.head();
    let keys = [written.key.public().clone()];
    written
        .verify_with(&keys, std::slice::from_ref(&head))
        .unwrap();
    // It also holds for a head of the past, and after more was written.
    written.run(5, config());
    written.verify_with(&keys, &[head]).unwrap();
}

#[test]
fn a_changed_byte_is_found_wherever_it_is() {
    let written = Written::short();
    let path = &written.files()[0];
    let whole = fs::read(path).unwrap();
    // Each line, at several places: in the record, in its number, in its hash, at its end.
    let mut starts = vec![0];
    starts.extend(
        (0..whole.len() - 1)
            .filter(|at| whole[*at] == b'\n')
            .map(|at| at + 1),
    );
    let last = starts.len() - 1;
    for (number, start) in starts.iter().enumerate() {
        let length = whole[*start..]
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap();
        for place in [1, length / 2, length - 80, length - 70, length - 2, length] {
            let mut changed = whole.clone();
            changed[start + place] ^= 1;
            fs::write(path, &changed).unwrap();
            match written.verify() {
                Err(broken) => assert_eq!(broken.line, number as u64 + 1, "{broken:?}"),
                // Without its line end, the last line may be one that is being written.
                Ok(verified) => {
                    assert!(number == last && place == length, "{number} {place}");
                    assert!(verified.torn_bytes > 0);
                }
            }
        }
    }
}

#[test]
fn a_line_cut_out_of_the_middle_is_found() {
    let written = Written::long();
    let middle = written.files()[1].clone();
    written.change(&middle, |lines| drop(lines.remove(4)));
    let broken = written.assert_broken("missing-lines");
    assert_eq!((broken.file, broken.line), (middle, 5));
}

#[test]
fn lines_that_were_swapped_are_found() {
    let written = Written::short();
    written.change(&written.files()[0], |lines| lines.swap(4, 5));
    assert_eq!(written.assert_broken("out-of-order").line, 5);
}

#[test]
fn a_line_that_is_there_twice_is_found() {
    let written = Written::short();
    written.change(&written.files()[0], |lines| {
        lines.insert(5, lines[4].clone())
    });
    assert_eq!(written.assert_broken("duplicate").line, 6);
    let other = Written::short();
    other.change(&other.files()[0], |lines| lines.push(lines[4].clone()));
    other.assert_broken("out-of-order");
}

#[test]
fn a_line_that_was_put_in_is_found() {
    for text in ["", "{}", "hello", r#"{"event":"resumed"}"#] {
        let written = Written::short();
        written.change(&written.files()[0], |lines| lines.insert(3, text.into()));
        assert_eq!(written.assert_broken("edited").line, 4);
    }
}

#[test]
fn a_file_that_is_missing_is_found() {
    let middle = Written::long();
    fs::remove_file(&middle.files()[1]).unwrap();
    let broken = middle.assert_broken("missing-file");
    assert_eq!(broken.file, middle.files()[1]);
    let newest = Written::long();
    fs::remove_file(newest.files().last().unwrap()).unwrap();
    newest.assert_broken("missing-newest-file");
    let oldest = Written::long();
    fs::remove_file(&oldest.files()[0]).unwrap();
    oldest.assert_broken("missing-oldest-file");
}

#[test]
fn a_tail_that_was_cut_is_found_with_a_head_that_was_kept() {
    let written = Written::short();
    let kept = written.head();
    written.change(&written.files()[0], |lines| lines.truncate(12));
    written.verify().unwrap();
    let keys = [written.key.public().clone()];
    let broken = written
        .verify_with(&keys, std::slice::from_ref(&kept))
        .unwrap_err();
    assert_eq!(broken.reason, "cut-tail");
    // Also when the guard has gone on from there since.
    written.run(60, roomy());
    let broken = written
        .verify_with(&keys, std::slice::from_ref(&kept))
        .unwrap_err();
    assert_eq!(broken.reason, "other-head");
    // And when it was not said of which log it is.
    let anyones = Expected { log: None, ..kept };
    let verified = written
        .verify_with(&keys, std::slice::from_ref(&anyones))
        .unwrap();
    let all = |expected| {
        all_met(
            written.folder.path(),
            std::slice::from_ref(&verified),
            expected,
        )
    };
    assert_eq!(all(&[anyones]).unwrap_err().reason, "other-head");
    let present: Expected = format!("{}:{}", verified.last, verified.head)
        .parse()
        .unwrap();
    let verified = written
        .verify_with(&keys, std::slice::from_ref(&present))
        .unwrap();
    all_met(written.folder.path(), &[verified], &[present]).unwrap();
}

/// Puts another text into a line and makes the chain right again from there on, as somebody
/// would who has no key.
fn rechain(lines: &mut [String], at: usize, change: impl Fn(&str) -> String) {
    let mut head = match at.checked_sub(1) {
        Some(before) => Link::parse(lines[before].as_bytes()).unwrap().head(),
        None => Head::genesis(LOG),
    };
    for (number, line) in lines.iter_mut().enumerate().skip(at) {
        let (body, _) = line.rsplit_once(",\"seq\":").unwrap();
        let body = if number == at {
            change(body)
        } else {
            body.to_owned()
        };
        let mut out = Vec::new();
        head.append(body.as_bytes(), &mut out);
        *line = String::from_utf8(out).unwrap().trim_end().to_owned();
    }
}

#[test]
fn a_chain_that_was_made_right_again_is_found_by_the_next_checkpoint() {
    let written = Written::short();
    let path = written.files()[0].clone();
    written.change(&path, |lines| {
        rechain(lines, 4, |body| body.replace("refused", "renewed"));
    });
    let broken = written.assert_broken("wrong-signature");
    assert!(broken.line > 5);
}

/// A log without a checkpoint whose first record says that it was written so long ago, and
/// took so long.
fn without_checkpoints(age: SignedDuration, took: Option<SignedDuration>) -> Written {
    let written = Written::short();
    written.change(&written.files()[0], |lines| {
        lines.retain(|line| !line.contains("checkpoint"));
        rechain(lines, 0, |body| {
            let mut record: serde_json::Value = serde_json::from_str(&format!("{body}}}")).unwrap();
            record["time"] = (Timestamp::now() - age).to_string().into();
            if let Some(took) = took {
                record["us"] = i64::try_from(took.as_micros()).unwrap().into();
            }
            record.to_string().strip_suffix('}').unwrap().to_owned()
        });
    });
    written
}

#[test]
fn a_log_that_nothing_signs_is_believed_by_nobody_once_a_guard_would_have_signed_it() {
    let seconds = SignedDuration::from_secs;
    for age in [seconds(11), seconds(3600), seconds(-11)] {
        without_checkpoints(age, None).assert_broken("unsigned");
    }
    without_checkpoints(seconds(3600), Some(seconds(3000))).assert_broken("unsigned");
    for (age, took) in [(seconds(0), None), (seconds(3600), Some(seconds(3599)))] {
        let verified = without_checkpoints(age, took).verify().unwrap();
        assert_eq!((verified.checkpoint, verified.unsigned), (None, 31));
    }
}

#[test]
fn a_change_or_a_cut_is_found_in_a_log_that_is_not_signed_yet() {
    let new = || without_checkpoints(SignedDuration::ZERO, None);
    let changed = new();
    changed.change(&changed.files()[0], |lines| {
        lines[4] = lines[4].replace("refused", "renewed");
    });
    assert_eq!(changed.assert_broken("edited").line, 5);
    let cut = new();
    let kept = cut.head();
    cut.change(&cut.files()[0], |lines| lines.truncate(12));
    cut.verify().unwrap();
    let keys = [cut.key.public().clone()];
    assert_eq!(
        cut.verify_with(&keys, &[kept]).unwrap_err().reason,
        "cut-tail"
    );
}

#[test]
fn a_signature_that_was_replaced_is_found() {
    let written = Written::short();
    let path = written.files()[0].clone();
    let text = fs::read_to_string(&path).unwrap();
    let checkpoints: Vec<(usize, Checkpoint)> = text
        .lines()
        .enumerate()
        .filter_map(|(at, line)| Some((at, serde_json::from_str(line).ok()?)))
        .collect();
    let [(at, first), (_, second), ..] = &checkpoints[..] else {
        panic!("two checkpoints were expected");
    };
    written.change(&path, |lines| {
        rechain(lines, *at, |body| {
            body.replace(&first.signature, &second.signature)
        });
    });
    let broken = written.assert_broken("wrong-signature");
    assert_eq!(broken.line, *at as u64 + 1);
}

#[test]
fn what_another_key_signed_is_found() {
    let written = Written::short();
    let other = AuditKey::ephemeral().unwrap();
    let broken = written
        .verify_with(&[other.public().clone()], &[])
        .unwrap_err();
    assert_eq!(broken.reason, "unknown-key");
    // Several keys may be known, as after one was lost.
    let both = [other.public().clone(), written.key.public().clone()];
    written.verify_with(&both, &[]).unwrap();
}

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

#[test]
fn a_file_without_a_chain_is_named() {
    let written = Written::short();
    let path = written
        .folder
        .path()
        .join("connections-20200101T000000-000.jsonl");
    fs::write(&path, "{\"event\":\"started\"}\n").unwrap();
    assert_eq!(written.assert_broken("edited").file, path);
}

#[test]
fn an_expected_head_is_read_in_both_forms_only() {
    let hash = "ab".repeat(32);
    let head: Expected = format!("7:{hash}").parse().unwrap();
    assert_eq!((head.log, head.head.seq), (None, 7));
    let head: Expected = format!("calls:7:{hash}").parse().unwrap();
    assert_eq!(head.log, Some("calls"));
    for bad in [
        "",
        "7",
        &hash,
        &format!("files:7:{hash}"),
        &format!("x:{hash}"),
        "7:abc",
    ] {
        assert!(bad.parse::<Expected>().is_err(), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However often a guard is killed, and whatever it leaves: the log verifies.
    #[test]
    fn any_kills_and_starts_verify(
        runs in prop::collection::vec((0..25_usize, prop::collection::vec(any::<u8>(), 0..40)), 1..5),
        bytes in 5000..12_000_u64,
    ) {
        let written = Written::new();
        for (records, torn) in &runs {
            written.run(*records, AuditConfig { max_bytes: bytes, ..config() });
            let path = written.folder.path().join("connections.jsonl");
            let mut whole = fs::read(&path).unwrap();
            whole.extend_from_slice(torn);
            fs::write(&path, whole).unwrap();
        }
        written.run(1, config());
        let verified = written.verify().unwrap();
        prop_assert_eq!(verified.lines, verified.last);
    }

    /// No bytes make it panic or find whole what is not.
    #[test]
    fn no_bytes_are_taken_for_a_log(bytes in prop::collection::vec(any::<u8>(), 1..400)) {
        let written = Written::new();
        let path = written.folder.path().join("connections.jsonl");
        fs::write(path, &bytes).unwrap();
        let found = written.verify();
        prop_assert!(found.is_err() || found.unwrap().torn_bytes > 0);
    }
}
