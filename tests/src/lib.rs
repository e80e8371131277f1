//! What the demo, the verification and the end-to-end tests share: starting and stopping
//! the built programs, making the Python environments, looking at what is depended on.

pub mod cargo;
pub mod forge;
pub mod programs;
pub mod supply;
pub mod tools;
pub mod venv;
pub mod wheel;
