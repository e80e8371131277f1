//! New sessions, one after the other on a few threads: connect, handshake with the client's
//! certificate, for the guard also hello, token and verdict, then the first request and its
//! answer, and goodbye.

use std::io;
use std::thread;
use std::time::Instant;

use super::{Numbers, Turn, micros};
use crate::material::resuming;
use crate::programs::Hops;
use crate::results::Metric;
use crate::session::{Entry, Session};

/// Enough to keep all cores busy.
const THREADS: usize = 8;

/// One turn: full handshakes; and where the load generator does them itself, resumed ones.
pub(super) fn turn(turn: &Turn<'_>) -> io::Result<Numbers> {
    let mut numbers = Vec::new();
    let full = |entry: &Entry| {
        Session::open(entry).map(|session| {
            assert!(
                !session.resumed(),
                "without tickets each handshake is whole"
            );
            session.close();
        })
    };
    rate(
        turn,
        &mut numbers,
        (Metric::Sessions, Metric::SessionCpu),
        &|_| turn.entry.clone(),
        &full,
    )?;
    if let (Hops::One, Some(config)) = (turn.hops, &turn.entry.tls) {
        let with_tickets = |_| Entry {
            tls: Some(resuming(config)),
            ..turn.entry.clone()
        };
        let again = |entry: &Entry| {
            let session = Session::open(entry)?;
            let resumed = session.resumed();
            session.close();
            match resumed {
                true => Ok(()),
                false => Err(io::Error::other("a session with a ticket was not resumed")),
            }
        };
        rate(
            turn,
            &mut numbers,
            (Metric::Resumed, Metric::ResumedCpu),
            &with_tickets,
            &again,
        )?;
    }
    Ok(numbers)
}

/// Opens sessions on all threads until the time is over.
fn rate(
    turn: &Turn<'_>,
    numbers: &mut Numbers,
    (rate, cost): (Metric, Metric),
    entry: &(dyn Fn(usize) -> Entry + Sync),
    open: &(dyn Fn(&Entry) -> io::Result<()> + Sync),
) -> io::Result<()> {
    let entries: Vec<Entry> = (0..THREADS).map(entry).collect();
    for entry in &entries {
        // Gets the ticket, where there is one to get.
        Session::open(entry)?.close();
    }
    let run = |entry: &Entry| {
        let end = Instant::now() + turn.time;
        let mut count = 0;
        while Instant::now() < end {
            open(entry)?;
            count += 1;
        }
        Ok::<usize, io::Error>(count)
    };
    let (counts, time, cpu) = turn.spent(|| {
        thread::scope(|scope| {
            let threads: Vec<_> = entries
                .iter()
                .map(|entry| scope.spawn(move || run(entry)))
                .collect();
            let joined = threads
                .into_iter()
                .map(|thread| thread.join().expect("the load goes on"));
            joined.collect::<io::Result<Vec<usize>>>()
        })
    });
    let count: usize = counts?.into_iter().sum();
    numbers.push((rate, count as f64 / time.as_secs_f64()));
    if turn.has_processes() {
        numbers.push((cost, micros(cpu) / count as f64));
    }
    Ok(())
}
