//! The configuration: a TOML file and the command line, resolved once into [`Config`].
//!
//! This is the only place of the guard that looks at defaults.

mod audit;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use wire::{DEFAULT_GUARD_PORT, DEFAULT_HOUDINI_PORT, Name};

use crate::cli::{LogFormat, RunArgs};
use crate::ports::OwnerRule;
use crate::rules::{Policy, PolicyError};
use crate::upstream::{Upstream, UpstreamError};
use audit::RawAudit;
pub use audit::{AuditConfig, HeadsTo, WhenFull};

/// Everything the guard can be told, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where connections are taken.
    pub listen: SocketAddr,
    /// The Houdinis, in order; the first is the default. Never empty.
    pub upstreams: Vec<Upstream>,
    /// Keys, store, audit.
    pub state_dir: PathBuf,
    /// `HOST:PORT` that artists use, if it was said.
    pub advertise: Option<String>,
    /// The guard's name, if it was said.
    pub name: Option<Name>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// How long sessions may go on after SIGTERM.
    pub drain_timeout: Duration,
    /// Whose an upstream's port must be.
    pub upstream_owner: OwnerRule,
    /// The policy file; without one there are the built-in roles.
    pub policy: Option<PathBuf>,
    /// Bounds.
    pub limits: Limits,
    /// The audit log.
    pub audit: AuditConfig,
}

impl Config {
    /// Reads the policy.
    ///
    /// # Errors
    /// [`PolicyError`] for the first thing in the file that is not right.
    pub fn load_policy(&self) -> Result<Policy, PolicyError> {
        match &self.policy {
            Some(path) => Policy::load(path),
            None => Ok(Policy::built_in()),
        }
    }
}

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

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not right; the text shows line and column.
    #[error("the configuration file {path} is not right:\n{problem}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Line, column and what was expected.
        problem: String,
    },
    /// A value is not right, in the file or on the command line.
    #[error("{setting}: {problem}")]
    Value {
        /// Which setting.
        setting: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
}

impl ConfigError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Read { .. } => "give the path of a file that this user can read".into(),
            Self::File { path, .. } => {
                format!(
                    "correct it, then try: hrpyc-guard config check --config {}",
                    path.display()
                )
            }
            Self::Value { .. } => "see hrpyc-guard --help".into(),
        }
    }
}

/// The file as written. Unknown names are errors, so that a typing error in a limit
/// cannot pass for no limit.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawConfig {
    listen: Option<String>,
    upstream: RawUpstreams,
    state_dir: Option<PathBuf>,
    advertise: Option<String>,
    name: Option<String>,
    log_format: Option<LogFormat>,
    drain_timeout: Option<RawDuration>,
    allow_remote_upstream: Vec<String>,
    upstream_user: Option<String>,
    refuse_own_user: bool,
    policy: Option<PathBuf>,
    limits: RawLimits,
    audit: RawAudit,
}

#[derive(Debug, Default, Deserialize)]
#[serde(
    untagged,
    expecting = "an address, or a list of addresses and { name, address } tables"
)]
enum RawUpstreams {
    #[default]
    None,
    One(String),
    Many(Vec<RawUpstream>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "an address or a { name, address } table")]
enum RawUpstream {
    Address(String),
    Named(NamedUpstream),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedUpstream {
    name: String,
    address: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLimits {
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

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct RawDuration(Duration);

impl TryFrom<String> for RawDuration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_duration(&text).map(Self)
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a length of time: write it like 500ms, 10s, 5m or 24h");
    let signed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(signed).map_err(|_| wrong())
}

/// Reads the file, if one is named, and lets the command line win.
///
/// # Errors
/// [`ConfigError`] for the first thing that is not right.
pub fn resolve(args: &RunArgs) -> Result<Config, ConfigError> {
    let raw = match &args.config {
        Some(path) => {
            let mut raw = read(path)?;
            // Said in the file, it is beside the file: a service has no useful folder.
            let folder = path.parent();
            raw.policy = raw.policy.map(|policy| match folder {
                Some(folder) => folder.join(policy),
                None => policy,
            });
            raw
        }
        None => RawConfig::default(),
    };
    merge(raw, args)
}

/// Checks a file as far as it can be checked without running.
///
/// # Errors
/// [`ConfigError`] for the first thing that is not right.
pub fn check(path: &Path) -> Result<Config, ConfigError> {
    resolve(&RunArgs {
        config: Some(path.to_owned()),
        ..RunArgs::default()
    })
}

fn read(path: &Path) -> Result<RawConfig, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    toml::from_str(&text).map_err(|error| ConfigError::File {
        path: path.to_owned(),
        problem: error.to_string().trim_end().to_owned(),
    })
}

fn merge(raw: RawConfig, args: &RunArgs) -> Result<Config, ConfigError> {
    let listen = args.listen.clone().or(raw.listen);
    let listen = match listen {
        Some(text) => text.parse().map_err(|_| ConfigError::Value {
            setting: "listen",
            problem: format!("{text:?} is not ADDRESS:PORT, such as 0.0.0.0:{DEFAULT_GUARD_PORT}"),
        })?,
        None => SocketAddr::from(([0, 0, 0, 0], DEFAULT_GUARD_PORT)),
    };
    let mut allowed = raw.allow_remote_upstream;
    allowed.extend(args.allow_remote_upstream.iter().cloned());
    let name = args.name.clone().or(raw.name);
    let drain_timeout = match &args.drain_timeout {
        Some(text) => Some(parse_duration(text).map_err(|problem| ConfigError::Value {
            setting: "drain-timeout",
            problem,
        })?),
        None => raw.drain_timeout.map(|duration| duration.0),
    };
    let advertise = args.advertise.clone().or(raw.advertise);
    Ok(Config {
        listen,
        upstreams: upstreams(&args.upstream, raw.upstream, &allowed, listen)?,
        state_dir: args
            .state_dir
            .clone()
            .or(raw.state_dir)
            .unwrap_or_else(certs::default_state_dir),
        advertise: advertise.map(host_and_port).transpose()?,
        name: name.map(|text| text.parse()).transpose().map_err(
            |error: wire::identity::NameError| ConfigError::Value {
                setting: "name",
                problem: error.to_string(),
            },
        )?,
        log_format: args.log_format.or(raw.log_format).unwrap_or_default(),
        drain_timeout: within(
            "drain_timeout",
            drain_timeout.unwrap_or(Duration::from_secs(30)),
            Duration::ZERO,
            MONTH,
        )?,
        upstream_owner: OwnerRule {
            user: raw.upstream_user,
            refuse_own: raw.refuse_own_user || args.refuse_own_user,
        },
        policy: args.policy.clone().or(raw.policy),
        limits: limits(&raw.limits)?,
        audit: raw.audit.resolve()?,
    })
}

/// Checks `HOST:PORT`.
///
/// # Errors
/// [`ConfigError::Value`] when there is no host or no port.
pub fn host_and_port(text: String) -> Result<String, ConfigError> {
    match certs::when::address(&text) {
        Ok(_) => Ok(text),
        Err(_) => Err(ConfigError::Value {
            setting: "advertise",
            problem: format!(
                "{text:?} is not HOST:PORT, such as ws12.studio.example:{DEFAULT_GUARD_PORT}"
            ),
        }),
    }
}

fn upstreams(
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

/// A length of time that is neither so short that nobody gets in nor so long that it means
/// nothing.
fn within(
    setting: &'static str,
    value: Duration,
    least: Duration,
    most: Duration,
) -> Result<Duration, ConfigError> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(ConfigError::Value {
            setting,
            problem: format!("{value:?} is out of bounds: from {least:?} to {most:?} makes sense"),
        })
    }
}

/// So much is inflated of any message, and rpyc writes lengths in 32 bits.
const HELD: RangeInclusive<usize> = 16 << 20..=2 << 30;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

fn limits(raw: &RawLimits) -> Result<Limits, ConfigError> {
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

#[cfg(test)]
mod tests;
