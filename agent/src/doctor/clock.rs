//! Does the clock of this machine agree with the authority's?

use jiff::{SignedDuration, Timestamp};

use super::Check;
use crate::profile::{Credentials, token_claims};

const NAME: &str = "clock";

/// Half of what certificates and tokens are dated back.
const TOLERATED: SignedDuration = SignedDuration::from_secs(wire::BACKDATE.as_secs() as i64 / 2);

/// A token says when it was issued by the authority's clock, and the profile when it came
/// by ours. Between the two lies one answer's way.
pub(super) fn check(credentials: &Credentials) -> Check {
    let Some(issued) = issued_at(credentials.token.expose()) else {
        return Check::ok(
            NAME,
            "not compared: the token does not say when it was issued",
        );
    };
    let received = credentials.token_received;
    let now = Timestamp::now();
    let (ahead, when) = if now < received {
        // It was set back since, so the comparison of then says nothing.
        (
            now.duration_since(received),
            "since the last renewal it went back",
        )
    } else {
        (
            received.duration_since(issued),
            "compared at the last renewal",
        )
    };
    let size = ahead.abs();
    let direction = if ahead.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    let text = format!(
        "{} s {direction} the authority's clock ({when})",
        size.as_secs()
    );
    if size <= TOLERATED {
        Check::ok(NAME, text)
    } else {
        Check {
            check: NAME,
            ok: false,
            text,
            hint: Some("set the clock of this machine by the network, and its time zone".into()),
        }
    }
}

/// The `iat` claim.
fn issued_at(jwt: &str) -> Option<Timestamp> {
    Timestamp::from_second(token_claims(jwt)?.iat).ok()
}
