//! The Houdinis.

use std::net::SocketAddr;

use serde::Deserialize;
use wire::DEFAULT_HOUDINI_PORT;

use super::ConfigError;
use crate::upstream::{Upstream, UpstreamError};

#[derive(Debug, Default, Deserialize)]
#[serde(
    untagged,
    expecting = "an address, or a list of addresses and { name, address } tables"
)]
pub(super) enum RawUpstreams {
    #[default]
    None,
    One(String),
    Many(Vec<RawUpstream>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "an address or a { name, address } table")]
pub(super) enum RawUpstream {
    Address(String),
    Named(NamedUpstream),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedUpstream {
    name: String,
    address: String,
}

pub(super) fn upstreams(
    args: &[String],
    raw: RawUpstreams,
    allowed: &[String],
    listen: SocketAddr,
) -> Result<Vec<Upstream>, ConfigError> {
    let raw: Vec<RawUpstream> = if args.is_empty() {
        match raw {
            RawUpstreams::None => {
                vec![RawUpstream::Address(format!(
                    "127.0.0.1:{DEFAULT_HOUDINI_PORT}"
                ))]
            }
            RawUpstreams::One(address) => vec![RawUpstream::Address(address)],
            RawUpstreams::Many(many) => many,
        }
    } else {
        args.iter().cloned().map(RawUpstream::Address).collect()
    };
    let wrong = |error: UpstreamError| ConfigError::Value {
        setting: "upstream",
        problem: error.to_string(),
    };
    let mut upstreams: Vec<Upstream> = Vec::new();
    for entry in raw {
        let (name, address) = match entry {
            RawUpstream::Address(address) => (None, address),
            RawUpstream::Named(named) => (Some(named.name), named.address),
        };
        let mut upstream = Upstream::parse(name, &address, allowed).map_err(wrong)?;
        upstream.leave_out(listen).map_err(wrong)?;
        if let Some(other) = upstreams.iter().find(|other| other.clashes_with(&upstream)) {
            return Err(wrong(UpstreamError::Twice(
                other.to_string(),
                upstream.to_string(),
            )));
        }
        upstreams.push(upstream);
    }
    if upstreams.is_empty() {
        return Err(ConfigError::Value {
            setting: "upstream",
            problem: "the list is empty: name at least one".into(),
        });
    }
    Ok(upstreams)
}
