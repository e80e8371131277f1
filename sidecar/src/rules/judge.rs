//! Judging one session's operations.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::catalogue::{Catalogue, EntryKind, explained};
use super::floor;
use super::live::Live;
use super::operation::{Arg, Does, Operation, Verdict};
use super::pattern::Pattern;
use super::role::{Mode, Narrow, Powers, Role, Rule};
use super::thing::{Arrived, Thing, Things, What};

/// Rulings that one session keeps; when there are more, all are forgotten.
const MOST_KEPT: usize = 1 << 13;

/// The judge of one session. It keeps what it has decided until the policy is replaced.
#[derive(Debug)]
pub struct Judge {
    live: Arc<Live>,
    generation: u64,
    name: Arc<str>,
    /// `None` when the policy in force has no such role: then all is denied.
    role: Option<Role>,
    things: Things,
    kept: Kept,
}

impl Judge {
    /// A judge for a session in `role`.
    pub fn new(live: Arc<Live>, role: &Role) -> Self {
        let mut judge = Self {
            live,
            generation: 0,
            name: role.as_str().into(),
            role: None,
            things: Things::default(),
            kept: Kept::default(),
        };
        judge.follow_policy();
        judge
    }

    /// What the objects of this session are.
    pub fn things(&mut self) -> &mut Things {
        &mut self.things
    }

    /// What the answer to an operation that was forwarded is; see [`Things::arrive`].
    pub fn arrive(&mut self, of: &Operation<'_>, arrived: Arrived<'_>) -> Thing {
        self.things.arrive(of, arrived)
    }

    /// The role as it is in the policy in force.
    pub fn role(&mut self) -> Option<&Role> {
        self.follow_policy();
        self.role.as_ref()
    }

    /// Judges one operation, by the policy that is in force at this moment.
    pub fn judge(&mut self, operation: &Operation<'_>) -> Verdict {
        self.follow_policy();
        let Some(role) = &self.role else {
            return Decision::deny(
                "role-gone",
                format!("there is no role {} any more", self.name),
            )
            .verdict(Mode::Enforce);
        };
        match &role.0.powers {
            Powers::Full => Verdict::Allow {
                rule: role.0.name.clone(),
            },
            Powers::Narrow(narrow) => {
                let bench = Bench {
                    narrow,
                    things: &self.things,
                };
                bench.decide(operation, &mut self.kept).verdict(role.0.mode)
            }
        }
    }

    fn follow_policy(&mut self) {
        let generation = self.live.generation();
        if generation != self.generation {
            self.role = self.live.policy().role(&self.name);
            self.generation = generation;
            self.kept = Kept::default();
        }
    }
}

/// Allowed or denied, before the role's mode is looked at.
#[derive(Debug, Clone)]
enum Decision {
    Allow(Arc<str>),
    Deny(Arc<str>, Arc<str>),
}

impl Decision {
    fn deny(rule: &str, why: impl Into<Arc<str>>) -> Self {
        Self::Deny(rule.into(), why.into())
    }

    fn verdict(self, mode: Mode) -> Verdict {
        match (self, mode) {
            (Self::Allow(rule), _) => Verdict::Allow { rule },
            (Self::Deny(rule, why), Mode::Enforce) => Verdict::Deny { rule, why },
            (Self::Deny(rule, why), Mode::Shadow) => Verdict::WouldDeny { rule, why },
        }
    }

    fn allows(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

/// What is decided about a name, before the arguments are looked at.
#[derive(Debug, Clone)]
enum Ruling {
    Decided(Decision),
    /// It hangs on the arguments. The numbers are those of the role's rules.
    Depends {
        denies: Vec<usize>,
        allows: Vec<usize>,
        otherwise: Decision,
    },
}

/// The ways to use a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Get,
    Call,
    /// `CALLATTR`: fetched and called in one.
    Operator,
}

/// A member that is asked for.
struct Asked<'a> {
    path: &'a str,
    /// The reason for which it is in the lists, where it is.
    listed: Option<&'a str>,
    /// The reason for which it is not, where somebody has read it.
    left_out: Option<&'static str>,
    /// The rule of the floor that allows it in every narrow role, where one does.
    floor: Option<&'a str>,
    access: Access,
}

/// The rulings of one session, found by the number of the thing.
#[derive(Debug, Default)]
struct Kept {
    slots: Vec<Slot>,
    count: usize,
}

#[derive(Debug, Default)]
struct Slot {
    got: HashMap<Box<str>, Ruling>,
    operators: HashMap<Box<str>, Ruling>,
    called: Option<Ruling>,
    used: Option<Ruling>,
}

impl Kept {
    fn slot(&mut self, thing: Thing) -> &mut Slot {
        if self.count >= MOST_KEPT {
            *self = Self::default();
        }
        if self.slots.len() <= thing.index() {
            self.slots.resize_with(thing.index() + 1, Slot::default);
        }
        &mut self.slots[thing.index()]
    }

    fn named(
        &mut self,
        thing: Thing,
        access: Access,
        name: &str,
        rule: impl FnOnce() -> Ruling,
    ) -> &Ruling {
        self.count += 1;
        let slot = self.slot(thing);
        let names = match access {
            Access::Get => &mut slot.got,
            Access::Call | Access::Operator => &mut slot.operators,
        };
        // Twice, since the borrow checker does not see that the first look gave nothing.
        if !names.contains_key(name) {
            names.insert(name.into(), rule());
        } else {
            self.count -= 1;
        }
        let slot = &self.slots[thing.index()];
        match access {
            Access::Get => &slot.got[name],
            Access::Call | Access::Operator => &slot.operators[name],
        }
    }
}

static PLUMBING: LazyLock<Arc<str>> = LazyLock::new(|| "floor/plumbing".into());
static CONNECT: LazyLock<Arc<str>> = LazyLock::new(|| "floor/connect".into());

/// One judgement: the role and the things, borrowed.
struct Bench<'a> {
    narrow: &'a Narrow,
    things: &'a Things,
}

impl Bench<'_> {
    fn decide(&self, operation: &Operation<'_>, kept: &mut Kept) -> Decision {
        let on = operation.on;
        match &operation.does {
            Does::Close | Does::GetRoot | Does::Del | Does::Inspect => {
                return Decision::Allow(PLUMBING.clone());
            }
            Does::Ping(data) => {
                return match self.refused_argument(data) {
                    Some(refused) => refused,
                    None => Decision::Allow(PLUMBING.clone()),
                };
            }
            Does::SetAttr(name) | Does::DelAttr(name) => {
                return Decision::deny(
                    "floor/attributes",
                    format!(
                        "attributes of Houdini's objects cannot be set or deleted in this role ({})",
                        shown(name)
                    ),
                );
            }
            Does::Pickle => {
                return Decision::deny(
                    "floor/pickle",
                    "objects cannot be copied out of Houdini by pickling (rpyc's obtain) in this role: read their values one by one",
                );
            }
            Does::OldSlicing => {
                return Decision::deny(
                    "floor/slicing",
                    "slices as Python 2 sends them take the name of any method",
                );
            }
            _ => {}
        }
        match self.things.what(on) {
            What::Forbidden(name) => Decision::deny(
                "floor/forbidden",
                format!(
                    "{name} may be held, as every rpyc client does, but not used: it gives any Python"
                ),
            ),
            What::Unknown(name) => Decision::deny(
                "floor/unknown",
                format!("it is not known how this object was got ({})", shown(name)),
            ),
            What::Connection => Decision::deny("floor/unknown", "this is no object"),
            What::Root => self.of_root(&operation.does),
            What::GetModule => self.of_getmodule(&operation.does),
            _ => self.of_object(operation, kept),
        }
    }

    fn of_root(&self, does: &Does<'_>) -> Decision {
        match does {
            Does::GetAttr(name) if *name == "getmodule" || floor::HELD_OF_ROOT.contains(name) => {
                Decision::Allow(CONNECT.clone())
            }
            _ => Decision::deny(
                "floor/root",
                "of the connection's service only modules can be asked for in this role",
            ),
        }
    }

    fn of_getmodule(&self, does: &Does<'_>) -> Decision {
        match does {
            Does::Call {
                args: [Arg::Str(name)],
                kwargs: [],
            } => {
                if floor::HELD_MODULES.contains(name) {
                    Decision::Allow(CONNECT.clone())
                } else if self.narrow.modules.iter().any(|module| module == name) {
                    Decision::Allow("modules".into())
                } else {
                    Decision::deny(
                        "modules",
                        format!("module {} is not among those of this role", shown(name)),
                    )
                }
            }
            Does::Repr | Does::Str | Does::Hash => Decision::Allow(PLUMBING.clone()),
            _ => Decision::deny("modules", "a module is asked for by one name"),
        }
    }

    fn of_object(&self, operation: &Operation<'_>, kept: &mut Kept) -> Decision {
        let on = operation.on;
        match &operation.does {
            Does::GetAttr(name) => {
                let ruling = kept.named(on, Access::Get, name, || self.attribute(on, name));
                self.conclude(ruling, &[], &[], operation)
            }
            Does::Call { args, kwargs } => {
                if let Some(refused) = self.refused_arguments(args, kwargs) {
                    return refused;
                }
                let slot = kept.slot(on);
                let ruling = &*slot.called.get_or_insert_with(|| self.call(on));
                self.conclude(ruling, args, kwargs, operation)
            }
            Does::CallAttr { name, args, kwargs } => {
                if let Some(refused) = self.refused_arguments(args, kwargs) {
                    return refused;
                }
                let ruling = kept.named(on, Access::Operator, name, || self.operator(on, name));
                self.conclude(ruling, args, kwargs, operation)
            }
            Does::BuffIter { count } => {
                if *count > floor::MOST_ITEMS {
                    return Decision::deny(
                        "floor/items",
                        format!(
                            "{count} items are too many for one request: ask for at most {}",
                            floor::MOST_ITEMS
                        ),
                    );
                }
                let iterates = ["__iter__", "__getitem__"].map(|name| {
                    let ruling = kept.named(on, Access::Operator, name, || self.operator(on, name));
                    self.conclude(ruling, &[], &[], operation)
                });
                let [first, second] = iterates;
                if first.allows() {
                    first
                } else if second.allows() {
                    second
                } else {
                    first
                }
            }
            Does::CtxExit { exception } => {
                if *exception != Arg::None {
                    return Decision::deny(
                        "floor/argument",
                        "an exception of the client is not forwarded in this role",
                    );
                }
                let name = "__enter__";
                let ruling = kept.named(on, Access::Operator, name, || self.operator(on, name));
                self.conclude(ruling, &[], &[], operation)
            }
            Does::Cmp { op, other } => {
                if !floor::COMPARISONS.contains(op) {
                    return Decision::deny(
                        "floor/operator",
                        format!("{} is no comparison", shown(op)),
                    );
                }
                match self.refused_argument(other) {
                    Some(refused) => refused,
                    None => self.used(on, kept),
                }
            }
            Does::InstanceCheck { other } => match (self.things.what(on), self.things.what(*other))
            {
                (What::Class(_), What::Instance(_)) => self.used(on, kept),
                _ => Decision::deny("floor/argument", "only objects can be held against classes"),
            },
            Does::Repr | Does::Str | Does::Hash | Does::Dir => self.used(on, kept),
            // Decided before.
            Does::Ping(_)
            | Does::Close
            | Does::GetRoot
            | Does::Del
            | Does::Inspect
            | Does::SetAttr(_)
            | Does::DelAttr(_)
            | Does::Pickle
            | Does::OldSlicing => Decision::deny("floor/unknown", "this is not known"),
        }
    }

    fn used(&self, on: Thing, kept: &mut Kept) -> Decision {
        let slot = kept.slot(on);
        match &*slot
            .used
            .get_or_insert_with(|| Ruling::Decided(self.use_of(on)))
        {
            Ruling::Decided(decision) => decision.clone(),
            Ruling::Depends { otherwise, .. } => otherwise.clone(),
        }
    }

    /// Looks at the arguments.
    fn conclude(
        &self,
        ruling: &Ruling,
        args: &[Arg<'_>],
        kwargs: &[(&str, Arg<'_>)],
        operation: &Operation<'_>,
    ) -> Decision {
        let (denies, allows, otherwise) = match ruling {
            Ruling::Decided(decision) => return decision.clone(),
            Ruling::Depends {
                denies,
                allows,
                otherwise,
            } => (denies, allows, otherwise),
        };
        let rule = |index: &usize| &self.narrow.rules[*index];
        let subject = || self.subject(operation);
        for rule in denies.iter().map(rule) {
            if rule.when.hold_for_args(args, kwargs, self.things) {
                match rule.when.hold_for_path(operation.node_path) {
                    Some(false) => {}
                    Some(true) => {
                        return Decision::deny(
                            &rule.name,
                            format!("rule {} denies {}{}", rule.name, subject(), rule.only),
                        );
                    }
                    None => return unresolved(rule, &subject()),
                }
            }
        }
        let mut lost = None;
        for rule in allows.iter().map(rule) {
            if rule.when.hold_for_args(args, kwargs, self.things) {
                match rule.when.hold_for_path(operation.node_path) {
                    Some(true) => return Decision::Allow(rule.name.clone()),
                    Some(false) => {}
                    None => lost = Some(rule),
                }
            }
        }
        match (otherwise, lost, allows.first()) {
            (Decision::Allow(_), _, _) => otherwise.clone(),
            (_, Some(rule), _) => unresolved(rule, &subject()),
            (_, None, Some(first)) => {
                let rule = rule(first);
                Decision::deny(
                    &rule.name,
                    format!("rule {} allows {} only{}", rule.name, subject(), rule.only),
                )
            }
            (Decision::Deny(..), None, None) => otherwise.clone(),
        }
    }

    fn subject(&self, operation: &Operation<'_>) -> String {
        let name = self.things.name(operation.on);
        match operation.does {
            Does::GetAttr(member) | Does::CallAttr { name: member, .. } => {
                format!("{name}.{member}")
            }
            _ => name,
        }
    }

    /// GETATTR, where properties run already.
    fn attribute(&self, on: Thing, name: &str) -> Ruling {
        let decided = Ruling::Decided;
        if let What::Function { .. } = self.things.what(on) {
            if floor::TEXTS.contains(&name) {
                return decided(Decision::Allow(PLUMBING.clone()));
            }
            return decided(Decision::deny(
                "floor/function",
                format!("{} of a function leads into Houdini's Python", shown(name)),
            ));
        }
        if !floor::is_identifier(name) {
            return decided(Decision::deny(
                "floor/name",
                format!("{} is no plain name", shown(name)),
            ));
        }
        if floor::is_dunder(name) {
            if floor::TEXTS.contains(&name) {
                return decided(self.use_of(on));
            }
            return decided(Decision::deny(
                "floor/private",
                format!(
                    "{} is a name of Python's own, which leads out of every role",
                    shown(name)
                ),
            ));
        }
        self.member(on, name, Access::Get)
    }

    fn operator(&self, on: Thing, name: &str) -> Ruling {
        if !floor::OPERATORS.contains(&name) {
            return Ruling::Decided(Decision::deny(
                "floor/operator",
                format!("{} is no operator that reads", shown(name)),
            ));
        }
        match self.things.what(on) {
            What::Instance(_) => self.member(on, name, Access::Operator),
            _ => Ruling::Decided(Decision::deny(
                "floor/operator",
                format!("{} is asked of objects only", shown(name)),
            )),
        }
    }

    fn call(&self, on: Thing) -> Ruling {
        match self.things.what(on) {
            What::Function { owner, name } => self.member(*owner, name, Access::Call),
            What::Class(class) => self.construct(class),
            What::Module(name) | What::Instance(name) => Ruling::Decided(Decision::deny(
                "floor/call",
                format!("an object of {name} is no function"),
            )),
            _ => Ruling::Decided(Decision::deny("floor/unknown", "this cannot be called")),
        }
    }

    /// Calling a class.
    fn construct(&self, class: &str) -> Ruling {
        let Some((module, name)) = class.rsplit_once('.') else {
            return Ruling::Decided(default_denial(class, None));
        };
        let known = Catalogue::get().entry(class);
        let listed = known.is_some_and(|entry| entry.kind == EntryKind::New);
        let asked = Asked {
            path: class,
            listed: listed.then_some("math"),
            left_out: None,
            floor: None,
            access: Access::Call,
        };
        self.apply(
            &asked,
            |pattern| pattern.matches(module, Some(name)),
            |pattern| pattern.denies(module, Some(name)),
            |pattern| pattern.is_literal() || pattern.module() != "hou" || listed,
        )
    }

    /// A member of a module, a class or an object.
    fn member(&self, owner: Thing, name: &str, access: Access) -> Ruling {
        let catalogue = Catalogue::get();
        let (class, is_module, is_class) = match self.things.what(owner) {
            What::Module(module) => (&**module, true, false),
            What::Class(class) => (&**class, false, true),
            What::Instance(class) => (&**class, false, false),
            _ => return Ruling::Decided(Decision::deny("floor/unknown", "its owner is not known")),
        };
        let known = catalogue.member(class, name);
        let of_type = catalogue
            .entry(class)
            .is_some_and(|entry| matches!(entry.kind, EntryKind::Type | EntryKind::New));
        let in_lists = match known {
            Some((_, entry)) => match entry.kind {
                EntryKind::Method => {
                    !is_module
                        && !is_class
                        && (access != Access::Operator || entry.reason == "operator")
                        && (access == Access::Operator || entry.reason != "operator")
                }
                EntryKind::Static => access != Access::Operator,
                EntryKind::Type | EntryKind::New | EntryKind::Enum => {
                    is_module && access == Access::Get
                }
                EntryKind::Out => false,
            },
            None => {
                is_class
                    && access == Access::Get
                    && !name.starts_with('_')
                    && name != "thisown"
                    && catalogue
                        .entry(class)
                        .is_some_and(|entry| entry.kind == EntryKind::Enum)
            }
        };
        if is_class && of_type && !in_lists {
            return Ruling::Decided(Decision::deny(
                "floor/unbound",
                format!("{class}.{name} is called on an object, not on its class"),
            ));
        }
        let reason = known.map_or("constant", |(_, entry)| entry.reason);
        let builtin = !is_module && !is_class && floor::reads_builtin(class, name);
        let owners = || {
            let all = catalogue.lineage(class);
            all.take(if is_module { 1 } else { usize::MAX })
        };
        let path = format!("{class}.{name}");
        let asked = Asked {
            path: &path,
            listed: in_lists.then_some(reason),
            left_out: known
                .filter(|(_, entry)| entry.kind == EntryKind::Out)
                .map(|(_, entry)| entry.reason),
            floor: builtin.then_some("floor/containers"),
            access,
        };
        self.apply(
            &asked,
            |pattern| owners().any(|owner| pattern.matches(owner, Some(name))),
            |pattern| owners().any(|owner| pattern.denies(owner, Some(name))),
            |pattern| pattern.is_literal() || pattern.module() != "hou" || in_lists,
        )
    }

    /// Denials first, then lists and rules that allow.
    fn apply(
        &self,
        asked: &Asked<'_>,
        matches: impl Fn(&Pattern) -> bool,
        matches_denial: impl Fn(&Pattern) -> bool,
        may_allow: impl Fn(&Pattern) -> bool,
    ) -> Ruling {
        let Asked {
            path,
            listed,
            left_out,
            floor,
            access,
        } = *asked;
        let (mut denies, mut allows) = (Vec::new(), Vec::new());
        let mut allowed: Option<Arc<str>> = floor.map(Into::into);
        if let (true, Some(reason)) = (self.narrow.lists, listed) {
            allowed = Some(format!("read-only/{reason}").into());
        }
        for (index, rule) in self.narrow.rules.iter().enumerate() {
            if rule.deny.iter().any(&matches_denial) {
                if rule.when.is_empty() {
                    return Ruling::Decided(Decision::deny(
                        &rule.name,
                        format!("rule {} denies {path}", rule.name),
                    ));
                }
                denies.push(index);
            }
            if rule
                .allow
                .iter()
                .any(|pattern| matches(pattern) && may_allow(pattern))
            {
                if rule.when.is_empty() {
                    allowed.get_or_insert_with(|| rule.name.clone());
                } else {
                    allows.push(index);
                }
            }
        }
        let otherwise = match &allowed {
            Some(rule) => Decision::Allow(rule.clone()),
            None => default_denial(path, left_out),
        };
        if access == Access::Get {
            // Holding a method that some arguments would be allowed for is no use of it.
            return Ruling::Decided(match allows.first() {
                Some(first) if allowed.is_none() => {
                    Decision::Allow(self.narrow.rules[*first].name.clone())
                }
                _ => otherwise,
            });
        }
        if denies.is_empty() && (allows.is_empty() || allowed.is_some()) {
            return Ruling::Decided(otherwise);
        }
        Ruling::Depends {
            denies,
            allows,
            otherwise,
        }
    }

    /// Printing, comparing, listing names: what needs no name of a member.
    fn use_of(&self, on: Thing) -> Decision {
        let class = match self.things.what(on) {
            What::Function { .. } | What::Module(_) => return Decision::Allow(PLUMBING.clone()),
            What::Class(class) | What::Instance(class) => class,
            _ => return Decision::deny("floor/unknown", "this object is not known"),
        };
        let catalogue = Catalogue::get();
        let alone = |pattern: &Pattern| {
            catalogue
                .lineage(class)
                .any(|class| pattern.matches(class, None))
        };
        let denied = |pattern: &Pattern| {
            catalogue
                .lineage(class)
                .any(|class| pattern.denies(class, None))
        };
        let rules = &self.narrow.rules;
        if let Some(rule) = rules
            .iter()
            .find(|rule| rule.when.is_empty() && rule.deny.iter().any(denied))
        {
            return Decision::deny(&rule.name, format!("rule {} denies {class}", rule.name));
        }
        let known = catalogue
            .entry(class)
            .is_some_and(|entry| entry.kind != EntryKind::Out);
        if floor::is_builtin(class) || (self.narrow.lists && known) {
            return Decision::Allow(PLUMBING.clone());
        }
        let inside = |pattern: &Pattern| {
            alone(pattern)
                || catalogue
                    .lineage(class)
                    .any(|class| pattern.is_inside(class))
        };
        match rules.iter().find(|rule| rule.allow.iter().any(inside)) {
            Some(rule) => Decision::Allow(rule.name.clone()),
            None => default_denial(class, None),
        }
    }

    fn refused_arguments(&self, args: &[Arg<'_>], kwargs: &[(&str, Arg<'_>)]) -> Option<Decision> {
        args.iter()
            .chain(kwargs.iter().map(|(_, arg)| arg))
            .find_map(|arg| self.refused_argument(arg))
    }

    /// What no call may be given.
    fn refused_argument(&self, arg: &Arg<'_>) -> Option<Decision> {
        match arg {
            Arg::Client => Some(Decision::deny(
                "floor/argument",
                "an object of your own Python (a list, a dict, a function) cannot be given to Houdini in this role: give plain values, and tuples for lists",
            )),
            Arg::Tuple(items) => items.iter().find_map(|item| self.refused_argument(item)),
            Arg::Thing(thing) => match self.things.what(*thing) {
                What::Instance(_) => None,
                _ => Some(Decision::deny(
                    "floor/argument",
                    format!(
                        "{} cannot be given to a call in this role",
                        self.things.name(*thing)
                    ),
                )),
            },
            _ => None,
        }
    }
}

fn unresolved(rule: &Rule, subject: &str) -> Decision {
    Decision::deny(
        &rule.name,
        format!(
            "rule {} looks at paths (advisory), and it is not known where {subject} stands: ask for it by its absolute path, hou.node(\"/obj/...\")",
            rule.name
        ),
    )
}

/// Nothing allows it.
fn default_denial(path: &str, reason: Option<&str>) -> Decision {
    let why = match reason {
        Some(reason) => format!("{path} is not in this role: {}", explained(reason)),
        None => format!("{path} is not in this role: nothing allows it"),
    };
    Decision::deny("default", why)
}

/// Client text in a sentence: short, and without control characters.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(64).collect();
    short.escape_debug().to_string()
}
