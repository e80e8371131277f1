//! Why did it end? What the guard says now.

use std::time::Duration;

use rpyc::{ExceptionClass, Family};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::explain::Explain as _;
use crate::fault::{Cause, Fault};
use crate::profile::Route;
use crate::tunnel::{self, Tunnel, TunnelError};

/// How long the question may take. An artist's call waits for the answer.
const ASK_TIME: Duration = Duration::from_secs(5);

/// How many sessions are opened at the same time. When a farm script connects two hundred
/// times at once, handshakes that take turns are done sooner than all of them together.
const TURNS: usize = 32;

/// How long a new client may wait for its turn. While a guard takes connections and says
/// nothing, each turn lasts as long as [`tunnel::open`] may; with that, everybody is told
/// well within the 30 seconds after which rpyc gives up.
const TURN_TIME: Duration = Duration::from_secs(12);

/// How we stand with a guard, shared by all sessions of one route.
///
/// When a tunnel was cut, a new session is asked for, and closed at once if it is granted.
/// Sessions that were cut together ask once.
#[derive(Debug)]
pub struct Standing {
    route: Route,
    last: Mutex<Option<(Instant, Answer)>>,
    turns: Semaphore,
    without_session: TaskTracker,
}

/// What came out.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A new session would be granted.
    Welcome,
    /// It would not, or nobody could be asked.
    No(Reason),
}

/// A reason to tell the local client.
#[derive(Debug, Clone)]
pub struct Reason {
    /// The Python exception that says it.
    pub class: ExceptionClass,
    /// What happened and why.
    pub sentence: String,
    /// What to do next, when there is something.
    pub hint: Option<String>,
    /// The guard's code for it; `None` when no guard answered.
    pub code: Option<String>,
    /// Did somebody decide so, rather than something being away?
    pub refused: bool,
}

impl From<&TunnelError> for Reason {
    fn from(error: &TunnelError) -> Self {
        Self {
            class: error.exception_class(),
            sentence: error.to_string(),
            hint: error.hint(),
            code: error.code().map(str::to_owned),
            refused: error.is_refusal(),
        }
    }
}

impl Reason {
    /// Sentence and hint, as a script gets them.
    pub fn explained(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}\nhint: {hint}", self.sentence),
            None => self.sentence.clone(),
        }
    }
}

impl Standing {
    /// With the guard of this route.
    pub fn new(route: Route) -> Self {
        Self {
            route,
            last: Mutex::new(None),
            turns: Semaphore::new(TURNS),
            without_session: TaskTracker::new(),
        }
    }

    /// The route.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Counts the local clients that are there and have no session, or none any more.
    pub fn without_session(&self) -> &TaskTracker {
        &self.without_session
    }

    /// A new session, with `first` as its first bytes, within `patience` of the sessions
    /// before it being open.
    ///
    /// # Errors
    /// As [`tunnel::open`], and when there is no turn in time.
    pub async fn open(&self, first: &[u8], patience: Duration) -> Result<Tunnel, TunnelError> {
        // The semaphore is never closed.
        let Ok(_turn) = timeout(TURN_TIME, self.turns.acquire()).await else {
            let guard = &self.route.guard;
            let fault = Fault {
                guard: guard.name().clone(),
                address: guard.addresses.first().cloned().unwrap_or_default(),
                cause: Cause::AnswerTimeout(TURN_TIME),
            };
            return Err(fault.into());
        };
        tunnel::open(&self.route, first, patience).await
    }

    /// What the guard says at some moment after `since`. `family` is the Houdini's, for a
    /// goodbye that it understands.
    pub async fn ask(&self, since: Instant, family: Option<Family>) -> Answer {
        let answered = timeout(ASK_TIME, async {
            let mut last = self.last.lock().await;
            if let Some((asked, answer)) = &*last
                && *asked >= since
            {
                return answer.clone();
            }
            let asked = Instant::now();
            let answer = match tunnel::ask_verdict(&self.route, ASK_TIME).await {
                Ok(tunnel) => {
                    tokio::spawn(tunnel::take_leave(tunnel, family));
                    Answer::Welcome
                }
                Err(error) => Answer::No(Reason::from(&error)),
            };
            *last = Some((asked, answer.clone()));
            answer
        });
        answered.await.unwrap_or_else(|_| {
            Answer::No(Reason {
                class: ExceptionClass::ConnectionError,
                sentence: format!(
                    "guard {} did not answer within {ASK_TIME:?}",
                    self.route.guard.name()
                ),
                hint: None,
                code: None,
                refused: false,
            })
        })
    }
}
