//! What is refused, and what is left as it was then.

use super::*;

#[test]
fn what_cannot_be_read_is_refused_before_anything_is_done() {
    let cli = Cli::new();
    assert_snapshot!(cli.run("invite Alice --role full --guard ws12:18812"), @r#"
    exit 2
    --- stdout
    --- stderr
    error: "Alice" is not a name: use up to 64 lower-case letters, digits, dots, dashes and underscores, starting with a letter or digit
    hint: write alice for an artist, service/farm for a program, guard/ws13 for a workstation
    "#);
    assert_snapshot!(cli.run("invite alice --role full --guard ws12"), @r#"
    exit 2
    --- stdout
    --- stderr
    error: invalid value 'ws12' for '--guard <HOST:PORT>': "ws12" is not an address: write HOST:PORT, such as ws12.studio.example:18812

    For more information, try '--help'.
    "#);
    assert_snapshot!(cli.run("invite alice --role full --guard ws12:18812 --valid soon"), @r#"
    exit 2
    --- stdout
    --- stderr
    error: invalid value 'soon' for '--valid <DURATION>': "soon" is not a duration: write 30m, 24h or 3d

    For more information, try '--help'.
    "#);
    assert_snapshot!(cli.run("invite alice --role full --guard ws12:18812 --valid 90d"), @r"
    exit 1
    --- stdout
    --- stderr
    error: an invite must be valid for some time, and for 30 days at most
    hint: write --valid 24h, for example
    ");
    assert_snapshot!(cli.run("invite alice --role full --guard ws12:18812 --access-until tomorrow"), @r#"
    exit 2
    --- stdout
    --- stderr
    error: invalid value 'tomorrow' for '--access-until <DATE>': "tomorrow" is not a date: write 2026-12-31 (its whole day), "2026-12-31 18:00" (local time), 2026-12-31T18:00+01:00, or never

    For more information, try '--help'.
    "#);
    assert_snapshot!(cli.run("invite alice --role full --guard ws12:18812 --access-until 2001-01-01"), @r"
    exit 1
    --- stdout
    --- stderr
    error: [DATE] is in the past
    hint: give a moment in the future, or end access now with: hrpyc-certs revoke NAME --why TEXT
    ");
    assert_snapshot!(cli.run("invite alice --role full --guard ws12:18812 --from office"), @r#"
    exit 2
    --- stdout
    --- stderr
    error: invalid value 'office' for '--from <CIDR>': "office" is not a network: write an address such as 10.1.2.3, or a range such as 10.1.0.0/16

    For more information, try '--help'.
    "#);
    assert_snapshot!(cli.run("invite alice --role full"), @r"
    exit 1
    --- stdout
    --- stderr
    error: it is not known at which address artists reach this guard
    hint: say it with --guard HOST:PORT, or start the guard once with --advertise HOST:PORT
    ");
    assert_snapshot!(cli.run("invite alice --role Full --guard ws12:18812"), @r#"
    exit 1
    --- stdout
    --- stderr
    error: "Full" is no name of a role
    hint: write --role full (any Python, as Houdini's user), --role read-only, --role read-numeric, or a role of the guard's policy file
    "#);
    assert_snapshot!(cli.run("invite alice --guard ws12:18812"), @r"
    exit 1
    --- stdout
    --- stderr
    error: alice has no access yet, so a role must be given
    hint: add --role full
    ");
    assert_snapshot!(cli.run("invite guard/ws13 --role full --guard ws12:18812"), @r"
    exit 1
    --- stdout
    --- stderr
    error: guard/ws13 is a guard, and guards have no role
    hint: leave --role out
    ");
    assert_snapshot!(cli.run("invite guard/ws12 --guard ws12:18812"), @r"
    exit 1
    --- stdout
    --- stderr
    error: guard/ws12 is this authority's own guard; another machine with its name could pose as it
    hint: choose another name for the other guard
    ");
    assert_snapshot!(cli.run("list"), @r"
    exit 0
    --- stdout
    Authority of studio.example, [FINGERPRINT]
    Guard guard/ws12 at an address not yet known

    Nobody has been invited.
    --- stderr
    ");
}

#[cfg(unix)]
#[test]
fn a_state_directory_that_is_not_in_order_is_refused_with_what_to_type() {
    use std::os::unix::fs::PermissionsExt as _;

    let cli = Cli::empty();
    assert_snapshot!(cli.run("list"), @r"
    exit 1
    --- stdout
    --- stderr
    error: there is no state directory at [DIR]/state
    hint: make an authority with: hrpyc-certs --state-dir [DIR]/state init
    ");
    cli.ok("init --domain studio.example --name ws12");
    let set = |name: &str, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(cli.path(name), mode).unwrap();
    };
    set("state", 0o755);
    assert_snapshot!(cli.run("list"), @r"
    exit 1
    --- stdout
    --- stderr
    error: [DIR]/state has mode 0755, so that other users can get at it; it must be 0700
    hint: if nobody else has read it, type: chmod 700 [DIR]/state
    ");
    set("state", 0o700);
    set("state/authority.key", 0o644);
    assert_snapshot!(cli.run("list"), @r"
    exit 1
    --- stdout
    --- stderr
    error: [DIR]/state/authority.key has mode 0644, so that other users can get at it; it must be 0600
    hint: if nobody else has read it, type: chmod 600 [DIR]/state/authority.key
    ");
    set("state/authority.key", 0o600);
    std::fs::remove_file(cli.path("state/token.key")).unwrap();
    assert_snapshot!(cli.run("list"), @r"
    exit 1
    --- stdout
    --- stderr
    error: [DIR]/state/token.key is missing: it is the private key that signs tokens
    hint: nothing is made anew here, because every artist would have to join again; put it back from a backup with: hrpyc-certs --state-dir [DIR]/state restore FILE
    ");
}

/// Root may write anywhere, so the program runs as somebody else then.
#[cfg(unix)]
#[test]
fn a_read_only_directory_is_an_error_and_nothing_is_lost() {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    use std::os::unix::process::CommandExt as _;

    let cli = Cli::new();
    cli.with_alice();
    let before = std::fs::read(cli.path("state/store.db")).unwrap();
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let program = cli.path("hrpyc-certs");
    std::fs::copy(env!("CARGO_BIN_EXE_hrpyc-certs"), &program).unwrap();
    set(cli.directory.path(), 0o755);
    let mut command = Command::new(&program);
    if rustix::process::geteuid().is_root() {
        chown(cli.path("state"), Some(65534), Some(65534)).unwrap();
        for entry in std::fs::read_dir(cli.path("state")).unwrap() {
            chown(entry.unwrap().path(), Some(65534), Some(65534)).unwrap();
        }
        command.uid(65534).gid(65534);
    }
    set(&cli.path("state"), 0o500);
    let output = command
        .args(["--state-dir".as_ref(), cli.path("state").as_os_str()])
        .args(["revoke", "alice", "--why", "test"])
        .output()
        .unwrap();
    set(&cli.path("state"), 0o700);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("cannot be written") && error.contains("hint: make"),
        "{error}"
    );
    assert_eq!(std::fs::read(cli.path("state/store.db")).unwrap(), before);
}

/// A limit on the size of files stands for a full disk, which a test cannot have.
#[cfg(unix)]
#[test]
fn a_disk_that_takes_no_more_is_an_error_and_nothing_is_lost() {
    let cli = Cli::new();
    cli.with_alice();
    let limited = |limit: u32| {
        Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -f {limit}; trap '' XFSZ; exec \"$@\""))
            .arg("sh")
            .arg(env!("CARGO_BIN_EXE_hrpyc-certs"))
            .args(["--state-dir".as_ref(), cli.path("state").as_os_str()])
            .args(["revoke", "alice", "--why", "test"])
            .output()
            .unwrap()
    };
    for limit in [0, 1, 4, 8] {
        let output = limited(limit);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.contains("error: ") && error.contains("hint: "),
            "{error}"
        );
        assert_eq!(cli.json("show alice")["state"], "live", "{error}");
    }
    let journal = std::fs::read(cli.path("state/revocations.jsonl")).unwrap();
    assert!(journal.is_empty());
    cli.ok("revoke alice --why test");
}
