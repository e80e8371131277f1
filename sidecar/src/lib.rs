//! The guard in front of a Houdini RPC server: it takes connections, demands mutual TLS
//! and a token, knows who is calling, writes down who came, and forwards only verified
//! streams.
//!
//! [`connection`] reads from top to bottom what happens to a connection.

pub mod audit;
pub mod cli;
pub mod config;
pub mod connection;
pub mod denial;
pub mod enrolment;
pub mod follow;
pub mod guard;
pub mod hello;
pub mod identity;
pub mod inspect;
pub mod join;
pub mod limits;
pub mod policy;
pub mod ports;
pub mod relay;
pub mod rules;
pub mod server;
pub mod service;
pub mod sessions;
pub mod signals;
pub mod start;
pub mod tls;
pub mod token;
pub mod trust;
pub mod upstream;
pub mod watch;
