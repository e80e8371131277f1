//! Dates, durations and networks as people type and read them.

use ipnet::IpNet;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use crate::authority::AccessEnd;

/// Why a text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Not an end of access.
    #[error(
        "{0:?} is not a date: write 2026-12-31 (its whole day), \"2026-12-31 18:00\" (local time), 2026-12-31T18:00+01:00, or never"
    )]
    Date(String),
    /// Not a duration.
    #[error("{0:?} is not a duration: write 30m, 24h or 3d")]
    Duration(String),
    /// Not a network.
    #[error(
        "{0:?} is not a network: write an address such as 10.1.2.3, or a range such as 10.1.0.0/16"
    )]
    Network(String),
    /// Not an address to dial.
    #[error("{0:?} is not an address: write HOST:PORT, such as ws12.studio.example:18812")]
    Address(String),
}

/// Reads an end of access. A date alone means the end of that day, and what names no zone
/// is in `zone`.
///
/// # Errors
/// [`TextError::Date`].
pub fn access_end(text: &str, zone: &TimeZone) -> Result<AccessEnd, TextError> {
    let text = text.trim();
    if text == "never" {
        return Ok(AccessEnd::Never);
    }
    let malformed = || TextError::Date(shown(text));
    let local = |at: DateTime| at.to_zoned(zone.clone()).map_err(|_| malformed());
    // The order goes from the most said to the least.
    let until = if let Ok(zoned) = text.parse::<Zoned>() {
        zoned
    } else if let Some(at) = with_offset(text) {
        at
    } else if let Some(date) = date_alone(text) {
        local(date.to_datetime(Time::constant(23, 59, 59, 0)))?
    } else {
        local(text.parse::<DateTime>().map_err(|_| malformed())?)?
    };
    Ok(AccessEnd::At(Box::new(until)))
}

/// A moment with a numeric offset or `Z`, kept in that offset.
fn with_offset(text: &str) -> Option<Zoned> {
    let at: Timestamp = text.parse().ok()?;
    let pieces = jiff::fmt::temporal::Pieces::parse(text).ok()?;
    let offset = pieces.to_numeric_offset()?;
    Some(at.to_zoned(TimeZone::fixed(offset)))
}

fn date_alone(text: &str) -> Option<Date> {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-');
    text.parse().ok().filter(|_| is_plain)
}

/// The zone of this machine, or UTC where it does not say.
pub fn local_zone() -> TimeZone {
    let zone = TimeZone::system();
    if zone.is_unknown() {
        TimeZone::UTC
    } else {
        zone
    }
}

/// Reads a duration such as `24h`; a day is 24 hours.
///
/// # Errors
/// [`TextError::Duration`].
pub fn duration(text: &str) -> Result<SignedDuration, TextError> {
    let malformed = || TextError::Duration(shown(text));
    let span: jiff::Span = text.trim().parse().map_err(|_| malformed())?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(malformed());
    }
    span.to_duration(jiff::SpanRelativeTo::days_are_24_hours())
        .map_err(|_| malformed())
}

/// Reads a network, or an address alone. Bits behind the prefix are cleared.
///
/// # Errors
/// [`TextError::Network`].
pub fn network(text: &str) -> Result<IpNet, TextError> {
    let text = text.trim();
    text.parse::<IpNet>()
        .map(|network| network.trunc())
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .map_err(|_| TextError::Network(shown(text)))
}

/// Reads `HOST:PORT`; an IPv6 address stands in brackets.
///
/// # Errors
/// [`TextError::Address`].
pub fn address(text: &str) -> Result<String, TextError> {
    let text = text.trim();
    let malformed = || TextError::Address(shown(text));
    let (host, port) = text.rsplit_once(':').ok_or_else(malformed)?;
    let is_port = port.parse::<u16>().is_ok_and(|port| port != 0) && !port.starts_with('+');
    let is_host = match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok()),
        None => {
            (1..=240).contains(&host.len())
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        }
    };
    if is_port && is_host {
        Ok(text.into())
    } else {
        Err(malformed())
    }
}

/// A moment with its zone, for people: `Thu 31 Dec 2026 18:00 CET`.
pub fn moment(at: &Zoned) -> String {
    if at.second() == 0 {
        at.strftime("%a %-d %b %Y %H:%M %Z").to_string()
    } else {
        at.strftime("%a %-d %b %Y %H:%M:%S %Z").to_string()
    }
}

/// A moment in the zone of this machine, for people, to the minute.
pub fn local(at: Timestamp) -> String {
    at.to_zoned(local_zone())
        .strftime("%a %-d %b %Y %H:%M %Z")
        .to_string()
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
