//! What a request is about, and what its result will be called.

use std::sync::Arc;

use super::Weight;
use super::objects::{How, Object};
use super::text::{Names, is_dotted};
use crate::message::{Args, Request};

/// What the service of a classic server has, known to scripts under these names alone.
pub(super) const OF_ROOT: [&str; 4] = ["getmodule", "execute", "eval", "namespace"];

/// Names that a module must not take, so that no one can pose as another.
const TAKEN: [&str; 8] = [
    "root",
    "connection",
    "modules",
    "getmodule",
    "execute",
    "eval",
    "namespace",
    "client",
];

/// What a request is about, and what its result will be called.
pub(super) struct Subject {
    /// The class of the object, or the module that it is.
    pub(super) class: Arc<str>,
    /// The method or attribute.
    pub(super) method: Arc<str>,
    pub(super) naming: Naming,
    pub(super) weight: Weight,
}

/// How an object that answers a request was got.
#[derive(Debug)]
pub(super) enum Naming {
    /// By the request's own expression.
    Result,
    /// It is an attribute of the request's target.
    Attribute,
    /// It has a name of its own.
    Own(How, Arc<str>),
}

/// What the request is about. `target` is the object that it names, when that is known.
pub(super) fn subject(
    request: &Request<'_>,
    target: Option<&Object>,
    names: &mut Names,
) -> Subject {
    let class = match (target, request.target()) {
        (Some(object), _) => object.class().clone(),
        (None, Some(id)) => names.get(id.name),
        (None, None) => names.get("connection"),
    };
    let of_call = match (
        request,
        target.and_then(|object| object.origin.member.as_ref()),
    ) {
        (Request::Call { .. }, Some((class, method))) => Some((class.clone(), method.clone())),
        _ => None,
    };
    let (class, method) = of_call.unwrap_or_else(|| (class, names.get(method(request))));
    let naming = naming(request, target, &class, &method, names);
    let weight = weight(request, &method);
    Subject {
        class,
        method,
        naming,
        weight,
    }
}

/// The method or attribute that is asked for.
pub(super) fn method<'a>(request: &Request<'a>) -> &'a str {
    match request {
        Request::GetAttr { name, .. }
        | Request::SetAttr { name, .. }
        | Request::DelAttr { name, .. }
        | Request::CallAttr { name, .. } => name,
        Request::Call { .. } => "__call__",
        Request::Repr { .. } => "__repr__",
        Request::Str { .. } => "__str__",
        Request::Hash { .. } => "__hash__",
        Request::Dir { .. } => "__dir__",
        Request::Cmp { op, .. } => op.method(),
        Request::Pickle { .. } => "__reduce_ex__",
        Request::BuffIter { .. } => "__next__",
        Request::OldSlicing { fallback, .. } => fallback,
        Request::CtxExit { .. } => "__exit__",
        Request::InstanceCheck { .. } => "__instancecheck__",
        Request::Inspect { .. } => "inspect",
        Request::Del { .. } => "del",
        Request::GetRoot => "root",
        Request::Ping { .. } => "ping",
        Request::Close => "close",
    }
}

fn weight(request: &Request<'_>, method: &str) -> Weight {
    match request {
        Request::GetRoot
        | Request::Inspect { .. }
        | Request::Del { .. }
        | Request::Hash { .. }
        | Request::InstanceCheck { .. }
        | Request::Ping { .. }
        | Request::Close => Weight::Housekeeping,
        // What hrpyc calls around each call on `hou`.
        Request::GetAttr { .. } | Request::Call { .. }
            if matches!(method, "_syncFromMainContext" | "_syncToMainContext") =>
        {
            Weight::Housekeeping
        }
        Request::GetAttr { .. } => Weight::Lookup,
        _ => Weight::Call,
    }
}

fn naming(
    request: &Request<'_>,
    target: Option<&Object>,
    class: &str,
    method: &str,
    names: &mut Names,
) -> Naming {
    let how = target.map(|object| object.origin.how);
    let own = |how, name: &str, names: &mut Names| Naming::Own(how, names.get(name));
    match request {
        Request::GetRoot => own(How::Root, "root", names),
        Request::GetAttr { name, .. } => match (how, *name) {
            (Some(How::Root), "_conn") => own(How::Connection, "connection", names),
            (Some(How::Connection), "modules") => own(How::Modules, "connection.modules", names),
            (Some(How::Modules), name) => match module_name(name) {
                true => own(How::Module, name, names),
                false => Naming::Attribute,
            },
            _ => Naming::Attribute,
        },
        Request::Call { args, .. } if class == "root" => match method {
            "getconn" => own(How::Connection, "connection", names),
            "getmodule" => imported(args, names),
            _ => Naming::Result,
        },
        Request::CallAttr { args, .. } if how == Some(How::Modules) && method == "__getitem__" => {
            imported(args, names)
        }
        _ => Naming::Result,
    }
}

/// The module that is asked for by its name, or by the parts of it in a tuple.
fn imported(args: &Args<'_>, names: &mut Names) -> Naming {
    let first = args.iter().next().and_then(|value| value.plain());
    let name = first.and_then(|value| match value.as_tuple() {
        Some(parts) if parts.len() <= 16 => {
            let parts: Option<Vec<_>> = parts.map(|part| part.as_str()).collect();
            parts.map(|parts| parts.join("."))
        }
        Some(_) => None,
        None => value.as_str().map(str::to_owned),
    });
    match name {
        Some(name) if module_name(&name) => Naming::Own(How::Module, names.get(&name)),
        _ => Naming::Result,
    }
}

/// May a module go by this name alone?
pub(super) fn module_name(name: &str) -> bool {
    is_dotted(name) && !TAKEN.contains(&name)
}
