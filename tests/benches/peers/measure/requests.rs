//! Round trips over 32 connections at once.

use std::io;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use super::{Numbers, Turn, micros};
use crate::results::Metric;
use crate::session::Session;

const CONNECTIONS: usize = 32;

/// One turn.
pub(super) fn turn(turn: &Turn<'_>) -> io::Result<Numbers> {
    let mut sessions = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut session = Session::open(turn.entry)?;
        session.look_up()?;
        sessions.push(session);
    }
    let (start, stop) = (Barrier::new(CONNECTIONS + 1), Barrier::new(CONNECTIONS + 1));
    let (start, stop) = (&start, &stop);
    thread::scope(|scope| {
        let threads: Vec<_> = sessions
            .into_iter()
            .map(|mut session| {
                scope.spawn(move || {
                    start.wait();
                    let said = say(&mut session, Instant::now() + turn.time);
                    stop.wait();
                    session.close();
                    said
                })
            })
            .collect();
        let ((), time, cpu) = turn.spent(|| {
            start.wait();
            stop.wait();
        });
        let mut count = 0;
        for thread in threads {
            count += thread.join().expect("the load goes on")?;
        }
        let mut numbers = vec![(Metric::Requests, count as f64 / time.as_secs_f64())];
        if turn.has_processes() {
            numbers.push((Metric::RequestCpu, micros(cpu) / count as f64));
        }
        Ok(numbers)
    })
}

fn say(session: &mut Session, end: Instant) -> io::Result<usize> {
    let mut count = 0;
    while Instant::now() < end {
        session.round_trip()?;
        count += 1;
    }
    Ok(count)
}
