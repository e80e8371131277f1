//! Why a session must end.

use rpyc::conversation::Breach;
use rpyc::{Head, Malformed, Side};
use wire::Code;

/// Why the guard ends a session over what was sent in it.
#[derive(Debug)]
pub struct Stop {
    /// The code in the audit.
    pub code: Code,
    /// What was wrong, for the audit and for the script. It holds nothing that a peer has sent
    /// but numbers.
    pub why: String,
    /// The request of the script that was wrong.
    pub(super) asked: Option<Head>,
}

impl Stop {
    pub(in crate::inspect) fn with_code(code: Code, why: impl std::fmt::Display) -> Self {
        Self {
            code,
            why: why.to_string(),
            asked: None,
        }
    }

    pub(super) fn new(why: impl std::fmt::Display) -> Self {
        Self::with_code(Code::SessionProtocol, why)
    }

    pub(super) fn of(side: Side, why: impl std::fmt::Display) -> Self {
        Self::new(format_args!(
            "{} sent something else than rpyc: {why}",
            end(side)
        ))
    }
}

pub(super) fn end(side: Side) -> &'static str {
    match side {
        Side::Client => "the client",
        Side::Server => "Houdini",
    }
}

pub(super) fn malformed(from: Side, error: Malformed) -> Stop {
    match error {
        Malformed::OldFamily => Stop::new(format_args!("{}: {error}", end(from))),
        error => Stop::of(from, error),
    }
}

pub(super) fn breached(from: Side, breach: Breach) -> Stop {
    Stop::of(from, breach)
}
