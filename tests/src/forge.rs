//! What an attacker brings: forged certificates and tokens, a client that says anything it
//! likes, a guard that is none, and an upstream that counts who reached it.
//!
//! Everything here starts from honest material, so that a test can change one thing and
//! know that this one thing was refused.

pub mod certificate;
pub mod client;
pub mod enrol;
pub mod foreign;
pub mod impostor;
pub mod loss;
pub mod site;
pub mod store;
pub mod token;
pub mod upstream;
