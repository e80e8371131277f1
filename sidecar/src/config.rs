//! The configuration: a TOML file and the command line, resolved once into [`Config`].
//!
//! This is the only place of the guard that looks at defaults.

mod audit;
mod limits;
mod time;
mod upstreams;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use wire::{DEFAULT_GUARD_PORT, Name};

use crate::cli::{LogFormat, RunArgs};
use crate::ports::OwnerRule;
use crate::rules::{Policy, PolicyError};
use crate::upstream::Upstream;
use audit::RawAudit;
pub use audit::{AuditConfig, HeadsTo, WhenFull};
pub use limits::Limits;
use limits::{RawLimits, limits};
use time::{MONTH, RawDuration, parse_duration, within};
use upstreams::{RawUpstreams, upstreams};

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

#[cfg(test)]
mod tests;
