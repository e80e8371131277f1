//! A guard that joined follows the store of the authority's guard.
//!
//! The authority's guard sends all that decides about peers, again whenever it changes,
//! and a sign of life in between. A follower that has heard nothing for a while lets
//! nobody new in, because it could not know of a revocation; its live sessions go on until
//! the end of access that it knows.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use certs::{Authority, Member, Snapshot, Standing, StoreError, TokenRef, TrustStore};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsConnector;
use wire::Identity;
use wire::leaf::Serial;
use wire::message::{self, Message};
use wire::tls::{ALPN_FOLLOW, Anchor, client_config};

use crate::identity::VerifiedGuard;
use crate::join::{credentials, server_name};
use crate::policy::live_grant;
use crate::tls::FollowerSession;
use crate::trust::Trust;

/// How often the authority's guard looks for changes.
const LOOK: Duration = Duration::from_millis(100);
/// How often it shows that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// A follower that has heard nothing for this long lets nobody new in.
const STALE: Duration = Duration::from_secs(5);
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Between two attempts to reach the authority's guard, at most.
const BACKOFF: Duration = Duration::from_secs(5);

/// A follower's first and only message.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Follow {
    /// The highest sequence that it has seen: the authority's store must not be older.
    seen: u64,
}

impl Message for Follow {
    const KIND: u8 = 7;
    const CAP: usize = 1024;
}

/// What the authority's guard says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    /// The store as it is now.
    Store(Box<Snapshot>),
    /// Nothing has changed.
    Unchanged,
}

impl Message for Word {
    const KIND: u8 = 8;
    const CAP: usize = 64 * 1024 * 1024;
}

/// Serves a follower until it goes, its certificate no longer counts, or the store fails.
pub async fn serve(
    session: &mut FollowerSession,
    guard: &VerifiedGuard,
    authority: Arc<Authority>,
    trust: &Trust,
    hello_limit: Duration,
) {
    let Ok(Ok(Follow { seen })) =
        timeout(hello_limit, message::read::<Follow>(session.stream())).await
    else {
        return;
    };
    let mut sent = None;
    let mut alive = Instant::now();
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if Timestamp::now() > guard.leaf().not_after {
            // It must come again with the certificate that it will have renewed.
            return;
        }
        let (store, leaf) = (authority.clone(), guard.leaf().clone());
        let looked = tokio::task::spawn_blocking(move || {
            let sequence = store.sequence()?;
            if sent == Some(sequence) {
                return Ok(None);
            }
            let standing = store.standing(&leaf.identity, &leaf.serial, None)?;
            let counts = live_grant(&leaf.identity, &standing, Timestamp::now()).is_ok();
            Ok::<_, StoreError>(Some((counts, store.snapshot()?)))
        });
        let word = match looked.await {
            Ok(Ok(None)) if alive.elapsed() < SIGN_OF_LIFE => continue,
            Ok(Ok(None)) => Word::Unchanged,
            Ok(Ok(Some((true, snapshot)))) => {
                if snapshot.sequence < seen && sent.is_none() {
                    // A word without a signature: somebody must look, and issuing goes on.
                    trust.audit.alarm(
                        "follower-ahead",
                        guard.leaf().identity.name.as_str(),
                        &format!("the guard {} has seen the trust store at {seen}, and it is at {}: it may have been rolled back", guard.leaf().identity.name, snapshot.sequence),
                    );
                }
                sent = Some(snapshot.sequence);
                Word::Store(Box::new(snapshot))
            }
            Ok(Ok(Some((false, _)))) => return,
            Ok(Err(error)) => {
                tracing::error!(%error, "a guard that follows cannot be served");
                return;
            }
            Err(_) => return,
        };
        alive = Instant::now();
        if !matches!(
            timeout(STALE, message::write(session.stream(), &word)).await,
            Ok(Ok(()))
        ) {
            return;
        }
    }
}

/// The follower's copy of the store.
#[derive(Debug)]
pub struct Replica {
    authority: String,
    held: RwLock<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    snapshot: Snapshot,
    heard: Instant,
}

impl Replica {
    /// An empty copy of the store at `authority`, `HOST:PORT`.
    pub fn new(authority: String) -> Self {
        Self {
            authority,
            held: RwLock::new(None),
        }
    }

    fn seen(&self) -> u64 {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().map_or(0, |held| held.snapshot.sequence)
    }

    /// Takes a word in. Says whether it was news that fits what is known: a store that went
    /// back is not believed, because it would revive whom it has forgotten to be revoked.
    fn hear(&self, word: Word) -> bool {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        match (word, held.as_mut()) {
            (Word::Unchanged, Some(held)) => held.heard = Instant::now(),
            (Word::Unchanged, None) => return false,
            (Word::Store(snapshot), Some(held)) if snapshot.sequence < held.snapshot.sequence => {
                return false;
            }
            (Word::Store(snapshot), _) => {
                *held = Some(Held {
                    snapshot: *snapshot,
                    heard: Instant::now(),
                });
            }
        }
        true
    }

    fn ask<T>(&self, question: impl FnOnce(&Snapshot) -> T) -> Result<T, StoreError> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        match held.as_ref() {
            Some(held) if held.heard.elapsed() < STALE => Ok(question(&held.snapshot)),
            _ => Err(StoreError::Other {
                path: format!("of the authority at {}", self.authority).into(),
                why: "nothing has been heard from it lately".into(),
            }),
        }
    }
}

impl TrustStore for Replica {
    fn standing(
        &self,
        identity: &Identity,
        serial: &Serial,
        token: Option<TokenRef<'_>>,
    ) -> Result<Standing, StoreError> {
        self.ask(|snapshot| snapshot.standing(identity, serial, token))
    }

    fn sequence(&self) -> Result<u64, StoreError> {
        self.ask(|snapshot| snapshot.sequence)
    }

    /// The authority's guard finds out for itself, from what its followers have seen.
    fn report_rollback(&self, _seen: u64) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Follows the authority's guard for as long as this guard runs.
pub async fn run(member: Arc<Member>, replica: Arc<Replica>) {
    let mut wait = Duration::from_millis(200);
    loop {
        let began = Instant::now();
        let Err(problem) = follow(&member, &replica).await;
        tracing::warn!(
            authority = member.authority_address(),
            %problem,
            "the authority's guard cannot be followed; it is tried again"
        );
        wait = if began.elapsed() > BACKOFF {
            Duration::from_millis(200)
        } else {
            wait * 2
        };
        wait = wait.min(BACKOFF);
        sleep(wait).await;
    }
}

async fn follow(member: &Member, replica: &Replica) -> Result<std::convert::Infallible, String> {
    let config = client_config(
        Anchor::Certificate(member.certificate()),
        member.authority_guard().clone(),
        ALPN_FOLLOW,
        Some(credentials(member).map_err(|error| error.to_string())?),
    )
    .map_err(|error| error.to_string())?;
    let address = member.authority_address();
    let connected = timeout(CONNECT_TIME, async {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        TlsConnector::from(Arc::new(config))
            .connect(server_name(address), tcp)
            .await
    });
    let mut stream = connected
        .await
        .map_err(|_| "it did not answer in time".to_owned())?
        .map_err(|error| error.to_string())?;
    message::write(
        &mut stream,
        &Follow {
            seen: replica.seen(),
        },
    )
    .await
    .map_err(|error| error.to_string())?;
    loop {
        let word = timeout(STALE, message::read(&mut stream))
            .await
            .map_err(|_| "nothing was heard from it for a while".to_owned())?
            .map_err(|error| error.to_string())?;
        if !replica.hear(word) {
            return Err(
                "its store went back to an older state, which is not believed here: restart this guard when that has been looked into".into(),
            );
        }
    }
}
