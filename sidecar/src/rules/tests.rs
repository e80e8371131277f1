mod conditions;
mod floor;
mod origin;
mod policy_file;
mod precedence;
mod properties;
mod roles;

use std::sync::Arc;

use super::*;

fn judge(text: &str, role: &str) -> Judge {
    let policy = Policy::parse(text).unwrap();
    let role = policy.role(role).unwrap();
    Judge::new(Arc::new(Live::new(policy)), &role)
}

fn rule_of(judge: &mut Judge, on: Thing, does: Does<'_>) -> (bool, String) {
    let verdict = judge.judge(&Operation::new(on, does));
    (verdict.forwards(), verdict.rule().to_owned())
}

/// A method of an object of a class, as the relay would come to know it.
fn method(judge: &mut Judge, class: &str, name: &str) -> Thing {
    let owner = judge.things().instance(class);
    judge.things().function(owner, name)
}

fn call(judge: &mut Judge, class: &str, name: &str, args: &[Arg<'_>]) -> (bool, String) {
    let function = method(judge, class, name);
    rule_of(judge, function, Does::Call { args, kwargs: &[] })
}

const NARROW: [&str; 2] = ["read-only", "read-numeric"];
