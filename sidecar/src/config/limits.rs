//! Bounds on what others can make the guard do.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;

use super::ConfigError;
use super::time::{HOUR, MINUTE, MONTH, RawDuration, within};

/// So much is inflated of any message, and rpyc writes lengths in 32 bits.
const HELD: RangeInclusive<usize> = 16 << 20..=2 << 30;

/// Bounds on what others can make the guard do.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Sessions in all.
    pub sessions: usize,
    /// Sessions of one identity.
    pub sessions_per_identity: usize,
    /// Sessions from one address (an IPv6 /64 counts as one).
    pub sessions_per_address: usize,
    /// Handshakes under way from one address; more wait for their turn.
    pub handshakes_per_address: usize,
    /// Failures a minute from one address before identity is known; an address with more
    /// gets a sixteenth of the handshakes.
    pub failures_per_address: usize,
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// From the handshake to the end of the hello.
    pub hello_timeout: Duration,
    /// From the handshake to the end of an enrolment.
    pub enrolment_timeout: Duration,
    /// For an upstream to accept.
    pub upstream_timeout: Duration,
    /// A session with no byte either way ends after this. None unless set: artists leave
    /// sessions open over lunch.
    pub idle_timeout: Option<Duration>,
    /// A client's machine, or a remote Houdini's, that has not been heard of for this long has
    /// vanished.
    pub peer_timeout: Duration,
    /// How far clocks may be apart when a token's dates are looked at.
    pub clock_skew: Duration,
    /// Bytes of a message that must be held whole, inflated, before it is translated to another
    /// family of rpyc or judged. A greater one ends its session.
    pub held_bytes: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    sessions: Option<usize>,
    sessions_per_identity: Option<usize>,
    sessions_per_address: Option<usize>,
    handshakes_per_address: Option<usize>,
    failures_per_address: Option<usize>,
    handshake_timeout: Option<RawDuration>,
    hello_timeout: Option<RawDuration>,
    enrolment_timeout: Option<RawDuration>,
    upstream_timeout: Option<RawDuration>,
    idle_timeout: Option<RawDuration>,
    peer_timeout: Option<RawDuration>,
    clock_skew: Option<RawDuration>,
    held_bytes: Option<usize>,
}

pub(super) fn limits(raw: &RawLimits) -> Result<Limits, ConfigError> {
    let count = |setting, value: Option<usize>, default| match value {
        Some(0) => Err(ConfigError::Value {
            setting,
            problem: "0 would let nobody in: leave it out for the default".into(),
        }),
        value => Ok(value.unwrap_or(default)),
    };
    let time = |setting, value: Option<RawDuration>, default| {
        let value = value.map_or(Duration::from_secs(default), |value| value.0);
        within(setting, value, Duration::from_millis(100), HOUR)
    };
    Ok(Limits {
        sessions: count("limits.sessions", raw.sessions, 4096)?,
        sessions_per_identity: count(
            "limits.sessions_per_identity",
            raw.sessions_per_identity,
            512,
        )?,
        sessions_per_address: count(
            "limits.sessions_per_address",
            raw.sessions_per_address,
            2048,
        )?,
        handshakes_per_address: count(
            "limits.handshakes_per_address",
            raw.handshakes_per_address,
            256,
        )?,
        failures_per_address: count("limits.failures_per_address", raw.failures_per_address, 60)?,
        handshake_timeout: time("limits.handshake_timeout", raw.handshake_timeout, 10)?,
        hello_timeout: time("limits.hello_timeout", raw.hello_timeout, 5)?,
        enrolment_timeout: time("limits.enrolment_timeout", raw.enrolment_timeout, 5)?,
        upstream_timeout: time("limits.upstream_timeout", raw.upstream_timeout, 5)?,
        idle_timeout: raw
            .idle_timeout
            .map(|idle| within("limits.idle_timeout", idle.0, Duration::from_secs(1), MONTH))
            .transpose()?,
        // The keepalive of TCP counts in whole seconds, and asks three times.
        peer_timeout: within(
            "limits.peer_timeout",
            raw.peer_timeout.map_or(MINUTE, |time| time.0),
            Duration::from_secs(4),
            HOUR,
        )?,
        clock_skew: within(
            "limits.clock_skew",
            raw.clock_skew
                .map_or(Duration::from_secs(30), |skew| skew.0),
            Duration::ZERO,
            10 * MINUTE,
        )?,
        held_bytes: match raw.held_bytes.unwrap_or(256 << 20) {
            bytes if HELD.contains(&bytes) => bytes,
            bytes => {
                return Err(ConfigError::Value {
                    setting: "limits.held_bytes",
                    problem: format!(
                        "{bytes} is out of bounds: from {} to {} makes sense",
                        HELD.start(),
                        HELD.end()
                    ),
                });
            }
        },
    })
}
