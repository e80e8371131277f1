//! Watching the store, so that a change of a grant reaches live sessions.

use std::sync::Arc;
use std::time::Duration;

use certs::{StoreError, TokenRef};
use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};

use crate::policy::still_permitted;
use crate::sessions::Sessions;
use crate::trust::Trust;

/// How often the store and the wall clock are looked at. A revocation must reach a live
/// session within a second, also on a busy machine.
const PERIOD: Duration = Duration::from_millis(100);

/// Looks at the store and the clock for as long as the guard runs.
pub async fn run(trust: Arc<Trust>, sessions: Arc<Sessions>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = 0;
    let mut again = false;
    let mut failing = false;
    loop {
        ticks.tick().await;
        sessions.end_overdue(Timestamp::now());
        let (asked_trust, asked_sessions) = (trust.clone(), sessions.clone());
        let asked =
            tokio::task::spawn_blocking(move || look(&asked_trust, &asked_sessions, seen, again));
        match asked.await {
            Ok(Ok((sequence, incomplete))) => {
                again = incomplete;
                if std::mem::take(&mut failing) {
                    tracing::info!("the trust store can be read again");
                }
                if sequence < seen {
                    trust.rolled_back(seen, sequence);
                }
                seen = sequence;
            }
            Ok(Err(error)) => {
                // Live sessions go on until the end of access that they know.
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "the trust store cannot be read: nobody new is let in, and changes do not reach live sessions");
                }
            }
            Err(error) => tracing::error!(%error, "looking at the trust store failed"),
        }
    }
}

/// Judges every session anew if the store has changed. Says also whether there was one
/// whose Houdini was not chosen yet: it may have looked at the grant just before the
/// change, and must be looked at once more.
fn look(
    trust: &Trust,
    sessions: &Sessions,
    seen: u64,
    again: bool,
) -> Result<(u64, bool), StoreError> {
    let sequence = trust.store.sequence()?;
    let mut incomplete = false;
    if sequence != seen || again {
        for (id, subject) in sessions.subjects() {
            let token = TokenRef {
                id: &subject.token,
                generation: subject.generation,
            };
            let standing = trust
                .store
                .standing(&subject.identity, &subject.serial, Some(token))?;
            let judgement = still_permitted(
                &standing,
                &subject.identity,
                subject.address,
                subject.houdini.as_ref(),
                Timestamp::now(),
            );
            sessions.judge(id, judgement);
            incomplete |= subject.houdini.is_none();
        }
    }
    Ok((sequence, incomplete))
}
