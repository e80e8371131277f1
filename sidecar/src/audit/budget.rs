//! How many failures before identity are written down one by one.
//!
//! A stranger must not be able to fill the disk: the first failures of each address are
//! recorded, the rest is counted, and the count is recorded.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::AddressKey;

/// Failures of one address that are recorded one by one in each period.
const PER_ADDRESS: u64 = 100;
/// Failures in all that are recorded one by one in each period.
const IN_ALL: u64 = 2_000;
/// Addresses that are counted apart; those beyond are counted together.
const ADDRESSES: usize = 4_096;
const PERIOD: Duration = Duration::from_secs(600);

/// What to do with a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Write a record of it.
    Record,
    /// It was counted.
    Counted,
}

#[derive(Debug)]
pub(super) struct Budget {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    begun: Instant,
    recorded: u64,
    addresses: HashMap<AddressKey, u64>,
    others: u64,
}

impl Inner {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            recorded: 0,
            addresses: HashMap::new(),
            others: 0,
        }
    }
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner::new()),
        }
    }

    pub(super) fn spend(&self, address: IpAddr) -> Verdict {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let key = AddressKey::of(address);
        if !inner.addresses.contains_key(&key) && inner.addresses.len() >= ADDRESSES {
            inner.others += 1;
            return Verdict::Counted;
        }
        let failures = inner.addresses.entry(key).or_default();
        *failures += 1;
        if *failures > PER_ADDRESS {
            return Verdict::Counted;
        }
        if inner.recorded >= IN_ALL {
            // Not recorded, so it must count as one of those beyond the address's budget.
            inner.others += 1;
            return Verdict::Counted;
        }
        inner.recorded += 1;
        Verdict::Record
    }

    /// What was only counted, when the period is over or `at_once`. `None` stands for the
    /// addresses that were not counted apart.
    pub(super) fn take_counted(&self, at_once: bool) -> Vec<(Option<AddressKey>, u64)> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !at_once && inner.begun.elapsed() < PERIOD {
            return Vec::new();
        }
        let ended = std::mem::replace(&mut *inner, Inner::new());
        let counted = ended
            .addresses
            .into_iter()
            .filter(|(_, failures)| *failures > PER_ADDRESS)
            .map(|(key, failures)| (Some(key), failures - PER_ADDRESS));
        counted
            .chain((ended.others > 0).then_some((None, ended.others)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_gets_a_few_records_and_a_count() {
        let budget = Budget::new();
        let (loud, quiet) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let recorded = (0..1_000)
            .filter(|_| budget.spend(loud) == Verdict::Record)
            .count() as u64;
        assert_eq!(recorded, PER_ADDRESS);
        assert_eq!(budget.spend(quiet), Verdict::Record);
        assert!(
            budget.take_counted(false).is_empty(),
            "the period is not over"
        );
        assert_eq!(
            budget.take_counted(true),
            [(Some(AddressKey::of(loud)), 1_000 - PER_ADDRESS)]
        );
        assert!(budget.take_counted(true).is_empty());
    }

    #[test]
    fn no_number_of_addresses_fills_the_disk_or_the_memory() {
        let budget = Budget::new();
        let strangers = 100_000_u32;
        let recorded = (0..strangers)
            .filter(|n| budget.spend(IpAddr::from(n.to_be_bytes())) == Verdict::Record)
            .count() as u64;
        assert_eq!(recorded, IN_ALL);
        let counted = budget.take_counted(true);
        assert!(counted.len() <= ADDRESSES + 1);
        let sum: u64 = counted.iter().map(|(_, count)| count).sum();
        assert_eq!(
            recorded + sum,
            u64::from(strangers),
            "every failure is in the log"
        );
    }
}
