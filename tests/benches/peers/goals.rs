//! What the guard is meant to reach against the others, and whether it did in this run.

use crate::programs::Hops;
use crate::results::{Metric, Results, Row};

/// What the guard is called when it does not look at messages.
pub(crate) const OPAQUE: &str = "guard, opaque";
/// What it is called when it does.
pub(crate) const INSPECTING: &str = "guard, inspecting";

/// One thing that is to be reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    /// Its number.
    pub(crate) metric: Metric,
    /// On the way with so many hops.
    pub(crate) hops: Hops,
    against: Against,
    /// The ratio, or the number itself when it is against nobody.
    bound: f64,
    /// The forms of the guard that it is for.
    pub(crate) forms: &'static [&'static str],
}

/// Whom the guard is compared with.
#[derive(Debug, Clone, Copy)]
enum Against {
    /// The best of the others, but for those named.
    Best(&'static [&'static str]),
    /// This one.
    Named(&'static str),
    /// A number.
    Nobody,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Whom it was compared with.
    pub(crate) against: String,
    /// What was to be reached.
    pub(crate) goal: String,
    /// What each form reached, if it was measured.
    pub(crate) reached: Vec<(&'static str, f64, bool)>,
}

const BOTH: &[&str] = &[OPAQUE, INSPECTING];
const BEST: Against = Against::Best(&[]);
/// rpyc's own TLS has no program in between.
const TWO_ENDS: Against = Against::Best(&["rpyc's TLS"]);

const fn goal(metric: Metric, hops: Hops, against: Against, bound: f64) -> Goal {
    Goal {
        metric,
        hops,
        against,
        bound,
        forms: BOTH,
    }
}

/// All of them, in the order of the table.
pub(crate) const GOALS: [Goal; 25] = [
    goal(Metric::RoundTripP50, Hops::One, BEST, 1.0),
    goal(Metric::RoundTripP50, Hops::Two, BEST, 1.0),
    goal(Metric::RoundTripP99, Hops::One, BEST, 1.0),
    goal(Metric::RoundTripP99, Hops::Two, BEST, 1.0),
    goal(Metric::Requests, Hops::One, BEST, 1.2),
    goal(Metric::Requests, Hops::Two, BEST, 1.2),
    goal(Metric::Up, Hops::One, BEST, 1.2),
    goal(Metric::Up, Hops::Two, BEST, 1.2),
    goal(Metric::Down, Hops::One, BEST, 1.2),
    goal(Metric::Down, Hops::Two, BEST, 1.2),
    goal(Metric::UpCpu, Hops::One, BEST, 0.75),
    goal(Metric::DownCpu, Hops::One, BEST, 0.75),
    goal(Metric::Sessions, Hops::One, BEST, 1.3),
    goal(Metric::Resumed, Hops::One, BEST, 1.3),
    goal(Metric::Sessions, Hops::Two, Against::Best(&["ssh -L"]), 1.0),
    Goal {
        forms: &[OPAQUE],
        ..goal(Metric::Idle, Hops::One, Against::Named("HAProxy"), 1.0)
    },
    Goal {
        forms: &[INSPECTING],
        ..goal(Metric::Idle, Hops::One, Against::Nobody, 32.0)
    },
    goal(Metric::RealCalls, Hops::Two, BEST, 1.0),
    goal(Metric::RealCalls, Hops::Two, TWO_ENDS, 1.0),
    goal(Metric::RealCalls, Hops::Two, Against::Named("direct"), 0.6),
    goal(Metric::RealUp, Hops::Two, BEST, 1.0),
    goal(Metric::RealUp, Hops::Two, Against::Named("direct"), 1.0),
    goal(Metric::RealDown, Hops::Two, BEST, 1.0),
    goal(Metric::RealDown, Hops::Two, Against::Named("direct"), 1.0),
    goal(
        Metric::FirstAnswer,
        Hops::Two,
        Against::Named("rpyc's TLS"),
        1.0,
    ),
];

impl Goal {
    /// How it went; `None` when it was not measured.
    pub(crate) fn outcome(&self, results: &Results) -> Option<Outcome> {
        let other = match self.against {
            Against::Best(but) => Some(results.best_peer(self.metric, self.hops, but)?),
            Against::Named(name) => Some(results.row(self.metric, self.hops, name)?),
            Against::Nobody => None,
        };
        let reached: Vec<_> = self
            .forms
            .iter()
            .filter_map(|form| {
                let row = results.row(self.metric, self.hops, form)?;
                let reached = other.map_or_else(|| row.median(), |other| row.ratio_to(other));
                Some((*form, reached, self.is_reached(reached)))
            })
            .collect();
        let sign = if self.metric.more_is_better() {
            "≥"
        } else {
            "≤"
        };
        (!reached.is_empty()).then(|| Outcome {
            against: against(other, self.against),
            goal: format!("{sign} {}", self.bound),
            reached,
        })
    }

    fn is_reached(&self, number: f64) -> bool {
        if self.metric.more_is_better() {
            number >= self.bound
        } else {
            number <= self.bound
        }
    }
}

fn against(other: Option<&Row>, how: Against) -> String {
    match (other, how) {
        (Some(other), Against::Best([])) => format!("{}, the best", other.name),
        (Some(other), Against::Best(but)) => {
            format!("{}, the best but for {}", other.name, but.join(", "))
        }
        (Some(other), _) => other.name.to_owned(),
        (None, _) => "(the number itself)".to_owned(),
    }
}
