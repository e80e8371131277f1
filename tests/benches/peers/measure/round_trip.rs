//! 64 bytes there and 64 back, one at a time.

use std::io;
use std::time::Instant;

use super::{Numbers, Turn, micros};
use crate::results::Metric;
use crate::session::Session;

/// One turn.
pub(super) fn turn(turn: &Turn<'_>) -> io::Result<Numbers> {
    let mut session = Session::open(turn.entry)?;
    session.look_up()?;
    let mut took = Vec::new();
    let end = Instant::now() + turn.time;
    let mut begun = Instant::now();
    while begun < end {
        session.round_trip()?;
        let now = Instant::now();
        took.push(micros(now - begun));
        begun = now;
    }
    session.close();
    took.sort_by(f64::total_cmp);
    let at = |part: f64| took[(took.len() as f64 * part) as usize];
    Ok(vec![
        (Metric::RoundTripP50, at(0.5)),
        (Metric::RoundTripP99, at(0.99)),
    ])
}
