//! Judging one session's operations.

mod arguments;
mod kept;
mod member;
mod request;

use std::sync::Arc;

use self::kept::Kept;
use super::catalogue::explained;
use super::live::Live;
use super::operation::{Operation, Verdict};
use super::role::{Mode, Narrow, Powers, Role};
use super::thing::{Arrived, Thing, Things};

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
                let judgement = Judgement {
                    narrow,
                    things: &self.things,
                };
                judgement
                    .decide(operation, &mut self.kept)
                    .verdict(role.0.mode)
            }
        }
    }

    /// Are denials carried out, by the policy that is in force at this moment?
    pub fn enforces(&mut self) -> bool {
        self.follow_policy();
        let mode = self.role.as_ref().map(Role::mode);
        mode != Some(Mode::Shadow)
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

/// One judgement: the role and the things, borrowed.
struct Judgement<'a> {
    narrow: &'a Narrow,
    things: &'a Things,
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
