//! Requests as a Python programmer would write them.

use std::fmt::Write;
use std::ops::Range;

use super::Side;
use super::naming::{OF_ROOT, module_name, root};
use super::objects::{How, Object, Objects};
use super::text::{Text, is_identifier, put_argument, put_str};
use crate::brine::Plain;
use crate::message::{Args, Boxed, Compare, Kwargs, ObjectId, Request};

/// Room for all arguments together, in bytes.
const ARGUMENTS_MAX: usize = 256;

/// Room for an object that is an argument, in bytes.
const REFERENCE_MAX: usize = 96;

impl Request<'_> {
    /// How its arguments are written behind what it is about, each in the place of a `…`.
    pub(super) fn form(&self) -> &'static str {
        match self {
            Self::CallAttr {
                name, args, kwargs, ..
            } if kwargs.is_empty() => match (*name, args.len()) {
                ("__len__" | "__iter__" | "__bool__" | "__nonzero__", 0) => "",
                ("__next__" | "next", 0) | ("__contains__", 1) => "",
                ("__getitem__" | "__delitem__", 1) => "[…]",
                ("__setitem__", 2) => "[…] = …",
                _ => "(…)",
            },
            Self::Call { .. } | Self::CallAttr { .. } | Self::CtxExit { .. } => "(…)",
            Self::SetAttr { .. } => " = …",
            Self::Cmp { op, .. } => match op {
                Compare::Cmp => " <=> …",
                Compare::Eq => " == …",
                Compare::Ne => " != …",
                Compare::Lt => " < …",
                Compare::Gt => " > …",
                Compare::Le => " <= …",
                Compare::Ge => " >= …",
            },
            _ => "",
        }
    }
}

/// Writes requests that go to the side that owns `theirs`, from the one that owns `own`.
pub(super) struct Writer<'t> {
    pub(super) asker: Side,
    pub(super) text: &'t mut Text,
    pub(super) theirs: &'t Objects,
    pub(super) own: &'t Objects,
}

impl Writer<'_> {
    /// Writes the request. Gives where its arguments stand.
    pub(super) fn request(&mut self, request: &Request<'_>) -> Range<usize> {
        match request {
            Request::GetRoot => self.whole(root(self.asker)),
            Request::Close => self.whole("close()"),
            Request::Ping { .. } => self.whole("ping()"),
            Request::GetAttr { target, name } => {
                self.attribute(target, name);
                self.nothing()
            }
            Request::SetAttr {
                target,
                name,
                value,
            } => {
                self.attribute(target, name);
                self.text.push(" = ");
                self.arguments(|writer| writer.boxed(value))
            }
            Request::DelAttr { target, name } => {
                self.text.push("del ");
                self.attribute(target, name);
                self.nothing()
            }
            Request::Call {
                target,
                args,
                kwargs,
            } => {
                self.object(target);
                self.call(args, kwargs)
            }
            Request::CallAttr {
                target,
                name,
                args,
                kwargs,
            } => self.operator(target, name, args, kwargs),
            Request::Repr { target } => self.function("repr", target),
            Request::Str { target } => self.function("str", target),
            Request::Hash { target } => self.function("hash", target),
            Request::Dir { target } => self.function("dir", target),
            Request::Pickle { target, .. } => self.function("pickle.dumps", target),
            Request::Inspect { target } => self.function("inspect", target),
            Request::Del { target, .. } => {
                self.text.push("del ");
                self.object(target);
                self.nothing()
            }
            Request::Cmp { target, other, op } => {
                self.object(target);
                self.text.push(match op {
                    Compare::Cmp => " <=> ",
                    Compare::Eq => " == ",
                    Compare::Ne => " != ",
                    Compare::Lt => " < ",
                    Compare::Gt => " > ",
                    Compare::Le => " <= ",
                    Compare::Ge => " >= ",
                });
                self.arguments(|writer| writer.boxed(other))
            }
            Request::BuffIter { target, count } => {
                self.text.push("islice(");
                self.object(target);
                self.show(format_args!(", {count})"));
                self.nothing()
            }
            Request::OldSlicing {
                target,
                attempt,
                start,
                stop,
                args,
                ..
            } => {
                self.object(target);
                self.show(format_args!(".{attempt}"));
                self.in_parentheses(|writer| {
                    writer.boxed(start);
                    writer.text.push(":");
                    writer.boxed(stop);
                    for arg in args.iter() {
                        writer.text.push(", ");
                        writer.boxed(&arg);
                    }
                })
            }
            Request::CtxExit { target, exception } => {
                self.object(target);
                self.text.push(".__exit__");
                self.in_parentheses(|writer| writer.boxed(exception))
            }
            Request::InstanceCheck { target, other } => {
                self.text.push("isinstance(");
                self.object(other);
                self.text.push(", ");
                self.object(target);
                self.text.push(")");
                self.nothing()
            }
        }
    }

    /// Writes one value.
    pub(super) fn value(&mut self, value: &Boxed<'_>) {
        self.arguments(|writer| writer.boxed(value));
    }

    fn whole(&mut self, text: &str) -> Range<usize> {
        self.text.push(text);
        self.nothing()
    }

    fn nothing(&self) -> Range<usize> {
        self.text.len()..self.text.len()
    }

    fn show(&mut self, text: std::fmt::Arguments<'_>) {
        // It takes whatever comes.
        let _ = self.text.write_fmt(text);
    }

    fn function(&mut self, name: &str, target: &ObjectId<'_>) -> Range<usize> {
        self.text.push(name);
        self.text.push("(");
        self.object(target);
        self.text.push(")");
        self.nothing()
    }

    /// An operator or one of the functions that Python turns into a method of two
    /// underscores.
    fn operator(
        &mut self,
        target: &ObjectId<'_>,
        name: &str,
        args: &Args<'_>,
        kwargs: &Kwargs<'_>,
    ) -> Range<usize> {
        let mut given = args.iter();
        match (name, given.len(), kwargs.is_empty()) {
            ("__len__", 0, true) => self.function("len", target),
            ("__iter__", 0, true) => self.function("iter", target),
            ("__next__" | "next", 0, true) => self.function("next", target),
            ("__bool__" | "__nonzero__", 0, true) => self.function("bool", target),
            ("__getitem__", 1, true) => {
                if !self.is_modules(target) {
                    self.object(target);
                } else {
                    self.text.push("modules");
                }
                self.item(given.next())
            }
            ("__setitem__", 2, true) => {
                self.object(target);
                self.text.push("[");
                let start = self.item_inside(given.next());
                self.text.push("] = ");
                let value = given.next();
                start.start..self.arguments(|writer| writer.optional(value)).end
            }
            ("__delitem__", 1, true) => {
                self.text.push("del ");
                self.object(target);
                self.item(given.next())
            }
            ("__contains__", 1, true) => {
                let value = given.next();
                let range = self.arguments(|writer| writer.optional(value));
                self.text.push(" in ");
                self.object(target);
                range
            }
            _ => {
                self.attribute(target, name);
                self.call(args, kwargs)
            }
        }
    }

    fn is_modules(&self, target: &ObjectId<'_>) -> bool {
        let found = self
            .theirs
            .find(target)
            .and_then(|slot| self.theirs.get(slot));
        found.is_some_and(|object| object.origin.how == How::Modules)
    }

    fn item(&mut self, value: Option<Boxed<'_>>) -> Range<usize> {
        self.text.push("[");
        let range = self.item_inside(value);
        self.text.push("]");
        range
    }

    fn item_inside(&mut self, value: Option<Boxed<'_>>) -> Range<usize> {
        self.arguments(|writer| writer.optional(value))
    }

    fn optional(&mut self, value: Option<Boxed<'_>>) {
        if let Some(value) = value {
            self.boxed(&value);
        }
    }

    fn attribute(&mut self, target: &ObjectId<'_>, name: &str) {
        let how = self
            .theirs
            .find(target)
            .and_then(|slot| self.theirs.get(slot));
        // The client's service has no names that scripts know.
        let how = how.filter(|_| self.asker == Side::Client);
        match how.map(|object| object.origin.how) {
            Some(How::Root) if OF_ROOT.contains(&name) => self.text.push(name),
            Some(How::Root) if name == "_conn" => self.text.push("connection"),
            Some(How::Modules) if module_name(name) => self.text.push(name),
            _ if is_identifier(name) => {
                self.object(target);
                self.text.push(".");
                self.text.push(name);
            }
            _ => {
                self.text.push("getattr(");
                self.object(target);
                self.text.push(", ");
                let _ = put_str(self.text, name);
                self.text.push(")");
            }
        }
    }

    fn call(&mut self, args: &Args<'_>, kwargs: &Kwargs<'_>) -> Range<usize> {
        self.in_parentheses(|writer| {
            let mut first = true;
            for value in args.iter() {
                if writer.text.is_full() {
                    return;
                }
                writer.separate(&mut first);
                writer.boxed(&value);
            }
            for (name, value) in kwargs.iter() {
                if writer.text.is_full() {
                    return;
                }
                writer.separate(&mut first);
                match is_identifier(name) {
                    true => writer.text.push(name),
                    false => drop(put_str(writer.text, name)),
                }
                writer.text.push("=");
                writer.boxed(&value);
            }
        })
    }

    fn separate(&mut self, first: &mut bool) {
        if !std::mem::take(first) {
            self.text.push(", ");
        }
    }

    fn in_parentheses(&mut self, write: impl FnOnce(&mut Writer<'_>)) -> Range<usize> {
        self.text.push("(");
        let range = self.arguments(write);
        self.text.push(")");
        range
    }

    fn arguments(&mut self, write: impl FnOnce(&mut Writer<'_>)) -> Range<usize> {
        let start = self.text.len();
        let (asker, theirs, own) = (self.asker, self.theirs, self.own);
        self.text.within(ARGUMENTS_MAX, |text| {
            write(&mut Writer {
                asker,
                text,
                theirs,
                own,
            });
        });
        start..self.text.len()
    }

    fn boxed(&mut self, value: &Boxed<'_>) {
        match value {
            Boxed::Plain(value) => self.plain(*value),
            Boxed::Local(id) => self.referred(id, self.theirs),
            Boxed::Remote(id) => self.referred(id, self.own),
            Boxed::Tuple(items) => {
                self.text.push("(");
                let count = items.len();
                for (index, item) in items.enumerate() {
                    if self.text.is_full() {
                        return;
                    }
                    if index > 0 {
                        self.text.push(", ");
                    }
                    self.boxed(&item);
                }
                self.text.push(if count == 1 { ",)" } else { ")" });
            }
        }
    }

    fn plain(&mut self, value: Plain<'_>) {
        put_argument(self.text, value);
    }

    fn referred(&mut self, id: &ObjectId<'_>, table: &Objects) {
        self.text
            .within(REFERENCE_MAX, |text| put_object(text, id, table));
    }

    fn object(&mut self, id: &ObjectId<'_>) {
        put_object(self.text, id, self.theirs);
    }
}

/// The name of a known object; of another one its class.
pub(super) fn put_object(text: &mut Text, id: &ObjectId<'_>, table: &Objects) {
    match table.find(id).and_then(|slot| table.get(slot)) {
        Some(object) => put_name(text, object),
        None => {
            text.push("<");
            put_class(text, id);
            text.push(">");
        }
    }
}

pub(super) fn put_name(text: &mut Text, object: &Object) {
    text.push(&object.origin.text);
    if let Some(index) = object.origin.index {
        let _ = write!(text, "[{index}]");
    }
}

/// The last part of a class's name, such as `function`.
pub(super) fn put_class(text: &mut Text, id: &ObjectId<'_>) {
    let short = id.name.rsplit('.').next().unwrap_or(id.name);
    match is_identifier(short) {
        true => text.push(short),
        false => text.push("object"),
    }
}
