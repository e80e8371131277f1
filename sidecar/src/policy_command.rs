//! `hrpyc-guard policy`.

use std::path::Path;
use std::process::ExitCode;

use hrpyc_guard::cli::{ExplainArgs, PolicyCommand};
use hrpyc_guard::rules::{self, Explanation, Mode, Policy, PolicyError};
use rpyc::reverse::Reverse;

use crate::Failure;

pub(crate) fn run(command: &PolicyCommand) -> Result<ExitCode, Failure> {
    match command {
        PolicyCommand::Check { policy } => check(policy.as_deref()),
        PolicyCommand::Explain(args) => explain(args),
        PolicyCommand::Test { cases, policy } => test(cases, policy.as_deref()),
    }
}

fn load(path: Option<&Path>) -> Result<Policy, PolicyError> {
    match path {
        Some(path) => Policy::load(path),
        None => Ok(Policy::built_in()),
    }
}

/// A question that makes no sense: 1 would say that something is denied.
fn senseless(problem: &dyn std::error::Error, hint: impl Into<String>) -> Failure {
    Failure {
        exit: 2,
        ..Failure::new(problem, hint.into())
    }
}

fn check(path: Option<&Path>) -> Result<ExitCode, Failure> {
    let policy = load(path).map_err(|error| Failure::new(&error, error.hint()))?;
    match path {
        Some(path) => println!("{} is right:", path.display()),
        None => println!("the built-in roles:"),
    }
    for role in policy.roles() {
        let cautions = role.cautions();
        let promise = if role.is_full() {
            "any Python, as Houdini's user".to_owned()
        } else if role.mode() == Mode::Shadow {
            "SHADOW: denies nothing, reports what it would deny".to_owned()
        } else if cautions.is_empty() {
            "holds, in a Houdini that no hostile full user has touched".to_owned()
        } else {
            "ADVISORY: no sandbox, for the reasons below".to_owned()
        };
        println!("  {:<14} {promise}", role.as_str());
        println!("                 inspect {}", role.inspect().as_str());
        if role.reverse_calls() == Reverse::Open {
            println!(
                "                 reverse calls open: Houdini may run any Python in a script whose profile says so too"
            );
        }
        if !role.modules().is_empty() {
            println!("                 modules {}", role.modules().join(", "));
        }
        for rule in role.rules() {
            println!("                 rule {rule}");
        }
        if let Some(contact) = role.contact() {
            println!("                 contact {contact}");
        }
        for caution in cautions {
            println!("                 ! {caution}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let policy = load(args.policy.as_deref()).map_err(|error| senseless(&error, error.hint()))?;
    let Some(role) = policy.role(&args.role) else {
        let roles: Vec<&str> = policy.roles().map(|role| role.as_str()).collect();
        return Err(Failure {
            problem: format!("there is no role {:?}", args.role),
            hint: format!("there are {}", roles.join(", ")),
            exit: 2,
        });
    };
    let explanation = rules::explain(&policy, &role, &args.expression).map_err(|error| {
        senseless(
            &error,
            "write what a script would, such as 'hou.node(\"/obj/a\").parm(\"tx\").eval()'",
        )
    })?;
    if args.json {
        let json = serde_json::to_string_pretty(&explanation);
        println!(
            "{}",
            json.map_err(|error| senseless(&error, "leave --json out"))?
        );
    } else {
        show(&explanation);
        if role.mode() == Mode::Shadow {
            println!("The role is in shadow mode: a denial is reported and not carried out.");
        }
    }
    Ok(exit(explanation.allowed))
}

fn show(explanation: &Explanation) {
    for step in &explanation.steps {
        let verdict = if step.allowed { "allow" } else { "DENY " };
        println!("{verdict}  {:<28} {}", step.rule, step.request);
        if let Some(note) = &step.note {
            println!("       ({note})");
        }
    }
    let verdict = match (explanation.allowed, explanation.rule.as_str()) {
        (true, _) => "allowed",
        (false, "undecided") => "undecided",
        (false, _) => "denied",
    };
    println!("{verdict} in role {}", explanation.role);
    if let Some(why) = &explanation.why {
        println!("because {why}");
    }
}

fn test(cases: &Path, path: Option<&Path>) -> Result<ExitCode, Failure> {
    let policy = load(path).map_err(|error| senseless(&error, error.hint()))?;
    let reports = rules::run_cases(cases, &policy)
        .map_err(|error| senseless(&error, "see docs/policy.md for the form of cases"))?;
    let mut failed = 0;
    for report in reports.iter().filter(|report| !report.passed) {
        failed += 1;
        let explanation = &report.explanation;
        let got = if explanation.allowed { "allow" } else { "deny" };
        println!(
            "{}:{}: {} in role {}: expected {}, got {got} by {}",
            cases.display(),
            report.line,
            explanation.expression,
            explanation.role,
            report.expected.as_deref().unwrap_or("another verdict"),
            explanation.rule
        );
        if let Some(why) = &explanation.why {
            println!("  {why}");
        }
    }
    println!("{} cases, {failed} not as expected", reports.len());
    Ok(exit(failed == 0))
}

fn exit(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
