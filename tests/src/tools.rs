//! Programs of the operating system that some of the Python tests run.
//!
//! Where they are missing and may be installed (Debian and its kin, as root), they are.
//! Elsewhere it is said which are missing, and the tests that need one are skipped and say
//! so. No test step fails for want of them.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::programs::typed;

/// A program, and the Debian package that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tool {
    program: &'static str,
    package: &'static str,
}

const TOOLS: [Tool; 4] = [
    Tool {
        program: "nft",
        package: "nftables",
    },
    Tool {
        program: "ip",
        package: "iproute2",
    },
    Tool {
        program: "systemd-analyze",
        package: "systemd",
    },
    Tool {
        program: "faketime",
        package: "faketime",
    },
];

/// Folders that a user's path may lack although programs for root are in them.
const FOR_ROOT: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Installs what is missing, if that can be done here. `say` is told what is done, or what
/// is missing and why it stays so.
#[expect(
    clippy::disallowed_methods,
    reason = "where programs are is a matter of the machine, not a setting"
)]
pub fn install_missing(say: &mut dyn FnMut(&str)) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing = missing(&path);
    if missing.is_empty() {
        return;
    }
    if let Some(obstacle) = obstacle(&path) {
        return say(&sentence(&missing, obstacle));
    }
    say(&format!("installing {} with apt-get", packages(&missing)));
    // A fresh machine has no lists of packages yet, or old ones.
    let installed = install(&missing).or_else(|_| {
        apt(&["update"]).ok();
        install(&missing)
    });
    let still = self::missing(&path);
    if still.is_empty() {
        return;
    }
    let reason = match installed {
        Err(problem) => {
            format!("apt-get could not install them; is this machine offline? It said:\n{problem}")
        }
        Ok(()) => "apt-get says that it installed them, and they are not there".into(),
    };
    say(&sentence(&still, &reason));
}

fn missing(path: &OsStr) -> Vec<Tool> {
    TOOLS
        .into_iter()
        .filter(|tool| !is_on(path, tool.program))
        .collect()
}

fn is_on(path: &OsStr, program: &str) -> bool {
    std::env::split_paths(path)
        .chain(FOR_ROOT.iter().map(Into::into))
        .any(|folder| folder.join(program).is_file())
}

/// Why nothing can be installed on this machine.
fn obstacle(path: &OsStr) -> Option<&'static str> {
    if !Path::new("/etc/debian_version").exists() || !is_on(path, "apt-get") {
        Some("this is no Debian, so they are not installed by themselves")
    } else if !is_root() {
        Some("only root can install them")
    } else {
        None
    }
}

fn is_root() -> bool {
    #[cfg(unix)]
    return rustix::process::geteuid().is_root();
    #[cfg(not(unix))]
    return false;
}

fn sentence(missing: &[Tool], reason: &str) -> String {
    let programs: Vec<_> = missing.iter().map(|tool| tool.program).collect();
    format!(
        "tests that need {} are skipped: {reason}\nhint: on Debian and Ubuntu: apt-get install {}",
        programs.join(", "),
        packages(missing)
    )
}

fn packages(tools: &[Tool]) -> String {
    let names: Vec<_> = tools.iter().map(|tool| tool.package).collect();
    names.join(" ")
}

fn install(tools: &[Tool]) -> Result<(), String> {
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(tools.iter().map(|tool| tool.package));
    apt(&arguments)
}

/// Runs `apt-get` without a question. The error is what it said.
fn apt(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(arguments);
    let output = command
        .output()
        .map_err(|error| format!("{}: {error}", typed(&command)))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim_end().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_from_what_is_there() {
        let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
        let path = folder.path().as_os_str();
        assert!(!is_on(path, "hrpyc-no-such-tool"));
        let program = folder.path().join("hrpyc-no-such-tool");
        std::fs::write(program, "").unwrap_or_else(|e| panic!("{e}"));
        assert!(is_on(path, "hrpyc-no-such-tool"));
    }

    #[test]
    fn the_sentence_names_what_is_missing_why_and_what_to_install() {
        let said = sentence(&TOOLS[..2], "only root can install them");
        for part in ["nft, ip", "only root", "nftables iproute2"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn what_apt_says_when_it_fails_is_handed_on() {
        if !Path::new("/etc/debian_version").exists() {
            return;
        }
        let said = apt(&["no-such-operation"]).unwrap_err();
        assert!(said.contains("no-such-operation"), "{said}");
    }
}
