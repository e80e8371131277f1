//! What a killed guard left open in the audit log.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek, SeekFrom};
use std::path::Path;

use jiff::Timestamp;

use super::log::{FILE, closed_files};

/// The ends of sessions that a killed guard could not write, as whole lines.
pub(super) fn missing_ends(directory: &Path) -> io::Result<Vec<Vec<u8>>> {
    // The files of one run reach back to the record of its start.
    let mut files = vec![directory.join(FILE)];
    files.extend(closed_files(directory).into_iter().rev());
    let mut open = HashMap::new();
    let mut closed: HashSet<String> = HashSet::new();
    for path in files {
        let found = scan(&path)?;
        let still_open = found
            .open
            .into_iter()
            .filter(|(id, _)| !closed.contains(id));
        open.extend(still_open);
        closed.extend(found.closed);
        if found.started {
            break;
        }
    }
    open.into_values()
        .map(|mut record| {
            record.insert("time".into(), Timestamp::now().to_string().into());
            record.insert("event".into(), "closed".into());
            record.insert("reason".into(), "guard-killed".into());
            let mut line = serde_json::to_vec(&record)?;
            line.push(b'\n');
            Ok(line)
        })
        .collect()
}

/// What one file says about sessions.
#[derive(Default)]
struct Scan {
    /// Opened in it and not closed in it, with their records.
    open: HashMap<String, serde_json::Map<String, serde_json::Value>>,
    /// Closed in it and opened before it.
    closed: HashSet<String>,
    /// The guard started in it.
    started: bool,
}

fn scan(path: &Path) -> io::Result<Scan> {
    let mut found = Scan::default();
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if let Ok(serde_json::Value::Object(record)) = serde_json::from_slice(&line) {
            let text = |key: &str| record.get(key).and_then(|value| value.as_str());
            match (text("event"), text("session").map(str::to_owned)) {
                (Some("started"), _) => {
                    // What the run before left open was closed when this one started.
                    found = Scan {
                        started: true,
                        ..Scan::default()
                    };
                }
                (Some("opened"), Some(session)) => {
                    found.open.insert(session, record);
                }
                (Some("closed"), Some(session)) if found.open.remove(&session).is_none() => {
                    found.closed.insert(session);
                }
                _ => {}
            }
        }
        line.clear();
    }
    Ok(found)
}

/// Whether the last line of a file is whole.
pub(super) fn ends_with_line_end(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
