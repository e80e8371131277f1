//! Why did it end? What the guard says now.

use std::time::Duration;

use rpyc::{ExceptionClass, Family};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::explain::Explain as _;
use crate::profile::Route;
use crate::tunnel;

/// How long the question may take. An artist's call waits for the answer.
const ASK_TIME: Duration = Duration::from_secs(5);

/// How we stand with a guard, shared by all sessions of one route.
///
/// When a tunnel was cut, a new session is asked for, and closed at once if it is granted.
/// Sessions that were cut together ask once.
#[derive(Debug)]
pub struct Standing {
    route: Route,
    last: Mutex<Option<(Instant, Answer)>>,
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
    /// Its text, with the hint.
    pub text: String,
    /// Did somebody decide so, rather than something being away?
    pub refused: bool,
}

impl From<&tunnel::TunnelError> for Reason {
    fn from(error: &tunnel::TunnelError) -> Self {
        Self {
            class: error.exception_class(),
            text: error.explained(),
            refused: error.is_refusal(),
        }
    }
}

impl Standing {
    /// With the guard of this route.
    pub fn new(route: Route) -> Self {
        Self {
            route,
            last: Mutex::new(None),
        }
    }

    /// The route.
    pub fn route(&self) -> &Route {
        &self.route
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
                text: format!(
                    "guard {} did not answer within {ASK_TIME:?}",
                    self.route.guard.name()
                ),
                refused: false,
            })
        })
    }
}
