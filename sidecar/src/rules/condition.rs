//! Conditions on arguments.

use std::collections::BTreeMap;

use super::operation::Arg;
use super::pattern::{matches_path, matches_text};
use super::thing::{Things, What};

/// What one argument must be.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Condition {
    pub(super) types: Vec<Type>,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    /// Patterns, of which a text or the class of an object must match one.
    pub(super) matches: Vec<String>,
    /// What each item of a tuple must be, and how many there may be.
    pub(super) items: Option<Box<Condition>>,
    pub(super) optional: bool,
}

/// The types that a condition can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Type {
    None,
    Bool,
    Int,
    Float,
    /// An int or a finite float, and no bool.
    Number,
    String,
    Tuple,
    /// An object of the server.
    Object,
}

impl Condition {
    fn holds(&self, arg: &Arg<'_>, things: &Things) -> bool {
        self.types
            .iter()
            .any(|wanted| self.is(*wanted, arg, things))
    }

    fn is(&self, wanted: Type, arg: &Arg<'_>, things: &Things) -> bool {
        match (wanted, arg) {
            (Type::None, Arg::None) | (Type::Bool, Arg::Bool(_)) => true,
            (Type::Int | Type::Number, Arg::Int(value)) => self.in_range(*value as f64),
            (Type::Float | Type::Number, Arg::Float(value)) => {
                value.is_finite() && self.in_range(*value)
            }
            (Type::String, Arg::Str(text)) => self.matches_any(text),
            (Type::Tuple, Arg::Tuple(items)) => match &self.items {
                Some(item) => items.iter().all(|arg| item.holds(arg, things)),
                None => true,
            },
            (Type::Object, Arg::Thing(thing)) => match things.what(*thing) {
                What::Instance(class) => self.matches_any(class),
                _ => false,
            },
            _ => false,
        }
    }

    fn in_range(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }

    fn matches_any(&self, text: &str) -> bool {
        self.matches.is_empty()
            || self
                .matches
                .iter()
                .any(|pattern| matches_text(pattern, text))
    }
}

/// All conditions of a rule.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Conditions {
    /// Positional arguments; when it is set, no others may be there.
    pub(super) args: Option<Vec<Condition>>,
    /// Keyword arguments that may be there.
    pub(super) kwargs: Option<BTreeMap<String, Condition>>,
    /// Advisory: patterns for the path of the node or parm.
    pub(super) paths: Vec<String>,
}

impl Conditions {
    pub(super) fn is_empty(&self) -> bool {
        self.args.is_none() && self.kwargs.is_none() && self.paths.is_empty()
    }

    /// Do the arguments meet them? Where only one of `args` and `kwargs` is said, the other
    /// kind of arguments must not be there.
    pub(super) fn hold_for_args(
        &self,
        args: &[Arg<'_>],
        kwargs: &[(&str, Arg<'_>)],
        things: &Things,
    ) -> bool {
        if self.args.is_none() && self.kwargs.is_none() {
            return true;
        }
        let wanted = self.args.as_deref().unwrap_or_default();
        let needed = wanted
            .iter()
            .filter(|condition| !condition.optional)
            .count();
        (needed..=wanted.len()).contains(&args.len())
            && args
                .iter()
                .zip(wanted)
                .all(|(arg, condition)| condition.holds(arg, things))
            && kwargs.iter().all(|(name, arg)| {
                self.kwargs
                    .as_ref()
                    .and_then(|wanted| wanted.get(*name))
                    .is_some_and(|condition| condition.holds(arg, things))
            })
    }

    /// Does the path meet them; `None` when it is not known.
    pub(super) fn hold_for_path(&self, path: Option<&str>) -> Option<bool> {
        if self.paths.is_empty() {
            return Some(true);
        }
        path.map(|path| self.paths.iter().any(|pattern| matches_path(pattern, path)))
    }
}
