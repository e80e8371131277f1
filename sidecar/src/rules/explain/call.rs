//! Calls, and what they give.

use super::parse::Expr;
use super::value::{Literal, Object, Value, known, with_args};
use super::walk::{Stop, Walk};
use crate::rules::advisory::{Advisory, follow};
use crate::rules::catalogue::Catalogue;
use crate::rules::operation::{Arg, Does};
use crate::rules::thing::{Thing, What};

impl Walk {
    pub(super) fn call(
        &mut self,
        function: &Expr,
        args: &[Expr],
        kwargs: &[(String, Expr)],
    ) -> Result<Value, Stop> {
        let function = self.value(function)?;
        let args = args
            .iter()
            .map(|arg| self.value(arg))
            .collect::<Result<Vec<_>, _>>()?;
        let mut named = Vec::new();
        for (name, value) in kwargs {
            named.push((name.clone(), self.value(value)?));
        }
        match function {
            Value::Object(object) => self.call_object(&object, &args, &named),
            Value::Local(name) => self.call_local(&name, &args),
            Value::Connection | Value::Modules => {
                Err(Stop::Undecided("the connection is no function".into()))
            }
            _ => Ok(Value::Plain),
        }
    }

    fn call_object(
        &mut self,
        of: &Object,
        args: &[Value],
        kwargs: &[(String, Value)],
    ) -> Result<Value, Stop> {
        let name = self.judge.things().name(of.thing);
        let shown = args.iter().map(|arg| self.shown(arg));
        let mut shown: Vec<String> = shown.collect();
        for (name, value) in kwargs {
            shown.push(format!("{name}={}", self.shown(value)));
        }
        let request = format!("CALL {name}({})", shown.join(", "));
        known(args.iter().chain(kwargs.iter().map(|(_, value)| value)))?;
        let mut asked = Ok(None);
        let values: Vec<Value> = args
            .iter()
            .chain(kwargs.iter().map(|(_, value)| value))
            .cloned()
            .collect();
        with_args(&values, &mut |all| {
            let (positional, rest) = all.split_at(args.len());
            let kwargs: Vec<(&str, Arg<'_>)> = kwargs
                .iter()
                .map(|(name, _)| name.as_str())
                .zip(rest.iter().copied())
                .collect();
            let does = Does::Call {
                args: positional,
                kwargs: &kwargs,
            };
            asked = self
                .ask(request.clone(), of.thing, does, of.path.as_deref(), None)
                .map(|()| follow(of.path.as_deref(), &name, positional));
        });
        let path = asked?;
        let gives = of.gives.clone();
        if of.thing == Thing::GETMODULE
            && let [Value::Literal(Literal::Str(module))] = args
        {
            self.steps.pop();
            return self.module(module);
        }
        self.result(&name, gives.as_deref(), path)
    }

    /// What a call gives, as far as it is known.
    fn result(&mut self, name: &str, gives: Option<&str>, path: Advisory) -> Result<Value, Stop> {
        Ok(match gives {
            None | Some("*-") => Value::Unknown(name.into()),
            Some("value") => Value::Plain,
            Some(many) if many.starts_with('*') => {
                Value::Many(Box::new(self.result(name, Some(&many[1..]), None)?))
            }
            Some(class) => {
                let thing = self.judge.things().instance(class);
                Value::Object(Object {
                    thing,
                    path,
                    gives: None,
                })
            }
        })
    }

    /// Functions of the client's own Python, which ask the object themselves.
    fn call_local(&mut self, name: &str, args: &[Value]) -> Result<Value, Stop> {
        let Some(Value::Object(first)) = args.first().cloned() else {
            known(args.iter())?;
            return Ok(Value::Plain);
        };
        let thing = self.judge.things().name(first.thing);
        let whole = |walk: &mut Self, word: &str, does| {
            walk.ask(format!("{word} {thing}"), first.thing, does, None, None)
        };
        match (name, args.get(1)) {
            ("str" | "format", _) => whole(self, "STR", Does::Str)?,
            ("repr", _) => whole(self, "REPR", Does::Repr)?,
            ("hash", _) => whole(self, "HASH", Does::Hash)?,
            ("dir", _) => whole(self, "DIR", Does::Dir)?,
            ("obtain", _) => whole(self, "PICKLE", Does::Pickle)?,
            ("buffiter", _) => whole(self, "BUFFITER", Does::BuffIter { count: 1000 })?,
            ("isinstance", Some(Value::Object(class))) => {
                let does = Does::InstanceCheck { other: first.thing };
                let request = format!("INSTANCECHECK {}", self.judge.things().name(class.thing));
                self.ask(request, class.thing, does, None, None)?;
            }
            ("getattr" | "hasattr", Some(Value::Literal(Literal::Str(member)))) => {
                return self.get(&first, member);
            }
            ("setattr", Some(Value::Literal(Literal::Str(member)))) => {
                let request = format!("SETATTR {}", self.member_name(first.thing, member));
                self.ask(request, first.thing, Does::SetAttr(member), None, None)?;
            }
            ("len" | "bool" | "iter" | "next" | "int" | "float", _) => {
                return self.call_attr(&first, &format!("__{name}__"), &[]);
            }
            ("list" | "tuple", _) => {
                self.call_attr(&first, "__iter__", &[])?;
                return Ok(Value::Client);
            }
            _ => {
                return Err(Stop::Undecided(format!(
                    "what {name} asks of an object is not known here"
                )));
            }
        }
        Ok(Value::Plain)
    }

    /// CALLATTR.
    pub(super) fn call_attr(
        &mut self,
        of: &Object,
        name: &str,
        args: &[Value],
    ) -> Result<Value, Stop> {
        known(args.iter())?;
        let shown: Vec<String> = args.iter().map(|arg| self.shown(arg)).collect();
        let full = self.member_name(of.thing, name);
        let request = format!("CALLATTR {full}({})", shown.join(", "));
        let mut asked = Ok(());
        with_args(args, &mut |args| {
            let does = Does::CallAttr {
                name,
                args,
                kwargs: &[],
            };
            asked = self.ask(request.clone(), of.thing, does, of.path.as_deref(), None);
        });
        asked?;
        if [
            "__len__",
            "__bool__",
            "__contains__",
            "__int__",
            "__float__",
        ]
        .contains(&name)
        {
            return Ok(Value::Plain);
        }
        let gives = match self.judge.things().what(of.thing) {
            What::Instance(class) => Catalogue::get()
                .member(class, name)
                .and_then(|(_, entry)| entry.gives),
            _ => None,
        };
        self.result(&full, gives, None)
    }
}
