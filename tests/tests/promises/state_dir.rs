//! The state directory: when it is not as it should be, the guard says what to do, starts
//! nothing anew and overwrites nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::forge::client::{Came, Client, hello};
use e2e::forge::enrol::join;
use e2e::forge::site::Site;
use e2e::forge::upstream::Upstream;
use e2e::programs::{Finished, Guard, Trial, poll, program, run};
use wire::Code;
use wire::leaf::Fingerprint;

/// Every file under a folder with its content's digest and its mode.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (String, u32)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let digest = Fingerprint::of(&fs::read(entry.path()).unwrap()).to_string();
                let mode = entry.metadata().unwrap().permissions().mode();
                found.insert(entry.path(), (digest, mode));
            }
        }
    }
    found
}

/// A directory that was in use and now is not.
struct Used {
    trial: Trial,
    upstream: Upstream,
}

impl Used {
    async fn new() -> Self {
        let mut site = Site::start();
        let alice = site.member("alice").await;
        site.open(&alice).await;
        site.stop();
        let Site {
            trial, upstream, ..
        } = site;
        Self { trial, upstream }
    }

    fn state(&self) -> PathBuf {
        self.trial.state_dir()
    }

    fn start(&self) -> Finished {
        let upstream = self.upstream.address().to_string();
        let command = self.trial.guard_command("127.0.0.1:0", &upstream, &[]);
        run(&mut command.unwrap()).unwrap_or_else(|e| panic!("{e}"))
    }

    /// The guard and `hrpyc-certs` refuse the directory, name `what`, say what to do, and
    /// leave every file as it is.
    fn assert_refused(&self, what: &str) {
        let mut command = self.trial.certs_command().unwrap();
        let before = contents(&self.state());
        let certs = run(command.args(["list"])).unwrap();
        assert_eq!(contents(&self.state()), before, "something was written");
        self.assert_refused_by([self.start(), certs], before, what);
    }

    /// As [`Used::assert_refused`], for what only the guard needs.
    fn assert_guard_refuses(&self, what: &str) {
        let before = contents(&self.state());
        self.assert_refused_by([self.start()], before, what);
    }

    fn assert_refused_by<const N: usize>(
        &self,
        finished: [Finished; N],
        before: BTreeMap<PathBuf, (String, u32)>,
        what: &str,
    ) {
        for finished in finished {
            let finished = finished.with_code(1).unwrap_or_else(|e| panic!("{e}"));
            let said = &finished.stderr;
            assert!(said.contains("error: "), "{said}");
            assert!(said.contains("hint: "), "{said}");
            assert!(said.contains(what), "{what} is not named: {said}");
            assert!(!finished.stdout.contains("listening"));
        }
        assert_eq!(contents(&self.state()), before, "something was written");
    }

    /// And when it is put right, the guard starts.
    fn assert_starts(&self) {
        let upstream = self.upstream.address().to_string();
        self.trial
            .start_guard(&upstream, &[])
            .unwrap_or_else(|e| panic!("{e}"));
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

const KEYS: [&str; 3] = ["authority.key", "token.key", "guard.key"];

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_others_may_enter_is_refused() {
    let used = Used::new().await;
    for mode in [0o750, 0o705, 0o770, 0o777] {
        set_mode(&used.state(), mode);
        used.assert_refused("0700");
    }
    set_mode(&used.state(), 0o700);
    used.assert_starts();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_others_may_read_is_refused() {
    let used = Used::new().await;
    for key in KEYS {
        for mode in [0o640, 0o604, 0o660] {
            set_mode(&used.state().join(key), mode);
            used.assert_refused(key);
        }
        set_mode(&used.state().join(key), 0o600);
    }
    used.assert_starts();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_others_may_read_is_refused() {
    let used = Used::new().await;
    set_mode(&used.state().join("store.db"), 0o644);
    used.assert_refused("store.db");
    set_mode(&used.state().join("store.db"), 0o600);
    used.assert_starts();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_is_named_and_never_made_anew() {
    let used = Used::new().await;
    for name in [
        "authority.key",
        "authority.crt",
        "token.key",
        "guard.key",
        "guard.crt",
        "store.db",
        "state.toml",
    ] {
        let path = used.state().join(name);
        let aside = used.trial.folder().join("aside");
        fs::rename(&path, &aside).unwrap();
        used.assert_refused(name);
        assert!(!path.exists(), "{name} was made anew");
        fs::rename(&aside, &path).unwrap();
    }
    used.assert_starts();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_with_anything_in_it_is_not_taken_for_a_new_one() {
    let used = Used::new().await;
    let state = used.state();
    for entry in fs::read_dir(&state).unwrap().flatten() {
        if entry.file_name() != "authority.crt" {
            let path = entry.path();
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
    }
    let before = contents(&state);
    let refused = used.start().with_code(1).unwrap_or_else(|e| panic!("{e}"));
    assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
    assert_eq!(contents(&state), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_key_is_refused() {
    let used = Used::new().await;
    for key in KEYS {
        let path = used.state().join(key);
        let honest = fs::read(&path).unwrap();
        for damaged in [&b""[..], b"garbage", &honest[..honest.len() / 2]] {
            fs::write(&path, damaged).unwrap();
            used.assert_guard_refuses(key);
        }
        fs::write(&path, honest).unwrap();
    }
    used.assert_starts();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_belongs_to_another_certificate_is_refused() {
    let used = Used::new().await;
    let path = used.state().join("authority.key");
    let honest = fs::read(&path).unwrap();
    fs::copy(used.state().join("guard.key"), &path).unwrap();
    used.assert_refused("authority.key");
    fs::write(&path, honest).unwrap();
    used.assert_starts();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_is_refused() {
    let used = Used::new().await;
    let path = used.state().join("store.db");
    let honest = fs::read(&path).unwrap();
    let mut scrambled = honest.clone();
    for byte in &mut scrambled[4096..] {
        *byte ^= 0xa5;
    }
    let garbage = vec![0x5a; honest.len()];
    for damaged in [&garbage, &honest[..honest.len() / 2], b"", &scrambled] {
        fs::write(&path, damaged).unwrap();
        for beside in ["store.db-wal", "store.db-shm"] {
            let _ = fs::remove_file(used.state().join(beside));
        }
        used.assert_refused("store.db");
    }
    for beside in ["store.db-wal", "store.db-shm"] {
        let _ = fs::remove_file(used.state().join(beside));
    }
    fs::write(&path, honest).unwrap();
    used.assert_starts();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_of_revocations_is_refused() {
    let used = Used::new().await;
    let mut command = used.trial.certs_command().unwrap();
    let revoked = run(command.args(["revoke", "alice", "--why", "left the show"])).unwrap();
    revoked.success().unwrap();
    let path = used.state().join("revocations.jsonl");
    let honest = fs::read(&path).unwrap();
    let garbage = [&b"garbage\n"[..], &honest].concat();
    fs::write(&path, garbage).unwrap();
    used.assert_refused("revocations.jsonl");
    fs::write(&path, honest).unwrap();
    used.assert_starts();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_a_new_directory_are_for_their_owner_only() {
    let used = Used::new().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&used.state()), 0o700);
    for (path, (_, mode)) in contents(&used.state()) {
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
}

/// A trial whose folder is a small disk of its own, which only its processes see.
struct SmallDisk {
    guard: Guard,
    upstream: Upstream,
    trial: Trial,
}

/// A command in a mount namespace of its own, after `prepare`.
fn in_namespace(prepare: &str, command: &Command) -> Command {
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
fn namespaces(test: &str) -> bool {
    let probe = in_namespace("mount -t tmpfs tmpfs /mnt", &Command::new("true"));
    let mut probe = probe;
    let possible = probe.output().is_ok_and(|output| output.status.success());
    if !possible {
        println!("NOT RUN: {test} (needs mount namespaces)");
    }
    possible
}

impl SmallDisk {
    fn start() -> Self {
        let trial = Trial::new().unwrap();
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
    for line in String::from_utf8(disk.audit()).unwrap().lines() {
        let record: Result<serde_json::Value, _> = serde_json::from_str(line);
        assert!(record.is_ok(), "a torn record: {line:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_directory_is_refused() {
    if !namespaces("a_read_only_directory_is_refused") {
        return;
    }
    let used = Used::new().await;
    let before = contents(&used.state());
    let upstream = used.upstream.address().to_string();
    let inner = used.trial.guard_command("127.0.0.1:0", &upstream, &[]);
    let state = used.state().display().to_string();
    let prepare = format!("mount --bind '{state}' '{state}'\nmount -o remount,ro,bind '{state}'");
    let refused = run(&mut in_namespace(&prepare, &inner.unwrap())).unwrap();
    let refused = refused.with_code(1).unwrap_or_else(|e| panic!("{e}"));
    assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
    assert!(refused.stderr.contains(&state), "{}", refused.stderr);
    assert_eq!(contents(&used.state()), before);
    used.assert_starts();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_rolled_back_to_an_older_copy_is_noticed() {
    let mut site = Site::start();
    let alice = site.member("alice").await;
    site.stop();
    let state = site.trial.state_dir();
    let older = site.trial.folder().join("older");
    copy(&state, &older);
    site.start_again();
    let attempt = e2e::forge::enrol::renew(site.address(), &alice.credentials, None).await;
    let Came::Issued(issued) = attempt.came else {
        panic!("{attempt:?}");
    };
    let newer = issued.token.unwrap().jwt.expose().clone();
    site.stop();
    fs::remove_dir_all(&state).unwrap();
    copy(&older, &state);
    site.start_again();

    let client = site.client(&alice.credentials);
    // It is genuine, so whether it admits is not the question here.
    client.try_hello(&hello(&newer)).await;
    let dialled = site.upstream.accepted();
    site.trial
        .wait_for_record(|record| record["event"] == "alarm")
        .unwrap();
    assert!(site.log().contains("accept-rollback"), "{}", site.log());
    let attempt = e2e::forge::enrol::renew(site.address(), &alice.credentials, None).await;
    site.assert_refused(&attempt, Code::IssuingStopped, dialled);

    // Somebody looks, and says so; then things are issued again.
    let mut command = site.trial.certs_command().unwrap();
    command.args([
        "restore",
        "--accept-rollback",
        "--why",
        "the disk was replaced",
    ]);
    run(&mut command)
        .unwrap()
        .success()
        .unwrap_or_else(|e| panic!("{e}"));
    let attempt = e2e::forge::enrol::renew(site.address(), &alice.credentials, None).await;
    let Came::Issued(issued) = attempt.came else {
        panic!("{attempt:?}");
    };
    let fresh = issued.token.unwrap().jwt.expose().clone();
    site.open_with(&alice.credentials, &fresh).await;
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.unwrap().success());
}
