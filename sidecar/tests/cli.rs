//! What users see of `hrpyc-guard` on the command line: exit code, output and hint.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
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
    insta::assert_snapshot!(guard(&["policy", "check", "--help"]));
    insta::assert_snapshot!(guard(&["policy", "explain", "--help"]));
    insta::assert_snapshot!(guard(&["policy", "test", "--help"]));
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

const LOOKDEV: &str = r#"
[role.lookdev]
extends = "read-only"
contact = "lookdev-leads@studio.example"

[[role.lookdev.rule]]
name = "dim-lights"
allow = ["hou.Parm.set"]
args = [{ type = "number", min = 0, max = 10 }]
advisory_path = ["/obj/lights/**"]

[role.read-only]
mode = "shadow"
"#;

#[test]
fn a_policy_is_checked_and_what_its_roles_promise_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    std::fs::write(&path, LOOKDEV).unwrap();
    let check = ["policy", "check", "--policy", "DIR/policy.toml"];
    insta::assert_snapshot!(in_folder(folder.path(), &check));
    insta::assert_snapshot!(guard(&["policy", "check"]));
    std::fs::write(&path, LOOKDEV.replace("max = 10", "most = 10")).unwrap();
    insta::assert_snapshot!(in_folder(folder.path(), &check));
    std::fs::write(
        &path,
        LOOKDEV.replace("extends = \"read-only\"", "extends = \"readonly\""),
    )
    .unwrap();
    insta::assert_snapshot!(in_folder(folder.path(), &check));
    // The guard does not start with it, and makes nothing.
    let args = [
        "--policy",
        "DIR/policy.toml",
        "--state-dir",
        "DIR/state",
        "--listen",
        "127.0.0.1:0",
    ];
    let seen = in_folder(folder.path(), &args);
    assert!(
        seen.starts_with("exit: 1\n") && seen.contains("there is no role"),
        "{seen}"
    );
    assert!(!folder.path().join("state").exists());
    // A policy that a configuration names is beside it, and is checked with it.
    std::fs::write(folder.path().join("guard.toml"), "policy = 'policy.toml'").unwrap();
    let both = ["config", "check", "--config", "DIR/guard.toml"];
    assert!(in_folder(folder.path(), &both).starts_with("exit: 1\n"));
    std::fs::write(&path, LOOKDEV).unwrap();
    let seen = in_folder(folder.path(), &both);
    assert!(
        seen.starts_with("exit: 0\n") && seen.contains("lookdev"),
        "{seen}"
    );
}

#[test]
fn a_role_in_which_houdini_is_not_held_back_is_told_and_a_narrow_one_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    let check = ["policy", "check", "--policy", "DIR/policy.toml"];
    let farm = "[role.farm]\nextends = \"full\"\nreverse_calls = \"open\"\n";
    std::fs::write(&path, farm).unwrap();
    insta::assert_snapshot!("open_reverse_calls", in_folder(folder.path(), &check));
    std::fs::write(&path, farm.replace("full", "read-only")).unwrap();
    insta::assert_snapshot!("narrow_and_open", in_folder(folder.path(), &check));
}

#[test]
fn an_expression_is_explained_request_by_request() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.toml"), LOOKDEV).unwrap();
    let explain = |role: &str, expression: &str, more: &[&str]| {
        let args = [
            "policy",
            "explain",
            expression,
            "--role",
            role,
            "--policy",
            "DIR/policy.toml",
        ];
        in_folder(folder.path(), &[&args[..], more].concat())
    };
    insta::assert_snapshot!(explain(
        "lookdev",
        "hou.node('/obj/lights/key').parm('dimmer').set(2)",
        &[]
    ));
    insta::assert_snapshot!(explain(
        "lookdev",
        "hou.node('/obj/lights/key').parm('dimmer').set(20)",
        &[]
    ));
    insta::assert_snapshot!(explain(
        "read-numeric",
        "hou.node(\"/obj/a\").destroy()",
        &["--json"]
    ));
    insta::assert_snapshot!(explain(
        "read-only",
        "hou.node('/obj/a').geometry().points()",
        &[]
    ));
    insta::assert_snapshot!(explain("full", "conn.modules.os.system('id')", &[]));
    insta::assert_snapshot!(explain(
        "read-only",
        "hou.objNodeTypeCategory().nodeTypes()['geo'].name()",
        &[]
    ));
    insta::assert_snapshot!(explain("read-only", "hou.node('/obj/a'", &[]));
    insta::assert_snapshot!(explain("admin", "hou.frame()", &[]));
}

#[test]
fn cases_are_held_against_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    let test = ["policy", "test", "DIR/cases.toml"];
    let cases = folder.path().join("cases.toml");
    std::fs::write(
        &cases,
        "[[case]]\nrole = 'read-only'\nexpression = 'hou.frame()'\nexpect = 'allow'\nrule = 'read-only/state'\n",
    )
    .unwrap();
    insta::assert_snapshot!(in_folder(folder.path(), &test));
    std::fs::write(
        &cases,
        "[[case]]\nrole = ['read-only', 'full']\nexpression = 'hou.exit()'\nexpect = 'allow'\n\n[[case]]\nrole = 'read-only'\nexpression = 'hou.exit()'\nexpect = 'deny'\nrule = 'floor/root'\n",
    )
    .unwrap();
    insta::assert_snapshot!(in_folder(folder.path(), &test));
    for broken in [
        "",
        "[[case]]\nrole = 'x'\nexpression = 'hou'\nexpect = 'allow'",
        "[[case]]\nexpect = 'perhaps'",
    ] {
        std::fs::write(&cases, broken).unwrap();
        assert!(
            in_folder(folder.path(), &test).starts_with("exit: 2\n"),
            "{broken}"
        );
    }
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
    std::fs::write(folder.path().join("policy.toml"), LOOKDEV).unwrap();
    let seen = in_folder(
        folder.path(),
        &["config", "check", "--config", "DIR/guard.toml"],
    );
    assert!(seen.starts_with("exit: 0\n"), "{seen}");
}

#[test]
fn the_documented_policy_is_right_and_passes_the_documented_cases() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = std::fs::read_to_string(root.join("docs/policy.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let blocks = page.split("```toml\n").skip(1);
    let blocks: Vec<&str> = blocks
        .map(|block| block.split("```").next().unwrap())
        .collect();
    let [policy, cases] = blocks[..] else {
        panic!("{blocks:?}")
    };
    std::fs::write(folder.path().join("policy.toml"), policy).unwrap();
    std::fs::write(folder.path().join("cases.toml"), cases).unwrap();
    let of = ["--policy", "DIR/policy.toml"];
    let seen = in_folder(folder.path(), &[&["policy", "check"], &of[..]].concat());
    assert!(seen.starts_with("exit: 0\n"), "{seen}");
    let test = ["policy", "test", "DIR/cases.toml"];
    let seen = in_folder(folder.path(), &[&test, &of[..]].concat());
    assert!(
        seen.starts_with("exit: 0\n") && seen.contains("3 cases"),
        "{seen}"
    );
    let built_in = root.join("sidecar/hom/cases.toml");
    let seen = guard(&["policy", "test", built_in.to_str().unwrap()]);
    assert!(seen.starts_with("exit: 0\n"), "{seen}");
}

#[test]
fn each_rule_of_the_floor_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("../docs/policy.md")).unwrap();
    let mut code = String::new();
    read_all(&root.join("src"), &mut code);
    let rules = code
        .split("\"floor/")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap());
    // Of these nothing is denied.
    let rules: BTreeSet<_> = rules
        .filter(|rule| !["plumbing", "containers"].contains(rule))
        .collect();
    assert!(rules.len() >= 15, "{rules:?}");
    for rule in rules {
        assert!(page.contains(&format!("`floor/{rule}`")), "{rule}");
    }
}

fn read_all(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, text);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

/// A line that is written, by its log and the text in front of its place in the chain.
const LINES: [(&str, &str); 8] = [
    (
        "connections",
        r#"{"time":"2026-11-23T10:00:00.1Z","event":"started""#,
    ),
    (
        "connections",
        r#"{"time":"2026-11-23T10:00:01.25Z","event":"refused","session":"5e5510","peer":"192.0.2.9:40000","stage":"tls","code":"tls-no-certificate","sentence":"No certificate came.","seconds":0.1"#,
    ),
    (
        "connections",
        r#"{"time":"2026-11-23T10:00:02Z","event":"opened","session":"5e5511","peer":"192.0.2.7:40000","identity":"spiffe://ws12.internal/artist/alice","role":"full","upstream":"127.0.0.1:18811""#,
    ),
    (
        "calls",
        r#"{"time":"2026-11-23T10:00:02.5Z","event":"call","session":"5e5511","identity":"spiffe://ws12.internal/artist/alice","role":"full","direction":"to-houdini","call":"hou.node('/obj').parm('tx').set","class":"hou.Parm","method":"set","args":["2.0","follow=True"],"outcome":"ok","us":1830,"bytes_up":61,"bytes_down":18"#,
    ),
    (
        "calls",
        r#"{"time":"2026-11-23T10:00:02.7Z","event":"call","session":"5e5511","identity":"spiffe://ws12.internal/artist/alice","role":"full","direction":"to-client","call":"tool.pressed","method":"pressed","outcome":"exception","exception":"ValueError","us":90,"bytes_up":40,"bytes_down":200"#,
    ),
    (
        "calls",
        r#"{"time":"2026-11-23T10:00:03Z","event":"call","session":"5e5512","identity":"spiffe://ws12.internal/service/farm","role":"read-only","direction":"to-houdini","call":"hou.hipFile.save","class":"hou.hipFile","method":"save","outcome":"denied","rule":"no-write","ref":"00c0ffee00","us":2,"bytes_up":44,"bytes_down":0"#,
    ),
    (
        "calls",
        r#"{"time":"2026-11-23T10:00:04Z","event":"checkpoint","log":"calls","why":"time","key":"0011223344556677","head":"00","signature":"","waited":3,"longest_wait_us":1700000,"turned_away":1"#,
    ),
    (
        "connections",
        r#"{"time":"2026-11-23T10:00:05Z","event":"closed","session":"5e5511","identity":"spiffe://ws12.internal/artist/alice","role":"full","bytes_up":101,"bytes_down":218,"seconds":3.25,"reason":"client-closed""#,
    ),
];

/// A state directory with these lines, which nobody signed.
fn with_audit(folder: &Path) {
    use hrpyc_guard::audit::chain::Head;
    let audit = folder.join("audit");
    std::fs::create_dir(&audit).unwrap();
    for log in ["connections", "calls"] {
        let (mut head, mut text) = (Head::genesis(log), Vec::new());
        for (_, body) in LINES.iter().filter(|(of, _)| *of == log) {
            head.append(body.as_bytes(), &mut text);
        }
        std::fs::write(audit.join(format!("{log}.jsonl")), text).unwrap();
    }
}

#[test]
fn the_audit_says_how_it_is_read() {
    insta::assert_snapshot!(guard(&["audit", "--help"]));
    for command in ["show", "follow", "search", "verify", "stats", "key"] {
        insta::assert_snapshot!(guard(&["audit", command, "--help"]));
    }
}

#[test]
fn the_audit_is_read_by_people() {
    let folder = tempfile::tempdir().unwrap();
    with_audit(folder.path());
    let audit = |args: &[&str]| {
        let all = [&["audit", "--state-dir", "DIR"], args].concat();
        in_folder(folder.path(), &all)
    };
    insta::assert_snapshot!(audit(&["show"]));
    insta::assert_snapshot!(audit(&["show", "--event", "checkpoint"]));
    insta::assert_snapshot!(audit(&["show", "--outcome", "denied", "--json"]));
    insta::assert_snapshot!(audit(&["search", "follow=true"]));
    insta::assert_snapshot!(audit(&["stats"]));
    insta::assert_snapshot!(audit(&["stats", "--identity", "farm", "--json"]));
    // A copy of the folder with the logs will do.
    let shown = in_folder(
        folder.path(),
        &["audit", "show", "--state-dir", "DIR/audit"],
    );
    assert_eq!(shown, audit(&["show"]));
}

#[test]
fn an_audit_that_cannot_be_believed_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let audit = |args: &[&str]| {
        let all = [&["audit", "--state-dir", "DIR"], args].concat();
        in_folder(folder.path(), &all)
    };
    insta::assert_snapshot!(audit(&["show"]));
    with_audit(folder.path());
    let key = certs::AuditKey::ephemeral().unwrap().public().to_pem();
    std::fs::write(folder.path().join("key.pem"), key).unwrap();
    let verify = ["verify", "--key", "DIR/key.pem"];
    insta::assert_snapshot!(audit(&verify));
    // Each of the logs is told.
    let path = folder.path().join("audit/connections.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("192.0.2.9", "192.0.2.8")).unwrap();
    insta::assert_snapshot!(audit(&verify));
    std::fs::write(&path, "rubbish\n".repeat(20)).unwrap();
    insta::assert_snapshot!(audit(&["show", "-n", "1"]));
    insta::assert_snapshot!(audit(&["verify", "--key", "DIR/audit/calls.jsonl"]));
    insta::assert_snapshot!(audit(&["verify", "--expect-head", "12"]));
    insta::assert_snapshot!(audit(&["show", "--since", "yesterday"]));
}

#[test]
fn a_log_that_has_just_begun_is_said_not_to_be_signed_yet() {
    use hrpyc_guard::audit::chain::Head;
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    std::fs::create_dir(&audit).unwrap();
    let (mut head, mut text) = (Head::genesis("connections"), Vec::new());
    let body = format!(r#"{{"time":"{}","event":"started""#, jiff::Timestamp::now());
    head.append(body.as_bytes(), &mut text);
    std::fs::write(audit.join("connections.jsonl"), text).unwrap();
    std::fs::write(audit.join("calls.jsonl"), "").unwrap();
    let key = certs::AuditKey::ephemeral().unwrap().public().to_pem();
    std::fs::write(folder.path().join("key.pem"), key).unwrap();
    let verify = ["verify", "--key", "DIR/key.pem"];
    let args = [&["audit", "--state-dir", "DIR"], &verify[..]].concat();
    let seen = in_folder(folder.path(), &args);
    insta::assert_snapshot!(seen.replace(&head.to_text(), "1:HASH"));
}
