//! Moments in the words of the person who reads them.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// `Fri 2026-11-27 18:00 CET (in 4 days)`, in the local time zone.
pub fn moment(at: Timestamp, now: Timestamp) -> String {
    zoned(&at.to_zoned(TimeZone::system()), now)
}

/// As [`moment`], in the time zone that the moment was given in.
pub fn zoned(at: &Zoned, now: Timestamp) -> String {
    let distance = distance(at.timestamp(), now);
    format!("{} ({distance})", at.strftime("%a %Y-%m-%d %H:%M %Z"))
}

fn distance(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.as_second() - now.as_second();
    let length = seconds.unsigned_abs();
    let (count, unit) = match length {
        0..120 => (length, "second"),
        120..7_200 => (length / 60, "minute"),
        7_200..172_800 => (length / 3_600, "hour"),
        _ => (length / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    if seconds < 0 {
        format!("{count} {unit}{plural} ago")
    } else {
        format!("in {count} {unit}{plural}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_told_in_the_unit_that_fits() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let at = |seconds: i64| {
            distance(
                Timestamp::from_second(1_800_000_000 + seconds).unwrap(),
                now,
            )
        };
        assert_eq!(at(1), "in 1 second");
        assert_eq!(at(-119), "119 seconds ago");
        assert_eq!(at(3_600), "in 60 minutes");
        assert_eq!(at(-86_400), "24 hours ago");
        assert_eq!(at(30 * 86_400), "in 30 days");
    }
}
