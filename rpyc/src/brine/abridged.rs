//! One value of plain data, with what is long in it left out.

use super::arriving::Item;
use super::token::Begun;
use super::{FROZENSET, SLICE, TUPLE_3, put_bytes, put_str, put_tuple};

/// A text keeps its first bytes: more characters than are ever shown of it.
const TEXT_MAX: usize = 260;

/// A tuple and a set keep their first items: more than are ever shown of them.
const ITEMS_MAX: usize = 64;

/// Tuples within each other, of which each item may have its own share of the room: those of
/// arguments, and of keyword arguments.
const ARGUMENTS_DEPTH: usize = 2;

/// Room for one argument, in bytes.
const ARGUMENT_MAX: usize = 8 * 1024;

/// Tuples of so few items mean something by their number. What is left out of them leaves a
/// mark.
const FEW: usize = 4;

/// Stands where something was left out.
pub(crate) const LEFT_OUT: &str = "...";

/// What beginning an item costs at most, besides what is kept of it.
const BEGINNING: usize = 6;

/// Writes a value of its items as they come, abridged, in brine.
#[derive(Debug)]
pub(crate) struct Abridged {
    out: Vec<u8>,
    open: Vec<Container>,
    body: Option<Body>,
    /// Bytes that are kept of a text.
    text_max: usize,
    argument_left: usize,
    /// Something was left out of the outermost set that is open.
    set_lacks: bool,
}

#[derive(Debug)]
struct Container {
    kind: Kind,
    count: usize,
    /// Items that are still to come, and that were kept.
    left: usize,
    kept: usize,
    /// Where in `out` its items begin; `None` when it is left out.
    start: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tuple,
    Frozenset,
    Slice,
}

/// A text or bytes of which parts come.
#[derive(Debug)]
struct Body {
    text: bool,
    /// Bytes of it that are kept at most.
    most: usize,
    /// `None` when it is left out.
    kept: Option<Vec<u8>>,
}

impl Abridged {
    /// For any value.
    pub(crate) fn new() -> Self {
        Self::keeping(TEXT_MAX)
    }

    /// With more bytes of each text.
    pub(crate) fn keeping(text_max: usize) -> Self {
        Self {
            out: Vec::new(),
            open: Vec::new(),
            body: None,
            text_max,
            argument_left: 0,
            set_lacks: false,
        }
    }

    /// Containers that are open.
    pub(crate) fn depth(&self) -> usize {
        self.open.len()
    }

    /// Takes the next item. `room` is what may be kept besides, in bytes, for this value and
    /// others. Gives whether the value is complete.
    pub(crate) fn item(&mut self, item: Item<'_>, room: &mut usize) -> bool {
        let (kind, count) = match item {
            Item::Part { bytes, last } => return self.part(bytes, last),
            Item::Begun(Begun::Str(length), _) => {
                self.body(true, length, self.text_max, room);
                return false;
            }
            Item::Begun(Begun::Bytes(length), _) => {
                self.body(false, length, TEXT_MAX, room);
                return false;
            }
            Item::Begun(Begun::Whole(_), bytes) => {
                if self.keeps(bytes.len(), room) {
                    self.out.extend_from_slice(bytes);
                }
                return self.one_less();
            }
            Item::Begun(Begun::Tuple(count), _) => (Kind::Tuple, count),
            Item::Begun(Begun::Frozenset(count), _) => (Kind::Frozenset, count),
            Item::Begun(Begun::Slice, _) => (Kind::Slice, 3),
        };
        let keeps = self.keeps(BEGINNING, room);
        if kind == Kind::Frozenset && !self.in_set() {
            self.set_lacks = false;
        }
        self.open.push(Container {
            kind,
            count,
            left: count,
            kept: 0,
            start: keeps.then_some(self.out.len()),
        });
        match count {
            0 => {
                self.close();
                self.one_less()
            }
            _ => false,
        }
    }

    /// What there is of the value, made whole. Empty when nothing of it came. `arguments`
    /// says that it is a tuple of arguments, of which the number means nothing.
    pub(crate) fn cut(mut self, arguments: bool) -> Vec<u8> {
        self.set_lacks = true;
        if let Some(Body { text, kept, .. }) = self.body.take()
            && let Some(kept) = kept
        {
            match text || kept.is_empty() {
                true => put_str(&mut self.out, &format!("{}{LEFT_OUT}", beginning(&kept))),
                false => put_bytes(&mut self.out, &kept),
            }
        }
        loop {
            let may_lack = arguments && self.open.len() == 1;
            let Some(container) = self.open.last_mut() else {
                return self.out;
            };
            let may_lack = may_lack && container.kind == Kind::Tuple;
            if container.start.is_some() && container.is_few() && !may_lack {
                for _ in container.kept..container.count {
                    put_str(&mut self.out, LEFT_OUT);
                }
                container.kept = container.count;
            }
            self.close();
        }
    }

    /// The value, which is complete.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }

    fn in_set(&self) -> bool {
        let kinds = self.open.iter().map(|container| container.kind);
        kinds.into_iter().any(|kind| kind == Kind::Frozenset)
    }

    fn body(&mut self, text: bool, length: usize, most: usize, room: &mut usize) {
        let keeps = self.keeps(BEGINNING + length.min(most), room);
        // Two that begin alike would be the same one.
        self.set_lacks |= length > most;
        self.body = Some(Body {
            text,
            most: length.min(most),
            kept: keeps.then(Vec::new),
        });
    }

    fn part(&mut self, bytes: &[u8], last: bool) -> bool {
        if let Some(Body { most, kept, .. }) = &mut self.body
            && let Some(kept) = kept
        {
            let more = bytes.len().min(*most - kept.len());
            kept.extend_from_slice(&bytes[..more]);
        }
        if !last {
            return false;
        }
        if let Some(Body { text, kept, .. }) = self.body.take()
            && let Some(kept) = kept
        {
            match text {
                true => put_str(&mut self.out, beginning(&kept)),
                false => put_bytes(&mut self.out, &kept),
            }
        }
        self.one_less()
    }

    /// Whether the item that begins is kept; it leaves a mark where it must.
    fn keeps(&mut self, cost: usize, room: &mut usize) -> bool {
        if self.open.len() <= ARGUMENTS_DEPTH {
            self.argument_left = ARGUMENT_MAX;
        }
        let fits = cost <= self.argument_left && cost <= *room;
        let (keeps, marks) = match self.open.last_mut() {
            None => (fits, !fits),
            Some(container) if container.start.is_none() || container.kept >= ITEMS_MAX => {
                (false, false)
            }
            Some(container) => {
                let marks = !fits && container.is_few();
                container.kept += usize::from(fits || marks);
                (fits, marks)
            }
        };
        if keeps {
            self.argument_left -= cost;
            *room -= cost;
        }
        if marks {
            put_str(&mut self.out, LEFT_OUT);
        }
        self.set_lacks |= !keeps;
        keeps
    }

    /// An item has ended, and with it perhaps those that it was the last of.
    fn one_less(&mut self) -> bool {
        while let Some(container) = self.open.last_mut() {
            container.left -= 1;
            if container.left > 0 {
                return false;
            }
            self.close();
        }
        true
    }

    /// Puts the head of the innermost container in front of what it keeps.
    fn close(&mut self) {
        let Some(container) = self.open.pop() else {
            return;
        };
        let Some(start) = container.start else {
            return;
        };
        if container.kind == Kind::Frozenset && !self.in_set() && self.set_lacks {
            self.out.truncate(start);
            put_str(&mut self.out, LEFT_OUT);
            return;
        }
        let mut head = Vec::with_capacity(BEGINNING);
        match container.kind {
            Kind::Tuple => put_tuple(&mut head, container.kept),
            Kind::Frozenset => {
                head.push(FROZENSET);
                put_tuple(&mut head, container.kept);
            }
            Kind::Slice => head.extend_from_slice(&[SLICE, TUPLE_3]),
        }
        self.out.splice(start..start, head);
    }
}

impl Container {
    fn is_few(&self) -> bool {
        self.kind != Kind::Frozenset && self.count <= FEW
    }
}

/// The whole characters of a text that may have been cut within one.
fn beginning(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}
