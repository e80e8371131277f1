//! A record as it is read, and which records are wanted.

use jiff::Timestamp;
use serde::Deserialize;

/// What is looked at of a record, of whichever log.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs, reason = "the names are those of docs/audit.md")]
pub struct Fields {
    pub time: Timestamp,
    pub event: String,
    pub seq: u64,
    pub session: Option<String>,
    pub peer: Option<String>,
    pub identity: Option<String>,
    pub role: Option<String>,
    pub upstream: Option<String>,
    pub code: Option<String>,
    pub sentence: Option<String>,
    pub reason: Option<String>,
    pub address: Option<String>,
    pub count: Option<u64>,
    pub bytes_up: Option<u64>,
    pub bytes_down: Option<u64>,
    pub seconds: Option<f64>,
    pub direction: Option<String>,
    pub call: Option<String>,
    pub form: Option<String>,
    pub class: Option<String>,
    pub method: Option<String>,
    #[serde(default)]
    pub args: Vec<String>,
    pub outcome: Option<String>,
    pub rule: Option<String>,
    pub exception: Option<String>,
    pub us: Option<u64>,
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    pub why: Option<String>,
    pub torn_bytes: Option<u64>,
    pub file: Option<String>,
    pub through: Option<u64>,
    pub waited: Option<u64>,
    pub longest_wait_us: Option<u64>,
    pub turned_away: Option<u64>,
}

/// A record and the line that it is.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What is in it.
    pub fields: Fields,
    /// Of which log.
    pub log: &'static str,
    /// The line without its end.
    pub line: String,
}

impl Entry {
    /// Reads a line. None when it is no record.
    pub fn read(log: &'static str, line: &[u8]) -> Option<Self> {
        Some(Self {
            log,
            fields: serde_json::from_slice(line).ok()?,
            line: String::from_utf8(line.to_vec()).ok()?,
        })
    }
}

/// Which records are wanted: all that match all of it.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one session.
    pub session: Option<String>,
    /// Of one identity: its SPIFFE ID, or the end of it, such as `alice` or `service/farm`.
    pub identity: Option<String>,
    /// Not before this.
    pub since: Option<Timestamp>,
    /// Before this.
    pub until: Option<Timestamp>,
    /// Of these kinds; all but checkpoints when there is none.
    pub events: Vec<String>,
    /// Of calls that ended so.
    pub outcome: Option<String>,
}

impl Filter {
    /// Whether a record is wanted.
    pub fn wants(&self, fields: &Fields) -> bool {
        let is_of =
            |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        let is_kind = if self.events.is_empty() {
            fields.event != "checkpoint"
        } else {
            self.events.contains(&fields.event)
        };
        is_kind
            && is_of(&self.session, &fields.session)
            && is_of(&self.outcome, &fields.outcome)
            && self.since.is_none_or(|since| fields.time >= since)
            && self.until.is_none_or(|until| fields.time < until)
            && self.identity.as_deref().is_none_or(|wanted| {
                fields
                    .identity
                    .as_deref()
                    .is_some_and(|found| is_named(found, wanted))
            })
    }
}

/// Whether an identity is meant by its whole name or the end of it.
fn is_named(identity: &str, wanted: &str) -> bool {
    identity
        .strip_suffix(wanted)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}
