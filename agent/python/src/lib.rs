//! The native half of the Python package `hrpyc_guard`.
//!
//! [`open`] takes a profile of the agent's library to a guard, and gives Python one end of a
//! socket pair; tasks on threads of our own carry what goes through it. No port is opened,
//! and the interpreter's lock is never held while something is waited for.
//!
//! Python sees of it what `python/hrpyc_guard/_native.pyi` says.

mod errors;
mod pair;
mod runtime;
mod session;

use std::path::PathBuf;
use std::time::Duration;

use agent::profile::default_root;
use agent::{Profiles, Route};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use wire::hello::Wanted;

use errors::raised;
use session::Session;

/// The tunnel behind `hrpyc_guard`. Private: use the package.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::session::Session;
    #[pymodule_export]
    use super::{doctor, finish, open};
}

/// Opens a session with the Houdini that `server` and `upstream` mean, within `timeout`
/// seconds.
#[pyfunction]
#[pyo3(signature = (*, server, upstream, profile, config_dir, timeout, client))]
fn open(
    py: Python<'_>,
    server: Option<String>,
    upstream: Option<String>,
    profile: Option<String>,
    config_dir: Option<PathBuf>,
    timeout: f64,
    client: &str,
) -> PyResult<Session> {
    let limit = Duration::try_from_secs_f64(timeout)
        .map_err(|error| PyValueError::new_err(format!("timeout={timeout}: {error}")))?;
    let profiles = profiles(config_dir)?;
    let wanted = target(server, profile);
    // Any text is a name or a port.
    let upstream: Option<Wanted> = upstream.and_then(|text| text.parse().ok());
    let route = route(py, &profiles, wanted.as_deref(), upstream, client)?;
    session::open(py, route, limit)
}

/// Looks at each step of the way. Gives whether all is well, and the report as text and as
/// JSON.
#[pyfunction]
#[pyo3(signature = (*, server, profile, config_dir, client))]
fn doctor(
    py: Python<'_>,
    server: Option<String>,
    profile: Option<String>,
    config_dir: Option<PathBuf>,
    client: &str,
) -> PyResult<(bool, String, String)> {
    let profiles = profiles(config_dir)?;
    let wanted = target(server, profile);
    let route = route(py, &profiles, wanted.as_deref(), None, client)?;
    let report = runtime::wait_for(py, async move { agent::doctor::examine(&route).await })?;
    let json = serde_json::json!(report).to_string();
    Ok((report.ok, report.to_string(), json))
}

/// Sends what was written last and ends the sessions. For the end of the interpreter: streams
/// that are open show no end after it.
#[pyfunction]
fn finish(py: Python<'_>) {
    runtime::finish(py);
}

fn profiles(config_dir: Option<PathBuf>) -> PyResult<Profiles> {
    let root = config_dir.map_or_else(default_root, Ok);
    Ok(runtime::profiles(
        root.map_err(|error| raised("ProfileError", &error, None))?,
    ))
}

/// What the agent's library calls the guard that is meant.
fn target(server: Option<String>, profile: Option<String>) -> Option<String> {
    match (profile, server) {
        (Some(profile), Some(server)) if server != profile => Some(format!("{profile}:{server}")),
        (Some(profile), _) => Some(profile),
        (None, server) => server,
    }
}

/// Reads profiles from disk, which may be slow on a network's.
fn route(
    py: Python<'_>,
    profiles: &Profiles,
    wanted: Option<&str>,
    upstream: Option<Wanted>,
    client: &str,
) -> PyResult<Route> {
    py.detach(|| profiles.route(wanted, upstream, client))
        .map_err(|error| raised("ProfileError", &error, None))
}
