//! Attributes, and what they are.

use super::value::{Object, Value, undecided};
use super::walk::{Stop, Walk};
use crate::rules::catalogue::{Catalogue, Entry, EntryKind};
use crate::rules::operation::{Arg, Does, Operation};
use crate::rules::thing::{Arrived, Thing, What};

impl Walk {
    pub(super) fn module(&mut self, name: &str) -> Result<Value, Stop> {
        let args = [Arg::Str(name)];
        let does = Does::Call {
            args: &args,
            kwargs: &[],
        };
        self.ask(
            format!("CALL conn.root.getmodule({name:?})"),
            Thing::GETMODULE,
            does,
            None,
            None,
        )?;
        let operation = Operation::new(Thing::GETMODULE, does);
        let arrived = Arrived {
            name: "builtins.module",
            is_class: false,
        };
        Ok(Value::Object(Object::new(
            self.judge.arrive(&operation, arrived),
        )))
    }

    pub(super) fn attribute(&mut self, of: Value, name: &str) -> Result<Value, Stop> {
        match of {
            Value::Connection => match name {
                "root" => Ok(Value::Object(Object::new(Thing::ROOT))),
                "modules" => Ok(Value::Modules),
                "builtin" | "builtins" => self.module("builtins"),
                "eval" | "execute" | "namespace" => {
                    self.attribute(Value::Object(Object::new(Thing::ROOT)), name)
                }
                _ => Err(Stop::Undecided(format!("conn.{name} is not known here"))),
            },
            Value::Modules => self.module(name),
            Value::Object(object) => self.get(&object, name),
            Value::Unknown(call) => Err(undecided(&call)),
            // Of plain data, in the client's own Python.
            _ => Ok(Value::Local(name.into())),
        }
    }

    /// GETATTR.
    pub(super) fn get(&mut self, of: &Object, name: &str) -> Result<Value, Stop> {
        let (owner, note) = self.concrete(of.thing, name);
        let request = format!("GETATTR {}", self.member_name(owner, name));
        self.ask(
            request,
            owner,
            Does::GetAttr(name),
            of.path.as_deref(),
            note,
        )?;
        let operation = Operation::new(owner, Does::GetAttr(name));
        if name.starts_with("__")
            || self.is_date(owner) && !["isoformat", "timestamp"].contains(&name)
        {
            return Ok(Value::Plain);
        }
        let (arrived, gives) = self.expected(owner, name);
        let thing = self.judge.arrive(
            &operation,
            Arrived {
                name: &arrived.0,
                is_class: arrived.1,
            },
        );
        Ok(Value::Object(Object {
            thing,
            path: of.path.clone(),
            gives,
        }))
    }

    fn is_date(&mut self, thing: Thing) -> bool {
        matches!(self.judge.things().what(thing), What::Instance(class) if &**class == "datetime.datetime")
    }

    /// A node is given as an `OpNode`; at run time it is of a class made from that. Where
    /// only such a class has the member, that one is meant.
    fn concrete(&mut self, owner: Thing, name: &str) -> (Thing, Option<String>) {
        let What::Instance(class) = self.judge.things().what(owner).clone() else {
            return (owner, None);
        };
        let mut tried = vec![class.to_string()];
        tried.extend(
            Catalogue::get()
                .subclasses(&class)
                .into_iter()
                .map(str::to_owned),
        );
        for candidate in &tried {
            let thing = self.judge.things().instance(candidate);
            let verdict = self
                .judge
                .judge(&Operation::new(thing, Does::GetAttr(name)));
            let decided = verdict.why().is_none() || verdict.rule() != "default";
            if decided {
                let note = (thing != owner).then(|| format!("if the object is a {candidate}"));
                return (thing, note);
            }
        }
        // Denied everywhere: the class that has it explains why.
        let known = tried
            .iter()
            .find(|class| Catalogue::get().member(class, name).is_some());
        match known {
            Some(known) if known.as_str() != &*class => {
                let note = format!("if the object is a {known}");
                (self.judge.things().instance(known), Some(note))
            }
            _ => (owner, None),
        }
    }

    /// What an attribute is, and what calling it gives.
    fn expected(&mut self, owner: Thing, name: &str) -> ((String, bool), Option<String>) {
        let function = ("builtins.function".to_owned(), false);
        let (class, is_module, is_class) = match self.judge.things().what(owner) {
            What::Module(module) => (module.clone(), true, false),
            What::Class(class) => (class.clone(), false, true),
            What::Instance(class) => (class.clone(), false, false),
            _ => return (function, None),
        };
        let catalogue = Catalogue::get();
        if let Some(gives) = builtin_gives(&class, name) {
            return (function, Some(gives.into()));
        }
        let path = format!("{class}.{name}");
        match catalogue.member(&class, name) {
            Some((
                _,
                Entry {
                    kind: EntryKind::Type | EntryKind::New | EntryKind::Enum,
                    ..
                },
            )) if is_module => ((path.clone(), true), Some(path)),
            Some((
                _,
                Entry {
                    kind: EntryKind::Static,
                    reason: "type",
                    ..
                },
            )) => ((path, true), None),
            Some((_, entry)) => (function, entry.gives.map(str::to_owned)),
            None if is_class
                && catalogue
                    .entry(&class)
                    .is_some_and(|entry| entry.kind == EntryKind::Enum) =>
            {
                (("hou.EnumValue".into(), false), None)
            }
            None if is_module && name.starts_with(|first: char| first.is_uppercase()) => {
                ((path.clone(), true), Some(path))
            }
            None => (function, None),
        }
    }
}

/// What the methods of Python's own containers give.
fn builtin_gives(class: &str, name: &str) -> Option<&'static str> {
    match (class, name) {
        ("builtins.dict", "keys") => Some("builtins.dict_keys"),
        ("builtins.dict", "values") => Some("builtins.dict_values"),
        ("builtins.dict", "items") => Some("builtins.dict_items"),
        ("builtins.list" | "builtins.tuple", "index" | "count") => Some("value"),
        ("datetime.datetime", "isoformat" | "timestamp") => Some("value"),
        _ => None,
    }
}
