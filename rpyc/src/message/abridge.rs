//! A message that is too great to be read whole, with what is long in it left out.

use super::Malformed;
use super::boxed::{REMOTE_REF, TUPLE, VALUE, put_label};
use super::request::{CALL, CALLATTR, CTXEXIT, OLDSLICING, SETATTR};
use crate::brine::{
    Abridged, Arriving, Begun, EMPTY_TUPLE, Int, Item, LEFT_OUT, Refused, Token, Value, put_tuple,
};
use crate::head::{self, Head, Kind, PING};

/// Room for the plain data that is kept of one argument of a request, in bytes: of those of a
/// call's own arguments together, and of its keyword arguments.
const PLAIN_MAX: usize = 256 * 1024;

/// Room for what is kept in all, in bytes; enough for some 70,000 references.
const KEPT_MAX: usize = 8 << 20;

/// What a boxed value takes besides its bytes.
const BOXED_COST: usize = 64;

/// So many are open where the arguments of a request follow: the outermost pair and its tuple.
const ROOT: usize = 2;

/// A tuple of so few boxed values means something by their number.
const FEW: usize = 3;

/// Bytes that are kept of the name of a class: one more than any may have.
const NAME_KEPT: usize = 1025;

/// Containers within each other, as in [`Limits::WIDE`](crate::brine::Limits::WIDE).
const DEPTH_MAX: usize = 64;

/// Reads a request or a reply as its bytes come, keeps every reference in it, and abridges
/// its plain data: as much is kept as is ever shown of it.
///
/// What is read is as strict as [`Message::read`](crate::Message::read), but for the number
/// of items, which is not limited, and for great sets, in which nothing is looked for twice.
#[derive(Debug)]
pub struct Abridger {
    /// The first bytes of the message, until there are enough for its head.
    begun: Vec<u8>,
    head: Option<Head>,
    arriving: Arriving,
    /// The boxed values that are open, the outermost first.
    open: Vec<Open>,
    /// The plain data or the reference that is open within them.
    value: Option<Abridged>,
    root: Option<Boxed>,
    plain_left: usize,
    left: usize,
}

/// The beginning of a boxed value.
#[derive(Debug)]
enum Open {
    /// `(label, value)`, of which the label may have come.
    Pair(Option<i64>),
    /// What the label [`TUPLE`] promised.
    Items {
        /// Still to come.
        left: usize,
        items: Vec<Boxed>,
        count: usize,
    },
}

#[derive(Debug)]
enum Boxed {
    Plain(Vec<u8>),
    /// With its label.
    Reference(i64, Vec<u8>),
    Tuple(Vec<Boxed>),
}

/// What was read of a great message: the payload of a smaller one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abridgement {
    /// To be read with [`Message::read`](crate::Message::read).
    pub payload: Vec<u8>,
    /// Not all of the message was read: it may hold more arguments and more references.
    pub is_cut: bool,
}

impl Default for Abridger {
    fn default() -> Self {
        Self::new()
    }
}

impl Abridger {
    /// At the beginning of a message.
    pub fn new() -> Self {
        Self {
            begun: Vec::with_capacity(head::LONGEST),
            head: None,
            arriving: Arriving::default(),
            open: Vec::new(),
            value: None,
            root: None,
            plain_left: PLAIN_MAX,
            left: KEPT_MAX,
        }
    }

    /// Takes the next bytes of the payload. At most 16 MiB are held of it.
    ///
    /// # Errors
    ///
    /// No stock peer sends this; see [`Malformed`].
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        if self.head.is_some() {
            return self.items(piece);
        }
        self.begun.extend_from_slice(piece);
        match self.begun.len() >= head::LONGEST {
            true => self.begin(),
            false => Ok(()),
        }
    }

    /// The message, when all of it has come.
    ///
    /// # Errors
    ///
    /// It is cut off, or no stock peer sends this.
    pub fn finish(mut self) -> Result<Abridgement, Malformed> {
        if self.head.is_none() {
            self.begin()?;
        }
        if self.left > 0 && self.root.is_none() {
            return Err(Refused::Truncated.into());
        }
        self.so_far()?.ok_or(Malformed::Head)
    }

    /// The message as far as it has come. `None` when that is not enough to say what is asked
    /// for.
    ///
    /// # Errors
    ///
    /// No stock peer sends this.
    pub fn so_far(mut self) -> Result<Option<Abridgement>, Malformed> {
        if self.head.is_none() {
            self.begin()?;
        }
        let is_cut = self.root.is_none();
        let Some(head) = self.head else {
            return Ok(None);
        };
        let Some(root) = self.root.take().or_else(|| self.cut()) else {
            return Ok(None);
        };
        let root = match head.kind {
            Kind::Request { handler } if is_cut => match complete(handler, root) {
                Some(root) => root,
                None => return Ok(None),
            },
            _ => root,
        };
        let mut payload = Vec::new();
        head.write(&mut payload);
        root.write(&mut payload);
        Ok(Some(Abridgement { payload, is_cut }))
    }

    /// Reads the head off what has come.
    fn begin(&mut self) -> Result<(), Malformed> {
        let begun = std::mem::take(&mut self.begun);
        let mut reader = crate::brine::Reader(&begun);
        let head = Head::take(&mut reader).map_err(|_| Malformed::Head)?;
        if head.kind == Kind::Exception {
            return Err(Malformed::Exception);
        }
        self.head = Some(head);
        self.items(reader.0)
    }

    fn items(&mut self, mut input: &[u8]) -> Result<(), Malformed> {
        loop {
            if self.root.is_some() {
                return match input {
                    [] => Ok(()),
                    _ => Err(Refused::Trailing.into()),
                };
            }
            if self.left == 0 {
                return Ok(());
            }
            let Some(item) = self.arriving.next(&mut input)? else {
                return Ok(());
            };
            let place = Place {
                open: &mut self.open,
                value: &mut self.value,
                plain_left: &mut self.plain_left,
                left: &mut self.left,
            };
            self.root = place.item(item)?;
        }
    }

    /// What has come of the outermost value.
    fn cut(&mut self) -> Option<Boxed> {
        // A reference that is cut is none.
        let is_plain = matches!(self.open.last(), Some(Open::Pair(Some(VALUE))));
        let arguments = self.open.len() <= ROOT + 1;
        let value = self.value.take().filter(|_| is_plain);
        let value = value.map(|value| value.cut(arguments));
        let mut inner = value.filter(|value| !value.is_empty()).map(Boxed::Plain);
        while let Some(open) = self.open.pop() {
            if let Open::Items {
                mut items, count, ..
            } = open
            {
                items.extend(inner);
                // A keyword and its value are two. How many arguments there are means nothing
                // by itself, and what a request lacks is seen when it is known what is asked.
                if count <= FEW && self.open.len() > ROOT + 1 {
                    items.resize_with(count, || Boxed::plain(&Value::Str(LEFT_OUT)));
                }
                inner = Some(Boxed::Tuple(items));
            }
        }
        inner
    }
}

/// Where the next item belongs.
struct Place<'p> {
    open: &'p mut Vec<Open>,
    value: &'p mut Option<Abridged>,
    plain_left: &'p mut usize,
    left: &'p mut usize,
}

impl Place<'_> {
    /// Puts an item there. Gives the outermost value when that is complete.
    fn item(self, item: Item<'_>) -> Result<Option<Boxed>, Malformed> {
        let goes_deeper = matches!(
            item,
            Item::Begun(Begun::Tuple(_) | Begun::Frozenset(_) | Begun::Slice, _)
        );
        let depth = self.open.len() + self.value.as_ref().map_or(0, Abridged::depth);
        if goes_deeper && depth >= DEPTH_MAX {
            return Err(Refused::TooDeep.into());
        }
        if let Some(value) = self.value {
            let label = match self.open.last() {
                Some(Open::Pair(Some(label))) => *label,
                _ => VALUE,
            };
            let complete = match label {
                VALUE => value.item(item, self.plain_left),
                // An id is short, or it is none.
                _ => value.item(item, &mut { usize::MAX }),
            };
            return match self.value.take_if(|_| complete) {
                Some(value) => {
                    let bytes = value.finish();
                    self.complete(match label {
                        VALUE => Boxed::Plain(bytes),
                        label => Boxed::Reference(label, bytes),
                    })
                }
                None => Ok(None),
            };
        }
        if self.open.len() == ROOT {
            *self.plain_left = PLAIN_MAX;
        }
        match (self.open.last_mut(), item) {
            (None | Some(Open::Items { .. }), Item::Begun(Begun::Tuple(2), _)) => {
                self.open.push(Open::Pair(None));
                Ok(None)
            }
            (Some(Open::Pair(place @ None)), Item::Begun(Begun::Whole(token), _)) => {
                let Token::Int(Int::Small(label @ VALUE..=REMOTE_REF)) = token else {
                    return Err(Malformed::Label);
                };
                *place = Some(label);
                *self.value = match label {
                    VALUE => Some(Abridged::new()),
                    TUPLE => None,
                    _ => Some(Abridged::keeping(NAME_KEPT)),
                };
                Ok(None)
            }
            (Some(Open::Pair(Some(TUPLE))), Item::Begun(Begun::Tuple(count), _)) => {
                self.open.push(Open::Items {
                    left: count,
                    items: Vec::new(),
                    count,
                });
                match count {
                    0 => Err(Malformed::PlainTuple),
                    _ => Ok(None),
                }
            }
            _ => Err(Malformed::Label),
        }
    }

    /// A boxed value is complete, and with it perhaps those that it was the last of.
    fn complete(self, mut boxed: Boxed) -> Result<Option<Boxed>, Malformed> {
        let cost = BOXED_COST + boxed.len();
        *self.left = self.left.saturating_sub(cost);
        loop {
            // Its own pair.
            self.open.pop();
            let Some(Open::Items { left, items, .. }) = self.open.last_mut() else {
                return Ok(Some(boxed));
            };
            items.push(boxed);
            *left -= 1;
            if *left > 0 {
                return Ok(None);
            }
            boxed = Boxed::Tuple(std::mem::take(items));
            if boxed.is_plain() {
                return Err(Malformed::PlainTuple);
            }
            self.open.pop();
        }
    }
}

impl Boxed {
    fn plain(value: &Value<'_>) -> Self {
        Self::Plain(value.to_bytes())
    }

    /// Of its own bytes.
    fn len(&self) -> usize {
        match self {
            Self::Plain(bytes) | Self::Reference(_, bytes) => bytes.len(),
            Self::Tuple(_) => 0,
        }
    }

    fn is_plain(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Reference(..) => false,
            Self::Tuple(items) => items.iter().all(Self::is_plain),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Reference(label, id) => {
                put_label(out, *label);
                out.extend_from_slice(id);
            }
            Self::Tuple(items) if !self.is_plain() => {
                put_label(out, TUPLE);
                put_tuple(out, items.len());
                items.iter().for_each(|item| item.write(out));
            }
            plain => {
                put_label(out, VALUE);
                plain.write_plain(out);
            }
        }
    }

    fn write_plain(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(bytes) | Self::Reference(_, bytes) => out.extend_from_slice(bytes),
            Self::Tuple(items) => {
                put_tuple(out, items.len());
                items.iter().for_each(|item| item.write_plain(out));
            }
        }
    }
}

/// The arguments of a request that was cut, with what is missing: `core/netref.py` says how
/// many there are. `None` when it is not known what is asked for.
fn complete(handler: u8, arguments: Boxed) -> Option<Boxed> {
    let none = || Boxed::plain(&Value::None);
    let nothing = || Boxed::plain(&Value::Tuple(Vec::new()));
    let mut items = match arguments {
        Boxed::Tuple(items) => items,
        Boxed::Plain(bytes) if handler == PING && bytes != [EMPTY_TUPLE] => {
            return Some(Boxed::Plain(bytes));
        }
        _ if handler == PING => Vec::new(),
        _ => return None,
    };
    // What must be there, and what may be missing.
    let (least, rest): (usize, &[fn() -> Boxed]) = match handler {
        PING => (0, &[none]),
        SETATTR => (2, &[none]),
        CALL => (1, &[nothing, nothing]),
        CALLATTR => (2, &[nothing, nothing]),
        CTXEXIT => (1, &[none]),
        OLDSLICING => (3, &[none, none, nothing]),
        _ => return None,
    };
    let missing = (least + rest.len()).checked_sub(items.len())?;
    if items.len() < least {
        return None;
    }
    items.extend(rest[rest.len() - missing..].iter().map(|make| make()));
    Some(Boxed::Tuple(items))
}

#[cfg(test)]
mod tests;
