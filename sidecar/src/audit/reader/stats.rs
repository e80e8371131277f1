//! What the logs come to: for each identity, role and method.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::entry::Fields;
use super::text::short;

/// Keys that are counted apart; the rest is counted together.
const KEYS: usize = 10_000;
/// The key of those beyond.
const OTHERS: &str = "(others)";

/// Durations by their size: eight steps for each power of two, so that what is read off is
/// right to an eighth.
#[derive(Debug, Clone, Default)]
struct Durations {
    counts: BTreeMap<u16, u64>,
    total: u64,
}

impl Durations {
    fn add(&mut self, us: u64) {
        *self.counts.entry(step(us)).or_default() += 1;
        self.total += 1;
    }

    /// The duration that so many of a hundred do not exceed, in microseconds.
    fn percentile(&self, percent: u64) -> Option<u64> {
        let wanted = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.counts
            .iter()
            .find(|(_, count)| {
                seen += **count;
                seen >= wanted
            })
            .map(|(step, _)| upper(*step))
    }
}

fn step(us: u64) -> u16 {
    if us < 8 {
        return us as u16;
    }
    let power = us.ilog2();
    (power * 8 + ((us >> (power - 3)) & 7) as u32) as u16
}

/// The largest value of a step.
fn upper(step: u16) -> u64 {
    let (power, eighth) = (u32::from(step / 8), u64::from(step % 8));
    if power < 3 {
        return u64::from(step);
    }
    let width = 1_u64 << (power - 3);
    (8 + eighth) * width + (width - 1)
}

/// What calls of one kind come to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sum {
    /// How many there were.
    pub calls: u64,
    /// How many were denied.
    pub denied: u64,
    /// How many a rule would have denied.
    pub would_be_denied: u64,
    /// How many raised an exception.
    pub exceptions: u64,
    /// How many had no answer.
    pub unanswered: u64,
    /// Bytes of the requests.
    pub bytes_up: u64,
    /// Bytes of the answers.
    pub bytes_down: u64,
    /// Half of the calls that were forwarded took no longer, in microseconds.
    pub p50_us: Option<u64>,
    /// 99 of 100 took no longer.
    pub p99_us: Option<u64>,
    #[serde(skip)]
    durations: Durations,
}

impl Sum {
    fn add(&mut self, call: &Fields) {
        self.calls += 1;
        match call.outcome.as_deref() {
            Some("denied") => self.denied += 1,
            Some("would-be-denied") => self.would_be_denied += 1,
            Some("unanswered") => self.unanswered += 1,
            _ => {}
        }
        self.exceptions += u64::from(call.exception.is_some());
        add_to(&mut self.bytes_up, call.bytes_up);
        add_to(&mut self.bytes_down, call.bytes_down);
        let forwarded = !matches!(call.outcome.as_deref(), Some("denied" | "unanswered"));
        if let Some(us) = call.us.filter(|_| forwarded) {
            self.durations.add(us);
        }
    }
}

/// What the logs come to.
#[derive(Debug, Default, Serialize)]
pub struct Stats {
    /// When the first record was written that was counted.
    pub from: Option<Timestamp>,
    /// And the last.
    pub to: Option<Timestamp>,
    /// Sessions that began.
    pub sessions: u64,
    /// Connections that were refused, those that were only counted too.
    pub refused: u64,
    /// All calls.
    pub all: Sum,
    /// By identity, without the trust domain.
    pub identities: BTreeMap<String, Sum>,
    /// By role.
    pub roles: BTreeMap<String, Sum>,
    /// By class and method.
    pub methods: BTreeMap<String, Sum>,
    /// Calls that waited because their records found no room.
    pub waited: u64,
    /// The longest of these waits, in microseconds.
    pub longest_wait_us: u64,
    /// Calls that were refused for it.
    pub turned_away: u64,
}

impl Stats {
    /// Counts a record.
    pub fn add(&mut self, record: &Fields) {
        self.from.get_or_insert(record.time);
        self.to = self.to.max(Some(record.time));
        match record.event.as_str() {
            "opened" => self.sessions += 1,
            "refused" => self.refused += 1,
            "suppressed" if record.reason.is_none() => add_to(&mut self.refused, record.count),
            "checkpoint" => {
                add_to(&mut self.waited, record.waited);
                add_to(&mut self.turned_away, record.turned_away);
                let longest = record.longest_wait_us.unwrap_or(0);
                self.longest_wait_us = self.longest_wait_us.max(longest);
            }
            "call" => {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                let method = match &record.class {
                    Some(class) => format!("{class}.{}", text(&record.method)),
                    None => text(&record.method),
                };
                let identity = text(&record.identity);
                self.all.add(record);
                add(&mut self.identities, short(&identity), record);
                add(&mut self.roles, &text(&record.role), record);
                add(&mut self.methods, &method, record);
            }
            _ => {}
        }
    }

    /// Works out what can be worked out only at the end.
    pub fn finish(&mut self) {
        let parts = [&mut self.identities, &mut self.roles, &mut self.methods];
        let parts = parts.into_iter().flat_map(|part| part.values_mut());
        for sum in parts.chain([&mut self.all]) {
            sum.p50_us = sum.durations.percentile(50);
            sum.p99_us = sum.durations.percentile(99);
        }
    }
}

/// What is in a record may be made up: a sum stays at the greatest number.
fn add_to(sum: &mut u64, more: Option<u64>) {
    *sum = sum.saturating_add(more.unwrap_or(0));
}

fn add(part: &mut BTreeMap<String, Sum>, key: &str, call: &Fields) {
    let is_known = part.contains_key(key) || part.len() < KEYS;
    let key = if is_known { key } else { OTHERS };
    part.entry(key.to_owned()).or_default().add(call);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_somebody_made_up_do_not_end_it() {
        let mut stats = Stats::default();
        let most = u64::MAX;
        for json in [
            format!(r#"{{"event":"call","us":{most},"bytes_up":{most},"bytes_down":{most}"#),
            format!(r#"{{"event":"suppressed","count":{most}"#),
            format!(r#"{{"event":"checkpoint","waited":{most},"turned_away":{most}"#),
        ] {
            let json = format!(r#"{json},"time":"2026-11-23T10:00:00Z","seq":1}}"#);
            for _ in 0..2 {
                stats.add(&serde_json::from_str(&json).unwrap());
            }
        }
        stats.finish();
        let sums = [stats.all.bytes_up, stats.all.bytes_down, stats.refused];
        assert_eq!(sums, [most; 3]);
        assert_eq!([stats.waited, stats.turned_away], [most; 2]);
        assert_eq!((stats.all.calls, stats.all.p99_us), (2, Some(most)));
    }

    #[test]
    fn a_percentile_is_right_to_an_eighth() {
        let mut durations = Durations::default();
        (1..=100_000).for_each(|us| durations.add(us));
        for (percent, exact) in [(50, 50_000), (99, 99_000), (100, 100_000)] {
            let found = durations.percentile(percent).unwrap();
            assert!(
                (exact..=exact + exact / 8).contains(&found),
                "{percent}: {found}"
            );
        }
        assert_eq!(Durations::default().percentile(50), None);
        for us in [0, 1, 7, 8, 9, 1000, u64::MAX] {
            assert!(upper(step(us)) >= us);
        }
    }
}
