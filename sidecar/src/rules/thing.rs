//! What the objects of the server are, as far as one session knows.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::floor;
use super::operation::{Arg, Does, Operation};

/// Distinct things that one session remembers; more of them are [`Thing::UNKNOWN`].
const MOST: usize = 1 << 14;
/// The longest name of a class or a module in bytes.
const LONGEST: usize = 256;

/// What an object of the server is. Cheap to copy and to compare; it means something to the
/// [`Things`] of one session only, and survives a reload of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thing(u32);

impl Thing {
    /// The connection itself: PING, CLOSE and GETROOT are asked of it.
    pub const CONNECTION: Self = Self(0);
    /// The service that `conn.root` is.
    pub const ROOT: Self = Self(1);
    /// The service's `getmodule`.
    pub const GETMODULE: Self = Self(2);
    /// An object of which nothing is known.
    pub const UNKNOWN: Self = Self(3);
    /// A forbidden object of which there is no room to say what it is.
    const FORBIDDEN: Self = Self(4);

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a [`Thing`] stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// See [`Thing::CONNECTION`].
    Connection,
    /// See [`Thing::ROOT`].
    Root,
    /// See [`Thing::GETMODULE`].
    GetModule,
    /// A module, by the name under which it was asked for; never by its class.
    Module(Arc<str>),
    /// A class, by its own name, such as `hou.Vector3`.
    Class(Arc<str>),
    /// An object, by the name of its class, such as `hou.ObjNode` or `builtins.dict`.
    Instance(Arc<str>),
    /// A function or a method, by where it was got.
    Function {
        /// The module, class or object that it is an attribute of.
        owner: Thing,
        /// Its name there.
        name: Arc<str>,
    },
    /// It may be held, since every stock client fetches it while it connects, but not used.
    Forbidden(Arc<str>),
    /// It came from where nothing is known of what comes.
    Unknown(Arc<str>),
}

/// An object that the server has sent: the first field of its id pack, and whether the third
/// one is 0.
#[derive(Debug, Clone, Copy)]
pub struct Arrived<'a> {
    /// Such as `hou.ObjNode`.
    pub name: &'a str,
    /// Is it a class?
    pub is_class: bool,
}

/// The things of one session.
#[derive(Debug)]
pub struct Things {
    all: Vec<What>,
    index: HashMap<What, Thing>,
}

impl Default for Things {
    fn default() -> Self {
        let mut things = Self {
            all: Vec::new(),
            index: HashMap::new(),
        };
        let unknown = What::Unknown("an object of which nothing is known".into());
        let forbidden = What::Forbidden("an object that was forbidden".into());
        for (what, thing) in [
            (What::Connection, Thing::CONNECTION),
            (What::Root, Thing::ROOT),
            (What::GetModule, Thing::GETMODULE),
            (unknown, Thing::UNKNOWN),
            (forbidden, Thing::FORBIDDEN),
        ] {
            let made = things.intern(what);
            debug_assert_eq!(made, thing);
        }
        things
    }
}

impl Things {
    /// What a thing stands for.
    pub(super) fn what(&self, thing: Thing) -> &What {
        // A thing of another session is an error of the caller; it must not become a right.
        self.all
            .get(thing.index())
            .unwrap_or(&self.all[Thing::UNKNOWN.index()])
    }

    /// The thing that stands for `what`.
    fn intern(&mut self, what: What) -> Thing {
        if let Some(thing) = self.index.get(&what) {
            return *thing;
        }
        if self.all.len() >= MOST {
            return Thing::UNKNOWN;
        }
        let thing = Thing(self.all.len() as u32);
        self.all.push(what.clone());
        self.index.insert(what, thing);
        thing
    }

    /// An object of a class, `hou.ObjNode` for instance.
    pub fn instance(&mut self, class: &str) -> Thing {
        self.named(class, What::Instance)
    }

    /// A class.
    pub fn class(&mut self, name: &str) -> Thing {
        self.named(name, What::Class)
    }

    /// A module that was asked for by this name.
    pub fn module(&mut self, name: &str) -> Thing {
        self.named(name, What::Module)
    }

    /// The attribute `name` of `owner`, where it is a function.
    pub fn function(&mut self, owner: Thing, name: &str) -> Thing {
        self.named(name, |name| What::Function { owner, name })
    }

    fn named(&mut self, name: &str, make: impl FnOnce(Arc<str>) -> What) -> Thing {
        if name.len() > LONGEST {
            return Thing::UNKNOWN;
        }
        self.intern(make(name.into()))
    }

    /// What the server's answer to an operation is. Meant for what was allowed: what comes
    /// of an operation that was not is unknown.
    ///
    /// An object that is in the table already keeps its entry's past: see [`meet`](Self::meet).
    pub fn arrive(&mut self, of: &Operation<'_>, arrived: Arrived<'_>) -> Thing {
        let name = modern(arrived.name);
        let name: &str = &name;
        match (&of.does, self.what(of.on).clone()) {
            (Does::GetRoot, _) => Thing::ROOT,
            (Does::GetAttr(member), What::Root) => match *member {
                "getmodule" => Thing::GETMODULE,
                member if floor::HELD_OF_ROOT.contains(&member) => self.forbidden(member),
                _ => self.unknown(name),
            },
            (Does::Call { args, .. }, What::GetModule) => match args {
                [Arg::Str(module)] if floor::HELD_MODULES.contains(module) => {
                    self.forbidden(module)
                }
                [Arg::Str(module)] => self.module(module),
                _ => self.unknown(name),
            },
            (Does::GetAttr(member), What::Module(_) | What::Class(_) | What::Instance(_)) => {
                self.attribute(of.on, member, name, arrived.is_class)
            }
            (_, What::Module(_) | What::Class(_) | What::Instance(_) | What::Function { .. }) => {
                self.result(name, arrived.is_class)
            }
            _ => self.unknown(name),
        }
    }

    fn attribute(&mut self, owner: Thing, member: &str, name: &str, is_class: bool) -> Thing {
        if is_class {
            return self.class(name);
        }
        if is_function(name) {
            return self.function(owner, member);
        }
        if let What::Module(module) = self.what(owner) {
            let path = format!("{module}.{member}");
            // 4.1.0 names every module alike; later ones name it by itself.
            if name == "builtins.module" || name == member || name == path {
                return self.module(&path);
            }
        }
        self.instance(name)
    }

    /// Of what a call gives, a function or a module could be any.
    fn result(&mut self, name: &str, is_class: bool) -> Thing {
        if is_class {
            self.class(name)
        } else if is_function(name) || name == "builtins.module" {
            self.unknown(name)
        } else {
            self.instance(name)
        }
    }

    /// Forbidden it stays, also where there is no room for its name: of what is unknown
    /// something could become known.
    fn forbidden(&mut self, name: &str) -> Thing {
        match self.named(name, What::Forbidden) {
            Thing::UNKNOWN => Thing::FORBIDDEN,
            thing => thing,
        }
    }

    fn unknown(&mut self, name: &str) -> Thing {
        self.named(name, What::Unknown)
    }

    /// One object that is known as `old` has come again as `new`. What was forbidden stays
    /// so; between two names that do not agree nobody chooses.
    pub fn meet(&mut self, old: Thing, new: Thing) -> Thing {
        match (self.what(old), self.what(new)) {
            _ if old == new => old,
            (What::Forbidden(_), _) => old,
            (_, What::Forbidden(_)) => new,
            (What::Unknown(_), _) => new,
            (_, What::Unknown(_)) => old,
            _ => {
                let both = format!("{}, also known as {}", self.name(old), self.name(new));
                self.forbidden(&both)
            }
        }
    }

    /// Is this an object that lives as long as the connection? The table must remember its id
    /// as forbidden even after the client has dropped it, since it can come again. Methods
    /// are new objects each time, and their ids are used again for others.
    pub fn stays_forbidden(&self, thing: Thing) -> bool {
        matches!(self.what(thing), What::Forbidden(name) if !floor::METHODS_OF_ROOT.contains(&&**name))
    }

    /// The name in sentences and patterns: `hou.ObjNode.parm`.
    pub fn name(&self, thing: Thing) -> String {
        let mut text = String::new();
        self.write_name(thing, &mut text);
        text
    }

    fn write_name(&self, thing: Thing, out: &mut String) {
        match self.what(thing) {
            What::Connection => out.push_str("the connection"),
            What::Root => out.push_str("conn.root"),
            What::GetModule => out.push_str("conn.root.getmodule"),
            What::Module(name)
            | What::Class(name)
            | What::Instance(name)
            | What::Forbidden(name)
            | What::Unknown(name) => out.push_str(name),
            What::Function { owner, name } => {
                self.write_name(*owner, out);
                let _ = write!(out, ".{name}");
            }
        }
    }
}

/// The names of Python 3 for those of Python 2.
fn modern(name: &str) -> std::borrow::Cow<'_, str> {
    match name.strip_prefix("__builtin__.") {
        Some("instancemethod") => "builtins.method".into(),
        Some(rest) => format!("builtins.{rest}").into(),
        None => name.into(),
    }
}

fn is_function(class: &str) -> bool {
    matches!(
        class,
        "builtins.function"
            | "builtins.method"
            | "builtins.builtin_function_or_method"
            | "builtins.method-wrapper"
            | "builtins.method_descriptor"
            | "builtins.wrapper_descriptor"
            | "builtins.classmethod_descriptor"
    )
}
