//! Explaining an expression: which requests it makes, and which rule decides each.

mod attribute;
mod call;
mod parse;
mod token;
mod value;
mod walk;

use std::sync::Arc;

use serde::Serialize;

pub use self::token::ExpressionError;
use self::walk::{Stop, Walk};
use super::file::Policy;
use super::judge::Judge;
use super::live::Live;
use super::role::Role;

/// One request that an expression makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Such as `CALL hou.node("/obj/a")`.
    pub request: String,
    /// Would it be forwarded, were the role not in shadow mode?
    pub allowed: bool,
    /// The rule that decides.
    pub rule: String,
    /// Why it is denied.
    pub why: Option<String>,
    /// What was taken for granted.
    pub note: Option<String>,
}

/// What became of an expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The role.
    pub role: String,
    /// The expression.
    pub expression: String,
    /// Are all its requests allowed?
    pub allowed: bool,
    /// The rule that decided: of the denial, or of the last request.
    pub rule: String,
    /// Why it is denied, or not known to be allowed.
    pub why: Option<String>,
    /// The requests, up to the first that is denied.
    pub steps: Vec<Step>,
}

/// Judges the requests that an rpyc client makes for an expression, in order. What a call
/// gives is taken from HOM's documentation; where that is not enough, the expression is
/// undecided, and not allowed.
///
/// # Errors
/// [`ExpressionError`] when it is no expression that can be read.
pub fn explain(
    policy: &Policy,
    role: &Role,
    expression: &str,
) -> Result<Explanation, ExpressionError> {
    let parsed = parse::parse(expression)?;
    let mut walk = Walk {
        judge: Judge::new(Arc::new(Live::new(policy.clone())), role),
        steps: Vec::new(),
    };
    let ended = walk.value(&parsed).err();
    let denied = walk.steps.iter().find(|step| !step.allowed);
    let (allowed, rule, why) = match (denied, ended) {
        (Some(step), _) => (false, step.rule.clone(), step.why.clone()),
        (None, Some(Stop::Undecided(why))) => (false, "undecided".into(), Some(why)),
        (None, Some(Stop::Denied) | None) => match walk.steps.last() {
            Some(step) => (true, step.rule.clone(), None),
            None => (true, "local".into(), None),
        },
    };
    Ok(Explanation {
        role: role.as_str().into(),
        expression: expression.into(),
        allowed,
        rule,
        why,
        steps: walk.steps,
    })
}
