//! Bounds on peers that have not shown who they are.
//!
//! Failures are counted by address only until identity is known, and an address is never
//! shut out: behind one address there may be a whole studio (a VPN concentrator), and a
//! stranger must not be able to lock it. An address that fails often gets fewer handshakes
//! at a time, and its connections wait for their turn.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use wire::Code;

use crate::denial::Denial;

/// Connections in all that have not shown who they are. More are closed at once.
const UNPROVEN: usize = 4096;
/// Failures are counted over this time.
const WINDOW: Duration = Duration::from_secs(60);
/// An address that fails too often gets this part of its handshakes.
const SLOWED: usize = 16;

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 address, which one
/// subscriber has whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressKey(IpAddr);

impl AddressKey {
    /// The key of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => {
                let network = u128::from(v6) & !u128::from(u64::MAX);
                Self(IpAddr::V6(Ipv6Addr::from(network)))
            }
            v4 => Self(v4),
        }
    }
}

impl std::fmt::Display for AddressKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

/// Hands out the turns for handshakes.
#[derive(Debug)]
pub struct Gate {
    all: Arc<Semaphore>,
    addresses: Mutex<HashMap<AddressKey, Address>>,
}

#[derive(Debug)]
struct Address {
    turns: Arc<Semaphore>,
    size: usize,
    failures: usize,
    since: Instant,
}

/// The turn of one connection that has not shown who it is.
#[derive(Debug)]
pub struct Turn {
    _all: OwnedSemaphorePermit,
    _address: OwnedSemaphorePermit,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(UNPROVEN)),
            addresses: Mutex::default(),
        }
    }
}

impl Gate {
    /// Waits for a turn.
    ///
    /// # Errors
    /// A denial when too many are waiting already, or the turn does not come in time.
    pub async fn enter(
        &self,
        address: IpAddr,
        per_address: usize,
        deadline: Instant,
    ) -> Result<Turn, Denial> {
        let crowded = || {
            Denial::new(
                Code::TooManyHandshakes,
                "Too many connections that have not shown who they are are open.",
                "Try again in a minute.",
            )
        };
        let all = self
            .all
            .clone()
            .try_acquire_owned()
            .map_err(|_| crowded())?;
        let turns = self.turns(AddressKey::of(address), per_address);
        match timeout_at(deadline, turns.acquire_owned()).await {
            Ok(Ok(address)) => Ok(Turn {
                _all: all,
                _address: address,
            }),
            _ => Err(crowded()),
        }
    }

    /// Counts a failure before identity was known.
    pub fn failed(&self, address: IpAddr, per_address: usize, allowed: usize) {
        let mut addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let entry = addresses
            .entry(AddressKey::of(address))
            .or_insert_with(|| Address::new(per_address));
        entry.failures += 1;
        if entry.failures > allowed && entry.size == per_address {
            // Those that wait keep waiting; the new semaphore is for who comes from now on.
            entry.size = (per_address / SLOWED).max(1);
            entry.turns = Arc::new(Semaphore::new(entry.size));
        }
    }

    fn turns(&self, key: AddressKey, per_address: usize) -> Arc<Semaphore> {
        let mut addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        addresses.retain(|_, address| {
            address.since.elapsed() < WINDOW || address.turns.available_permits() < address.size
        });
        let entry = addresses
            .entry(key)
            .or_insert_with(|| Address::new(per_address));
        if entry.since.elapsed() >= WINDOW {
            entry.failures = 0;
            entry.since = Instant::now();
        }
        entry.turns.clone()
    }
}

impl Address {
    fn new(size: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(size)),
            size,
            failures: 0,
            since: Instant::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[test]
    fn one_subscriber_is_one_address() {
        let key = |text: &str| AddressKey::of(text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[tokio::test]
    async fn a_crowd_at_one_address_leaves_the_others_their_turns() {
        let gate = Gate::default();
        let (crowd, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = gate.enter(crowd, 1, soon()).await.unwrap();
        assert_eq!(
            gate.enter(crowd, 1, soon()).await.unwrap_err().code,
            Code::TooManyHandshakes
        );
        gate.enter(other, 1, soon()).await.unwrap();
        drop(first);
        gate.enter(crowd, 1, soon()).await.unwrap();
    }

    #[tokio::test]
    async fn an_address_that_fails_often_is_slowed_and_never_shut_out() {
        let gate = Gate::default();
        let address = "192.0.2.1".parse().unwrap();
        for _ in 0..5 {
            gate.failed(address, 32, 4);
        }
        let turns: Vec<_> = [
            gate.enter(address, 32, soon()).await,
            gate.enter(address, 32, soon()).await,
        ]
        .into_iter()
        .map(Result::unwrap)
        .collect();
        assert!(gate.enter(address, 32, soon()).await.is_err());
        drop(turns);
        gate.enter(address, 32, soon()).await.unwrap();
    }
}
