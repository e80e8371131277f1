//! Dates, durations and networks as people type and read them.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use crate::authority::AccessEnd;

/// The length of the prefix of all mapped IPv4 addresses, `::ffff:0:0/96`.
const MAPPED: u8 = 96;

/// Why a text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Not an end of access.
    #[error(
        "{0:?} is not a date: write 2026-12-31 (its whole day), \"2026-12-31 18:00\" (local time), 2026-12-31T18:00+01:00, or never"
    )]
    Date(String),
    /// An end of access with the name of a zone that this machine does not know.
    #[error(
        "the time zone in {0:?} is not known here: write a name such as [Europe/Berlin], or an offset such as +01:00"
    )]
    Zone(String),
    /// An end of access whose offset is not that of its zone.
    #[error(
        "{0:?} contradicts itself: its time zone has another offset then; leave one of them out"
    )]
    Offset(String),
    /// Not a duration.
    #[error("{0:?} is not a duration: write 30m, 24h or 3d")]
    Duration(String),
    /// Not a network.
    #[error(
        "{0:?} is not a network: write an address such as 10.1.2.3, or a range such as 10.1.0.0/16"
    )]
    Network(String),
    /// An address inside a network in the place of the network.
    #[error(
        "{text:?} is an address with a prefix: write {network} for the network it is in, or the address alone"
    )]
    HostBits {
        /// What was given.
        text: String,
        /// The network it is in.
        network: IpNet,
    },
    /// A range that is IPv4 only in part.
    #[error("{0:?} is more than the IPv4 addresses: write 0.0.0.0/0 for all of them, or any")]
    Mapped(String),
    /// Not an address to dial.
    #[error("{0:?} is not an address: write HOST:PORT, such as ws12.studio.example:18812")]
    Address(String),
}

/// Reads an end of access. A date alone means the end of that day, and what names no zone
/// is in `zone`.
///
/// # Errors
/// [`TextError::Date`], [`TextError::Zone`] and [`TextError::Offset`].
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
    } else if text.contains('[') {
        // Everything below would read it without its zone.
        return Err(unfit_zone(text));
    } else if let Some(at) = with_offset(text) {
        at
    } else if Pieces::parse(text).is_ok_and(|pieces| pieces.offset().is_some()) {
        return Err(malformed());
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
    let offset = Pieces::parse(text).ok()?.to_numeric_offset()?;
    Some(at.to_zoned(TimeZone::fixed(offset)))
}

/// What is wrong with a moment in a zone.
fn unfit_zone(text: &str) -> TextError {
    let Ok(pieces) = Pieces::parse(text) else {
        return TextError::Date(shown(text));
    };
    match pieces.to_time_zone() {
        Err(_) => TextError::Zone(shown(text)),
        Ok(Some(_)) if pieces.offset().is_some() => TextError::Offset(shown(text)),
        Ok(_) => TextError::Date(shown(text)),
    }
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

/// Reads a network, or an address alone. IPv4 in the clothes of IPv6 (`::ffff:10.1.0.0/112`,
/// RFC 4291 section 2.5.5.2) is IPv4, because guards see such peers so.
///
/// # Errors
/// [`TextError::Network`], [`TextError::HostBits`] and [`TextError::Mapped`].
pub fn network(text: &str) -> Result<IpNet, TextError> {
    let text = text.trim();
    let mut network = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| TextError::Network(shown(text)))?;
    if let IpAddr::V6(address) = network.addr()
        && let Some(address) = address.to_ipv4_mapped()
    {
        network = network
            .prefix_len()
            .checked_sub(MAPPED)
            .and_then(|length| IpNet::new(address.into(), length).ok())
            .ok_or_else(|| TextError::Mapped(shown(text)))?;
    }
    if network != network.trunc() {
        return Err(TextError::HostBits {
            text: shown(text),
            network: network.trunc(),
        });
    }
    Ok(network)
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
