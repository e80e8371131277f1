//! Tables by numbers that the peers choose: ids of objects, numbers of requests.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

/// A table by such numbers. It hashes faster than the standard one, with a seed of its own:
/// peers do not know which numbers collide, and bounds on the tables end what they could
/// make of it.
pub type Ids<K, V> = HashMap<K, V, RandomState>;

/// Tables with room for so many keep it.
const ROOM_KEPT: usize = 64;

/// Gives room back when most of it is free, so that nothing is kept of a rush.
pub fn trim<K: Eq + Hash, V>(ids: &mut Ids<K, V>) {
    if ids.capacity() > ROOM_KEPT && ids.len() < ids.capacity() / 8 {
        ids.shrink_to(ids.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_after_a_rush() {
        let mut ids = Ids::default();
        for number in 0..10_000 {
            ids.insert(number, ());
        }
        for number in 5..10_000 {
            ids.remove(&number);
            trim(&mut ids);
        }
        assert!(ids.capacity() <= ROOM_KEPT, "{}", ids.capacity());
        assert!((0..5).all(|number| ids.contains_key(&number)));
    }
}
