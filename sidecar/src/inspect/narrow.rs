//! Judging requests in a narrow role, and knowing what Houdini's objects are.

use std::sync::Arc;

use rpyc::brine::{Int, Value};
use rpyc::ids::trim;
use rpyc::message::Owner;
use rpyc::{Boxed, Ids, Message, ObjectId, Request};

use crate::rules::{Arg, Arrived, Does, Judge, Live, Operation, Role, Thing, Verdict, follow};

/// The judge of one session, and what each object is that the script can name.
#[derive(Debug)]
pub(super) struct Bench {
    judge: Judge,
    held: Ids<Key, Held>,
}

/// The ids of class and object. A name is a claim; these are what the server looks up.
type Key = (u64, u64);

#[derive(Debug)]
struct Held {
    thing: Thing,
    /// Of a node or parm, or of a method of one.
    path: Option<Arc<str>>,
}

/// A request that was forwarded, as far as its answer will need it.
#[derive(Debug)]
pub(super) struct Asked {
    on: Thing,
    kind: Kind,
    path: Option<Arc<str>>,
    /// Was it forwarded although it would be denied? Then nothing is known of what comes.
    shadow: bool,
}

impl Asked {
    /// What was forwarded although nobody could judge it.
    pub(super) const UNJUDGED: Self = Self {
        on: Thing::UNKNOWN,
        kind: Kind::Other,
        path: None,
        shadow: true,
    };
}

#[derive(Debug)]
enum Kind {
    GetRoot,
    GetAttr(Box<str>),
    /// With the one text that is its argument.
    Call(Option<Box<str>>),
    Other,
}

/// What becomes of a request.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) asked: Asked,
    /// The Python exception that a denial is best raised as.
    pub(super) raised_as: &'static str,
}

fn key(id: &ObjectId<'_>) -> Key {
    (id.type_id, id.object_id)
}

impl Bench {
    pub(super) fn new(live: Arc<Live>, role: &Role) -> Self {
        Self {
            judge: Judge::new(live, role),
            held: Ids::default(),
        }
    }

    /// Are denials carried out, at this moment?
    pub(super) fn enforces(&mut self) -> bool {
        self.judge.enforces()
    }

    fn thing(&self, id: &ObjectId<'_>) -> Thing {
        self.held
            .get(&key(id))
            .map_or(Thing::UNKNOWN, |held| held.thing)
    }

    /// Judges a request of the script.
    pub(super) fn judge(&mut self, request: &Request<'_>) -> Judged {
        let target = request.target();
        let on = target
            .as_ref()
            .map_or(Thing::CONNECTION, |id| self.thing(id));
        let held = target.as_ref().and_then(|id| self.held.get(&key(id)));
        let node_path = held.and_then(|held| held.path.clone());

        let boxed: Vec<Boxed<'_>> = positional(request);
        let inner: Vec<Vec<Arg<'_>>> = boxed.iter().map(|value| self.items(value)).collect();
        let args: Vec<Arg<'_>> = boxed
            .iter()
            .zip(&inner)
            .map(|(value, items)| self.arg(value, items))
            .collect();
        let named: Vec<(&str, Boxed<'_>)> = keywords(request);
        let named_inner: Vec<Vec<Arg<'_>>> =
            named.iter().map(|(_, value)| self.items(value)).collect();
        let kwargs: Vec<(&str, Arg<'_>)> = named
            .iter()
            .zip(&named_inner)
            .map(|((name, value), items)| (*name, self.arg(value, items)))
            .collect();
        let first = args.first().copied().unwrap_or(Arg::None);

        let does = match request {
            Request::Ping { .. } => Does::Ping(first),
            Request::Close => Does::Close,
            Request::GetRoot => Does::GetRoot,
            Request::GetAttr { name, .. } => Does::GetAttr(name),
            Request::DelAttr { name, .. } => Does::DelAttr(name),
            Request::SetAttr { name, .. } => Does::SetAttr(name),
            Request::Call { .. } => Does::Call {
                args: &args,
                kwargs: &kwargs,
            },
            Request::CallAttr { name, .. } => Does::CallAttr {
                name,
                args: &args,
                kwargs: &kwargs,
            },
            Request::Repr { .. } => Does::Repr,
            Request::Str { .. } => Does::Str,
            Request::Hash { .. } => Does::Hash,
            Request::Dir { .. } => Does::Dir,
            Request::Cmp { op, .. } => Does::Cmp {
                op: op.method(),
                other: first,
            },
            Request::Pickle { .. } => Does::Pickle,
            Request::Del { .. } => Does::Del,
            Request::Inspect { .. } => Does::Inspect,
            Request::BuffIter { count, .. } => Does::BuffIter { count: *count },
            Request::OldSlicing { .. } => Does::OldSlicing,
            Request::CtxExit { .. } => Does::CtxExit { exception: first },
            Request::InstanceCheck { other, .. } => Does::InstanceCheck {
                other: self.thing(other),
            },
        };
        let operation = Operation {
            on,
            does,
            node_path: node_path.as_deref(),
        };
        let verdict = self.judge.judge(&operation);
        let raised_as = Verdict::raised_as(&does);
        let (kind, path) = match &does {
            Does::GetRoot => (Kind::GetRoot, None),
            Does::GetAttr(name) => (Kind::GetAttr((*name).into()), node_path),
            Does::Call { args, .. } => {
                let function = self.judge.things().name(on);
                let only = match args {
                    [Arg::Str(text)] => Some((*text).into()),
                    _ => None,
                };
                let path = follow(node_path.as_deref(), &function, args).map(Arc::from);
                (Kind::Call(only), path)
            }
            _ => (Kind::Other, None),
        };
        let shadow = matches!(verdict, Verdict::WouldDeny { .. });
        Judged {
            verdict,
            asked: Asked {
                on,
                kind,
                path,
                shadow,
            },
            raised_as,
        }
    }

    /// The elements of a tuple; what is nested in it further is no exact value any more.
    fn items<'a>(&self, value: &Boxed<'a>) -> Vec<Arg<'a>> {
        match value {
            Boxed::Tuple(items) => items.map(|item| self.arg(&item, &[])).collect(),
            Boxed::Plain(plain) => match plain.as_tuple() {
                Some(items) => items
                    .map(|item| self.arg(&Boxed::Plain(item), &[]))
                    .collect(),
                None => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn arg<'a>(&self, value: &Boxed<'a>, items: &'a [Arg<'a>]) -> Arg<'a> {
        match value {
            Boxed::Local(id) => Arg::Thing(self.thing(id)),
            Boxed::Remote(_) => Arg::Client,
            // An object of the client within a tuple within a tuple is one all the same.
            Boxed::Tuple(_) if items.is_empty() => Arg::Client,
            Boxed::Tuple(_) => Arg::Tuple(items),
            Boxed::Plain(plain) => match plain.as_tuple() {
                Some(all) if all.len() == items.len() => Arg::Tuple(items),
                Some(_) => Arg::OtherPlain,
                None => scalar(plain.value()),
            },
        }
    }

    /// The script has let go of an object for the last time: from here on its id may be
    /// that of another one, of which nothing is known until Houdini gives it out.
    pub(super) fn dropped(&mut self, id: &ObjectId<'_>) {
        let key = key(id);
        let stays = self
            .held
            .get(&key)
            .is_some_and(|held| self.judge.things().stays_forbidden(held.thing));
        if !stays {
            self.held.remove(&key);
            trim(&mut self.held);
        }
    }

    /// Takes note of what came of a request.
    pub(super) fn answered(&mut self, asked: &Asked, message: &Message<'_>) {
        let text = match &asked.kind {
            Kind::Call(Some(text)) => Some(Arg::Str(text)),
            _ => None,
        };
        let does = match &asked.kind {
            Kind::GetRoot => Does::GetRoot,
            Kind::GetAttr(name) => Does::GetAttr(name),
            Kind::Call(_) => Does::Call {
                args: text.as_slice(),
                kwargs: &[],
            },
            Kind::Other => Does::Repr,
        };
        let operation = Operation {
            on: asked.on,
            does,
            node_path: None,
        };
        let (judge, held) = (&mut self.judge, &mut self.held);
        message.references(|owner, id| {
            if owner != Owner::Sender {
                return;
            }
            let arrived = Arrived {
                name: id.name,
                is_class: id.is_class(),
            };
            let new = match asked.shadow {
                true => Thing::UNKNOWN,
                false => judge.arrive(&operation, arrived),
            };
            let key = key(&id);
            let thing = match held.get(&key) {
                Some(old) => judge.things().meet(old.thing, new),
                None => new,
            };
            // Another way to the same object may lead by another path: none is sure then.
            let path = match held.get(&key) {
                Some(old) if old.path != asked.path => None,
                _ => asked.path.clone(),
            };
            held.insert(key, Held { thing, path });
        });
    }
}

fn positional<'a>(request: &Request<'a>) -> Vec<Boxed<'a>> {
    match request {
        Request::Ping { data } => vec![*data],
        Request::SetAttr { value, .. } => vec![*value],
        Request::Call { args, .. } | Request::CallAttr { args, .. } => args.iter().collect(),
        Request::Cmp { other, .. } => vec![*other],
        Request::CtxExit { exception, .. } => vec![*exception],
        _ => Vec::new(),
    }
}

fn keywords<'a>(request: &Request<'a>) -> Vec<(&'a str, Boxed<'a>)> {
    match request {
        Request::Call { kwargs, .. } | Request::CallAttr { kwargs, .. } => kwargs.iter().collect(),
        _ => Vec::new(),
    }
}

fn scalar(value: Value<'_>) -> Arg<'_> {
    match value {
        Value::None => Arg::None,
        Value::Bool(value) => Arg::Bool(value),
        Value::Int(Int::Small(value)) => Arg::Int(value),
        Value::Int(Int::Big(_)) => Arg::LongInt,
        Value::Float(value) => Arg::Float(value),
        Value::Str(text) => Arg::Str(text),
        Value::Bytes(bytes) => Arg::Bytes(bytes),
        _ => Arg::OtherPlain,
    }
}
