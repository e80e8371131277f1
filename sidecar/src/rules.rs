//! The judgement of the RPC firewall: what a session in a role may ask of Houdini.
//!
//! Pure code without I/O, apart from [`Policy::load`]. A [`Policy`] is the roles of one file
//! and the built-in ones; [`Live`] holds the policy in force; a [`Judge`] belongs to one
//! session, knows each object of the server as a [`Thing`], and gives a [`Verdict`] for each
//! [`Operation`] before it is forwarded. What is not known is denied.
//!
//! In a narrow role three things are decided in this order: the floor, which no rule of a
//! file can lift; rules that deny; rules and lists that allow.

mod advisory;
mod cases;
mod catalogue;
mod condition;
mod explain;
mod file;
mod floor;
mod judge;
mod live;
mod operation;
mod pattern;
mod role;
mod thing;

pub use advisory::{Advisory, follow};
pub use cases::{CaseReport, CasesError, run as run_cases};
pub use explain::{Explanation, ExpressionError, Step, explain};
pub use file::{Policy, PolicyError};
pub use judge::Judge;
pub use live::Live;
pub use operation::{Arg, Does, Operation, Verdict};
pub use role::{Inspect, Mode, Role};
pub use thing::{Arrived, Thing, Things};

#[cfg(test)]
mod tests;
