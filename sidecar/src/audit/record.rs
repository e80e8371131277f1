//! One line of the audit log.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wire::leaf::Serial;
use wire::{Code, Identity};

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// The guard began to take connections.
    Started,
    /// The guard stopped.
    Stopped,
    /// A connection that did not become a session.
    Refused,
    /// Failures of one address, before identity, that were only counted.
    Suppressed,
    /// A session began.
    Opened,
    /// A session ended.
    Closed,
    /// An invite was used.
    Enrolled,
    /// A token or certificate was renewed.
    Renewed,
    /// Another guard follows the store.
    Followed,
    /// Something that somebody must look at.
    Alarm,
    /// The guard goes on after something that is no whole line, as a kill leaves it.
    Resumed,
    /// The oldest file is removed, because only so many are kept.
    Pruned,
}

/// A record; which fields are there depends on the event. See `docs/audit.md`.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// When, in UTC.
    pub time: Timestamp,
    /// What happened.
    pub event: Event,
    /// The connection's id; `opened` and `closed` of a session share it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Where the connection came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// Whom the certificate names. In a `refused` record of the stage `identity` it is only
    /// what the certificate claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The certificate's serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<Serial>,
    /// The token's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The role of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The client's name for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The stage that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The cause of the failure; see `docs/errors.md`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What the client was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentence: Option<String>,
    /// The Houdini of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Set when Houdini runs as the guard's own user, who can read the guard's keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares_user: Option<bool>,
    /// Bytes from the client to Houdini.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_up: Option<u64>,
    /// Bytes from Houdini to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_down: Option<u64>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Why the session ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The address whose failures were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How many failures were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// How many bytes were found that are no whole line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torn_bytes: Option<u64>,
    /// The SHA-256 of these bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torn_sha256: Option<String>,
    /// The file that is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The number of the last line in the removed file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<u64>,
}

impl Record {
    /// A record of now, with nothing but its event.
    pub fn new(event: Event) -> Self {
        Self {
            time: Timestamp::now(),
            event,
            session: None,
            peer: None,
            identity: None,
            serial: None,
            token: None,
            role: None,
            client: None,
            stage: None,
            code: None,
            sentence: None,
            upstream: None,
            shares_user: None,
            bytes_up: None,
            bytes_down: None,
            seconds: None,
            reason: None,
            address: None,
            count: None,
            torn_bytes: None,
            torn_sha256: None,
            file: None,
            through: None,
        }
    }

    /// The failures of one address that were only counted.
    pub fn suppressed(address: String, count: u64) -> Self {
        let mut record = Self::new(Event::Suppressed);
        record.address = Some(address);
        record.count = Some(count);
        record
    }

    /// Makes it the record of a later event of the same connection.
    pub fn restamp(&mut self, event: Event) {
        self.time = Timestamp::now();
        self.event = event;
    }

    /// The line, as far as it goes before it has its place in the chain.
    pub(super) fn body(&self) -> Vec<u8> {
        body_of(self)
    }
}

/// A JSON object without its last brace.
pub(super) fn body_of(value: &impl Serialize) -> Vec<u8> {
    let mut body = serde_json::to_vec(value).unwrap_or_default();
    body.pop();
    body
}
