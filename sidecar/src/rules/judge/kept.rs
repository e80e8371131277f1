//! The rulings of one session.

use std::collections::HashMap;

use super::Ruling;
use super::member::Access;
use crate::rules::thing::Thing;

/// Rulings that one session keeps; when there are more, all are forgotten.
const MOST_KEPT: usize = 1 << 13;

#[derive(Debug, Default)]
pub(super) struct Kept {
    slots: Vec<Slot>,
    count: usize,
}

#[derive(Debug, Default)]
pub(super) struct Slot {
    got: HashMap<Box<str>, Ruling>,
    operators: HashMap<Box<str>, Ruling>,
    pub(super) called: Option<Ruling>,
    pub(super) used: Option<Ruling>,
}

impl Kept {
    pub(super) fn slot(&mut self, thing: Thing) -> &mut Slot {
        if self.count >= MOST_KEPT {
            *self = Self::default();
        }
        if self.slots.len() <= thing.index() {
            self.slots.resize_with(thing.index() + 1, Slot::default);
        }
        &mut self.slots[thing.index()]
    }

    pub(super) fn named(
        &mut self,
        thing: Thing,
        access: Access,
        name: &str,
        rule: impl FnOnce() -> Ruling,
    ) -> &Ruling {
        self.count += 1;
        let slot = self.slot(thing);
        let names = match access {
            Access::Get => &mut slot.got,
            Access::Call | Access::Operator => &mut slot.operators,
        };
        // Twice, since the borrow checker does not see that the first look gave nothing.
        if !names.contains_key(name) {
            names.insert(name.into(), rule());
        } else {
            self.count -= 1;
        }
        let slot = &self.slots[thing.index()];
        match access {
            Access::Get => &slot.got[name],
            Access::Call | Access::Operator => &slot.operators[name],
        }
    }
}
