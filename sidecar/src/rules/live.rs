//! The policy in force.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::file::Policy;

/// The policy in force, which a reload replaces. Sessions share it.
#[derive(Debug)]
pub struct Live {
    policy: RwLock<Arc<Policy>>,
    generation: AtomicU64,
}

impl Live {
    /// Puts a first policy into force.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy: RwLock::new(Arc::new(policy)),
            generation: AtomicU64::new(1),
        }
    }

    /// The policy as it is now.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Grows with each replacement, never 0. Whoever keeps verdicts compares it: one atomic
    /// load.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Puts another policy into force. The next judgement of every session is by it.
    pub fn replace(&self, policy: Policy) {
        let mut place = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(policy);
        // Under the lock: who reads the new number finds the new policy.
        self.generation.fetch_add(1, Ordering::Release);
    }
}
