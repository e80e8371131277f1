//! What was measured: a number for each program and each round.

use serde_json::{Value, json};

use crate::programs::Hops;

/// A kind of number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Metric {
    /// Half of the round trips took at most this many microseconds.
    RoundTripP50,
    /// 99 of 100 did.
    RoundTripP99,
    /// Small requests a second over 32 connections.
    Requests,
    /// The program's CPU time for one of them, in microseconds.
    RequestCpu,
    /// MiB a second to Houdini.
    Up,
    /// MiB a second from Houdini.
    Down,
    /// The program's CPU seconds for a GiB to Houdini.
    UpCpu,
    /// The program's CPU seconds for a GiB from Houdini.
    DownCpu,
    /// New sessions a second, up to their first answer. One hop: full mutual handshakes.
    Sessions,
    /// The program's CPU time for one of them, in microseconds.
    SessionCpu,
    /// The same with a ticket.
    Resumed,
    /// The program's CPU time for one of them, in microseconds.
    ResumedCpu,
    /// KiB of memory for an idle session.
    Idle,
    /// Calls a second of real rpyc.
    RealCalls,
    /// MiB a second to a server of real rpyc, in values of 1 MiB.
    RealUp,
    /// MiB a second from a server of real rpyc, in values of 1 MiB.
    RealDown,
    /// Milliseconds from the connection to the first answer of an imported module.
    FirstAnswer,
}

impl Metric {
    /// All, in the order of the tables.
    pub(crate) const ALL: [Self; 17] = [
        Self::RoundTripP50,
        Self::RoundTripP99,
        Self::Requests,
        Self::RequestCpu,
        Self::Up,
        Self::Down,
        Self::UpCpu,
        Self::DownCpu,
        Self::Sessions,
        Self::SessionCpu,
        Self::Resumed,
        Self::ResumedCpu,
        Self::Idle,
        Self::RealCalls,
        Self::RealUp,
        Self::RealDown,
        Self::FirstAnswer,
    ];

    /// As it is called in JSON and in the names of files.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::RoundTripP50 => "round-trip-p50",
            Self::RoundTripP99 => "round-trip-p99",
            Self::Requests => "requests",
            Self::RequestCpu => "requests-cpu",
            Self::Up => "bulk-up",
            Self::Down => "bulk-down",
            Self::UpCpu => "bulk-up-cpu",
            Self::DownCpu => "bulk-down-cpu",
            Self::Sessions => "new-sessions",
            Self::SessionCpu => "new-sessions-cpu",
            Self::Resumed => "resumed",
            Self::ResumedCpu => "resumed-cpu",
            Self::Idle => "idle-memory",
            Self::RealCalls => "rpyc-calls",
            Self::RealUp => "rpyc-up",
            Self::RealDown => "rpyc-down",
            Self::FirstAnswer => "rpyc-first-answer",
        }
    }

    /// As a person calls it, with its unit.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::RoundTripP50 => "round trip, p50, µs",
            Self::RoundTripP99 => "round trip, p99, µs",
            Self::Requests => "requests a second, 32 connections",
            Self::RequestCpu => "CPU µs a request",
            Self::Up => "bulk up, MiB/s",
            Self::Down => "bulk down, MiB/s",
            Self::UpCpu => "CPU s a GiB up",
            Self::DownCpu => "CPU s a GiB down",
            Self::Sessions => "new sessions a second",
            Self::SessionCpu => "CPU µs a new session",
            Self::Resumed => "resumed sessions a second",
            Self::ResumedCpu => "CPU µs a resumed session",
            Self::Idle => "KiB an idle session",
            Self::RealCalls => "rpyc: calls a second",
            Self::RealUp => "rpyc: 1 MiB values up, MiB/s",
            Self::RealDown => "rpyc: 1 MiB values down, MiB/s",
            Self::FirstAnswer => "rpyc: connect to first answer, ms",
        }
    }

    /// Whether more is better.
    pub(crate) fn more_is_better(self) -> bool {
        matches!(
            self,
            Self::Requests
                | Self::Up
                | Self::Down
                | Self::Sessions
                | Self::Resumed
                | Self::RealCalls
                | Self::RealUp
                | Self::RealDown
        )
    }
}

/// The numbers of one program.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What they are.
    pub(crate) metric: Metric,
    /// How many programs were passed.
    pub(crate) hops: Hops,
    /// Whose they are.
    pub(crate) name: &'static str,
    /// One for each round.
    pub(crate) samples: Vec<f64>,
}

impl Row {
    /// The middle one.
    pub(crate) fn median(&self) -> f64 {
        median(self.samples.iter().copied())
    }

    /// The middle of the ratios to another program in the same round.
    pub(crate) fn ratio_to(&self, other: &Self) -> f64 {
        let pairs = self.samples.iter().zip(&other.samples);
        median(pairs.map(|(own, other)| own / other))
    }
}

/// All rows, and what is to be known about them.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// What was measured.
    pub(crate) rows: Vec<Row>,
    /// Names and versions of programs.
    pub(crate) versions: Vec<(&'static str, String)>,
    /// What else ran: for each measurement its name, the load before and after, and the
    /// part of the machine's time that other programs took.
    pub(crate) loads: Vec<Load>,
    /// What was left out, and why.
    pub(crate) notes: Vec<String>,
}

/// What else ran during a measurement.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// The measurement.
    pub(crate) what: String,
    /// `/proc/loadavg` before.
    pub(crate) before: String,
    /// `/proc/loadavg` after.
    pub(crate) after: String,
    /// The part of the machine's time that other programs took, 0 to 1.
    pub(crate) others: f64,
}

impl Results {
    /// Adds a number.
    pub(crate) fn add(&mut self, metric: Metric, hops: Hops, name: &'static str, number: f64) {
        let place = self.rows.iter().position(|row| row.is(metric, hops, name));
        let row = match place {
            Some(place) => &mut self.rows[place],
            None => {
                self.rows.push(Row {
                    metric,
                    hops,
                    name,
                    samples: Vec::new(),
                });
                self.rows.last_mut().expect("just pushed")
            }
        };
        row.samples.push(number);
    }

    /// The numbers of one program.
    pub(crate) fn row(&self, metric: Metric, hops: Hops, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.is(metric, hops, name))
    }

    /// The best of the programs that the guard is compared with, but for those named.
    pub(crate) fn best_peer(&self, metric: Metric, hops: Hops, but: &[&str]) -> Option<&Row> {
        let peers = self.rows.iter().filter(|row| {
            (row.metric, row.hops) == (metric, hops)
                && is_peer(row.name)
                && !but.contains(&row.name)
        });
        if metric.more_is_better() {
            peers.max_by(|a, b| a.median().total_cmp(&b.median()))
        } else {
            peers.min_by(|a, b| a.median().total_cmp(&b.median()))
        }
    }

    /// All of it.
    pub(crate) fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "metric": row.metric.key(),
                "title": row.metric.title(),
                "more_is_better": row.metric.more_is_better(),
                "hops": row.hops.name(),
                "program": row.name,
                "median": row.median(),
                "samples": row.samples,
            })
        });
        let loads = self.loads.iter().map(|load| {
            json!({
                "measurement": load.what,
                "loadavg_before": load.before,
                "loadavg_after": load.after,
                "part_of_others": load.others,
            })
        });
        let versions = self
            .versions
            .iter()
            .map(|(name, version)| json!([name, version]));
        json!({
            "programs": versions.collect::<Vec<_>>(),
            "load": loads.collect::<Vec<_>>(),
            "left_out": self.notes,
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}

impl Row {
    fn is(&self, metric: Metric, hops: Hops, name: &str) -> bool {
        (self.metric, self.hops, self.name) == (metric, hops, name)
    }
}

/// Whether it is a program that the guard is compared with.
pub(crate) fn is_peer(name: &str) -> bool {
    name != "direct" && !name.starts_with("guard")
}

/// The middle one.
pub(crate) fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
