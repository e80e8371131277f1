//! Which sequence numbers one side has used.

/// How far apart two requests may travel that were numbered in order. A number is taken
/// before the arguments are boxed, and collecting garbage or another thread can send first
/// (`core/protocol.py::_async_request`).
const WINDOW: u64 = 4096;

/// Numbers from here on are never used by a peer, so that a relay has some of its own.
pub const SEQ_MAX: u64 = 1 << 62;

/// Remembers the last numbers, each of which may be used once.
#[derive(Debug)]
pub(crate) struct Window {
    /// One more than the highest number used.
    next: u64,
    /// One bit for each number below `next`, by its remainder.
    used: Box<[u64; (WINDOW / 64) as usize]>,
}

impl Window {
    pub(crate) fn new() -> Self {
        Self {
            next: 0,
            used: Box::new([0; (WINDOW / 64) as usize]),
        }
    }

    /// Uses a number. `false` when it was used before, or may have been.
    pub(crate) fn take(&mut self, seq: u64) -> bool {
        if seq >= SEQ_MAX {
            return false;
        }
        if seq >= self.next {
            match seq - self.next {
                gap if gap >= WINDOW => self.used.fill(0),
                _ => (self.next..seq).for_each(|skipped| self.set(skipped, false)),
            }
            self.set(seq, true);
            self.next = seq + 1;
            return true;
        }
        if self.next - seq > WINDOW || self.get(seq) {
            return false;
        }
        self.set(seq, true);
        true
    }

    fn get(&self, seq: u64) -> bool {
        let bit = seq % WINDOW;
        self.used[(bit / 64) as usize] & 1 << (bit % 64) != 0
    }

    fn set(&mut self, seq: u64, used: bool) {
        let bit = seq % WINDOW;
        let word = &mut self.used[(bit / 64) as usize];
        match used {
            true => *word |= 1 << (bit % 64),
            false => *word &= !(1 << (bit % 64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_good_once() {
        let mut window = Window::new();
        for seq in [0, 1, 5, 3, 2, 4, WINDOW + 4, 6] {
            assert!(window.take(seq), "{seq}");
        }
        for seq in [0, 1, 5, 3, WINDOW + 4, 6, SEQ_MAX, u64::MAX] {
            assert!(!window.take(seq), "{seq}");
        }
        // One that is too old may have been used.
        assert!(window.take(10 * WINDOW));
        assert!(!window.take(7));
        assert!(window.take(SEQ_MAX - 1));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set(steps in proptest::collection::vec(-40i64..60, 1..300)) {
            let mut window = Window::new();
            let mut used = HashSet::new();
            let mut at = 0i64;
            for step in steps {
                at = (at + step).max(0);
                let seq = at as u64;
                prop_assert_eq!(window.take(seq), used.insert(seq));
            }
        }
    }
}
