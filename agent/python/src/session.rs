//! One session: opened here, carried on our threads, used by Python.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use agent::Route;
use agent::session::{Ending, carry};
use agent::standing::Standing;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use tokio::time::timeout;

use crate::errors::{no_session, raised_text};
use crate::pair::{Ours, pair};
use crate::runtime::{self, Home};

/// A session that a guard has accepted.
#[pyclass(frozen, module = "hrpyc_guard._native")]
pub(crate) struct Session {
    /// Python's end of the socket pair: the number for `socket.socket(fileno=...)`.
    #[pyo3(get)]
    descriptor: i64,
    /// The descriptors that a forked child has copies of: ours, and the one to the guard.
    #[pyo3(get)]
    inherited: Vec<i64>,
    ending: Arc<OnceLock<Ending>>,
}

#[pymethods]
impl Session {
    /// How the session ended: whether somebody decided so, a sentence, a hint and a code.
    /// `None` while it lives, and when Python closed it. It is known before the stream shows
    /// its end.
    fn ending(&self) -> Option<(bool, &str, Option<&str>, Option<&str>)> {
        match self.ending.get()? {
            Ending::Left => None,
            Ending::Denied(reason) => {
                let (hint, code) = (reason.hint.as_deref(), reason.code.as_deref());
                Some((true, &reason.sentence, hint, code))
            }
            Ending::Lost { sentence, hint } => Some((false, sentence, Some(hint), None)),
        }
    }
}

/// Opens a session within `limit`.
pub(crate) fn open(py: Python<'_>, route: Route, limit: Duration) -> PyResult<Session> {
    let standing = runtime::standing(route);
    let opening = standing.clone();
    let opened = runtime::wait_for(
        py,
        async move { timeout(limit, opening.open(&[], limit)).await },
    )?;
    let tunnel = match opened {
        Ok(Ok(tunnel)) => tunnel,
        Ok(Err(error)) => return Err(no_session(&error)),
        Err(_) => return Err(too_slow(&standing, limit)),
    };
    let home = runtime::home()?;
    let _within = home.handle.enter();
    let (descriptor, ours) = pair()
        .map_err(|error| PyOSError::new_err(format!("no socket pair could be made: {error}")))?;
    let session = Session {
        descriptor,
        inherited: inherited(&ours, &tunnel),
        ending: Arc::default(),
    };
    home.sessions.spawn(live(
        ours,
        tunnel,
        standing,
        home.clone(),
        session.ending.clone(),
    ));
    Ok(session)
}

async fn live(
    ours: Ours,
    tunnel: agent::Tunnel,
    standing: Arc<Standing>,
    home: Home,
    ended: Arc<OnceLock<Ending>>,
) {
    let (ending, ours) = carry(ours, tunnel, &standing, &home.stop).await;
    // Nobody else sets it.
    let _ = ended.set(ending);
    if home.stop.is_cancelled() {
        // The process is ending. Daemon threads of Python that wait here must not wake up
        // for an error that nobody is left to handle.
        std::mem::forget(ours);
    }
}

fn too_slow(standing: &Standing, limit: Duration) -> PyErr {
    let guard = standing.route().guard.name();
    raised_text(
        "Unavailable",
        &format!("guard {guard} gave no session within {limit:?}"),
        Some("the guard may be overloaded: try again, or give a longer timeout"),
        None,
    )
}

#[cfg(unix)]
fn inherited(ours: &Ours, tunnel: &agent::Tunnel) -> Vec<i64> {
    use std::os::fd::AsRawFd as _;

    let guard = tunnel.stream.get_ref().0.tcp();
    vec![ours.as_raw_fd().into(), guard.as_raw_fd().into()]
}

/// There is no `fork`.
#[cfg(not(unix))]
fn inherited(_: &Ours, _: &agent::Tunnel) -> Vec<i64> {
    Vec::new()
}
