//! Errors of the agent's library as exceptions of the package.

use agent::Explain;
use agent::tunnel::TunnelError;
use pyo3::prelude::*;

/// An exception of `hrpyc_guard.errors`, made where the interpreter's lock is held.
pub(crate) fn exception(
    py: Python<'_>,
    class: &str,
    sentence: &str,
    hint: Option<&str>,
    code: Option<&str>,
) -> PyResult<Py<PyAny>> {
    let class = py.import("hrpyc_guard.errors")?.getattr(class)?;
    Ok(class.call1((sentence, hint, code))?.unbind())
}

/// The error, to be raised as an exception of this class.
pub(crate) fn raised(class: &str, error: &dyn Explain, code: Option<&str>) -> PyErr {
    let (sentence, hint) = (error.to_string(), error.hint());
    raised_text(class, &sentence, hint.as_deref(), code)
}

/// The same from what it says.
pub(crate) fn raised_text(
    class: &str,
    sentence: &str,
    hint: Option<&str>,
    code: Option<&str>,
) -> PyErr {
    Python::attach(|py| match exception(py, class, sentence, hint, code) {
        Ok(exception) => PyErr::from_value(exception.into_bound(py)),
        Err(error) => error,
    })
}

/// Why there is no session.
pub(crate) fn no_session(error: &TunnelError) -> PyErr {
    let class = match error {
        TunnelError::Profile(_) => "ProfileError",
        error if error.is_refusal() => "AccessDenied",
        _ => "Unavailable",
    };
    raised(class, error, error.code())
}
