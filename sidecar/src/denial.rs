//! A refusal inside the guard, before it travels.

use wire::{Code, Refusal};

/// Why a connection goes no further: for the audit and the operator a typed code, for the
/// artist a sentence and a hint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Denial {
    /// The cause.
    pub code: Code,
    /// What happened and why.
    pub sentence: String,
    /// What to do next.
    pub hint: String,
}

impl Denial {
    /// A denial from its parts.
    pub fn new(code: Code, sentence: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code,
            sentence: sentence.into(),
            hint: hint.into(),
        }
    }

    /// The form that is sent.
    pub fn refusal(&self) -> Refusal {
        Refusal::new(self.code, self.sentence.clone(), self.hint.clone())
    }
}
