//! What a server may ask of its client.
//!
//! `rpyc.classic.connect` gives the server as much power over the client as the client has
//! over the server (`core/service.py::ClassicService`): it may evaluate any Python there. What
//! real scripts need of it is that objects they pass can be called, iterated and read.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::conversation::{Conversation, How, Side};
use crate::exception::ExceptionClass;
use crate::frame;
use crate::head::Kind;
use crate::message::{Body, Message, Owner, Raised, Request};

/// How much of it is let through: the setting `reverse_calls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reverse {
    /// What callbacks need, on objects that the client has passed.
    #[default]
    Guarded,
    /// Everything, as without a guard.
    Open,
}

impl Reverse {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Guarded, Self::Open];

    /// As it is written in a file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guarded => "guarded",
            Self::Open => "open",
        }
    }
}

impl FromStr for Reverse {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        all.find(|reverse| reverse.as_str() == text)
            .ok_or_else(|| format!("{text:?} is neither guarded nor open"))
    }
}

/// Names of two underscores that tell nothing but what is there.
const PLAIN_NAMES: &[&str] = &[
    "__name__",
    "__qualname__",
    "__doc__",
    "__module__",
    "__bool__",
    "__contains__",
    "__delitem__",
    "__enter__",
    "__exit__",
    "__eq__",
    "__ge__",
    "__getitem__",
    "__gt__",
    "__hash__",
    "__index__",
    "__int__",
    "__float__",
    "__iter__",
    "__le__",
    "__len__",
    "__length_hint__",
    "__lt__",
    "__ne__",
    "__next__",
    "__nonzero__",
    "__repr__",
    "__reversed__",
    "__setitem__",
    "__str__",
];

/// Public names by which Python's own objects lead to frames, code and globals.
const INNER_NAMES: &[&str] = &[
    "ag_await",
    "ag_code",
    "ag_frame",
    "cr_await",
    "cr_code",
    "cr_frame",
    "cr_origin",
    "f_back",
    "f_builtins",
    "f_code",
    "f_globals",
    "f_locals",
    "f_trace",
    "func_closure",
    "func_code",
    "func_defaults",
    "func_dict",
    "func_globals",
    "gi_code",
    "gi_frame",
    "gi_yieldfrom",
    "im_class",
    "im_func",
    "im_self",
    "mro",
    "tb_frame",
    "tb_next",
];

/// The exception that a refused request is best answered with. Python looks for names of two
/// underscores by itself, in `isinstance` for example, and passes over nothing else.
pub fn refused_as(request: &Request<'_>) -> ExceptionClass {
    match request {
        Request::GetAttr { name, .. } | Request::CallAttr { name, .. }
            if name.starts_with("__") =>
        {
            ExceptionClass::AttributeError
        }
        _ => ExceptionClass::RuntimeError,
    }
}

/// Whether a request of the server may reach the client; the reason, in words, when not.
///
/// # Errors
///
/// What is wrong with it.
pub fn judge(conversation: &Conversation, request: &Request<'_>) -> Result<(), &'static str> {
    may_ask(conversation, request)?;
    // Put into a list of the script's and taken out again, it would be one that was passed.
    let mut of_the_script = 0;
    let mut attributes = 0;
    request.references(&mut |owner, id| {
        if owner == Owner::Receiver {
            let is_target = of_the_script == 0 && request.target().is_some();
            of_the_script += 1;
            let known = conversation.object(Side::Client, &id);
            let attribute = known.is_some_and(|known| known.how() == How::Attribute);
            attributes += usize::from(attribute && !is_target);
        }
    });
    match attributes {
        0 => Ok(()),
        _ => Err("it hands an attribute of the script's on"),
    }
}

fn may_ask(conversation: &Conversation, request: &Request<'_>) -> Result<(), &'static str> {
    const PASSED: &str = "it is about an object that the script has not passed";
    let known = request
        .target()
        .and_then(|target| conversation.object(Side::Client, &target));
    let how = known.map(|known| known.how());
    let passed = matches!(how, Some(How::Argument | How::Result | How::Attribute));
    match request {
        Request::Ping { .. } | Request::Close | Request::Del { .. } => Ok(()),
        Request::GetRoot => Err("it asks for the service of the script's own Python"),
        Request::Pickle { .. } => Err("it asks for a pickle"),
        Request::SetAttr { .. } | Request::DelAttr { .. } => Err("it changes an attribute"),
        Request::OldSlicing { .. } => Err("it is a slice of Python 2"),
        _ if !passed => Err(PASSED),
        Request::GetAttr { name, .. } if is_plain(name) => match how {
            // One step: what an attribute of an object leads to was not passed.
            Some(How::Attribute) => Err("it goes on from an attribute to another"),
            _ => Ok(()),
        },
        Request::CallAttr { name, .. } if is_plain(name) => Ok(()),
        Request::GetAttr { .. } | Request::CallAttr { .. } => Err("it asks for a private name"),
        Request::Call { .. }
        | Request::Repr { .. }
        | Request::Str { .. }
        | Request::Cmp { .. }
        | Request::Hash { .. }
        | Request::Dir { .. }
        | Request::Inspect { .. }
        | Request::BuffIter { .. }
        | Request::CtxExit { .. }
        | Request::InstanceCheck { .. } => Ok(()),
    }
}

fn is_plain(name: &str) -> bool {
    match name.starts_with('_') {
        true => PLAIN_NAMES.contains(&name),
        false => !INNER_NAMES.contains(&name),
    }
}

/// Whether a message of the server may reach the client although nothing but its head was
/// read. Not a request, which could not be judged, nor an exception, which may name a module.
pub fn may_go_unread(kind: Kind) -> bool {
    kind == Kind::Reply
}

/// What the module of a foreign exception is called at the client.
const REMOTE: &str = "remote ";

/// The frame that brings an exception of the server to the client, where the client would
/// import the module that it names (`core/vinegar.py::load` with `import_custom_exceptions`).
/// In its place another module is named, which no `import` can be written for; the name of
/// the class is still there to be read.
///
/// `None` when the message may go as it is: it is no exception, or one of Python's own, or
/// one whose module was changed on the way here.
pub fn without_module(message: &Message<'_>) -> Option<Vec<u8>> {
    let Body::Exception(Raised::Exception {
        module,
        class,
        args,
        attributes,
        traceback,
    }) = message.body
    else {
        return None;
    };
    if module == "builtins" || module.starts_with(REMOTE) {
        return None;
    }
    let module = format!("{REMOTE}{module}");
    let raised = Raised::Exception {
        module: &module,
        class,
        args,
        attributes,
        traceback,
    };
    let mut payload = Vec::with_capacity(256);
    let body = Body::Exception(raised);
    Message { body, ..*message }.write(&mut payload);
    Some(frame::encode(&payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brine::{Limits, Value};
    use crate::{Family, Head};

    #[test]
    fn a_public_name_is_plain_and_a_private_one_is_not() {
        for name in ["write", "append", "__len__", "__name__", "é"] {
            assert!(is_plain(name), "{name}");
        }
        for name in [
            "__globals__",
            "__class__",
            "__call__",
            "__reduce__",
            "__getattribute__",
            "__dict__",
            "__format__",
            "__init__",
            "_private",
            "gi_frame",
            "f_builtins",
            "_",
            "__",
        ] {
            assert!(!is_plain(name), "{name}");
        }
    }

    /// The frame that a client gets in place of an exception of this module and class.
    fn renamed(module: &str, class: &str, family: Family) -> Option<Vec<u8>> {
        let name = [Value::Str(module), Value::Str(class)].to_vec();
        let raised = Value::Tuple(vec![
            Value::Tuple(name),
            Value::Tuple(vec![Value::Str("the message")]),
            Value::Tuple(vec![]),
            Value::Str("a traceback"),
        ])
        .to_bytes();
        let mut payload = Vec::new();
        let head = Head {
            kind: Kind::Exception,
            ..Head::request(family, 7, 0)
        };
        head.write(&mut payload);
        payload.extend_from_slice(&raised);
        without_module(&Message::read(&payload, Limits::WIDE).unwrap())
    }

    #[test]
    fn no_exception_names_a_module_that_a_client_would_import() {
        for family in [Family::Classic, Family::Six] {
            for module in ["hou", "os.path", "builtins.x", "", "remote", "Remote x"] {
                let frame = renamed(module, "Boom", family).unwrap();
                let payload = &frame[frame::HEADER_LEN..frame.len() - 1];
                let message = Message::read(payload, Limits::WIDE).unwrap();
                let Body::Exception(Raised::Exception {
                    module: named,
                    class,
                    args,
                    traceback,
                    ..
                }) = message.body
                else {
                    panic!("{message:?}");
                };
                assert_eq!(named, format!("remote {module}"));
                assert_eq!((class, args.len(), traceback), ("Boom", 1, "a traceback"));
                assert_eq!((message.seq, message.family), (7, family));
                // Whoever is nearer to the client finds nothing more to do.
                assert_eq!(without_module(&message), None);
            }
            assert_eq!(renamed("builtins", "KeyError", family), None);
        }
    }

    #[test]
    fn only_answers_with_a_value_may_go_unread() {
        assert!(may_go_unread(Kind::Reply));
        assert!(!may_go_unread(Kind::Exception));
        assert!(!may_go_unread(Kind::Request { handler: 1 }));
    }

    #[test]
    fn the_setting_is_read_as_it_is_written() {
        for reverse in Reverse::ALL {
            assert_eq!(reverse.as_str().parse(), Ok(reverse));
        }
        assert!("Open".parse::<Reverse>().is_err());
        assert_eq!(Reverse::default(), Reverse::Guarded);
    }
}
