//! Waiting before another try: exponential, with jitter, bounded.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// Waits that double from a first one up to a longest one.
///
/// Each is shortened by up to half at random, so that many agents that were cut at the
/// same moment do not come back at the same moment.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Waits from `first` up to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            next: first,
            longest,
        }
    }

    /// The next wait.
    pub fn wait(&mut self) -> Duration {
        let whole = self.next.min(self.longest);
        self.next = whole * 2;
        jittered(whole)
    }
}

/// Between half of `whole` and all of it.
pub(crate) fn jittered(whole: Duration) -> Duration {
    // Spreading needs no more than the randomness that a hash map is seeded with.
    let random = RandomState::new().build_hasher().finish() as u32;
    whole.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
        for whole in [200, 400, 800, 1600, 2000, 2000] {
            let whole = Duration::from_millis(whole);
            let wait = backoff.wait();
            assert!((whole / 2..=whole).contains(&wait), "{wait:?} of {whole:?}");
        }
    }
}
