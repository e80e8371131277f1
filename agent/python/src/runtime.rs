//! What this process shares between its sessions: threads, and what is known of guards.
//!
//! All of it is touched with the interpreter's lock held and never across a wait, so that a
//! `fork`, which Python does with that lock, finds it whole. The threads do not exist in a
//! forked child: it forgets everything it inherited and makes its own.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent::standing::Standing;
use agent::{Profiles, Route};
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often a wait looks whether Ctrl-C was pressed.
const GLANCE: Duration = Duration::from_millis(50);
/// At the end of the interpreter: how long sessions may take to send what was written last,
/// and to say goodbye to their guards.
const GOODBYE: Duration = Duration::from_secs(3);

static SHARED: Mutex<Option<Shared>> = Mutex::new(None);

/// Of one process.
struct Shared {
    process: u32,
    profiles: HashMap<PathBuf, Profiles>,
    standings: HashMap<Way, Arc<Standing>>,
    threads: Option<Threads>,
}

/// A profile's folder, a guard, an upstream, a client.
type Way = (PathBuf, String, String, String);

struct Threads {
    runtime: Runtime,
    sessions: TaskTracker,
    stop: CancellationToken,
}

/// Where a session runs.
#[derive(Clone)]
pub(crate) struct Home {
    pub(crate) handle: tokio::runtime::Handle,
    pub(crate) sessions: TaskTracker,
    pub(crate) stop: CancellationToken,
}

fn shared() -> MutexGuard<'static, Option<Shared>> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    if shared
        .as_ref()
        .is_none_or(|shared| shared.process != process)
    {
        let inherited = shared.replace(Shared {
            process,
            profiles: HashMap::new(),
            standings: HashMap::new(),
            threads: None,
        });
        // Its threads are the parent's: to end them is to wait for what is not there, and to
        // close its sockets is to unregister them with the parent.
        std::mem::forget(inherited);
    }
    shared
}

/// The profiles under `root`: the same for all sessions, so that they renew together.
pub(crate) fn profiles(root: PathBuf) -> Profiles {
    let mut shared = shared();
    let shared = shared.as_mut().expect("made by shared()");
    let known = shared.profiles.entry(root.clone());
    known.or_insert_with(|| Profiles::at(root)).clone()
}

/// How we stand with the guard of this route: the same for all sessions on it, so that those
/// that are cut together ask once why.
pub(crate) fn standing(route: Route) -> Arc<Standing> {
    let way = (
        route.profile.folder().to_path_buf(),
        route.guard.name().to_string(),
        format!("{:?}", route.upstream),
        route.client.clone(),
    );
    let mut shared = shared();
    let shared = shared.as_mut().expect("made by shared()");
    let known = shared.standings.entry(way);
    known
        .or_insert_with(|| Arc::new(Standing::new(route)))
        .clone()
}

/// The threads of this process, started on first use.
pub(crate) fn home() -> PyResult<Home> {
    let mut shared = shared();
    let shared = shared.as_mut().expect("made by shared()");
    let threads = match &mut shared.threads {
        Some(threads) => threads,
        none => none.insert(start()?),
    };
    Ok(Home {
        handle: threads.runtime.handle().clone(),
        sessions: threads.sessions.clone(),
        stop: threads.stop.clone(),
    })
}

fn start() -> PyResult<Threads> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .thread_name("hrpyc_guard")
        .enable_all()
        .build()
        .map_err(|error| {
            PyOSError::new_err(format!("hrpyc_guard could not start its threads: {error}"))
        })?;
    Ok(Threads {
        runtime,
        sessions: TaskTracker::new(),
        stop: CancellationToken::new(),
    })
}

/// What comes of `work`, which goes on our threads. Ctrl-C ends it.
pub(crate) fn wait_for<T: Send + 'static>(
    py: Python<'_>,
    work: impl Future<Output = T> + Send + 'static,
) -> PyResult<T> {
    let (done, mut outcome) = mpsc::sync_channel(1);
    let task = home()?.handle.spawn(async move {
        // Whoever waited may have gone.
        let _ = done.send(work.await);
    });
    loop {
        let (received, receiver) = py.detach(move || (outcome.recv_timeout(GLANCE), outcome));
        outcome = receiver;
        match received {
            Ok(value) => return Ok(value),
            Err(RecvTimeoutError::Timeout) => {
                if let Err(interrupt) = py.check_signals() {
                    task.abort();
                    return Err(interrupt);
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err(
                    "hrpyc_guard failed on a thread of its own; please report what standard \
                     error says",
                ));
            }
        }
    }
}

/// Ends the sessions. The threads end with the process.
pub(crate) fn finish(py: Python<'_>) {
    let threads = shared().as_mut().and_then(|shared| shared.threads.take());
    let Some(Threads {
        runtime,
        sessions,
        stop,
    }) = threads
    else {
        return;
    };
    sessions.close();
    stop.cancel();
    py.detach(|| {
        let ended = async { tokio::time::timeout(GOODBYE, sessions.wait()).await };
        // Those that have not ended by then end with the process, and so do the threads:
        // a daemon thread of Python may be connecting at this moment, and what is taken from
        // under it would make it fail with noise.
        let _ = runtime.block_on(ended);
        std::mem::forget(runtime);
    });
}
