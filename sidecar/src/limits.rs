//! Bounds on peers that have not shown who they are.
//!
//! Failures are counted by address only until identity is known, and an address is never
//! shut out: behind one address there may be a whole studio (a VPN concentrator), and a
//! stranger must not be able to lock it. An address that fails often gets fewer handshakes
//! at a time, and its connections wait for their turn.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use wire::Code;
use wire::leaf::Leaf;

use crate::denial::Denial;

/// Connections in all that have not shown who they are. More are closed at once.
pub const UNPROVEN: usize = 4096;
/// Addresses that are looked at apart; those beyond share one set of turns.
const ADDRESSES: usize = 16_384;
/// Failures are counted over this time.
const WINDOW: Duration = Duration::from_secs(60);
/// How often addresses that are no longer there are forgotten.
const SWEEP: Duration = Duration::from_secs(5);
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
    addresses: Arc<Mutex<Addresses>>,
}

#[derive(Debug)]
struct Addresses {
    /// `None` stands for the addresses that are not looked at apart.
    known: HashMap<Option<AddressKey>, Address>,
    swept: Instant,
}

#[derive(Debug)]
struct Address {
    turns: Arc<Semaphore>,
    /// Connections that have their turn or wait for it.
    present: usize,
    failures: usize,
    slowed: bool,
    since: Instant,
}

/// The turn of one connection that has not shown who it is.
#[derive(Debug)]
pub struct Turn {
    _all: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
    _place: Place,
}

/// A connection's place among those of its address.
#[derive(Debug)]
struct Place {
    addresses: Arc<Mutex<Addresses>>,
    key: Option<AddressKey>,
}

impl Default for Gate {
    fn default() -> Self {
        let addresses = Addresses {
            known: HashMap::new(),
            swept: Instant::now(),
        };
        Self {
            all: Arc::new(Semaphore::new(UNPROVEN)),
            addresses: Arc::new(Mutex::new(addresses)),
        }
    }
}

impl Gate {
    /// Waits for a turn, for as long as `patience`.
    ///
    /// As many may wait at one address as may have their turn there; the place at the
    /// address comes before the place among all, so that a crowd at one address cannot take
    /// the places of the others.
    ///
    /// # Errors
    /// A denial when too many are there already, or the turn does not come in time.
    pub async fn enter(
        &self,
        address: IpAddr,
        per_address: usize,
        patience: Duration,
    ) -> Result<Turn, Denial> {
        let (place, turns) = self.place(address, per_address).ok_or_else(crowded)?;
        let all = self
            .all
            .clone()
            .try_acquire_owned()
            .map_err(|_| crowded())?;
        match timeout(patience, turns.acquire_owned()).await {
            Ok(Ok(turn)) => Ok(Turn {
                _all: all,
                _turn: turn,
                _place: place,
            }),
            _ => Err(crowded()),
        }
    }

    /// Counts a failure before identity was known.
    pub fn failed(&self, address: IpAddr, per_address: usize, allowed: usize) {
        let mut addresses = lock(&self.addresses);
        let key = addresses.key(address);
        let entry = addresses.entry(key, per_address);
        entry.failures += 1;
        if entry.failures > allowed && !entry.slowed {
            // Those that have their turn or wait keep it; this is for who comes from now on.
            entry.slowed = true;
            entry.turns = Arc::new(Semaphore::new((per_address / SLOWED).max(1)));
        }
    }

    fn place(&self, address: IpAddr, per_address: usize) -> Option<(Place, Arc<Semaphore>)> {
        let mut addresses = lock(&self.addresses);
        addresses.sweep();
        let key = addresses.key(address);
        let entry = addresses.entry(key, per_address);
        if entry.present >= 2 * per_address {
            return None;
        }
        entry.present += 1;
        let turns = entry.turns.clone();
        drop(addresses);
        Some((
            Place {
                addresses: self.addresses.clone(),
                key,
            },
            turns,
        ))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(entry) = lock(&self.addresses).known.get_mut(&self.key) {
            entry.present -= 1;
        }
    }
}

impl Addresses {
    fn key(&self, address: IpAddr) -> Option<AddressKey> {
        let key = Some(AddressKey::of(address));
        if self.known.len() < ADDRESSES || self.known.contains_key(&key) {
            key
        } else {
            None
        }
    }

    fn entry(&mut self, key: Option<AddressKey>, per_address: usize) -> &mut Address {
        let entry = self
            .known
            .entry(key)
            .or_insert_with(|| Address::new(per_address));
        if entry.since.elapsed() >= WINDOW {
            let present = entry.present;
            *entry = Address {
                present,
                ..Address::new(per_address)
            };
        }
        entry
    }

    fn sweep(&mut self) {
        if self.swept.elapsed() >= SWEEP {
            self.swept = Instant::now();
            self.known
                .retain(|_, entry| entry.present > 0 || entry.since.elapsed() < WINDOW);
        }
    }
}

impl Address {
    fn new(per_address: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(per_address)),
            present: 0,
            failures: 0,
            slowed: false,
            since: Instant::now(),
        }
    }
}

fn lock(addresses: &Mutex<Addresses>) -> MutexGuard<'_, Addresses> {
    addresses.lock().unwrap_or_else(PoisonError::into_inner)
}

fn crowded() -> Denial {
    Denial::new(
        Code::TooManyHandshakes,
        "Too many connections that have not shown who they are are open.",
        "Try again in a minute.",
    )
}

/// How often one device may renew within a minute.
const RENEWALS: usize = 30;
const RENEWAL_WINDOW: Duration = Duration::from_secs(60);

/// Bounds the renewals of each device, each of which the store keeps. A device is a key; how
/// many an identity has is decided by invites.
#[derive(Debug, Default)]
pub struct Renewals {
    recent: Mutex<HashMap<[u8; 32], (Instant, usize)>>,
}

impl Renewals {
    /// Counts a renewal.
    ///
    /// # Errors
    /// A denial when there were too many in the last minute.
    pub fn spend(&self, peer: &Leaf) -> Result<(), Denial> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|_, (since, _)| since.elapsed() < RENEWAL_WINDOW);
        let (_, count) = recent.entry(peer.key_digest).or_insert((Instant::now(), 0));
        *count += 1;
        if *count > RENEWALS {
            return Err(Denial::new(
                Code::TooManyRenewals,
                format!(
                    "This device of {} has renewed {RENEWALS} times within a minute.",
                    peer.identity.shorthand()
                ),
                "Wait a minute, and look at the device's clock: an agent renews once in half an hour.",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use wire::leaf::{Fingerprint, Serial};

    use super::*;

    const SOON: Duration = Duration::from_millis(20);

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
        let first = gate.enter(crowd, 1, SOON).await.unwrap();
        assert_eq!(
            gate.enter(crowd, 1, SOON).await.unwrap_err().code,
            Code::TooManyHandshakes
        );
        gate.enter(other, 1, SOON).await.unwrap();
        drop(first);
        gate.enter(crowd, 1, SOON).await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_at_one_address_takes_no_place_of_another() {
        let gate = Arc::new(Gate::default());
        let (crowd, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let _turn = gate.enter(crowd, 1, SOON).await.unwrap();
        let waiting = {
            let gate = gate.clone();
            tokio::spawn(async move { gate.enter(crowd, 1, Duration::from_secs(600)).await })
        };
        while lock(&gate.addresses).known[&Some(AddressKey::of(crowd))].present < 2 {
            tokio::task::yield_now().await;
        }
        // One has its turn, one waits; a third is sent away at once.
        let long = Duration::from_secs(600);
        assert_eq!(
            gate.enter(crowd, 1, long).await.unwrap_err().code,
            Code::TooManyHandshakes
        );
        gate.enter(other, 1, SOON).await.unwrap();
        assert_eq!(gate.all.available_permits(), UNPROVEN - 2);
        waiting.abort();
        let _ = waiting.await;
        assert_eq!(gate.all.available_permits(), UNPROVEN - 1);
    }

    #[tokio::test]
    async fn an_address_that_fails_often_is_slowed_and_never_shut_out() {
        let gate = Gate::default();
        let address = "192.0.2.1".parse().unwrap();
        for _ in 0..5 {
            gate.failed(address, 32, 4);
        }
        let first = gate.enter(address, 32, SOON).await.unwrap();
        let _second = gate.enter(address, 32, SOON).await.unwrap();
        assert!(gate.enter(address, 32, SOON).await.is_err());
        drop(first);
        gate.enter(address, 32, SOON).await.unwrap();
    }

    #[tokio::test]
    async fn no_number_of_addresses_fills_the_memory() {
        let gate = Gate::default();
        for n in 0..(ADDRESSES as u32 + 1000) {
            gate.failed(IpAddr::from(n.to_be_bytes()), 32, 4);
        }
        assert_eq!(lock(&gate.addresses).known.len(), ADDRESSES + 1);
    }

    #[test]
    fn one_device_cannot_renew_without_end_and_holds_up_no_other() {
        let renewals = Renewals::default();
        let device = |key: u8| Leaf {
            identity: "spiffe://studio.example/service/farm".parse().unwrap(),
            serial: Serial::from_bytes(&[key]),
            not_before: jiff::Timestamp::UNIX_EPOCH,
            not_after: jiff::Timestamp::UNIX_EPOCH,
            fingerprint: Fingerprint([key; 32]),
            key_digest: [key; 32],
        };
        for _ in 0..RENEWALS {
            renewals.spend(&device(1)).unwrap();
        }
        assert_eq!(
            renewals.spend(&device(1)).unwrap_err().code,
            Code::TooManyRenewals
        );
        renewals.spend(&device(2)).unwrap();
    }
}
