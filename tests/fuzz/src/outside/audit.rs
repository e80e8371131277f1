//! The audit log, as somebody left it who could write to the disk.

use std::cell::LazyCell;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::LazyLock;

use certs::AuditPublicKey;
use guard::audit::CONNECTIONS;
use guard::audit::chain::Link;
use guard::audit::reader::stats::Stats;
use guard::audit::reader::stream::Stream;
use guard::audit::reader::{text, verify::verify_copy};
use tempfile::TempDir;

/// A log that a guard wrote and signed: two files, the first before the line of dashes.
const GENUINE: &str = include_str!("genuine.jsonl");
/// The key that it was signed with.
const KEY: &str = include_str!("genuine.pub");
/// Between two files.
const NEXT: &str = "----\n";

static LINES: LazyLock<HashSet<&[u8]>> =
    LazyLock::new(|| GENUINE.lines().map(str::as_bytes).collect());

static PUBLIC: LazyLock<AuditPublicKey> =
    LazyLock::new(|| AuditPublicKey::from_pem(KEY).expect("a public key"));

thread_local! {
    static FOLDER: LazyCell<(TempDir, PathBuf)> = LazyCell::new(|| {
        let folder = TempDir::new().expect("a folder");
        let audit = folder.path().join("audit");
        std::fs::create_dir(&audit).expect("a folder");
        (folder, audit)
    });
}

/// Up to where a log is verified, each line is one that the guard wrote. Whatever it is, it
/// can be read, and what is shown of it cannot steer a terminal.
pub fn audit(input: &[u8]) -> bool {
    FOLDER.with(|folder| {
        let folder = &folder.1;
        let files = split(input);
        let current = folder.join("connections.jsonl");
        let before = folder.join("connections-20261123T100000-000.jsonl");
        let _ = std::fs::remove_file(&before);
        if let Some(older) = files.0 {
            std::fs::write(&before, older).expect("a file");
        }
        std::fs::write(&current, files.1).expect("a file");
        std::fs::write(folder.join("calls.jsonl"), b"").expect("a file");
        let verified = verify_copy(folder, CONNECTIONS, std::slice::from_ref(&PUBLIC), &[]);
        let verified = verified.expect("it can be read");
        if let Ok(verified) = &verified {
            let signed = verified.checkpoint.unwrap_or(0);
            for line in input.split(|byte| *byte == b'\n') {
                let link = Link::parse(line).filter(|link| link.seq <= signed);
                assert!(
                    link.is_none() || LINES.contains(line),
                    "it passes for genuine: {}",
                    String::from_utf8_lossy(line)
                );
            }
        }
        let mut stream = Stream::open(folder).expect("it can be read");
        let mut stats = Stats::default();
        while let Some(entry) = stream.take_next().expect("it can be read") {
            let shown = text::line(&entry.fields);
            assert!(!shown.contains(char::is_control), "{shown:?}");
            stats.add(&entry.fields);
        }
        verified.is_ok_and(|verified| verified.checkpoint.is_some())
    })
}

/// The file before, if there is one, and the one that is written to.
fn split(input: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let at = input
        .windows(NEXT.len())
        .position(|part| part == NEXT.as_bytes());
    match at {
        Some(at) => (Some(&input[..at]), &input[at + NEXT.len()..]),
        None => (None, input),
    }
}

#[test]
fn the_genuine_log_is_verified() {
    let (older, current) = split(GENUINE.as_bytes());
    assert!(older.is_some_and(|older| !older.is_empty()) && !current.is_empty());
    audit(GENUINE.as_bytes());
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text);
    write(
        "connections-20261123T100000-000.jsonl",
        older.unwrap_or_default(),
    )
    .expect("a file");
    write("connections.jsonl", current).expect("a file");
    let verified = verify_copy(
        folder.path(),
        CONNECTIONS,
        std::slice::from_ref(&PUBLIC),
        &[],
    );
    let verified = verified.expect("it can be read").expect("it is genuine");
    assert_eq!(verified.unsigned, 0);
    // All but the dashes and what a kill left of a line.
    assert_eq!(verified.lines, LINES.len() as u64 - 2);
    assert_eq!(verified.resumed, 1);
}
