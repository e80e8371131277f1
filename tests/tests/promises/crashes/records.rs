//! What a dead guard leaves behind: the store, and the audit.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use e2e::programs::run;
use serde_json::Value;

use super::studio::{Studio, Told};

/// A call that was answered so long before the kill is on record. The guard promises about
/// 10 ms; the rest is for machines that do many things at once.
const QUEUED: Duration = Duration::from_millis(700);

impl Studio {
    /// The last heads that the guard has sent outside.
    pub(super) fn note_heads(&mut self) {
        let log = self.site.log();
        for name in ["connections", "calls"] {
            let wanted = format!("audit head {name}:");
            let line = log.lines().rfind(|line| line.contains(&wanted));
            let Some((_, head)) = line.and_then(|line| line.split_once("audit head ")) else {
                continue;
            };
            self.heads.retain(|head| !head.starts_with(name));
            self.heads.push(head.trim().to_owned());
        }
    }

    /// What a dead guard leaves behind.
    pub(super) fn check(&mut self, told: Option<&Told>) {
        let state = self.site.trial.state_dir();
        self.ledger.check(&state, &mut self.killer);
        self.look_for_halves();
        let mut args = vec!["verify", "--json"];
        for head in &self.heads {
            args.extend(["--expect-head", head]);
        }
        let verify = self.site.trial.audit_command(&state, &args);
        let verified = run(&mut verify.unwrap()).unwrap().success();
        let verified = verified.unwrap_or_else(|e| panic!("{e}"));
        let verified: Value = serde_json::from_str(&verified.stdout).unwrap();
        for log in verified["verified"].as_array().unwrap() {
            if log["torn_bytes"].as_u64().unwrap() > 0 {
                self.killer.found("a torn line of the audit");
            }
        }
        if let Some(told) = told {
            self.check_records(told);
        }
    }

    /// Counts files that were being turned over.
    fn look_for_halves(&mut self) {
        let folder = self.site.trial.state_dir().join("audit");
        let mut files = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().metadata().unwrap();
            let has_two_names = !files.insert(file.ino());
            if has_two_names || file.len() == 0 {
                self.killer
                    .found("an audit file that was being turned over");
            }
        }
    }

    /// Who was let in is on record, and so is what was called, but for the very last.
    fn check_records(&self, told: &Told) {
        let folder = self.site.trial.state_dir().join("audit");
        let talks = told.talks.iter().map(|talk| &talk.session);
        let of_now: Vec<&String> = told.sessions.iter().chain(talks).collect();
        let mut opened = BTreeSet::new();
        let mut calls: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        let mut files = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            // One that is being turned over has two names.
            if !files.insert(entry.metadata().unwrap().ino()) {
                continue;
            }
            let text = std::fs::read(entry.path()).unwrap();
            for line in String::from_utf8_lossy(&text).lines() {
                // Most are of earlier lives.
                if !of_now.iter().any(|session| line.contains(*session)) {
                    continue;
                }
                let record: Value = serde_json::from_str(line).unwrap_or_default();
                let session = record["session"].as_str().unwrap_or_default().to_owned();
                if record["event"] == "opened" {
                    opened.insert(session);
                } else if record["event"] == "call" {
                    let number = record["args"][0].as_str().unwrap().parse().unwrap();
                    let is_new = calls.entry(session).or_default().insert(number);
                    assert!(is_new, "{record} is there twice");
                }
            }
        }
        for session in of_now {
            assert!(opened.contains(session), "{session} is not on record");
        }
        for talk in &told.talks {
            let recorded = calls.remove(&talk.session).unwrap_or_default();
            let all = talk.answered.len();
            let due = |at: &&Instant| told.killed.duration_since(**at) > QUEUED;
            let due = talk.answered.iter().filter(due).count();
            let count = recorded.len();
            // The last may have been answered to nobody.
            assert!((due..=all + 1).contains(&count), "{due}, {count}, {all}");
            assert!(
                recorded.into_iter().eq(0..count),
                "calls within are missing"
            );
        }
    }
}
