//! The promises of the guard and the agent, each kept against the built programs.
//!
//! Every group begins with an honest client that gets in, and every refusal changes one
//! thing about it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent_side;
mod audit;
mod audit_chain;
mod audit_reading;
mod crashes;
mod disk;
mod ending;
mod enrolment;
mod faults;
mod fleet;
mod hello;
mod identity;
mod ipv6;
mod joining;
mod limits;
mod policy;
mod relay;
mod revocation;
mod shutdown;
mod state_dir;
mod tls;
mod token;
mod upstream;

/// Says by name which test could not run here. It goes past the test harness, which would
/// keep it to itself.
fn not_run(test: &str, needs: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "NOT RUN: {test} (needs {needs})");
}
