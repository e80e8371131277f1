//! Dates, durations, networks and addresses as people type them.

use hrpyc_certs::AccessEnd;
use hrpyc_certs::when::{TextError, access_end, address, duration, moment, network};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use proptest::prelude::*;

fn berlin() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap()
}

fn end(text: &str) -> String {
    match access_end(text, &berlin()).unwrap() {
        AccessEnd::Never => "never".into(),
        AccessEnd::At(at) => at.to_string(),
    }
}

#[test]
fn a_date_alone_lasts_to_the_end_of_that_day() {
    assert_eq!(
        end("2026-12-31"),
        "2026-12-31T23:59:59+01:00[Europe/Berlin]"
    );
    assert_eq!(
        end("2026-07-01"),
        "2026-07-01T23:59:59+02:00[Europe/Berlin]"
    );
}

#[test]
fn a_moment_is_local_unless_it_names_a_zone() {
    assert_eq!(
        end("2026-12-31 18:00"),
        "2026-12-31T18:00:00+01:00[Europe/Berlin]"
    );
    assert_eq!(
        end("2026-12-31T18:00:05"),
        "2026-12-31T18:00:05+01:00[Europe/Berlin]"
    );
    assert_eq!(
        end("2026-12-31T18:00-05:00"),
        "2026-12-31T18:00:00-05:00[-05:00]"
    );
    assert_eq!(
        end("2026-12-31T18:00:00.5Z"),
        "2026-12-31T18:00:00.5+00:00[UTC]"
    );
    assert_eq!(
        end("2026-12-31T18:00[America/New_York]"),
        "2026-12-31T18:00:00-05:00[America/New_York]"
    );
    assert_eq!(end(" never "), "never");
}

#[test]
fn a_moment_reads_well() {
    let AccessEnd::At(at) = access_end("2026-12-31 18:00", &berlin()).unwrap() else {
        panic!("a moment was expected");
    };
    assert_eq!(moment(&at), "Thu 31 Dec 2026 18:00 CET");
}

#[test]
fn what_is_not_a_date_is_refused() {
    for text in [
        "",
        "tomorrow",
        "2026-13-01",
        "2026-02-30",
        "31.12.2026",
        "18:00",
        "2026-12-31 25:00",
    ] {
        assert!(access_end(text, &berlin()).is_err(), "{text:?}");
    }
}

#[test]
fn durations_are_read() {
    for (text, seconds) in [
        ("24h", 86400),
        ("3d", 3 * 86400),
        ("30m", 1800),
        ("1h 30m", 5400),
        ("1w", 7 * 86400),
    ] {
        assert_eq!(duration(text).unwrap(), SignedDuration::from_secs(seconds));
    }
    for text in ["", "24", "h", "1mo", "1y", "99999999999999999d"] {
        assert!(duration(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_zone_that_is_not_known_or_contradicts_its_offset_is_not_taken_for_local_time() {
    let refused = |text: &str| access_end(text, &berlin()).unwrap_err();
    for text in [
        "2027-12-31T18:00[Europe/Berln]",
        "2027-12-31T18:00+01:00[Europe/Berln]",
        "2027-12-31[Mars]",
    ] {
        assert!(matches!(refused(text), TextError::Zone(_)), "{text:?}");
    }
    assert!(matches!(
        refused("2027-12-31T18:00-05:00[Europe/Berlin]"),
        TextError::Offset(_)
    ));
    for text in [
        "2027-12-31T18:00[",
        "2027-12-31T18:00[]",
        "2027-12-31T18:00+1",
    ] {
        assert!(matches!(refused(text), TextError::Date(_)), "{text:?}");
    }
}

#[test]
fn a_network_is_written_as_what_it_means() {
    assert_eq!(network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
    assert_eq!(network("0.0.0.0/0").unwrap().to_string(), "0.0.0.0/0");
    assert_eq!(network("fd00::/8").unwrap().to_string(), "fd00::/8");
    for (text, meant) in [("10.1.2.3/8", "10.0.0.0/8"), ("fd00::1/64", "fd00::/64")] {
        let error = network(text).unwrap_err();
        assert!(
            error.to_string().contains(&format!("write {meant} ")),
            "{error}"
        );
    }
}

#[test]
fn an_ipv4_network_in_the_clothes_of_ipv6_is_that_network() {
    for (text, means) in [
        ("::ffff:10.1.0.0/112", "10.1.0.0/16"),
        ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ] {
        assert_eq!(network(text).unwrap().to_string(), means);
    }
    for text in ["::ffff:0:0/95", "::ffff:10.0.0.0/8", "::ffff:10.1.2.3/0"] {
        assert!(
            matches!(network(text), Err(TextError::Mapped(_))),
            "{text:?}"
        );
    }
    let error = network("::ffff:10.1.2.3/112").unwrap_err();
    assert!(error.to_string().contains("10.1.0.0/16"), "{error}");
}

#[test]
fn a_network_is_an_address_or_a_range() {
    assert_eq!(network("10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
    assert_eq!(network("fd00::1").unwrap().to_string(), "fd00::1/128");
    for text in ["", "10.1", "10.0.0.0/33", "office", "10.0.0.0/-1"] {
        assert!(network(text).is_err(), "{text:?}");
    }
}

#[test]
fn addresses_name_a_host_and_a_port() {
    for text in [
        "ws12:18812",
        "ws12.studio.example:1",
        "10.0.0.1:65535",
        "[fd00::1]:18812",
    ] {
        assert_eq!(address(text).unwrap(), text);
    }
    for text in [
        "",
        "ws12",
        "ws12:",
        ":18812",
        "ws12:0",
        "ws12:65536",
        "ws12:+1",
        "fd00::1:18812",
        "[fd00]:1",
        "a b:1",
        "http://ws12:1",
    ] {
        assert!(address(text).is_err(), "{text:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_reader_panic(text in "[-0-9a-zA-Z:./+ \\[\\]]{0,40}|.{0,40}") {
        let _ = access_end(&text, &berlin());
        let _ = duration(&text);
        let _ = network(&text);
        let _ = address(&text);
    }
}
