//! Watching the store, so that a change of a grant reaches live sessions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use certs::{StoreError, TokenRef};
use jiff::Timestamp;
use wire::Code;

use crate::policy::still_permitted;
use crate::sessions::Sessions;
use crate::trust::Trust;

/// How often the store and the wall clock are looked at. A revocation must reach a live
/// session within a second, also on a busy machine.
const PERIOD: Duration = Duration::from_millis(100);
/// How long a guard that follows may take to hear from its authority for the first time. It
/// lets nobody in meanwhile, and there is nothing wrong with that yet.
const FIRST_WORD: Duration = Duration::from_secs(2);

/// Looks at the store and the clock for as long as there are `sessions` to look after. It has
/// a thread of its own, so that nothing that others wait for can hold it up.
///
/// # Errors
/// Those of the operating system, when there is no thread to be had.
pub fn spawn(trust: Arc<Trust>, sessions: &Arc<Sessions>) -> std::io::Result<JoinHandle<()>> {
    let sessions = Arc::downgrade(sessions);
    std::thread::Builder::new()
        .name("watch".into())
        .spawn(move || run(&trust, &sessions))
}

fn run(trust: &Trust, sessions: &Weak<Sessions>) {
    let mut seen = 0;
    let mut again = false;
    let mut failing = false;
    let mut awaited = trust.issuer.is_none().then(Instant::now);
    while let Some(sessions) = sessions.upgrade() {
        sessions.end_overdue(Timestamp::now());
        let looked = catch_unwind(AssertUnwindSafe(|| look(trust, &sessions, seen, again)));
        match looked {
            Ok(Ok((sequence, incomplete))) => {
                let is_first = awaited.take().is_some();
                if std::mem::take(&mut failing) {
                    tracing::info!("the trust store can be read again");
                } else if is_first {
                    tracing::info!("the authority's guard is followed: who has access is known");
                }
                if sequence < seen {
                    trust.rolled_back(seen);
                }
                if sequence != seen {
                    trust.repeat_alarm();
                }
                (seen, again) = (sequence, incomplete);
            }
            Ok(Err(_)) if awaited.is_some_and(|since| since.elapsed() < FIRST_WORD) => {}
            Ok(Err(error)) => {
                // Live sessions go on until the end of access that they know.
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "the trust store cannot be read: nobody new is let in, and changes do not reach live sessions");
                }
            }
            Err(_) => {
                tracing::error!(
                    "looking at the trust store failed inside the guard: all sessions are ended, because no revocation could reach them"
                );
                sessions.end_all(Code::Internal);
            }
        }
        drop(sessions);
        std::thread::sleep(PERIOD);
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
            sessions.judge(id, still_permitted(&standing, &subject, Timestamp::now()));
            incomplete |= subject.terms.is_none();
        }
    }
    Ok((sequence, incomplete))
}
