//! What both ends of an `hrpyc-guard` connection must agree on.
//!
//! Nothing in here decides anything: the checks that turn a certificate into a
//! verified peer and a token into a permit live with the guard. This crate holds the
//! names, the messages and their bounds, the TLS settings, how either end notices that the
//! other has vanished, and the type that keeps secrets out of logs.

pub mod enrolment;
pub mod hello;
pub mod identity;
pub mod invite;
pub mod keypair;
pub mod leaf;
pub mod message;
pub mod moment;
pub mod peer;
pub mod prompt;
pub mod refusal;
pub mod role;
pub mod secret;
#[cfg(target_os = "linux")]
pub mod sock_diag;
pub mod tls;
pub mod token;

pub use identity::{Identity, Kind, Name, TrustDomain};
pub use refusal::{Code, Refusal};
pub use secret::Secret;

/// The port a guard listens on unless told otherwise.
pub const DEFAULT_GUARD_PORT: u16 = 18812;

/// The port of a Houdini RPC server, and of the agent's local end, unless told otherwise.
pub const DEFAULT_HOUDINI_PORT: u16 = 18811;

/// How far a certificate's or token's start is dated back, so that a machine whose
/// clock is a little slow can use it at once.
pub const BACKDATE: std::time::Duration = std::time::Duration::from_secs(10 * 60);

/// Writes bytes as lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
