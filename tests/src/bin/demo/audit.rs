//! The audit, as the people of IT read and verify it.

use std::fs;
use std::path::Path;

use e2e::programs::{Failure, Finished, Guard, Result};
use serde_json::Value;

use crate::studio::{Studio, check, check_text, heading, stop};

/// What the byte that is changed in a copy of the logs is part of: it becomes `alicf`.
const EDITED: &[u8] = b"artist/alice";

impl Studio {
    pub(crate) fn show_who_came(&self) -> Result<()> {
        heading("Who came, who was turned away, and how each session ended");
        self.trial
            .wait_for_record(|r| r["event"] == "refused" && r["identity"].is_string())?;
        let events = ["opened", "closed", "refused"].map(|event| ["--event", event]);
        let show = [&["show"], events.as_flattened()].concat();
        self.audit(&show)?.success()?;
        let records = self.trial.audit()?;
        let opened = sessions(&records, "opened");
        check(opened.len() == 6, "six sessions were opened")?;
        check(sessions(&records, "closed") == opened, "each has its end")?;
        let has = |field: &str, value: &str| records.iter().any(|r| r[field] == value);
        check(has("code", "plain-rpyc"), "the stranger is in it")?;
        check(has("reason", "session-revoked"), "the cut is in it")
    }

    /// By the reference that the denied script was given.
    pub(crate) fn find_the_denial(&self, reference: &str) -> Result<()> {
        heading("The call that was denied, by the reference that the script was given");
        let found = self.audit(&["search", reference])?.success()?.stdout;
        check(found.lines().count() == 1, "there is one such call")?;
        for part in [
            "service/assistant (read-only)",
            "DENIED by default",
            "scale",
        ] {
            check_text("it is the assistant's", &found, part)?;
        }
        Ok(())
    }

    pub(crate) fn count_the_calls(&self) -> Result<()> {
        heading("What the assistant has asked for");
        let stats = ["stats", "--identity", "service/assistant"];
        self.audit(&stats)?.success()?;
        let counted = self
            .quietly(&[&stats[..], &["--json"]].concat())?
            .success()?;
        let counted: Value = serde_json::from_str(&counted.stdout)
            .map_err(|e| Failure::new(format!("the statistics are no JSON: {e}")))?;
        check(counted["all"]["denied"] == 1, "one of its calls was denied")
    }

    /// As they are once the guard has ended, and in a copy in which one byte is another.
    pub(crate) fn verify_the_logs(&self, mut guard: Guard) -> Result<()> {
        heading("The guard stops, and the logs are what it wrote: chained, and signed to the end");
        stop([&mut guard.process])?;
        let key = self.quietly(&["key"])?.success()?.stdout;
        let path = self.trial.folder().join("audit.pub");
        fs::write(&path, key).map_err(|e| Failure::io(path.display(), &e))?;
        println!("$ hrpyc-guard audit key --state-dir guard > audit.pub");
        let verify = ["verify", "--key", "audit.pub"];
        let verified = self.audit(&verify)?.success()?.stdout;
        check(
            verified.matches("are what the guard wrote").count() == 2,
            "both verify",
        )?;

        heading("Somebody edits one byte of a copy: it is found, and where");
        let copy = self.trial.folder().join("copy");
        let line = edited_copy(&self.trial.state_dir().join("audit"), &copy)
            .map_err(|e| Failure::io(copy.display(), &e))?;
        println!("(in line {line} of copy/calls.jsonl, artist/alice is artist/alicf now)");
        let mut command = self.trial.audit_command(&copy, &verify)?;
        let found = self.shown(&mut command, "")?.with_code(1)?.stderr;
        let wanted = format!("calls.jsonl, line {line}: edited");
        check_text("the edit is found", &found, &wanted)
    }

    /// A command of the audit, shown.
    fn audit(&self, words: &[&str]) -> Result<Finished> {
        let state = self.trial.state_dir();
        self.shown(&mut self.trial.audit_command(&state, words)?, "")
    }

    /// A command of the audit.
    fn quietly(&self, words: &[&str]) -> Result<Finished> {
        let state = self.trial.state_dir();
        e2e::programs::run(&mut self.trial.audit_command(&state, words)?)
    }
}

/// Copies the logs and changes a byte in the middle of that of calls. Gives its line.
fn edited_copy(audit: &Path, copy: &Path) -> std::io::Result<usize> {
    fs::create_dir(copy)?;
    for entry in fs::read_dir(audit)? {
        let entry = entry?;
        fs::copy(entry.path(), copy.join(entry.file_name()))?;
    }
    let path = copy.join("calls.jsonl");
    let mut log = fs::read(&path)?;
    let places: Vec<usize> = (0..log.len())
        .filter(|place| log[*place..].starts_with(EDITED))
        .collect();
    let middle = places.get(places.len() / 2);
    let middle = middle.ok_or_else(|| std::io::Error::other("no call of Alice's is in it"))?;
    let place = middle + EDITED.len() - 1;
    log[place] = b'f';
    let line = log[..place].iter().filter(|byte| **byte == b'\n').count() + 1;
    fs::write(&path, &log)?;
    Ok(line)
}

fn sessions(records: &[Value], event: &str) -> Vec<String> {
    let of_event = records.iter().filter(|record| record["event"] == event);
    let mut ids: Vec<_> = of_event
        .map(|record| record["session"].to_string())
        .collect();
    ids.sort();
    ids
}
