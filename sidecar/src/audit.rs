//! The audit: one JSON object a line, of connections in `STATE/audit/connections.jsonl` and of
//! calls in `STATE/audit/calls.jsonl`. Each of the two is a hash chain that is signed now and
//! then; see [`chain`] and [`checkpoint`].
//!
//! Each attempt to connect is opened here when it is accepted, and leaves a record
//! whatever happens, because [`Attempt`] and [`OpenSession`] write one when they are
//! dropped. A session that cannot be written down does not begin.

mod budget;
mod calls;
pub mod chain;
pub mod checkpoint;
pub mod commands;
mod files;
mod leftovers;
mod log;
mod queue;
pub mod reader;
mod record;
mod redact;
mod writer;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use aws_lc_rs::rand;
use certs::AuditKey;
use wire::leaf::{Leaf, Serial};
use wire::{Code, Identity};

use crate::config::AuditConfig;
use crate::denial::Denial;
use crate::limits::AddressKey;
use crate::policy::Permit;
use crate::relay::{End, Traffic};
use budget::{Allowance, Budget, Verdict};
pub use calls::{
    Argument, CALLED, Call, Direction, OpenCall, Outcome, SessionCalls, Slot, reference,
};
pub use files::{CALLS, CONNECTIONS};
pub use queue::Full;
use queue::Queue;
pub use record::{Event, Record};
pub use redact::{MARKER, Pattern, Redactor, Rule};
use writer::Writer;
pub use writer::{AuditError, lock_directory};

/// Refusals of one address before identity that are recorded one by one in ten minutes.
const STRANGERS: Allowance = Allowance {
    each: 100,
    in_all: 2_000,
};
/// Refusals of one identity.
const MEMBERS: Allowance = Allowance {
    each: 1_000,
    in_all: 20_000,
};
/// Alarms that one process raises; each is about something of its own.
const ALARMS: usize = 10_000;

/// The audit log.
#[derive(Debug)]
pub struct Audit {
    writer: Writer,
    calls: Writer,
    queue: Arc<Queue>,
    redactor: RwLock<Arc<Redactor>>,
    /// By address, for who has not shown who he is.
    strangers: Budget<AddressKey>,
    /// By identity, for who has.
    members: Budget<Identity>,
    raised: Mutex<HashSet<(&'static str, String)>>,
}

impl Audit {
    /// Opens the logs in a directory, makes them where they are missing, and closes the records
    /// that a killed guard left open.
    ///
    /// # Errors
    /// [`AuditError`] when the directory or the file cannot be used.
    pub fn open(
        directory: &std::path::Path,
        config: AuditConfig,
        key: AuditKey,
    ) -> Result<Arc<Self>, AuditError> {
        let key = Arc::new(key);
        let writer = Writer::connections(directory, config.clone(), key.clone())?;
        let redactor = Redactor::new(config.redact.clone());
        let (calls, queue) = Writer::calls(directory, config, key)?;
        Ok(Arc::new(Self {
            writer,
            calls,
            queue,
            redactor: RwLock::new(Arc::new(redactor)),
            strangers: Budget::new(STRANGERS),
            members: Budget::new(MEMBERS),
            raised: Mutex::default(),
        }))
    }

    /// Writes an alarm down, once for each thing that it is about in the life of this process.
    pub fn alarm(&self, reason: &'static str, about: &str, sentence: &str) {
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        if raised.len() < ALARMS && raised.insert((reason, about.to_owned())) {
            tracing::error!(reason, "ALARM: {sentence}");
            let mut record = Record::new(Event::Alarm);
            record.reason = Some(reason.into());
            record.sentence = Some(sentence.into());
            self.writer.write(&record);
        }
    }

    /// Writes a record about the guard itself.
    pub fn event(&self, record: &Record) {
        self.writer.write(record);
    }

    /// Applies a new configuration and opens the files anew. Sessions keep the rules of
    /// redaction that they began with.
    pub fn reconfigure(&self, config: AuditConfig) {
        *self
            .redactor
            .write()
            .unwrap_or_else(PoisonError::into_inner) =
            Arc::new(Redactor::new(config.redact.clone()));
        self.calls.reconfigure(config.clone());
        self.writer.reconfigure(config);
    }

    /// Writes down what was only counted and that the guard stopped, and waits until all is on
    /// disk and signed. Returns how many records could not be written.
    pub fn finish(&self) -> usize {
        self.queue.close();
        let calls = self.calls.finish();
        self.write_suppressed(true);
        self.writer.write(&Record::new(Event::Stopped));
        calls + self.writer.finish()
    }

    /// Writes one record for each address whose failures were only counted, when its time
    /// is over, or at once when the guard stops.
    pub fn write_suppressed(&self, at_once: bool) {
        for (address, count) in self.strangers.take_counted(at_once) {
            let address = address.map_or_else(|| "others".into(), |key| key.to_string());
            self.writer.write(&Record::suppressed(address, count));
        }
        for (identity, count) in self.members.take_counted(at_once) {
            let mut record = Record::suppressed("others".into(), count);
            if let Some(identity) = identity {
                (record.address, record.identity) = (None, Some(identity));
            }
            self.writer.write(&record);
        }
    }

    /// Begins the record of a connection.
    pub fn attempt(self: &Arc<Self>, peer: SocketAddr) -> Attempt {
        let mut record = Record::new(Event::Refused);
        record.session = Some(session_id());
        record.peer = Some(peer);
        Attempt {
            audit: self.clone(),
            peer,
            record: Some(record),
            known: false,
            begun: Instant::now(),
        }
    }
}

/// A session's id, unguessable and never used twice.
fn session_id() -> String {
    let mut bytes = [0; 8];
    // Without randomness TLS would have failed first; ids are then merely not unique.
    let _ = rand::fill(&mut bytes);
    wire::hex(&bytes)
}

/// A connection that has not become a session. Dropped without a word it is recorded as
/// failed inside the guard.
#[derive(Debug)]
pub struct Attempt {
    audit: Arc<Audit>,
    peer: SocketAddr,
    record: Option<Record>,
    known: bool,
    begun: Instant,
}

impl Attempt {
    /// The id of the connection, and of the session that it may become.
    pub fn id(&self) -> String {
        self.record
            .as_ref()
            .and_then(|record| record.session.clone())
            .unwrap_or_default()
    }

    /// What the certificate says, before it is believed.
    pub fn claims(&mut self, identity: Option<Identity>, serial: Option<Serial>) {
        if let Some(record) = &mut self.record {
            record.identity = identity;
            record.serial = serial;
        }
    }

    /// The identity has been verified; from here on its failures are its own, not its
    /// address's.
    pub fn knows(&mut self, leaf: &Leaf) {
        self.claims(Some(leaf.identity.clone()), Some(leaf.serial.clone()));
        self.known = true;
    }

    /// Where the connection comes from.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether the identity has been verified.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// The token has been verified.
    pub fn token(&mut self, id: &str) {
        if let Some(record) = &mut self.record {
            record.token = Some(id.into());
        }
    }

    /// The client's name for itself.
    pub fn client(&mut self, client: &str) {
        if let Some(record) = &mut self.record {
            record.client = Some(client.into());
        }
    }

    /// The grant allows the session.
    pub fn permitted(&mut self, permit: &Permit) {
        if let Some(record) = &mut self.record {
            record.role = Some(permit.role().as_str().into());
            record.upstream = Some(permit.houdini().to_string());
        }
    }

    /// Ends the attempt with a refusal.
    pub fn refused(mut self, denial: &Denial) {
        self.write_refusal(denial.code, &denial.sentence);
    }

    /// Ends the attempt with something that was given out.
    pub fn served(mut self, event: Event, identity: &Identity) {
        if let Some(mut record) = self.record.take() {
            record.event = event;
            record.identity = Some(identity.clone());
            record.seconds = Some(self.begun.elapsed().as_secs_f64());
            self.audit.writer.write(&record);
        }
    }

    /// Whether a session could be written down now, as far as is known.
    ///
    /// # Errors
    /// A denial when the last record could not be written.
    pub fn check_writable(&self) -> Result<(), Denial> {
        if self.audit.writer.is_failing() || self.audit.calls.is_failing() {
            Err(unwritable())
        } else {
            Ok(())
        }
    }

    /// Writes the beginning of a session and waits until it is on disk.
    ///
    /// # Errors
    /// A denial when it cannot be written: then there must be no session.
    pub async fn open(mut self, shared_user: bool) -> Result<OpenSession, (Self, Denial)> {
        let Some(mut record) = self.record.clone() else {
            return Err((self, unwritable()));
        };
        record.restamp(Event::Opened);
        record.shares_user = shared_user.then_some(true);
        if self.audit.writer.write_through(&record).await.is_err() {
            return Err((self, unwritable()));
        }
        self.record = None;
        Ok(OpenSession {
            audit: self.audit.clone(),
            begun: self.begun,
            record: Some(record),
            traffic: Traffic::default(),
        })
    }

    fn write_refusal(&mut self, code: Code, sentence: &str) {
        let Some(mut record) = self.record.take() else {
            return;
        };
        record.event = Event::Refused;
        record.stage = Some(code.stage().as_str().into());
        record.code = Some(code);
        record.sentence = Some(sentence.into());
        record.seconds = Some(self.begun.elapsed().as_secs_f64());
        let verdict = match &record.identity {
            Some(identity) if self.known => self.audit.members.spend(identity.clone()),
            _ => self.audit.strangers.spend(AddressKey::of(self.peer.ip())),
        };
        if verdict == Verdict::Record {
            tracing::info!(peer = %self.peer, code = %code, stage = code.stage().as_str(), "refused: {sentence}");
            self.audit.writer.write(&record);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.write_refusal(
            Code::Internal,
            "The guard dropped the connection without a word.",
        );
    }
}

fn unwritable() -> Denial {
    Denial::new(
        Code::AuditUnavailable,
        "The guard cannot write its audit log (its disk may be full), so it opens no new session.",
        "Tell your IT team: the guard's disk needs room.",
    )
}

/// A session that is under way and written down. Dropped without a word it is recorded as
/// ended inside the guard.
#[derive(Debug)]
pub struct OpenSession {
    audit: Arc<Audit>,
    record: Option<Record>,
    begun: Instant,
    /// What went through so far.
    pub traffic: Traffic,
}

impl OpenSession {
    /// Where the session's calls are written down.
    pub fn calls(&self) -> SessionCalls {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (session, identity, role) =
            self.record
                .as_ref()
                .map_or_else(Default::default, |record| {
                    let identity = record.identity.as_ref().map(ToString::to_string);
                    (text(&record.session), text(&identity), text(&record.role))
                });
        let redactor = self
            .audit
            .redactor
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let queue = self.audit.queue.clone();
        SessionCalls::new(queue, redactor, &session, &identity, &role)
    }

    /// Why the guard ends it, where there is more to say than the reason.
    pub fn note(&mut self, why: String) {
        if let Some(record) = &mut self.record {
            record.sentence = Some(why);
        }
    }

    /// Writes the end of the session.
    pub fn closed(mut self, end: End) {
        self.write(end);
    }

    fn write(&mut self, end: End) {
        let Some(mut record) = self.record.take() else {
            return;
        };
        record.restamp(Event::Closed);
        record.bytes_up = Some(self.traffic.up);
        record.bytes_down = Some(self.traffic.down);
        record.seconds = Some(self.begun.elapsed().as_secs_f64());
        record.reason = Some(end.as_str().into());
        self.audit.writer.write(&record);
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.write(End::Cut(Code::Internal));
    }
}
