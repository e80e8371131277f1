//! What the agent promises, kept against a guard made of the real TLS and the real
//! messages, and a Houdini that is played by the test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod carrying;
mod commands;
mod guard;
mod joining;
mod loopback;
mod realm;
mod renewing;
mod reverse;
mod sessions;
mod trust;
mod world;
