//! Values of 1 MiB one after the other, without waiting for each answer.

use std::io;
use std::time::Instant;

use super::{Numbers, Turn};
use crate::frames::LARGE;
use crate::results::Metric;
use crate::session::Session;

/// Values that are under way at once, at most.
const AHEAD: usize = 8;

/// One turn: half of it up, half of it down.
pub(super) fn turn(turn: &Turn<'_>) -> io::Result<Numbers> {
    let mut session = Session::open(turn.entry)?;
    session.look_up()?;
    let mut numbers = Vec::new();
    for (send, rate, cost) in [
        (
            Session::send_large as fn(&mut Session) -> io::Result<()>,
            Metric::Up,
            Metric::UpCpu,
        ),
        (Session::ask_large, Metric::Down, Metric::DownCpu),
    ] {
        let end = Instant::now() + turn.time / 2;
        let (count, time, cpu) = turn.spent(|| stream(&mut session, send, end));
        let mib = (count? * LARGE) as f64 / f64::from(1 << 20);
        numbers.push((rate, mib / time.as_secs_f64()));
        if turn.has_processes() {
            numbers.push((cost, cpu.as_secs_f64() / (mib / 1024.0)));
        }
    }
    session.close();
    Ok(numbers)
}

/// Says how many values were answered or came.
fn stream(
    session: &mut Session,
    send: fn(&mut Session) -> io::Result<()>,
    end: Instant,
) -> io::Result<usize> {
    let (mut sent, mut answered) = (0, 0);
    while Instant::now() < end {
        send(session)?;
        sent += 1;
        if sent - answered >= AHEAD {
            session.answer()?;
            answered += 1;
        }
    }
    while answered < sent {
        session.answer()?;
        answered += 1;
    }
    Ok(sent)
}
