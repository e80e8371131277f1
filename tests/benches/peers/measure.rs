//! The measurements. In each, all programs take turns, round by round, so that whatever else
//! the machine does hits all of them alike.

mod bulk;
mod idle;
mod requests;
mod round_trip;
mod rpyc;
mod sessions;

use std::time::{Duration, Instant};

use e2e::programs::{Failure, Result};

use crate::machine;
use crate::programs::{Contender, Hops};
use crate::results::{Load, Metric, Results};
use crate::session::Entry;
pub(crate) use idle::idle;
pub(crate) use rpyc::{Servers, measure as measure_rpyc};

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum What {
    /// 64 bytes there and back over one connection.
    RoundTrip,
    /// The same over 32 connections.
    Requests,
    /// Values of 1 MiB, up and down, over one connection, and the CPU time for them.
    Bulk,
    /// New sessions up to their first answer: full handshakes, and resumed ones.
    Sessions,
    /// Memory of sessions that do nothing.
    Idle,
    /// Real rpyc at both ends.
    Rpyc,
}

impl What {
    /// All of it.
    pub(crate) const ALL: [Self; 6] = [
        Self::RoundTrip,
        Self::Requests,
        Self::Bulk,
        Self::Sessions,
        Self::Idle,
        Self::Rpyc,
    ];
}

/// A program on its turn.
pub(crate) struct Turn<'a> {
    /// How it is entered.
    pub(crate) entry: &'a Entry,
    /// How many programs are passed.
    pub(crate) hops: Hops,
    /// How long it lasts.
    pub(crate) time: Duration,
    processes: Vec<u32>,
}

/// What came of a turn.
pub(crate) type Numbers = Vec<(Metric, f64)>;

impl Turn<'_> {
    /// Does something, and says how long it took, and how much CPU time of the program.
    fn spent<T>(&self, act: impl FnOnce() -> T) -> (T, Duration, Duration) {
        let before = machine::cpu(&self.processes);
        let begun = Instant::now();
        let done = act();
        let time = begun.elapsed();
        let cpu = machine::cpu(&self.processes).saturating_sub(before);
        (done, time, cpu)
    }

    /// Whether there is a program whose CPU time counts.
    fn has_processes(&self) -> bool {
        !self.processes.is_empty()
    }
}

/// One measurement with all programs.
///
/// # Errors
/// When a program fails at its turn.
pub(crate) fn measure(
    what: What,
    contenders: &[Contender],
    rounds: usize,
    time: Duration,
    results: &mut Results,
) -> Result<()> {
    let act: fn(&Turn<'_>) -> std::io::Result<Numbers> = match what {
        What::RoundTrip => round_trip::turn,
        What::Requests => requests::turn,
        What::Bulk => bulk::turn,
        What::Sessions => sessions::turn,
        What::Idle | What::Rpyc => return Ok(()),
    };
    let name = format!("{what:?}");
    watched(&name, results, |results| {
        // The first round is for the caches.
        for round in 0..=rounds {
            for contender in contenders {
                for hops in Hops::ALL {
                    let Some(entry) = contender.entry(hops) else {
                        continue;
                    };
                    let turn = Turn {
                        entry,
                        hops,
                        time: if round == 0 { time / 4 } else { time },
                        processes: contender.processes(hops),
                    };
                    let doing = format!("{name} of {}, {}", contender.name, hops.name());
                    let numbers = act(&turn).map_err(|e| Failure::io(doing, &e))?;
                    if round > 0 {
                        for (metric, number) in numbers {
                            results.add(metric, hops, contender.name, number);
                        }
                    }
                }
            }
        }
        Ok(())
    })
}

/// Notes what else the machine does meanwhile.
///
/// # Errors
/// Those of what is done.
pub(crate) fn watched(
    what: &str,
    results: &mut Results,
    act: impl FnOnce(&mut Results) -> Result<()>,
) -> Result<()> {
    println!("measuring: {what}");
    let before = machine::load();
    let others = machine::Others::watch();
    act(results)?;
    let others = others.part();
    results.loads.push(Load {
        what: what.to_owned(),
        before,
        after: machine::load(),
        others,
    });
    Ok(())
}

/// Microseconds.
fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
