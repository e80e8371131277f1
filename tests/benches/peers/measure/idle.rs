//! Memory of sessions that have had an answer and wait.

use e2e::programs::{Failure, Result};

use crate::machine;
use crate::programs::{Contender, Hops};
use crate::results::{Metric, Results};
use crate::session::Session;

/// What the first sessions cost is not the sessions' own.
const FIRST: usize = 100;

/// Opens `count` sessions through a program that was just started, one hop, and notes what
/// each of them made it grow.
///
/// # Errors
/// When the program does not take that many.
pub(crate) fn idle(contender: &Contender, count: usize, results: &mut Results) -> Result<()> {
    let processes = contender.processes(Hops::One);
    let (Some(entry), false) = (contender.entry(Hops::One), processes.is_empty()) else {
        return Ok(());
    };
    let mut held = Vec::new();
    let mut open = |count: usize| {
        for _ in 0..count {
            let session = Session::open(entry).and_then(|mut session| {
                session.look_up()?;
                session.round_trip()?;
                Ok(session)
            });
            held.push(session.map_err(|e| {
                let name = contender.name;
                Failure::io(format_args!("session {} of {name}", held.len() + 1), &e)
            })?);
        }
        Ok::<u64, Failure>(settled(&processes))
    };
    let before = open(FIRST)?;
    let after = open(count)?;
    let each = after.saturating_sub(before) as f64 / 1024.0 / count as f64;
    results.add(Metric::Idle, Hops::One, contender.name, each);
    for session in held {
        session.close();
    }
    Ok(())
}

/// Memory, once it changes no more: a program may give back what it needed meanwhile.
fn settled(processes: &[u32]) -> u64 {
    let mut last = machine::memory(processes);
    for _ in 0..10 {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = machine::memory(processes);
        if now.abs_diff(last) < 64 * 1024 {
            return now;
        }
        last = now;
    }
    last
}
