//! Backups, and going on after a rollback.

use super::*;

#[test]
fn a_backup_comes_back() {
    let cli = Cli::new();
    cli.with_alice();
    cli.write("passphrase", "correct horse\n");
    cli.write("wrong", "wrong horse\n");
    assert_snapshot!(cli.run("backup all.json --passphrase-file passphrase"), @r"
    exit 0
    --- stdout
    The backup is in all.json. It is worth nothing without its passphrase.
    --- stderr
    ");
    assert_snapshot!(cli.run("backup all.json --passphrase-file passphrase"), @r"
    exit 1
    --- stdout
    --- stderr
    error: all.json exists already
    hint: give another name, or move it away; nothing is overwritten
    ");
    assert_snapshot!(cli.run("backup clear.json --no-passphrase"), @r"
    exit 0
    --- stdout
    The backup is in clear.json. It holds the keys in clear: whoever reads it can let anybody in.
    --- stderr
    ");
    cli.ok("revoke alice --why 'left the show'");
    assert_snapshot!(cli.run("restore all.json --passphrase-file wrong"), @r"
    exit 1
    --- stdout
    --- stderr
    error: all.json cannot be decrypted: the passphrase is wrong, or the file was changed
    hint: try the passphrase given when the backup was made
    ");
    assert_snapshot!(cli.run("restore passphrase"), @r"
    exit 1
    --- stdout
    --- stderr
    error: passphrase is not a backup of hrpyc-guard: line 1 column 1
    hint: give a file made by: hrpyc-certs backup FILE
    ");
    assert_snapshot!(cli.run("restore all.json --passphrase-file passphrase"), @r"
    exit 0
    --- stdout
    Put back the backup of [DATE] in [DIR]/state.
    Revocations made since and kept: 1.
    Nothing is issued yet, because what else was changed since the backup is lost here.
    Those who have access now:
      nobody
    Look through them, revoke who should be out, then type:
      hrpyc-certs --state-dir [DIR]/state restore --accept-rollback --why TEXT
    --- stderr
    ");
    assert_snapshot!(cli.run("token alice"), @r"
    exit 1
    --- stdout
    --- stderr
    error: the store was rolled back to an older state, so nothing is issued
    hint: see what happened with: hrpyc-certs list; then repeat revocations that may be lost, and go on with: hrpyc-certs restore --accept-rollback --why TEXT
    ");
    assert_snapshot!(cli.run("list"), @r"
    exit 0
    --- stdout
    Authority of studio.example, [FINGERPRINT]
    Guard guard/ws12 at an address not yet known

    NAME   ROLE  STATE    ACCESS UNTIL  DEVICES  OPEN INVITES
    alice  full  revoked  no end        0        0
    --- stderr
    warning: nothing is issued since [DATE], because a backup of [TIME] was put back
    hint: see what happened with: hrpyc-certs list; then repeat revocations that may be lost, and go on with: hrpyc-certs restore --accept-rollback --why TEXT
    ");
    assert_snapshot!(cli.run("restore --accept-rollback"), @r"
    exit 2
    --- stdout
    --- stderr
    error: the following required arguments were not provided:
      --why <TEXT>

    Usage: hrpyc-certs restore --accept-rollback --why <TEXT> [FILE]

    For more information, try '--help'.
    ");
    assert_snapshot!(cli.run("restore --accept-rollback --why 'disk replaced'"), @r"
    exit 0
    --- stdout
    Certificates and tokens are issued again. What had stopped it: a backup of [TIME] was put back.
    Those who have access now:
      nobody
    --- stderr
    ");
    assert_snapshot!(cli.run("restore --accept-rollback --why 'disk replaced'"), @r"
    exit 1
    --- stdout
    --- stderr
    error: no rollback was noticed, so there is nothing to accept
    hint: nothing needs to be done
    ");
    std::fs::write(cli.path("state/store.db"), "rubbish").unwrap();
    assert_snapshot!(cli.run("list"), @r"
    exit 1
    --- stdout
    --- stderr
    error: the store [DIR]/state/store.db is damaged: file is not a database
    hint: put it back from a backup with: hrpyc-certs --state-dir [DIR]/state restore FILE; the revocations in the journal are kept
    ");
    assert_snapshot!(cli.run("restore all.json --passphrase-file passphrase"), @r"
    exit 0
    --- stdout
    Put back the backup of [DATE] in [DIR]/state.
    Revocations made since and kept: 1.
    What was damaged there is now [DIR]/state/[SET ASIDE].
    Nothing is issued yet, because what else was changed since the backup is lost here.
    Those who have access now:
      nobody
    Look through them, revoke who should be out, then type:
      hrpyc-certs --state-dir [DIR]/state restore --accept-rollback --why TEXT
    --- stderr
    ");
}

#[test]
fn a_current_backup_needs_no_accepting() {
    let cli = Cli::new();
    cli.ok("invite bob --role full --guard ws12:18812");
    cli.ok("backup all.json --no-passphrase");
    let line = "restore all.json --accept-rollback --why test";
    assert_snapshot!(cli.run(line), @r"
    exit 0
    --- stdout
    Put back the backup of [DATE] in [DIR]/state.
    It is current, so certificates and tokens go on being issued.
    --- stderr
    ");
    let invited = cli.json("show bob");
    assert_eq!(invited["state"], "invited");
    assert!(invited["alarm"].is_null());
    cli.with_alice();
    assert_snapshot!(cli.run("restore all.json"), @r"
    exit 0
    --- stdout
    Put back the backup of [DATE] in [DIR]/state.
    Nothing is issued yet, because what else was changed since the backup is lost here.
    Those who have access now:
      nobody
    Open invites, which may have been used since and are revoked when you go on:
      [INVITE] for bob, until [DATE]
    Look through them, revoke who should be out, then type:
      hrpyc-certs --state-dir [DIR]/state restore --accept-rollback --why TEXT
    --- stderr
    ");
    assert!(cli.json("show bob")["alarm"]["why"].is_string());
    assert_snapshot!(cli.run(line), @r"
    exit 0
    --- stdout
    Put back the backup of [DATE] in [DIR]/state.
    Certificates and tokens are issued again. What had stopped it: a backup of [TIME] was put back.
    Open invites revoked, because they may have been used before: 1.
    Those who have access now:
      nobody
    --- stderr
    ");
    assert_eq!(cli.json("show bob")["state"], "revoked");
}

#[test]
fn help_says_what_a_restore_keeps() {
    let help = Cli::empty().ok("restore --help");
    for said in ["every revocation", "open invite", "The guard may run"] {
        assert!(help.contains(said), "{said}");
    }
}
