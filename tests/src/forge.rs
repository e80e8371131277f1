//! What an attacker brings: forged certificates and tokens, a client that says anything it
//! likes, a guard that is none, and an upstream that counts who reached it. And what a bad day
//! brings: legs on which connections break.
//!
//! Everything here starts from honest material, so that a test can change one thing and
//! know that this one thing was refused.

pub mod anyone;
pub mod certificate;
pub mod client;
pub mod enrol;
pub mod foreign;
pub mod houdini;
pub mod impostor;
pub mod leg;
pub mod loss;
pub mod script;
pub mod site;
pub mod store;
pub mod token;
pub mod upstream;
