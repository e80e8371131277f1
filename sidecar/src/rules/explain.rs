//! Explaining an expression: which requests it makes, and which rule decides each.

mod parse;

use std::sync::Arc;

use serde::Serialize;

use self::parse::Expr;
pub use self::parse::ExpressionError;
use super::advisory::{Advisory, follow};
use super::catalogue::{Catalogue, Entry, EntryKind};
use super::file::Policy;
use super::judge::Judge;
use super::live::Live;
use super::operation::{Arg, Does, Operation, Verdict};
use super::role::Role;
use super::thing::{Arrived, Thing, What};

/// One request that an expression makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Such as `CALL hou.node("/obj/a")`.
    pub request: String,
    /// Would it be forwarded, were the role not in shadow mode?
    pub allowed: bool,
    /// The rule that decides.
    pub rule: String,
    /// Why it is denied.
    pub why: Option<String>,
    /// What was taken for granted.
    pub note: Option<String>,
}

/// What became of an expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The role.
    pub role: String,
    /// The expression.
    pub expression: String,
    /// Are all its requests allowed?
    pub allowed: bool,
    /// The rule that decided: of the denial, or of the last request.
    pub rule: String,
    /// Why it is denied, or not known to be allowed.
    pub why: Option<String>,
    /// The requests, up to the first that is denied.
    pub steps: Vec<Step>,
}

/// Judges the requests that an rpyc client makes for an expression, in order. What a call
/// gives is taken from HOM's documentation; where that is not enough, the expression is
/// undecided, and not allowed.
///
/// # Errors
/// [`ExpressionError`] when it is no expression that can be read.
pub fn explain(
    policy: &Policy,
    role: &Role,
    expression: &str,
) -> Result<Explanation, ExpressionError> {
    let parsed = parse::parse(expression)?;
    let mut walk = Walk {
        judge: Judge::new(Arc::new(Live::new(policy.clone())), role),
        steps: Vec::new(),
    };
    let ended = walk.value(&parsed).err();
    let denied = walk.steps.iter().find(|step| !step.allowed);
    let (allowed, rule, why) = match (denied, ended) {
        (Some(step), _) => (false, step.rule.clone(), step.why.clone()),
        (None, Some(Stop::Undecided(why))) => (false, "undecided".into(), Some(why)),
        (None, Some(Stop::Denied) | None) => match walk.steps.last() {
            Some(step) => (true, step.rule.clone(), None),
            None => (true, "local".into(), None),
        },
    };
    Ok(Explanation {
        role: role.as_str().into(),
        expression: expression.into(),
        allowed,
        rule,
        why,
        steps: walk.steps,
    })
}

/// Why the walk does not go on.
enum Stop {
    /// The last step says it.
    Denied,
    /// It is not known what an object is.
    Undecided(String),
}

/// What an expression gives.
#[derive(Debug, Clone)]
enum Value {
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
enum Literal {
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
struct Object {
    thing: Thing,
    /// Where it stands in the scene; of a method, where its object does.
    path: Advisory,
    /// What calling it gives.
    gives: Option<String>,
}

impl Object {
    fn new(thing: Thing) -> Self {
        Self {
            thing,
            path: None,
            gives: None,
        }
    }
}

struct Walk {
    judge: Judge,
    steps: Vec<Step>,
}

const LOCAL: &[&str] = &[
    "len",
    "str",
    "repr",
    "hash",
    "dir",
    "bool",
    "iter",
    "list",
    "tuple",
    "next",
    "int",
    "float",
    "isinstance",
    "obtain",
    "format",
    "getattr",
    "hasattr",
    "setattr",
    "type",
    "buffiter",
];

impl Walk {
    fn value(&mut self, expr: &Expr) -> Result<Value, Stop> {
        Ok(match expr {
            Expr::None => Value::Literal(Literal::None),
            Expr::Bool(value) => Value::Literal(Literal::Bool(*value)),
            Expr::Int(value) => Value::Literal(Literal::Int(*value)),
            Expr::LongInt => Value::Literal(Literal::LongInt),
            Expr::Float(value) => Value::Literal(Literal::Float(*value)),
            Expr::Str(text) => Value::Literal(Literal::Str(text.clone())),
            Expr::Bytes(bytes) => Value::Literal(Literal::Bytes(bytes.clone())),
            Expr::Tuple(items) => {
                let items = items
                    .iter()
                    .map(|item| self.value(item))
                    .collect::<Result<_, _>>()?;
                Value::Literal(Literal::Tuple(items))
            }
            Expr::Display => Value::Client,
            Expr::Name(name) => self.name(name)?,
            Expr::Attr(of, name) => {
                let of = self.value(of)?;
                self.attribute(of, name)?
            }
            Expr::Call(function, args, kwargs) => self.call(function, args, kwargs)?,
            Expr::Index(of, index) => {
                let of = self.value(of)?;
                let index = self.value(index)?;
                self.index(of, &index)?
            }
            Expr::Operator(method, left, right) => {
                let left = self.value(left)?;
                let right = self.value(right)?;
                self.operator(left, method, &right)?
            }
            Expr::Negative(of) => match self.value(of)? {
                Value::Object(object) => self.call_attr(&object, "__neg__", &[])?,
                other => other,
            },
            Expr::Assign(of, name, value) => {
                let of = self.value(of)?;
                self.value(value)?;
                let object = object(of)?;
                let request = format!("SETATTR {}", self.member_name(object.thing, name));
                self.ask(request, object.thing, Does::SetAttr(name), None, None)?;
                Value::Plain
            }
            Expr::Delete(of, name) => {
                let of = self.value(of)?;
                let object = object(of)?;
                let request = format!("DELATTR {}", self.member_name(object.thing, name));
                self.ask(request, object.thing, Does::DelAttr(name), None, None)?;
                Value::Plain
            }
        })
    }

    fn name(&mut self, name: &str) -> Result<Value, Stop> {
        match name {
            "conn" | "connection" => Ok(Value::Connection),
            "root" => Ok(Value::Object(Object::new(Thing::ROOT))),
            "hou" => self.module("hou"),
            _ if LOCAL.contains(&name) => Ok(Value::Local(name.into())),
            _ => Err(Stop::Undecided(format!(
                "{name} is not known here: write hou, conn or root"
            ))),
        }
    }

    fn module(&mut self, name: &str) -> Result<Value, Stop> {
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

    fn attribute(&mut self, of: Value, name: &str) -> Result<Value, Stop> {
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
    fn get(&mut self, of: &Object, name: &str) -> Result<Value, Stop> {
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

    fn call(
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

    fn index(&mut self, of: Value, index: &Value) -> Result<Value, Stop> {
        match (of, index) {
            (Value::Modules, Value::Literal(Literal::Str(name))) => self.module(name),
            // A tuple comes whole.
            (Value::Many(item), _) => Ok(*item),
            (Value::Object(object), index) => {
                self.call_attr(&object, "__getitem__", std::slice::from_ref(index))
            }
            (Value::Unknown(name), _) => Err(undecided(&name)),
            _ => Ok(Value::Plain),
        }
    }

    fn operator(
        &mut self,
        left: Value,
        method: &'static str,
        right: &Value,
    ) -> Result<Value, Stop> {
        known([&left, right].into_iter())?;
        match (left, right) {
            (Value::Object(object), right)
                if ["__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"]
                    .contains(&method) =>
            {
                let mut asked = Ok(());
                let request = format!(
                    "CMP {} {method} {}",
                    self.judge.things().name(object.thing),
                    self.shown(right)
                );
                with_args(std::slice::from_ref(right), &mut |args| {
                    let does = Does::Cmp {
                        op: method,
                        other: args[0],
                    };
                    asked = self.ask(request.clone(), object.thing, does, None, None);
                });
                asked.map(|()| Value::Plain)
            }
            (Value::Object(object), right) => {
                self.call_attr(&object, method, std::slice::from_ref(right))
            }
            (left, Value::Object(object)) => {
                let turned = match method {
                    "__add__" => "__radd__",
                    "__sub__" => "__rsub__",
                    "__mul__" => "__rmul__",
                    "__truediv__" => "__rtruediv__",
                    same => same,
                };
                let object = object.clone();
                self.call_attr(&object, turned, &[left])
            }
            _ => Ok(Value::Plain),
        }
    }

    /// CALLATTR.
    fn call_attr(&mut self, of: &Object, name: &str, args: &[Value]) -> Result<Value, Stop> {
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

    /// Judges one request and writes it down.
    fn ask(
        &mut self,
        request: String,
        on: Thing,
        does: Does<'_>,
        node_path: Option<&str>,
        note: Option<String>,
    ) -> Result<(), Stop> {
        let verdict = self.judge.judge(&Operation {
            on,
            does,
            node_path,
        });
        let allowed = matches!(verdict, Verdict::Allow { .. });
        self.steps.push(Step {
            request,
            allowed,
            rule: verdict.rule().to_owned(),
            why: verdict.why().map(str::to_owned),
            note,
        });
        if allowed { Ok(()) } else { Err(Stop::Denied) }
    }

    fn member_name(&mut self, owner: Thing, name: &str) -> String {
        format!(
            "{}.{}",
            self.judge.things().name(owner),
            name.escape_debug()
        )
    }

    fn shown(&mut self, value: &Value) -> String {
        match value {
            Value::Literal(literal) => match literal {
                Literal::None => "None".into(),
                Literal::Bool(true) => "True".into(),
                Literal::Bool(false) => "False".into(),
                Literal::Int(value) => value.to_string(),
                Literal::LongInt => "<long int>".into(),
                Literal::Float(value) => format!("{value:?}"),
                Literal::Str(text) => format!("{text:?}"),
                Literal::Bytes(bytes) => format!("<{} bytes>", bytes.len()),
                Literal::Tuple(items) => {
                    let items: Vec<String> = items.iter().map(|item| self.shown(item)).collect();
                    format!("({})", items.join(", "))
                }
            },
            Value::Object(object) => format!("<{}>", self.judge.things().name(object.thing)),
            Value::Many(item) => format!("({}, ...)", self.shown(item)),
            Value::Client | Value::Local(_) | Value::Connection | Value::Modules => {
                "<client object>".into()
            }
            Value::Plain | Value::Unknown(_) => "<value>".into(),
        }
    }
}

fn object(value: Value) -> Result<Object, Stop> {
    match value {
        Value::Object(object) => Ok(object),
        Value::Unknown(name) => Err(undecided(&name)),
        _ => Err(Stop::Undecided("this is no object of Houdini".into())),
    }
}

fn known<'a>(values: impl Iterator<Item = &'a Value>) -> Result<(), Stop> {
    for value in values {
        match value {
            Value::Unknown(name) => return Err(undecided(name)),
            Value::Literal(Literal::Tuple(items)) => known(items.iter())?,
            _ => {}
        }
    }
    Ok(())
}

fn undecided(name: &str) -> Stop {
    Stop::Undecided(format!(
        "it is not known here what {name} gives, so nothing can be said of its use"
    ))
}

/// Calls `then` once with the values as arguments.
fn with_args(values: &[Value], then: &mut dyn FnMut(&[Arg<'_>])) {
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
