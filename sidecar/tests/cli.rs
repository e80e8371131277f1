//! What users see of `hrpyc-guard` on the command line: exit code, output and hint.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};

fn guard(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_hrpyc-guard"))
        .args(args)
        .stdin(Stdio::null())
        .env("HOME", "/nonexistent")
        .output()
        .unwrap();
    format!(
        "exit: {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap()
    )
}

fn in_folder(folder: &Path, args: &[&str]) -> String {
    let args: Vec<String> = args
        .iter()
        .map(|arg| arg.replace("DIR", folder.to_str().unwrap()))
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    guard(&args).replace(folder.to_str().unwrap(), "DIR")
}

#[test]
fn help_says_what_can_be_said() {
    insta::assert_snapshot!(guard(&["--help"]));
    insta::assert_snapshot!(guard(&["join", "--help"]));
    insta::assert_snapshot!(guard(&["config", "check", "--help"]));
}

#[test]
fn a_wrong_word_is_a_usage_error() {
    assert!(guard(&["--lisen", "0.0.0.0:1"]).starts_with("exit: 2\n"));
    assert!(guard(&["frobnicate"]).starts_with("exit: 2\n"));
}

#[test]
fn what_cannot_be_guarded_is_refused_with_what_to_do() {
    insta::assert_snapshot!(guard(&["--upstream", "10.1.2.3:18811"]));
    insta::assert_snapshot!(guard(&["--upstream", "18811"]));
    insta::assert_snapshot!(guard(&["--listen", "everywhere"]));
    insta::assert_snapshot!(guard(&["--drain-timeout", "soon"]));
    insta::assert_snapshot!(guard(&["--advertise", "ws12"]));
    insta::assert_snapshot!(guard(&["--config", "/nonexistent/guard.toml"]));
}

#[test]
fn a_configuration_is_checked_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guard.toml");
    std::fs::write(
        &path,
        "listen = '127.0.0.1:18812'\nupstream = '127.0.0.1:18811-18820'\nstate_dir = '/state'\n",
    )
    .unwrap();
    insta::assert_snapshot!(in_folder(
        folder.path(),
        &["config", "check", "--config", "DIR/guard.toml"]
    ));
    std::fs::write(
        &path,
        "listen = '127.0.0.1:18812'\n\n[limits]\nsesions = 5\n",
    )
    .unwrap();
    insta::assert_snapshot!(in_folder(
        folder.path(),
        &["config", "check", "--config", "DIR/guard.toml"]
    ));
}

#[test]
fn a_guard_does_not_join_with_half_a_code() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(in_folder(
        folder.path(),
        &["join", "hello", "--state-dir", "DIR/state"]
    ));
    insta::assert_snapshot!(in_folder(
        folder.path(),
        &["join", "hrpyc1-AQ8x", "--state-dir", "DIR/state"]
    ));
    assert!(!folder.path().join("state").exists());
}

#[test]
fn an_existing_directory_without_keys_is_never_made_into_an_authority() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("notes.txt"), "mine").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    let seen = in_folder(
        folder.path(),
        &["--listen", "127.0.0.1:0", "--state-dir", "DIR/state"],
    );
    assert!(seen.starts_with("exit: 1\n"), "{seen}");
    assert_eq!(
        std::fs::read_dir(&state).unwrap().count(),
        1,
        "nothing was added"
    );
}

#[test]
fn the_example_and_the_documented_configuration_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let example = root.join("deploy/guard.toml");
    let seen = guard(&["config", "check", "--config", example.to_str().unwrap()]);
    assert!(seen.starts_with("exit: 0\n"), "{seen}");

    let page = std::fs::read_to_string(root.join("docs/configuration.md")).unwrap();
    let block = page
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    // What is commented out must be right as well.
    let all: String = block
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line).to_owned() + "\n")
        .collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("guard.toml"), all).unwrap();
    let seen = in_folder(
        folder.path(),
        &["config", "check", "--config", "DIR/guard.toml"],
    );
    assert!(seen.starts_with("exit: 0\n"), "{seen}");
}
