//! Lengths of time.

use std::time::Duration;

use serde::Deserialize;

use super::ConfigError;

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct RawDuration(pub(super) Duration);

impl TryFrom<String> for RawDuration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_duration(&text).map(Self)
    }
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a length of time: write it like 500ms, 10s, 5m or 24h");
    let signed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(signed).map_err(|_| wrong())
}

/// A length of time that is neither so short that nobody gets in nor so long that it means
/// nothing.
pub(super) fn within(
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
