//! How many failures are written down one by one.
//!
//! A stranger must not be able to fill the disk: the first failures of each address are
//! recorded, the rest is counted, and the count is recorded. The same goes, with more room,
//! for each identity.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Keys that are counted apart; those beyond are counted together.
const KEYS: usize = 4_096;
const PERIOD: Duration = Duration::from_secs(600);

/// What is recorded one by one in each period.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// Failures of one key.
    pub(super) each: u64,
    /// Failures of all.
    pub(super) in_all: u64,
}

/// What to do with a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Write a record of it.
    Record,
    /// It was counted.
    Counted,
}

#[derive(Debug)]
pub(super) struct Budget<K> {
    allowance: Allowance,
    inner: Mutex<Inner<K>>,
}

#[derive(Debug)]
struct Inner<K> {
    begun: Instant,
    recorded: u64,
    failures: HashMap<K, u64>,
    others: u64,
}

impl<K> Inner<K> {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            recorded: 0,
            failures: HashMap::new(),
            others: 0,
        }
    }
}

impl<K: Hash + Eq> Budget<K> {
    pub(super) fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            inner: Mutex::new(Inner::new()),
        }
    }

    pub(super) fn spend(&self, key: K) -> Verdict {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !inner.failures.contains_key(&key) && inner.failures.len() >= KEYS {
            inner.others += 1;
            return Verdict::Counted;
        }
        let failures = inner.failures.entry(key).or_default();
        *failures += 1;
        if *failures > self.allowance.each {
            return Verdict::Counted;
        }
        if inner.recorded >= self.allowance.in_all {
            // Within the key's own allowance, so it is not in what is beyond that.
            inner.others += 1;
            return Verdict::Counted;
        }
        inner.recorded += 1;
        Verdict::Record
    }

    /// What was only counted, when the period is over or `at_once`. `None` stands for the
    /// keys that were not counted apart.
    pub(super) fn take_counted(&self, at_once: bool) -> Vec<(Option<K>, u64)> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !at_once && inner.begun.elapsed() < PERIOD {
            return Vec::new();
        }
        let ended = std::mem::replace(&mut *inner, Inner::new());
        let each = self.allowance.each;
        let counted = ended
            .failures
            .into_iter()
            .filter(|(_, failures)| *failures > each)
            .map(|(key, failures)| (Some(key), failures - each));
        counted
            .chain((ended.others > 0).then_some((None, ended.others)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWANCE: Allowance = Allowance {
        each: 20,
        in_all: 2_000,
    };

    #[test]
    fn a_stranger_gets_a_few_records_and_a_count() {
        let budget = Budget::new(ALLOWANCE);
        let recorded = (0..1_000)
            .filter(|_| budget.spend("loud") == Verdict::Record)
            .count() as u64;
        assert_eq!(recorded, ALLOWANCE.each);
        assert_eq!(budget.spend("quiet"), Verdict::Record);
        assert!(
            budget.take_counted(false).is_empty(),
            "the period is not over"
        );
        assert_eq!(
            budget.take_counted(true),
            [(Some("loud"), 1_000 - ALLOWANCE.each)]
        );
        assert!(budget.take_counted(true).is_empty());
    }

    #[test]
    fn no_number_of_addresses_fills_the_disk_or_the_memory() {
        let budget = Budget::new(ALLOWANCE);
        let strangers = 100_000_u64;
        let recorded = (0..strangers)
            .filter(|n| budget.spend(*n) == Verdict::Record)
            .count() as u64;
        assert_eq!(recorded, ALLOWANCE.in_all);
        let counted = budget.take_counted(true);
        assert!(counted.len() <= KEYS + 1);
        let sum: u64 = counted.iter().map(|(_, count)| count).sum();
        assert_eq!(recorded + sum, strangers, "every failure is in the log");
    }
}
