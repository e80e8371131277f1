//! Moments with a time zone, as they are kept and sent.
//!
//! The rules of time zones change, and the machines that read a moment may know others than
//! the one that wrote it. What was promised is the instant: it is kept whatever the zone's
//! rules say here, and a zone that is not known here is read as its offset. See RFC 9557,
//! section 3.4, on inconsistent offsets.

use jiff::fmt::temporal::{DateTimeParser, Pieces};
use jiff::tz::{Offset, OffsetConflict, TimeZone};
use jiff::{Error, Timestamp, Zoned};

/// Reads `2026-11-27T18:00:00+01:00[Europe/Berlin]`.
///
/// # Errors
/// [`Error`] when there is no instant in the text.
pub fn parse(text: &str) -> Result<Zoned, Error> {
    static PARSER: DateTimeParser =
        DateTimeParser::new().offset_conflict(OffsetConflict::AlwaysOffset);
    let read = PARSER.parse_zoned(text).or_else(|_| {
        let instant: Timestamp = text.parse()?;
        let offset = Pieces::parse(text)?
            .to_numeric_offset()
            .unwrap_or(Offset::UTC);
        Ok(instant.to_zoned(offset.to_time_zone()))
    });
    // An offset is written in minutes, and those of long ago had seconds: with them it would
    // be another instant when it is read again.
    read.map(|moment| match moment.offset().seconds() % 60 {
        0 => moment,
        _ => moment.with_time_zone(TimeZone::UTC),
    })
}

/// For `#[serde(with = "…")]` on an `Option<Zoned>`.
pub mod optional {
    use jiff::Zoned;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    /// Writes the moment with its offset and its zone.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(
        moment: &Option<Zoned>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        moment.serialize(serializer)
    }

    /// Reads a moment as [`super::parse`] does.
    ///
    /// # Errors
    /// Those of the deserializer, and a text without an instant.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Zoned>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| super::parse(&text))
            .transpose()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instant_is_kept_whatever_the_zone_says_here() {
        let read = |text: &str| parse(text).unwrap().timestamp().to_string();
        // Right; at odds with the rules of the zone; in a zone that is not known; bare.
        assert_eq!(
            read("2026-11-27T18:00:00+01:00[Europe/Berlin]"),
            "2026-11-27T17:00:00Z"
        );
        assert_eq!(
            read("2026-11-27T18:00:00+05:00[Europe/Berlin]"),
            "2026-11-27T13:00:00Z"
        );
        assert_eq!(
            read("2026-11-27T18:00:00+02:00[Mars/Olympus]"),
            "2026-11-27T16:00:00Z"
        );
        assert_eq!(read("2026-11-27T18:00:00+02:00"), "2026-11-27T16:00:00Z");
        assert_eq!(read("2026-11-27T18:00:00Z"), "2026-11-27T18:00:00Z");
        // Berlin kept its own time then, which was 53 minutes and 28 seconds ahead.
        let of_old = parse("1013-12-18T18:00:00+01:00[Europe/Berlin]").unwrap();
        assert_eq!(parse(&of_old.to_string()).unwrap(), of_old);
        assert_eq!(of_old.timestamp().to_string(), "1013-12-18T17:00:00Z");
        for bad in [
            "",
            "soon",
            "2026-11-27",
            "2026-11-27T18:00:00[Mars/Olympus]",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
