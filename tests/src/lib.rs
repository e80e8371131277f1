//! What the demo, the verification and the end-to-end tests share: starting and stopping
//! the built programs, and making the Python environments.

pub mod cargo;
pub mod forge;
pub mod programs;
pub mod tools;
pub mod venv;
pub mod wheel;
