//! What the parts of an expression are, as far as that is known before it runs.

use super::walk::Stop;
use crate::rules::advisory::Advisory;
use crate::rules::operation::Arg;
use crate::rules::thing::Thing;

/// What an expression gives.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Plain data that is written in the expression.
    Literal(Literal),
    /// Plain data that is not known.
    Plain,
    /// A tuple of things alike, which comes whole.
    Many(Box<Value>),
    Object(Object),
    /// An object of the client.
    Client,
    /// What the call of this name gave.
    Unknown(String),
    Connection,
    Modules,
    /// A function of the client's own Python.
    Local(String),
}

#[derive(Debug, Clone)]
pub(super) enum Literal {
    None,
    Bool(bool),
    Int(i64),
    LongInt,
    Float(f64),
    Str(String),
    Bytes(Vec<u8>),
    Tuple(Vec<Value>),
}

#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) thing: Thing,
    /// Where it stands in the scene; of a method, where its object does.
    pub(super) path: Advisory,
    /// What calling it gives.
    pub(super) gives: Option<String>,
}

impl Object {
    pub(super) fn new(thing: Thing) -> Self {
        Self {
            thing,
            path: None,
            gives: None,
        }
    }
}

pub(super) fn object(value: Value) -> Result<Object, Stop> {
    match value {
        Value::Object(object) => Ok(object),
        Value::Unknown(name) => Err(undecided(&name)),
        _ => Err(Stop::Undecided("this is no object of Houdini".into())),
    }
}

pub(super) fn known<'a>(values: impl Iterator<Item = &'a Value>) -> Result<(), Stop> {
    for value in values {
        match value {
            Value::Unknown(name) => return Err(undecided(name)),
            Value::Literal(Literal::Tuple(items)) => known(items.iter())?,
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn undecided(name: &str) -> Stop {
    Stop::Undecided(format!(
        "it is not known here what {name} gives, so nothing can be said of its use"
    ))
}

/// Calls `then` once with the values as arguments.
pub(super) fn with_args(values: &[Value], then: &mut dyn FnMut(&[Arg<'_>])) {
    fill(values, Vec::new(), then);
}

/// Tuples are borrowed, so that each level of them lives in a call of its own.
fn fill<'a>(rest: &'a [Value], mut before: Vec<Arg<'a>>, then: &mut dyn FnMut(&[Arg<'_>])) {
    match rest.split_first() {
        None => then(&before),
        Some((Value::Literal(Literal::Tuple(items)), rest)) => with_args(items, &mut |items| {
            let mut all: Vec<Arg<'_>> = before.clone();
            all.push(Arg::Tuple(items));
            fill(rest, all, then);
        }),
        Some((Value::Many(item), rest)) => with_args(std::slice::from_ref(item), &mut |items| {
            let mut all: Vec<Arg<'_>> = before.clone();
            all.push(Arg::Tuple(items));
            fill(rest, all, then);
        }),
        Some((value, rest)) => {
            before.push(match value {
                Value::Literal(literal) => match literal {
                    Literal::None => Arg::None,
                    Literal::Bool(value) => Arg::Bool(*value),
                    Literal::Int(value) => Arg::Int(*value),
                    Literal::LongInt | Literal::Tuple(_) => Arg::LongInt,
                    Literal::Float(value) => Arg::Float(*value),
                    Literal::Str(text) => Arg::Str(text),
                    Literal::Bytes(bytes) => Arg::Bytes(bytes),
                },
                Value::Plain => Arg::OtherPlain,
                Value::Object(object) => Arg::Thing(object.thing),
                _ => Arg::Client,
            });
            fill(rest, before, then);
        }
    }
}
