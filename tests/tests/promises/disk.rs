//! A full disk: nobody new gets in, nothing is overwritten, and it passes by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::forge::client::{Came, Client, hello};
use e2e::forge::enrol::join;
use e2e::forge::upstream::Upstream;
use e2e::programs::{Guard, Trial, poll, program, run};
use wire::Code;

/// A trial whose folder is a small disk of its own, which only its processes see.
struct SmallDisk {
    guard: Guard,
    upstream: Upstream,
    trial: Trial,
}

/// A command in a mount namespace of its own, after `prepare`.
pub(crate) fn in_namespace(prepare: &str, command: &Command) -> Command {
    let mut outer = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        outer.arg("-r");
    }
    outer
        .args(["-m", "--propagation", "private", "sh", "-ec"])
        .arg(format!("{prepare}\nexec \"$@\""))
        .arg("sh")
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        outer.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

/// Whether mount namespaces can be made here.
pub(crate) fn namespaces(test: &str) -> bool {
    let probe = in_namespace("mount -t tmpfs tmpfs /mnt", &Command::new("true"));
    let mut probe = probe;
    let possible = probe.output().is_ok_and(|output| output.status.success());
    if !possible {
        crate::not_run(test, "mount namespaces");
    }
    possible
}

impl SmallDisk {
    fn start() -> Self {
        let trial = Trial::opaque().unwrap();
        let upstream = Upstream::echo();
        let inner = trial
            .guard_command("127.0.0.1:0", &upstream.address().to_string(), &[])
            .unwrap();
        let folder = trial.folder().display().to_string();
        let prepare =
            format!("mount -t tmpfs -o size=3m,mode=0700 tmpfs '{folder}'\ncd '{folder}'");
        let guard = Guard::start(&mut in_namespace(&prepare, &inner));
        Self {
            guard: guard.unwrap_or_else(|e| panic!("{e}")),
            upstream,
            trial,
        }
    }

    /// A path as the guard's processes see it.
    fn seen(&self, path: &Path) -> PathBuf {
        let root = format!("/proc/{}/root", self.guard.process.pid());
        PathBuf::from(root).join(path.strip_prefix("/").unwrap())
    }

    fn audit(&self) -> Vec<u8> {
        fs::read(self.seen(&self.trial.audit_file())).unwrap()
    }

    fn invite(&self, name: &str) -> wire::invite::Invite {
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &self.guard.process.pid().to_string(), "-m"])
            .args(if rustix::process::geteuid().is_root() {
                &[][..]
            } else {
                &["-U", "--preserve-credentials"]
            })
            .arg(program("hrpyc-certs").unwrap())
            .arg("--state-dir")
            .arg(self.trial.state_dir())
            .args(["--json", "invite", name, "--role", "full", "--guard"])
            .arg(self.guard.address.to_string());
        let finished = run(&mut command).unwrap();
        let finished = finished.success().unwrap_or_else(|e| panic!("{e}"));
        let printed: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
        printed["code"].as_str().unwrap().parse().unwrap()
    }
}

/// Writes zeros until the disk takes no more; returns the path.
fn fill(folder: &Path) -> PathBuf {
    use std::io::Write as _;
    let path = folder.join("filler");
    let mut filler = fs::File::create(&path).unwrap();
    for size in [64 * 1024, 4096, 1] {
        let block = vec![0; size];
        while filler.write_all(&block).is_ok() {}
    }
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_new_sessions_and_overwrites_nothing() {
    if !namespaces("a_full_disk_refuses_new_sessions_and_overwrites_nothing") {
        return;
    }
    let disk = SmallDisk::start();
    let alice = join(disk.guard.address, &disk.invite("alice")).await;
    let client = Client::new(disk.guard.address, Some(&alice.credentials));
    let words = hello(&alice.token);
    let mut live = client.open(&words).await.unwrap();
    live.ping().await.unwrap();

    let filler = fill(&disk.seen(disk.trial.folder()));
    let before = disk.audit();
    // The last page of the audit may have room for some records more.
    let mut refused = None;
    for _ in 0..60 {
        if let Err(attempt) = client.open(&words).await {
            refused = Some(attempt.came);
            break;
        }
    }
    // That was how the guard learned of it; from now on it does not even dial.
    let dialled = disk.upstream.accepted();
    for _ in 0..3 {
        client.open(&words).await.unwrap_err();
    }
    assert_eq!(disk.upstream.accepted(), dialled);
    let Some(Came::Refused(refusal, true)) = refused else {
        panic!("{refused:?} came on a full disk");
    };
    assert_eq!(refusal.code, Code::AuditUnavailable.as_str());
    let full = disk.audit();
    assert!(full.starts_with(&before), "the audit was overwritten");
    // Who is in stays in.
    live.ping().await.unwrap();

    fs::remove_file(filler).unwrap();
    let end = std::time::Instant::now() + e2e::programs::DEADLINE;
    loop {
        match client.open(&words).await {
            Ok(mut session) => break session.ping().await.unwrap(),
            Err(attempt) => assert!(
                std::time::Instant::now() < end,
                "no recovery when there is space again: {attempt:?}"
            ),
        }
    }
    poll("the record of the new session", || {
        let after = disk.audit();
        assert!(after.starts_with(&before), "the audit was overwritten");
        (after.len() > full.len()).then_some(())
    })
    .unwrap();
    // It is whole all the same.
    let state = disk.seen(&disk.trial.state_dir());
    let verified = poll("the first signature", || {
        let verify = disk.trial.audit_command(&state, &["verify"]);
        run(&mut verify.unwrap()).unwrap().success().ok()
    });
    let verified = verified.unwrap_or_else(|e| panic!("{e}"));
    let said = verified.stdout;
    assert!(said.contains("connections: lines 1 to "), "{said}");
    for line in String::from_utf8(disk.audit()).unwrap().lines() {
        let record: Result<serde_json::Value, _> = serde_json::from_str(line);
        assert!(record.is_ok(), "a torn record: {line:?}");
    }
}
