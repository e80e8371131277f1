//! The artist's end of `hrpyc-guard`.
//!
//! A *profile* ([`profile`]) holds what joining ([`join`]) brought: a key made here, a
//! certificate, a token, and which guards it opens. [`tunnel::open`] takes a profile to a
//! guard and comes back with a byte stream to Houdini; it knows nothing of local ports.
//! [`session::serve`] puts such a tunnel behind any local byte stream, and
//! [`local`] does so for each connection to a loopback port.

pub mod cli;
pub mod dates;
pub mod doctor;
pub mod explain;
pub mod fault;
pub mod guard;
pub mod join;
pub mod local;
pub mod patience;
pub mod profile;
mod relay;
pub mod renew;
pub mod session;
pub mod standing;
pub mod status;
pub mod tunnel;

pub use explain::Explain;
pub use profile::{Profile, Profiles, Route};
pub use tunnel::Tunnel;
