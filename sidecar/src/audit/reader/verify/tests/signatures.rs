//! What nothing signs, or somebody else.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::audit::chain::Link;
use crate::audit::checkpoint::Checkpoint;

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
