//! Checkpoints: lines that sign the chain so far, and the sending of heads to the outside.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certs::{AuditKey, AuditPublicKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::chain::{Hash, Head, unhex};
use crate::config::HeadsTo;

/// Why a checkpoint was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// There were enough records since the last.
    Records,
    /// There was something, and the time was over.
    Time,
    /// The last line of a file that is closed.
    TurnOver,
    /// The first line of a file that goes on from another.
    Begin,
    /// The guard goes on after a line that was torn.
    Resumed,
    /// The guard stops.
    Stop,
}

/// A line of a log that signs the lines before it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Checkpoint {
    /// When.
    pub time: Timestamp,
    /// Always `checkpoint`.
    event: String,
    /// Of which log.
    pub log: String,
    /// What for.
    pub why: Why,
    /// The id of the key.
    pub key: String,
    /// The hash of the line before.
    pub head: String,
    /// Base64 of the signature over [`signed_text`].
    pub signature: String,
    /// Calls that waited for room in the queue since the last checkpoint.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waited: u64,
    /// The longest of these waits, in microseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub longest_wait_us: u64,
    /// Calls that were refused because there was no room, since the last checkpoint.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub turned_away: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What happened at the queue of calls since the last checkpoint.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    pub(super) waited: u64,
    pub(super) longest_wait_us: u64,
    pub(super) turned_away: u64,
}

/// What is signed: `seq` is the number of the checkpoint's own line, `head` the hash of the
/// line before it.
fn signed_text(log: &str, seq: u64, head: &str, time: Timestamp) -> String {
    format!("hrpyc-guard audit checkpoint 1\n{log}\n{seq}\n{head}\n{time}\n")
}

impl Checkpoint {
    /// Signs the lines up to `head`.
    pub(super) fn sign(log: &str, why: Why, head: Head, counted: Counted, key: &AuditKey) -> Self {
        let time = Timestamp::now();
        let hex = wire::hex(&head.hash);
        let signature = key.sign(signed_text(log, head.seq + 1, &hex, time).as_bytes());
        Self {
            time,
            event: "checkpoint".into(),
            log: log.into(),
            why,
            key: key.public().id(),
            head: hex,
            signature: STANDARD.encode(signature),
            waited: counted.waited,
            longest_wait_us: counted.longest_wait_us,
            turned_away: counted.turned_away,
        }
    }

    /// Whether one of these keys signed it as line `seq` of the log. None when none of them is
    /// the key that it names.
    pub fn is_signed(&self, seq: u64, keys: &[AuditPublicKey]) -> Option<bool> {
        let text = signed_text(&self.log, seq, &self.head, self.time);
        let key = keys.iter().find(|key| key.id() == self.key)?;
        let signature = STANDARD.decode(&self.signature).unwrap_or_default();
        Some(key.has_signed(text.as_bytes(), &signature))
    }

    /// The hash that it signs.
    pub fn signed_hash(&self) -> Option<Hash> {
        unhex(self.head.as_bytes())
    }
}

/// Sends heads where whoever can change the log cannot change them.
#[derive(Debug)]
pub(super) struct Outside {
    to: HeadsTo,
    failing: bool,
}

impl Outside {
    pub(super) fn new(to: HeadsTo) -> Self {
        Self { to, failing: false }
    }

    pub(super) fn send(&mut self, log: &str, head: Head) {
        let text = format!("audit head {log}:{}", head.to_text());
        match &self.to {
            HeadsTo::Log => tracing::info!("{text}"),
            HeadsTo::Nowhere => {}
            #[cfg(unix)]
            HeadsTo::Socket(path) => {
                let sent = datagram(path, &text);
                if let Err(error) = &sent {
                    // It must leave this machine's files in some way.
                    tracing::info!("{text}");
                    if !self.failing {
                        tracing::warn!(%error, path = %path.display(), "audit heads cannot be sent there, so they are in this log until they can");
                    }
                }
                self.failing = sent.is_err();
            }
        }
    }
}

/// One syslog message (RFC 3164, facility authpriv, severity info).
#[cfg(unix)]
fn datagram(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    let message = format!("<86>hrpyc-guard[{}]: {text}", std::process::id());
    socket.send_to(message.as_bytes(), path).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_log_one_place_one_head_and_one_key() {
        let key = AuditKey::ephemeral().unwrap();
        let keys = [key.public().clone()];
        let head = Head {
            seq: 41,
            hash: [7; 32],
        };
        let good = Checkpoint::sign("calls", Why::Time, head, Counted::default(), &key);
        assert_eq!(good.is_signed(42, &keys), Some(true));
        assert_eq!(good.is_signed(41, &keys), Some(false));
        assert_eq!(good.signed_hash(), Some(head.hash));
        let spoil = |change: fn(&mut Checkpoint)| {
            let mut spoiled = good.clone();
            change(&mut spoiled);
            spoiled.is_signed(42, &keys)
        };
        assert_eq!(spoil(|c| c.log = "connections".into()), Some(false));
        assert_eq!(spoil(|c| c.head.replace_range(..1, "1")), Some(false));
        assert_eq!(spoil(|c| c.time = Timestamp::UNIX_EPOCH), Some(false));
        assert_eq!(spoil(|c| c.signature = String::new()), Some(false));
        let other = AuditKey::ephemeral().unwrap();
        assert_eq!(good.is_signed(42, &[other.public().clone()]), None);
    }

    #[cfg(unix)]
    #[test]
    fn heads_leave_by_a_socket_as_syslog_takes_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let mut outside = Outside::new(HeadsTo::Socket(path.clone()));
        let head = Head::genesis("calls");
        outside.send("calls", head);
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        assert!(text.starts_with("<86>hrpyc-guard["), "{text}");
        let end = format!("]: audit head calls:{}", head.to_text());
        assert!(text.ends_with(&end), "{text}");
        assert!(!outside.failing);
        drop(socket);
        outside.send("calls", head);
        assert!(outside.failing);
    }
}
