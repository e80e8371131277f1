//! Promises of the authority, kept.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod backup;
mod certificates;
mod cli;
mod invites;
mod processes;
mod redact;
mod renewing;
mod revoking;
mod rollback;
mod state;
mod studio;
mod text;
