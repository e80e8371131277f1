//! Exceptions: `core/vinegar.py::dump`.

use super::Malformed;
use crate::brine;
use crate::brine::{Int, Items, Plain, put_count, put_str, put_tuple};

/// `EXC_STOP_ITERATION` (`core/consts.py`).
const STOP_ITERATION: i64 = 1;

/// The attribute that 4.1.5 and later add: the only one that begins with `_`.
const VERSION: &str = "_remote_version";

/// What was raised.
#[derive(Clone, Copy, Debug)]
pub enum Raised<'a> {
    /// `StopIteration`, which has a form of its own.
    StopIteration,
    /// Any other exception.
    Exception {
        /// The module of its class. A receiver in classic mode imports it.
        module: &'a str,
        /// The name of its class.
        class: &'a str,
        /// Its `args`; what was not plain data came as its `repr`.
        args: Items<'a>,
        /// Its other attributes.
        attributes: Attributes<'a>,
        /// The sender's traceback.
        traceback: &'a str,
    },
}

/// The attributes of an exception.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(Items<'a>);

impl<'a> Attributes<'a> {
    fn read(value: Plain<'a>) -> Result<Self, Malformed> {
        let items = value.as_tuple().ok_or(Malformed::Exception)?;
        for item in items {
            let (name, _) = pair(item).ok_or(Malformed::Exception)?;
            // `load` sets whatever is named, `__class__` too; `dump` leaves these out.
            if name.starts_with('_') && name != VERSION {
                return Err(Malformed::ExceptionAttribute);
            }
        }
        Ok(Self(items))
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, Plain<'a>)> + use<'a> {
        self.0.map(|item| pair(item).expect(brine::CHECKED))
    }
}

fn pair(item: Plain<'_>) -> Option<(&str, Plain<'_>)> {
    let [name, value] = item.exactly()?;
    Some((name.as_str()?, value))
}

impl<'a> Raised<'a> {
    pub(super) fn read(value: Plain<'a>) -> Result<Self, Malformed> {
        if let Some(number) = value.as_int() {
            return match number {
                Int::Small(STOP_ITERATION) => Ok(Self::StopIteration),
                _ => Err(Malformed::Exception),
            };
        }
        let [class, args, attributes, traceback] = value.exactly().ok_or(Malformed::Exception)?;
        let [module, class] = class.exactly().ok_or(Malformed::Exception)?;
        let text = |value: Plain<'a>| value.as_str().ok_or(Malformed::Exception);
        Ok(Self::Exception {
            module: text(module)?,
            class: text(class)?,
            args: args.as_tuple().ok_or(Malformed::Exception)?,
            attributes: Attributes::read(attributes)?,
            traceback: text(traceback)?,
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::StopIteration => put_count(out, STOP_ITERATION as u64),
            Self::Exception {
                module,
                class,
                args,
                attributes,
                traceback,
            } => {
                out.extend_from_slice(&[brine::TUPLE_4, brine::TUPLE_2]);
                put_str(out, module);
                put_str(out, class);
                for items in [*args, attributes.0] {
                    put_tuple(out, items.len());
                    items.for_each(|item| out.extend_from_slice(item.as_bytes()));
                }
                put_str(out, traceback);
            }
        }
    }
}
