//! The sessions under way: their bounds, and the way to end one.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;
use wire::leaf::Serial;
use wire::{Code, Identity};

use crate::config::Limits;
use crate::denial::Denial;
use crate::identity::VerifiedPeer;
use crate::limits::AddressKey;
use crate::policy::still_holds;
use crate::rules::{Policy, Role};
use crate::token::VerifiedToken;
use crate::upstream::Houdini;

/// All sessions of the guard.
#[derive(Debug, Default)]
pub struct Sessions {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    entries: HashMap<u64, Entry>,
    per_identity: HashMap<Identity, usize>,
    per_address: HashMap<AddressKey, usize>,
}

#[derive(Debug)]
struct Entry {
    subject: Subject,
    access_until: Option<Timestamp>,
    cut: watch::Sender<Option<Code>>,
}

/// What must be asked about a session when the store has changed.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Who.
    pub identity: Identity,
    /// With which certificate.
    pub serial: Serial,
    /// With which token.
    pub token: String,
    /// Of which generation.
    pub generation: u64,
    /// From where.
    pub address: IpAddr,
    /// On which terms; not known until the grant has been looked at.
    pub terms: Option<Terms>,
}

/// What the grant said.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The Houdini that may be reached.
    pub houdini: Houdini,
    /// The role in the grant.
    pub granted: String,
    /// The role of the session, which the token may have narrowed.
    pub role: Role,
    /// When access ends, if it does.
    pub access_until: Option<Timestamp>,
}

impl Sessions {
    /// Registers a session before its grant is looked at.
    ///
    /// # Errors
    /// A denial when there are as many as there may be.
    pub fn register(
        self: &Arc<Self>,
        peer: &VerifiedPeer,
        token: &VerifiedToken,
        address: IpAddr,
        limits: &Limits,
    ) -> Result<Registration, Denial> {
        const WAIT: &str =
            "Close sessions that are no longer needed, or ask your IT team for a higher limit.";
        let identity = peer.identity().clone();
        let key = AddressKey::of(address);
        let mut inner = self.lock();
        if inner.entries.len() >= limits.sessions {
            return Err(Denial::new(
                Code::TooManySessions,
                format!(
                    "This guard serves {} sessions, as many as it may.",
                    limits.sessions
                ),
                WAIT,
            ));
        }
        if inner
            .per_identity
            .get(&identity)
            .is_some_and(|n| *n >= limits.sessions_per_identity)
        {
            return Err(Denial::new(
                Code::TooManyForIdentity,
                format!(
                    "{} has {} sessions here, as many as one identity may have.",
                    identity.shorthand(),
                    limits.sessions_per_identity
                ),
                WAIT,
            ));
        }
        if inner
            .per_address
            .get(&key)
            .is_some_and(|n| *n >= limits.sessions_per_address)
        {
            return Err(Denial::new(
                Code::TooManyForAddress,
                format!(
                    "There are {} sessions from this address, as many as one address may have.",
                    limits.sessions_per_address
                ),
                WAIT,
            ));
        }
        let (cut, ended) = watch::channel(None);
        let id = inner.next;
        inner.next += 1;
        *inner.per_identity.entry(identity.clone()).or_default() += 1;
        *inner.per_address.entry(key).or_default() += 1;
        let subject = Subject {
            identity,
            serial: peer.leaf().serial.clone(),
            token: token.id().to_owned(),
            generation: token.generation(),
            address,
            terms: None,
        };
        inner.entries.insert(
            id,
            Entry {
                subject,
                access_until: None,
                cut,
            },
        );
        Ok(Registration {
            sessions: self.clone(),
            id,
            address,
            ended,
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().entries.len()
    }

    /// The sessions with what must be asked about each.
    pub fn subjects(&self) -> Vec<(u64, Subject)> {
        self.lock()
            .entries
            .iter()
            .map(|(id, entry)| (*id, entry.subject.clone()))
            .collect()
    }

    /// Ends one session, or moves the end of its access.
    pub fn judge(&self, id: u64, judgement: Result<Option<Timestamp>, Code>) {
        if let Some(entry) = self.lock().entries.get_mut(&id) {
            match judgement {
                Ok(access_until) => entry.access_until = access_until,
                Err(code) => end(entry, code),
            }
        }
    }

    /// Ends the sessions whose access has run out on the wall clock.
    pub fn end_overdue(&self, now: Timestamp) {
        for entry in self.lock().entries.values() {
            if entry.access_until.is_some_and(|until| until <= now) {
                end(entry, Code::SessionEnded);
            }
        }
    }

    /// Ends the sessions that a new policy leaves without their role, and says how many.
    pub fn follow_policy(&self, policy: &Policy) -> usize {
        let lost = |entry: &&Entry| {
            let terms = entry.subject.terms.as_ref();
            terms.is_some_and(|terms| !still_holds(&terms.role, policy))
        };
        let inner = self.lock();
        let lost = inner.entries.values().filter(lost);
        lost.map(|entry| end(entry, Code::SessionChanged)).count()
    }

    /// Ends all sessions.
    pub fn end_all(&self, code: Code) {
        self.lock()
            .entries
            .values()
            .for_each(|entry| end(entry, code));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first reason stands.
fn end(entry: &Entry, code: Code) {
    entry.cut.send_if_modified(|ended| {
        let first = ended.is_none();
        ended.get_or_insert(code);
        first
    });
}

/// A session's place in the registry; it is given up when this is dropped.
#[derive(Debug)]
pub struct Registration {
    sessions: Arc<Sessions>,
    id: u64,
    address: IpAddr,
    ended: watch::Receiver<Option<Code>>,
}

impl Registration {
    /// Where the session comes from.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Writes down what the grant said.
    pub fn set_terms(&mut self, terms: Terms) {
        if let Some(entry) = self.sessions.lock().entries.get_mut(&self.id) {
            entry.access_until = terms.access_until;
            entry.subject.terms = Some(terms);
        }
    }

    /// Waits until the session must end, and says why.
    pub async fn ended(&mut self) -> Code {
        match self.ended.wait_for(Option::is_some).await {
            Ok(code) => code.unwrap_or(Code::Internal),
            Err(_) => Code::Internal,
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut inner = self.sessions.lock();
        if let Some(entry) = inner.entries.remove(&self.id) {
            decrease(&mut inner.per_identity, &entry.subject.identity);
            decrease(
                &mut inner.per_address,
                &AddressKey::of(entry.subject.address),
            );
        }
    }
}

fn decrease<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
