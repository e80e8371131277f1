//! What a call is given, and the conditions that rules make about it.

use super::{Decision, Judgement, Ruling};
use crate::rules::operation::{Arg, Does, Operation};
use crate::rules::role::Rule;
use crate::rules::thing::What;

impl Judgement<'_> {
    /// Looks at the arguments.
    pub(super) fn conclude(
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

    pub(super) fn refused_arguments(
        &self,
        args: &[Arg<'_>],
        kwargs: &[(&str, Arg<'_>)],
    ) -> Option<Decision> {
        args.iter()
            .chain(kwargs.iter().map(|(_, arg)| arg))
            .find_map(|arg| self.refused_argument(arg))
    }

    /// What no call may be given.
    pub(super) fn refused_argument(&self, arg: &Arg<'_>) -> Option<Decision> {
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
