//! What a role says of a name, before the arguments are looked at.

use std::sync::Arc;

use super::request::PLUMBING;
use super::{Decision, Judgement, Ruling, default_denial, shown};
use crate::rules::catalogue::{Catalogue, EntryKind};
use crate::rules::floor;
use crate::rules::pattern::Pattern;
use crate::rules::thing::{Thing, What};

/// The ways to use a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
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

impl Judgement<'_> {
    /// GETATTR, where properties run already.
    pub(super) fn attribute(&self, on: Thing, name: &str) -> Ruling {
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

    pub(super) fn operator(&self, on: Thing, name: &str) -> Ruling {
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

    pub(super) fn call(&self, on: Thing) -> Ruling {
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
    pub(super) fn use_of(&self, on: Thing) -> Decision {
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
}
