//! The objects that one side has handed out.
//!
//! Source: `lib/colls.py::RefCountingColl` and `core/netref.py::BaseNetref.__del__`. Each
//! reference sent counts one; a `DEL` takes back as many as its receiver had got. At zero
//! rpyc lets go of the object, and CPython may give its id to the next one.

use std::sync::Arc;

use crate::ids::{Ids, trim};
use crate::message::ObjectId;

/// Names under which two ids are kept at once. They belong to a class and to an object; when
/// both are made anew at the same places, there are two names until the last `DEL` of the
/// old ones has its answer.
const NAMES_MAX: usize = 16;
/// Tables with so many places keep them.
const ROOM_KEPT: usize = 256;

/// Where in the table an object is.
pub(crate) type Slot = u32;

/// An object that the other side can name.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) name: Arc<str>,
    type_id: u64,
    object_id: u64,
    /// Another object with the same two ids and another name.
    next: Option<Slot>,
    /// References sent and not taken back by an answered `DEL`.
    refs: u64,
    /// References that `DEL`s on their way will take back.
    dropping: u64,
    /// Open requests that name it.
    named: u32,
    pub(crate) origin: Origin,
}

/// How an object was got.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) how: How,
    /// The expression that gave it, and which item of its result it was. Nothing but objects
    /// keeps it, so that the last one is known.
    pub(crate) text: Arc<str>,
    pub(crate) index: Option<u32>,
    /// Of what has a name of its own, such as a module: that name.
    pub(crate) own_name: Option<Arc<str>>,
    /// Of an attribute: class or module, and name.
    pub(crate) member: Option<(Arc<str>, Arc<str>)>,
}

/// In which way an object was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum How {
    /// It is the service, which `GETROOT` gives.
    Root,
    /// It is the server's own end of the connection: `root.getconn()`, `root._conn`.
    Connection,
    /// It is the `modules` of the server's own end.
    Modules,
    /// It is a module.
    Module,
    /// It is an attribute of another object, such as a bound method.
    Attribute,
    /// A call, an operator or the like gave it.
    Result,
    /// The side that owns it passed it as an argument.
    Argument,
}

impl Origin {
    /// Bytes of the names beside the text. Some may be shared; they are bounded anyhow.
    fn names_len(&self) -> usize {
        let own = self.own_name.as_ref().map_or(0, |name| name.len());
        let member = self.member.as_ref();
        own + member.map_or(0, |(class, name)| class.len() + name.len())
    }
}

/// Why an object is not kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The table has no room.
    Objects,
    /// Its ids have [`NAMES_MAX`] other names.
    Names,
}

/// More references were dropped than there are.
#[derive(Debug)]
pub(crate) struct TooMany;

/// All that one side has handed out.
#[derive(Debug)]
pub(crate) struct Objects {
    by_id: Ids<(u64, u64), Slot>,
    slots: Vec<Option<Object>>,
    /// Places that were left. One that is not there any more, or taken, is passed over.
    free: Vec<Slot>,
    count: usize,
    most: usize,
    /// Bytes of the texts and names of all objects.
    pub(crate) text_bytes: usize,
}

impl Objects {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            by_id: Ids::default(),
            slots: Vec::new(),
            free: Vec::new(),
            count: 0,
            most,
            text_bytes: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Object> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn get_mut(&mut self, slot: Slot) -> Option<&mut Object> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// The object of that name, while it can be named: not when all references to it have
    /// been dropped.
    pub(crate) fn find(&self, id: &ObjectId<'_>) -> Option<Slot> {
        self.search(id)
            .filter(|slot| self.get(*slot).is_some_and(Object::is_live))
    }

    /// Also one that is being dropped.
    pub(crate) fn search(&self, id: &ObjectId<'_>) -> Option<Slot> {
        let mut at = self.by_id.get(&(id.type_id, id.object_id)).copied();
        while let Some(slot) = at {
            let object = self.get(slot)?;
            if *object.name == *id.name {
                return Some(slot);
            }
            at = object.next;
        }
        None
    }

    /// One more reference has been sent. `name` and `origin` are asked for when the object
    /// is new, or may be.
    pub(crate) fn arrive(
        &mut self,
        id: &ObjectId<'_>,
        name: impl FnOnce() -> Arc<str>,
        origin: impl FnOnce() -> Origin,
    ) -> Result<Slot, Full> {
        if let Some(slot) = self.search(id) {
            if let Some(object) = self.slots[slot as usize].as_mut() {
                // An object of which all references are being dropped is either the same,
                // sent before the DEL was there, or a new one with its id. The new origin
                // is true of both.
                if !object.is_live() {
                    object.refs += 1;
                    let origin = origin();
                    self.count_text(&origin);
                    if let Some(object) = self.get_mut(slot) {
                        let old = std::mem::replace(&mut object.origin, origin);
                        self.forget_text(&old);
                    }
                } else {
                    object.refs += 1;
                }
            }
            return Ok(slot);
        }
        if self.len() >= self.most {
            return Err(Full::Objects);
        }
        let first = self.by_id.get(&(id.type_id, id.object_id)).copied();
        if self.names_from(first) >= NAMES_MAX {
            return Err(Full::Names);
        }
        let (name, origin) = (name(), origin());
        self.text_bytes += name.len();
        self.count_text(&origin);
        let object = Object {
            name,
            type_id: id.type_id,
            object_id: id.object_id,
            next: first,
            refs: 1,
            dropping: 0,
            named: 0,
            origin,
        };
        self.count += 1;
        let slot = match self.take_free() {
            Some(slot) => {
                self.slots[slot as usize] = Some(object);
                slot
            }
            None => {
                self.slots.push(Some(object));
                (self.slots.len() - 1) as Slot
            }
        };
        self.by_id.insert((id.type_id, id.object_id), slot);
        Ok(slot)
    }

    fn names_from(&self, first: Option<Slot>) -> usize {
        let next = |slot: &Slot| self.get(*slot)?.next;
        std::iter::successors(first, next).count()
    }

    /// Counts what is kept for an origin: the text for the first object that has it.
    /// Whoever gives it to more than one holds it meanwhile.
    fn count_text(&mut self, origin: &Origin) {
        self.text_bytes += origin.names_len();
        if Arc::strong_count(&origin.text) <= 2 {
            self.text_bytes += origin.text.len();
        }
    }

    fn forget_text(&mut self, origin: &Origin) {
        let shared = Arc::strong_count(&origin.text) > 1;
        let text = if shared { 0 } else { origin.text.len() };
        self.text_bytes = self.text_bytes.saturating_sub(origin.names_len() + text);
    }

    /// A request that names the object is open.
    pub(crate) fn name(&mut self, slot: Slot) {
        if let Some(object) = self.get_mut(slot) {
            object.named = object.named.saturating_add(1);
        }
    }

    /// The request has its answer.
    pub(crate) fn unname(&mut self, slot: Slot) {
        if let Some(object) = self.get_mut(slot) {
            object.named = object.named.saturating_sub(1);
            self.remove_if_gone(slot);
        }
    }

    /// Open requests that name the object.
    pub(crate) fn named(&self, slot: Slot) -> u32 {
        self.get(slot).map_or(0, |object| object.named)
    }

    /// A `DEL` is on its way. Gives whether it leaves none.
    pub(crate) fn begin_drop(&mut self, slot: Slot, count: u64) -> Result<bool, TooMany> {
        let object = self.get_mut(slot).ok_or(TooMany)?;
        if count > object.refs - object.dropping {
            return Err(TooMany);
        }
        object.dropping += count;
        Ok(!object.is_live())
    }

    /// The `DEL` has its answer; `done` when it was not an exception.
    pub(crate) fn end_drop(&mut self, slot: Slot, count: u64, done: bool) {
        if let Some(object) = self.get_mut(slot) {
            object.dropping = object.dropping.saturating_sub(count);
            if done {
                object.refs = object.refs.saturating_sub(count);
            }
            self.remove_if_gone(slot);
        }
    }

    /// A reference that was counted was not delivered.
    pub(crate) fn unsend(&mut self, id: &ObjectId<'_>) {
        if let Some(slot) = self.search(id)
            && let Some(object) = self.get_mut(slot)
        {
            object.refs = object.refs.saturating_sub(1).max(object.dropping);
            self.remove_if_gone(slot);
        }
    }

    fn remove_if_gone(&mut self, slot: Slot) {
        let gone = |object: &Object| object.refs == 0 && object.named == 0;
        let Some(object) = self.slots[slot as usize].take_if(|object| gone(object)) else {
            return;
        };
        self.count -= 1;
        self.free.push(slot);
        self.unlink(slot, &object);
        self.text_bytes = self.text_bytes.saturating_sub(object.name.len());
        self.forget_text(&object.origin);
        self.trim();
    }

    fn take_free(&mut self) -> Option<Slot> {
        while let Some(slot) = self.free.pop() {
            if let Some(None) = self.slots.get(slot as usize) {
                return Some(slot);
            }
        }
        None
    }

    /// Gives back the room behind the last object that is left. The first ones of a session
    /// are mostly those that live as long as it does.
    fn trim(&mut self) {
        while let Some(None) = self.slots.last() {
            self.slots.pop();
        }
        let slots = self.slots.len();
        if self.slots.capacity() > ROOM_KEPT && slots < self.slots.capacity() / 4 {
            self.slots.shrink_to(slots * 2);
        }
        if self.free.len() > ROOM_KEPT.max(2 * slots) {
            self.free.retain(|slot| (*slot as usize) < slots);
            self.free.shrink_to_fit();
        }
        trim(&mut self.by_id);
    }

    fn unlink(&mut self, slot: Slot, object: &Object) {
        let key = (object.type_id, object.object_id);
        let Some(first) = self.by_id.get(&key).copied() else {
            return;
        };
        if first == slot {
            match object.next {
                Some(next) => self.by_id.insert(key, next),
                None => self.by_id.remove(&key),
            };
            return;
        }
        let mut at = Some(first);
        while let Some(before) = at.and_then(|slot| self.get_mut(slot)) {
            if before.next == Some(slot) {
                before.next = object.next;
                return;
            }
            at = before.next;
        }
    }
}

impl Object {
    fn is_live(&self) -> bool {
        self.refs > self.dropping
    }

    /// The class that a rule would name: of a module the module itself, since 4.1.0 calls
    /// each of them `builtins.module`.
    pub(crate) fn class(&self) -> &Arc<str> {
        self.origin.own_name.as_ref().unwrap_or(&self.name)
    }
}

#[cfg(test)]
mod tests;
