//! What the configuration says about the audit.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::ConfigError;
use super::time::{HOUR, MINUTE, MONTH, RawDuration, within};
use crate::audit::{Pattern, Rule};

/// How the audit logs are written.
#[derive(Debug, Clone)]
pub struct AuditConfig {
    /// A file that would grow over this many bytes is closed and a new one begun.
    pub max_bytes: u64,
    /// A file older than this is closed and a new one begun.
    pub max_age: Duration,
    /// How many closed files are kept; all of them unless set.
    pub keep: Option<usize>,
    /// A checkpoint is signed after so many records.
    pub checkpoint_records: u64,
    /// A checkpoint is signed after this time, when something was written.
    pub checkpoint_every: Duration,
    /// Where the heads of the chains are sent.
    pub heads: HeadsTo,
    /// What calls do whose record finds no room.
    pub when_full: WhenFull,
    /// How long a call may wait for room.
    pub wait_timeout: Duration,
    /// Which values are not written down, besides those that are never.
    pub redact: Vec<Rule>,
}

/// Where the heads of the audit chains are sent, besides the log files themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadsTo {
    /// The guard's own log, on standard error: under systemd, the journal.
    Log,
    /// A datagram socket that takes syslog messages.
    #[cfg(unix)]
    Socket(PathBuf),
    /// Nowhere.
    Nowhere,
}

/// What calls do whose record finds no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// They wait.
    #[default]
    Wait,
    /// They are refused.
    Refuse,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_age: 24 * HOUR,
            keep: None,
            checkpoint_records: 10_000,
            checkpoint_every: MINUTE,
            heads: HeadsTo::Log,
            when_full: WhenFull::Wait,
            wait_timeout: MINUTE / 2,
            redact: Vec::new(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAudit {
    max_bytes: Option<u64>,
    max_age: Option<RawDuration>,
    keep: Option<usize>,
    checkpoint_records: Option<u64>,
    checkpoint_every: Option<RawDuration>,
    heads: Option<String>,
    when_full: Option<WhenFull>,
    wait_timeout: Option<RawDuration>,
    redact: Vec<RawRule>,
}

/// Values that are not written down.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRule {
    expression: Option<String>,
    class: Option<String>,
    method: Option<String>,
    argument: Option<usize>,
    keyword: Option<String>,
}

impl RawAudit {
    /// Checks it.
    pub(super) fn resolve(&self) -> Result<AuditConfig, ConfigError> {
        let raw = self;
        const LEAST: u64 = 64 << 10;
        let usual = AuditConfig::default();
        let max_bytes = raw.max_bytes.unwrap_or(usual.max_bytes);
        if max_bytes < LEAST {
            return Err(ConfigError::Value {
                setting: "audit.max_bytes",
                problem: format!("{max_bytes} is too little: give at least {LEAST}"),
            });
        }
        if raw.keep == Some(0) {
            return Err(ConfigError::Value {
                setting: "audit.keep",
                problem: "0 would throw away what was just written: leave it out to keep all"
                    .into(),
            });
        }
        if raw.checkpoint_records == Some(0) {
            return Err(ConfigError::Value {
                setting: "audit.checkpoint_records",
                problem: "0 records need no signature: give at least 1".into(),
            });
        }
        let time = |value: Option<RawDuration>, usual| value.map_or(usual, |value| value.0);
        Ok(AuditConfig {
            max_bytes,
            max_age: within(
                "audit.max_age",
                time(raw.max_age, usual.max_age),
                MINUTE,
                12 * MONTH,
            )?,
            keep: raw.keep,
            checkpoint_records: raw.checkpoint_records.unwrap_or(usual.checkpoint_records),
            checkpoint_every: within(
                "audit.checkpoint_every",
                time(raw.checkpoint_every, usual.checkpoint_every),
                Duration::from_secs(1),
                24 * HOUR,
            )?,
            heads: raw.heads.as_deref().map_or(Ok(usual.heads), heads_to)?,
            when_full: raw.when_full.unwrap_or(usual.when_full),
            wait_timeout: within(
                "audit.wait_timeout",
                time(raw.wait_timeout, usual.wait_timeout),
                Duration::from_millis(100),
                HOUR,
            )?,
            redact: raw.redact.iter().map(rule).collect::<Result<_, _>>()?,
        })
    }
}

fn heads_to(text: &str) -> Result<HeadsTo, ConfigError> {
    match text {
        "log" => Ok(HeadsTo::Log),
        "none" => Ok(HeadsTo::Nowhere),
        #[cfg(unix)]
        text if text
            .strip_prefix("unix:")
            .is_some_and(|path| path.starts_with('/')) =>
        {
            Ok(HeadsTo::Socket(text["unix:".len()..].into()))
        }
        _ => Err(ConfigError::Value {
            setting: "audit.heads",
            problem: format!("{text:?} is neither \"log\", nor \"unix:/dev/log\", nor \"none\""),
        }),
    }
}

fn rule(raw: &RawRule) -> Result<Rule, ConfigError> {
    let wrong = |problem: &str| ConfigError::Value {
        setting: "audit.redact",
        problem: problem.into(),
    };
    let pattern = |text: &Option<String>| text.as_deref().map(Pattern::new);
    let rule = Rule {
        expression: pattern(&raw.expression),
        class: pattern(&raw.class),
        method: pattern(&raw.method),
        argument: raw.argument,
        keyword: pattern(&raw.keyword),
    };
    if rule == Rule::default() {
        return Err(wrong(
            "a rule without a word would redact everything: write { method = \"*\" } for that",
        ));
    }
    if rule.argument == Some(0) {
        return Err(wrong("the first argument is 1"));
    }
    Ok(rule)
}
