//! The state directory: when it is not as it should be, the guard says what to do, starts
//! nothing anew and overwrites nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::forge::client::{Came, hello};
use e2e::forge::site::Site;
use e2e::forge::upstream::Upstream;
use e2e::programs::{Finished, Trial, run};
use wire::Code;
use wire::leaf::Fingerprint;

use crate::disk::{in_namespace, namespaces};

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

const KEYS: [&str; 4] = ["authority.key", "token.key", "guard.key", "audit.key"];

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
        "audit.key",
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
