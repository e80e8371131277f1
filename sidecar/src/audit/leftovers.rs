//! What a killed guard left open in the audit log.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use jiff::Timestamp;

use super::files::{CONNECTIONS, closed, current, read_line};
use super::record::body_of;

/// The ends of sessions that a killed guard could not write, as bodies of lines.
pub(super) fn missing_ends(directory: &Path) -> io::Result<Vec<Vec<u8>>> {
    // The files of one run reach back to the record of its start.
    let mut files = vec![current(directory, CONNECTIONS)];
    let older = closed(directory, CONNECTIONS)?;
    files.extend(older.into_iter().rev().map(|file| file.path));
    let mut open = HashMap::new();
    let mut ended: HashSet<String> = HashSet::new();
    for path in files {
        let found = scan(&path)?;
        let still_open = found.open.into_iter().filter(|(id, _)| !ended.contains(id));
        open.extend(still_open);
        ended.extend(found.closed);
        if found.started {
            break;
        }
    }
    Ok(open
        .into_values()
        .map(|mut record| {
            // Its place in the chain was that of the beginning.
            for link in ["seq", "hash"] {
                record.remove(link);
            }
            record.insert("time".into(), Timestamp::now().to_string().into());
            record.insert("event".into(), "closed".into());
            record.insert("reason".into(), "guard-killed".into());
            body_of(&record)
        })
        .collect())
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
    // What is longer than any line comes in pieces, none of which is a record.
    while read_line(&mut reader, &mut line)?.is_some() {
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
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_session_is_found_behind_what_is_no_line() {
        let folder = tempfile::tempdir().unwrap();
        let opened = r#"{"event":"opened","session":"s1","seq":7,"hash":"00"}"#;
        let closed = r#"{"event":"closed","session":"s0"}"#;
        let torn = format!(
            "{{\"event\":\"opened\",\"session\":\"{}\"",
            "x".repeat(1 << 20)
        );
        let text = format!("{closed}\n{torn}\n{opened}\n{torn}");
        std::fs::write(current(folder.path(), CONNECTIONS), text).unwrap();
        let ends = missing_ends(folder.path()).unwrap();
        let [end] = &ends[..] else {
            panic!("{}", ends.len())
        };
        let end = String::from_utf8(end.clone()).unwrap();
        assert!(end.contains(r#""session":"s1""#), "{end}");
        assert!(
            end.contains(r#""reason":"guard-killed""#) && !end.contains("hash"),
            "{end}"
        );
    }
}
