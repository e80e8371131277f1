//! The audit shows what was done to it: each change is found by name, and what a kill leaves
//! is none.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::forge::site::Site;
use e2e::programs::{Finished, Guard, Trial, poll, run, workspace};
use serde_json::Value;

use crate::audit::come_and_go;

/// Some hundred sessions in several files, of a guard that has stopped; and what its IT keeps
/// elsewhere.
struct Kept {
    trial: Trial,
    key: PathBuf,
    head: String,
}

/// Two runs of a guard, the second of which turns files over.
async fn kept() -> Kept {
    let mut site = Site::configured("[audit]\nmax_bytes = 65536\ncheckpoint_records = 50\n");
    let alice = site.member("alice").await;
    come_and_go(&site, &alice, 20).await;
    site.stop();
    site.start_again();
    come_and_go(&site, &alice, 200).await;
    site.guard().process.terminate();
    site.guard().process.wait().unwrap();
    let head = last_head(&site.log());
    let trial = site.trial;
    let printed = audit(&trial, &trial.state_dir(), &["key"]);
    let key = trial.folder().join("audit.pub");
    fs::write(&key, printed.success().unwrap().stdout).unwrap();
    Kept { trial, key, head }
}

/// The last head of the log of connections that a guard has told its own log.
fn last_head(log: &str) -> String {
    let line = log
        .lines()
        .rfind(|line| line.contains("audit head connections:"));
    let (_, head) = line.unwrap().split_once("audit head ").unwrap();
    head.trim().to_owned()
}

fn audit(trial: &Trial, state: &Path, args: &[&str]) -> Finished {
    run(&mut trial.audit_command(state, args).unwrap()).unwrap()
}

impl Kept {
    /// A copy of the folder with the logs, and of nothing else, to do something to.
    fn copy(&self, name: &str) -> PathBuf {
        let to = self.trial.folder().join(name);
        fs::create_dir(&to).unwrap();
        for entry in fs::read_dir(self.trial.state_dir().join("audit")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        to
    }

    fn verify(&self, copy: &Path, more: &[&str]) -> Finished {
        let key = self.key.to_str().unwrap();
        let args = [&["verify", "--json", "--key", key], more].concat();
        audit(&self.trial, copy, &args)
    }

    /// The reason for which a copy is not what the guard wrote.
    fn reason(&self, copy: &Path, more: &[&str]) -> String {
        let finished = self.verify(copy, more);
        let refused = finished.with_code(1).unwrap_or_else(|e| panic!("{e}"));
        assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
        let found: Value = serde_json::from_str(&refused.stdout).unwrap();
        assert_eq!(found["ok"], false);
        let reason = found["broken"][0]["reason"].as_str().unwrap().to_owned();
        assert!(refused.stderr.contains(&reason), "{}", refused.stderr);
        reason
    }
}

/// The closed files of a copy by age, then the newest.
fn files(copy: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(copy)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("connections-"))
        .collect();
    files.sort();
    files.push(copy.join("connections.jsonl"));
    assert!(files.len() > 3, "{files:?}");
    files
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let text = fs::read_to_string(path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    change(&mut lines);
    fs::write(path, lines.join("\n") + "\n").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_the_audit_is_found_by_name() {
    let kept = kept().await;
    let whole = kept.copy("whole");
    let verified = kept.verify(&whole, &["--expect-head", &kept.head]);
    let verified = verified.success().unwrap_or_else(|e| panic!("{e}"));
    let found: Value = serde_json::from_str(&verified.stdout).unwrap();
    assert_eq!(found["ok"], true);
    assert_eq!(found["verified"][0]["first"], 1);
    assert_eq!(found["verified"][0]["unsigned"], 0);

    type Change = fn(&Path);
    let changes: [(&str, &str, Change); 9] = [
        ("byte", "edited", |copy| {
            change(&files(copy)[1], |lines| {
                lines[5] = lines[5].replace("artist/alice", "artist/alicf");
            });
        }),
        ("line", "missing-lines", |copy| {
            change(&files(copy)[1], |lines| drop(lines.remove(5)));
        }),
        ("swap", "out-of-order", |copy| {
            change(&files(copy)[1], |lines| lines.swap(5, 6));
        }),
        ("twice", "duplicate", |copy| {
            change(&files(copy)[1], |lines| lines.insert(6, lines[5].clone()));
        }),
        ("middle", "missing-file", |copy| {
            fs::remove_file(&files(copy)[1]).unwrap();
        }),
        ("oldest", "missing-oldest-file", |copy| {
            fs::remove_file(&files(copy)[0]).unwrap();
        }),
        ("newest", "missing-newest-file", |copy| {
            fs::remove_file(files(copy).last().unwrap()).unwrap();
        }),
        ("junk", "edited", |copy| {
            change(&files(copy)[1], |lines| lines.insert(5, "{}".into()));
        }),
        ("calls", "missing-newest-file", |copy| {
            fs::remove_file(copy.join("calls.jsonl")).unwrap();
        }),
    ];
    for (name, reason, change) in changes {
        let copy = kept.copy(name);
        change(&copy);
        assert_eq!(kept.reason(&copy, &[]), reason, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_tail_is_found_with_a_head_from_the_guards_log() {
    let kept = kept().await;
    let copy = kept.copy("cut");
    let newest = files(&copy).pop().unwrap();
    change(&newest, |lines| lines.truncate(2));
    kept.verify(&copy, &[])
        .success()
        .unwrap_or_else(|e| panic!("{e}"));
    let expect = ["--expect-head", kept.head.as_str()];
    assert_eq!(kept.reason(&copy, &expect), "cut-tail");
    let (_, unqualified) = kept.head.split_once(':').unwrap();
    assert_eq!(
        kept.reason(&copy, &["--expect-head", unqualified]),
        "cut-tail"
    );
    let whole = kept.copy("whole");
    let found = kept.verify(&whole, &["--expect-head", unqualified]);
    found.success().unwrap_or_else(|e| panic!("{e}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_guard_signed_is_not_believed() {
    let kept = kept().await;
    let other = Site::start();
    let key = audit(&other.trial, &other.trial.state_dir(), &["key"])
        .success()
        .unwrap();
    let path = kept.trial.folder().join("other.pub");
    fs::write(&path, key.stdout).unwrap();
    let copy = kept.copy("copy");
    let refused = audit(
        &kept.trial,
        &copy,
        &["verify", "--key", path.to_str().unwrap()],
    );
    let refused = refused.with_code(1).unwrap_or_else(|e| panic!("{e}"));
    assert!(refused.stderr.contains("unknown-key"), "{}", refused.stderr);
    // Without any key there is nothing to believe.
    let refused = audit(&kept.trial, &copy, &["verify"]).with_code(1).unwrap();
    assert!(refused.stderr.contains("--key FILE"), "{}", refused.stderr);
}

/// The example of the documentation, run as it stands there.
#[tokio::test(flavor = "multi_thread")]
async fn anybody_can_verify_it_with_the_documented_script() {
    let kept = kept().await;
    let page = fs::read_to_string(workspace().join("docs/audit.md")).unwrap();
    let script = page.split("```python\n").nth(1).unwrap();
    let path = kept.trial.folder().join("verify.py");
    fs::write(&path, script.split("```").next().unwrap()).unwrap();
    let verify = |copy: &Path| {
        let mut command = std::process::Command::new("python3");
        command.arg(&path).arg("connections").arg(&kept.key);
        command.args(files(copy));
        run(&mut command).unwrap()
    };
    let copy = kept.copy("copy");
    let whole = verify(&copy).success().unwrap_or_else(|e| panic!("{e}"));
    let ours = audit(
        &kept.trial,
        &copy,
        &["verify", "--key", kept.key.to_str().unwrap()],
    );
    let head = whole.stdout.trim().rsplit(' ').next().unwrap();
    assert!(ours.stdout.contains(head), "{head}\n{}", ours.stdout);
    change(&files(&copy)[1], |lines| {
        lines[5] = lines[5].replace("artist/alice", "artist/alicf");
    });
    let refused = verify(&copy).with_code(1).unwrap_or_else(|e| panic!("{e}"));
    assert!(refused.stderr.contains("line 6"), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_is_killed_at_any_moment_leaves_an_audit_that_verifies() {
    let mut site = Site::configured("[audit]\nmax_bytes = 65536\ncheckpoint_records = 20\n");
    let alice = site.member("alice").await;
    let moments = [3, 11, 28, 47, 76, 120, 190, 310];
    for moment in moments {
        let busy = async {
            loop {
                // It is cut off in the middle of this, by the end of the guard.
                let client = site.client(&alice.credentials);
                let words = e2e::forge::client::hello(&alice.token);
                let many = (0..8).map(|_| client.open(&words));
                for session in many.collect::<Vec<_>>() {
                    drop(session.await);
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(moment), busy).await;
        site.kill();
        site.start_again();
    }
    // While it runs, and after it has stopped.
    let state = site.trial.state_dir();
    let verify = || audit(&site.trial, &state, &["verify", "--json"]).success();
    let found = poll("the first signature", || verify().ok()).unwrap_or_else(|e| {
        panic!("{e}: {}", verify().unwrap_err());
    });
    assert!(found.stdout.contains("\"ok\":true"));
    site.stop();
    let verified = audit(&site.trial, &state, &["verify", "--json"]);
    let verified = verified.success().unwrap_or_else(|e| panic!("{e}"));
    let found: Value = serde_json::from_str(&verified.stdout).unwrap();
    assert_eq!(found["verified"][0]["unsigned"], 0);
    assert_eq!(found["verified"][0]["first"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_verifies_while_the_guard_writes_and_turns_files_over() {
    let site = Site::configured("[audit]\nmax_bytes = 65536\ncheckpoint_records = 50\nkeep = 3\n");
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let state = site.trial.state_dir();
    poll("the first signature", || {
        audit(&site.trial, &state, &["verify"]).success().ok()
    })
    .unwrap();
    let busy = come_and_go(&site, &alice, 300);
    let looking = async {
        for _ in 0..15 {
            let mut command = site.trial.audit_command(&state, &["verify"]).unwrap();
            let verified = tokio::task::spawn_blocking(move || run(&mut command)).await;
            let verified = verified.unwrap().unwrap().success();
            verified.unwrap_or_else(|e| panic!("{e}"));
        }
    };
    tokio::join!(busy, looking);
    let verified = audit(&site.trial, &state, &["verify", "--json"])
        .success()
        .unwrap();
    let found: Value = serde_json::from_str(&verified.stdout).unwrap();
    assert!(
        found["verified"][0]["first"].as_u64().unwrap() > 1,
        "{found}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_sent_where_they_were_asked_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(e2e::programs::DEADLINE))
        .unwrap();
    let config = format!("[audit]\nheads = \"unix:{}\"\n", path.display());
    let mut site = Site::configured(&config);
    let mut message = [0; 1024];
    let length = socket.recv(&mut message).unwrap();
    let text = std::str::from_utf8(&message[..length]).unwrap();
    let (_, head) = text.split_once("audit head ").unwrap();
    let state = site.trial.state_dir();
    let expect = ["verify", "--expect-head", head];
    audit(&site.trial, &state, &expect)
        .success()
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(!site.log().contains("audit head"), "{}", site.log());
    site.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_of_before_gets_its_audit_key_only_when_asked() {
    let mut site = Site::start();
    site.stop();
    let state = site.trial.state_dir();
    fs::remove_dir_all(state.join("audit")).unwrap();
    fs::remove_file(state.join("audit.key")).unwrap();
    let upstream = site.upstream.address().to_string();
    let mut command = site
        .trial
        .guard_command("127.0.0.1:0", &upstream, &[])
        .unwrap();
    let refused = run(&mut command).unwrap().with_code(1).unwrap();
    assert!(
        refused.stderr.contains("audit key --make"),
        "{}",
        refused.stderr
    );
    assert!(!state.join("audit.key").exists());
    let made = audit(&site.trial, &state, &["key", "--make"])
        .success()
        .unwrap();
    assert!(made.stdout.starts_with("-----BEGIN PUBLIC KEY-----"));
    let again = audit(&site.trial, &state, &["key", "--make"])
        .with_code(1)
        .unwrap();
    assert!(again.stderr.contains("never replaced"), "{}", again.stderr);
    let guard = Guard::start(&mut command).unwrap_or_else(|e| panic!("{e}"));
    poll("the first signature", || {
        audit(&site.trial, &state, &["verify"]).success().ok()
    })
    .unwrap();
    drop(guard);
}
