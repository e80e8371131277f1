mod bounds;
mod naming;
mod objects;
mod requests;

use super::*;
use crate::brine::{self, Int, Value, put_tuple};

/// Messages are made of these.
fn int(value: u64) -> Vec<u8> {
    Value::Int(Int::Small(value as i64)).to_bytes()
}

fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    put_tuple(&mut out, items.len());
    items.iter().for_each(|item| out.extend_from_slice(item));
    out
}

fn boxed(label: u64, value: Vec<u8>) -> Vec<u8> {
    tuple(&[int(label), value])
}

fn plain(value: &Value<'_>) -> Vec<u8> {
    boxed(1, value.to_bytes())
}

fn text(text: &str) -> Vec<u8> {
    plain(&Value::Str(text))
}

fn none() -> Vec<u8> {
    plain(&Value::None)
}

fn empty() -> Vec<u8> {
    plain(&Value::Tuple(vec![]))
}

/// One number for each class.
fn type_id(name: &str) -> u64 {
    name.bytes()
        .fold(1000, |id, byte| (id * 7 + u64::from(byte)) % (1 << 40))
}

fn id(name: &str, object: u64) -> Vec<u8> {
    tuple(&[Value::Str(name).to_bytes(), int(type_id(name)), int(object)])
}

fn theirs(name: &str, object: u64) -> Vec<u8> {
    boxed(3, id(name, object))
}

fn own(name: &str, object: u64) -> Vec<u8> {
    boxed(4, id(name, object))
}

fn of(name: &str, object_id: u64) -> ObjectId<'_> {
    ObjectId {
        name,
        type_id: type_id(name),
        object_id,
    }
}

/// A client and a server that say what they are told to, and what is made of it.
struct Talk {
    conversation: Conversation,
    next: u64,
}

impl Talk {
    fn new() -> Self {
        Self::within(Limits::NARROW)
    }

    fn within(limits: Limits) -> Self {
        Self {
            conversation: Conversation::new(limits),
            next: 0,
        }
    }

    fn say(&mut self, from: Side, payload: &[u8]) -> Result<Said, Breach> {
        let message = Message::read(payload, brine::Limits::NARROW).unwrap();
        match self.conversation.see(from, &message, payload.len())? {
            Step::Asked(asked) => Ok(Said::Asked {
                expression: asked.expression().to_owned(),
                unknown: asked.unknown(),
                drops: asked.drops(),
            }),
            Step::Answered(answered) => Ok(Said::Answered(answered)),
        }
    }

    fn ask_as(
        &mut self,
        from: Side,
        seq: u64,
        handler: u64,
        args: &[Vec<u8>],
    ) -> Result<Said, Breach> {
        self.say(from, &request(seq, handler, args))
    }

    /// Asks as the client; gives the number.
    fn ask(&mut self, handler: u64, args: &[Vec<u8>]) -> u64 {
        let seq = self.next;
        self.next += 1;
        self.ask_as(Side::Client, seq, handler, args).unwrap();
        seq
    }

    fn answer(&mut self, seq: u64, result: Vec<u8>) -> Result<Said, Breach> {
        self.say(Side::Server, &tuple(&[int(2), int(seq), result]))
    }

    /// A whole call of the client; gives what it was.
    fn call(&mut self, handler: u64, args: &[Vec<u8>], result: Vec<u8>) -> Answered {
        let seq = self.ask(handler, args);
        self.answer(seq, result).unwrap().answered()
    }

    fn root(&mut self) {
        self.call(3, &[], own("service", 1));
    }

    /// `hou`, as object 2 by way of `getmodule`, object 3.
    fn hou(&mut self) {
        self.root();
        let getmodule = [theirs("service", 1), text("getmodule")];
        self.call(4, &getmodule, own("method", 3));
        let args = plain(&Value::Tuple(vec![Value::Str("hou")]));
        self.call(7, &[theirs("method", 3), args, empty()], own("module", 2));
    }

    /// The name of an object of the server.
    fn name(&self, class: &str, object: u64) -> Option<String> {
        let known = self.conversation.object(Side::Server, &of(class, object))?;
        Some(known.name())
    }
}

#[derive(Debug, PartialEq)]
enum Said {
    Asked {
        expression: String,
        unknown: usize,
        drops: Option<Dropped>,
    },
    Answered(Answered),
}

impl Said {
    fn answered(self) -> Answered {
        match self {
            Self::Answered(answered) => answered,
            Self::Asked { .. } => panic!("{self:?}"),
        }
    }

    fn unknown(&self) -> usize {
        match self {
            Self::Asked { unknown, .. } => *unknown,
            Self::Answered(answered) => answered.unknown,
        }
    }
}

fn request(seq: u64, handler: u64, args: &[Vec<u8>]) -> Vec<u8> {
    let args = match handler {
        3 => boxed(1, tuple(&[])),
        16 => boxed(1, tuple(args)),
        _ => boxed(2, tuple(args)),
    };
    tuple(&[int(1), int(seq), tuple(&[int(handler), args])])
}

const GETATTR: u64 = 4;
const CALL: u64 = 7;
const CALLATTR: u64 = 8;
const STR: u64 = 10;
const DEL: u64 = 15;
const INSPECT: u64 = 16;

fn drop_args(name: &str, object: u64, count: i64) -> Vec<Vec<u8>> {
    let count = plain(&Value::Int(Int::Small(count)));
    vec![theirs(name, object), count]
}
