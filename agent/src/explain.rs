//! Errors that say what to do next.

use rpyc::ExceptionClass;
use wire::{Code, Refusal};

/// An error for people: `Display` says what happened and why, the hint what to do.
pub trait Explain: std::error::Error {
    /// What to do next, when there is something.
    fn hint(&self) -> Option<String>;

    /// The text as it is printed and as a Python script gets it: the sentence and, on a
    /// line of its own, the hint.
    fn explained(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{self}\nhint: {hint}"),
            None => self.to_string(),
        }
    }
}

/// A refusal without its hint: `SENTENCE (code)`.
pub(crate) fn sentence(refusal: &Refusal) -> String {
    format!("{} ({})", refusal.sentence, refusal.code)
}

/// What to do about a refusal, if the guard said.
pub(crate) fn hint(refusal: &Refusal) -> Option<String> {
    (!refusal.hint.is_empty()).then(|| refusal.hint.clone())
}

/// The Python exception that a guard's refusal becomes: `PermissionError` where somebody
/// decided so, `ConnectionError` where something is merely not running.
pub fn exception_class(refusal: &Refusal) -> ExceptionClass {
    let unavailable = [
        Code::Draining,
        Code::UpstreamDown,
        Code::UpstreamTimeout,
        Code::SessionDrained,
    ];
    if unavailable.iter().any(|code| code.as_str() == refusal.code) {
        ExceptionClass::ConnectionError
    } else {
        ExceptionClass::PermissionError
    }
}
