//! Samples of all ways in turn, and the table of their medians.

use std::time::Duration;

use crate::way::OPAQUE;

/// What one way did in one turn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Times that the line was said, and how long that took in all.
    pub(crate) count: usize,
    /// How long it was said for.
    pub(crate) time: Duration,
    /// The time that half of them took at most.
    pub(crate) p50: Duration,
    /// The time that 99 of 100 took at most.
    pub(crate) p99: Duration,
    /// CPU time of the guard and of the agent, for one of them.
    pub(crate) cpu: [Option<Duration>; 2],
}

impl Sample {
    /// From how long each took.
    pub(crate) fn new(mut took: Vec<Duration>, time: Duration) -> Self {
        took.sort_unstable();
        let at = |part: f64| {
            let place = (took.len() as f64 * part) as usize;
            took.get(place).or(took.last()).copied().unwrap_or_default()
        };
        Self {
            count: took.len(),
            time,
            p50: at(0.5),
            p99: at(0.99),
            cpu: [None; 2],
        }
    }

    fn rate(&self) -> f64 {
        self.count as f64 / self.time.as_secs_f64()
    }
}

/// The samples of all ways: `rows[way][round]`.
pub(crate) struct Rounds {
    names: Vec<String>,
    rows: Vec<Vec<Sample>>,
}

impl Rounds {
    /// For these ways. The first one is what the others are compared with.
    pub(crate) fn new(names: Vec<String>) -> Self {
        let rows = vec![Vec::new(); names.len()];
        Self { names, rows }
    }

    /// Adds a sample of one way.
    pub(crate) fn add(&mut self, way: usize, sample: Sample) {
        self.rows[way].push(sample);
    }

    /// Prints the medians.
    pub(crate) fn print(&self, title: &str) {
        println!("\n{title}");
        println!(
            "{:<36} {:>9} {:>10} {:>10} {:>9} {:>9} {:>10} {:>10}",
            "way",
            "a second",
            "of direct",
            "of opaque",
            "p50 µs",
            "p99 µs",
            "guard CPU",
            "agent CPU"
        );
        for (name, samples) in self.names.iter().zip(&self.rows) {
            let ratio = |other: usize| {
                let pairs = samples.iter().zip(&self.rows[other]);
                let ratio = median(pairs.map(|(own, other)| own.rate() / other.rate()));
                format!("{:.1} %", ratio * 100.0)
            };
            let micros = |time: fn(&Sample) -> Option<Duration>| {
                let times: Vec<_> = samples.iter().filter_map(time).collect();
                if times.is_empty() {
                    return String::new();
                }
                format!("{:.1}", median(times.iter().map(|t| t.as_secs_f64() * 1e6)))
            };
            let of_opaque = self.opaque(name).map(ratio).unwrap_or_default();
            println!(
                "{name:<36} {:>9.0} {:>10} {:>10} {:>9} {:>9} {:>10} {:>10}",
                median(samples.iter().map(Sample::rate)),
                ratio(0),
                of_opaque,
                micros(|sample| Some(sample.p50)),
                micros(|sample| Some(sample.p99)),
                micros(|sample| sample.cpu[0]),
                micros(|sample| sample.cpu[1]),
            );
        }
    }

    /// The way that differs from this one in nothing but that the guard looks at no message.
    fn opaque(&self, name: &str) -> Option<usize> {
        let (hops, _) = name.split_once(", ")?;
        let opaque = format!("{hops}, {OPAQUE}");
        self.names.iter().position(|name| *name == opaque)
    }
}

/// The middle one.
pub(crate) fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
