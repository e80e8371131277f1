//! Going through an expression in the order in which Python evaluates it.

use super::Step;
use super::parse::Expr;
use super::value::{Literal, Object, Value, known, object, undecided, with_args};
use crate::rules::judge::Judge;
use crate::rules::operation::{Does, Operation, Verdict};
use crate::rules::thing::Thing;

/// Why the walk does not go on.
pub(super) enum Stop {
    /// The last step says it.
    Denied,
    /// It is not known what an object is.
    Undecided(String),
}

pub(super) struct Walk {
    pub(super) judge: Judge,
    pub(super) steps: Vec<Step>,
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
    pub(super) fn value(&mut self, expr: &Expr) -> Result<Value, Stop> {
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
    /// Judges one request and writes it down.
    pub(super) fn ask(
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

    pub(super) fn member_name(&mut self, owner: Thing, name: &str) -> String {
        format!(
            "{}.{}",
            self.judge.things().name(owner),
            name.escape_debug()
        )
    }

    pub(super) fn shown(&mut self, value: &Value) -> String {
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
