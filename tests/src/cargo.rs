//! Calling cargo from a program that cargo itself has started.
//!
//! Cargo gives its build lock back before it runs a program, so that the program may call
//! it again. Profile and target folder are those of the running program: what is built
//! ends up beside it, and what it was built from is not built again.

use std::process::{Command, Stdio};

use crate::programs::{Failure, PROGRAMS, Result, program_dir, typed, workspace};

/// A cargo command in the root of the workspace, such as `build` or `test`, for the
/// profile and target folder of the running program.
///
/// # Errors
/// When the path of the running program cannot be found out.
pub fn command(subcommand: &[&str]) -> Result<Command> {
    let programs = program_dir()?;
    let mut cargo = plain(subcommand);
    if let Some(target) = programs.parent() {
        cargo.env("CARGO_TARGET_DIR", target);
    }
    if programs.ends_with("release") {
        cargo.arg("--release");
    }
    Ok(cargo)
}

/// A cargo command that builds nothing, such as `fmt`.
pub fn plain(subcommand: &[&str]) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace()).args(subcommand);
    cargo
}

/// Whether cargo has a subcommand that does not come with it.
pub fn has(subcommand: &str) -> bool {
    let mut version = plain(&[subcommand, "--version"]);
    version.output().is_ok_and(|output| output.status.success())
}

/// The command that builds the programs.
///
/// # Errors
/// As [`command`].
pub fn build_programs() -> Result<Command> {
    let mut cargo = command(&["build"])?;
    for program in PROGRAMS {
        cargo.args(["--package", program]);
    }
    Ok(cargo)
}

/// Runs a command to its end, with its output going where the caller's goes.
///
/// # Errors
/// When it cannot be started or fails; the sentence names it.
pub fn passed_through(command: &mut Command) -> Result<()> {
    let title = typed(command);
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|e| Failure::io(format_args!("starting `{title}`"), &e))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{title}` failed ({status})")))
}
