//! The program, as it is typed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::spawn_blocking;

use crate::world::{Client, World, reply, request, until};

fn agent(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hrpyc-agent"));
    command
        .arg("--config-dir")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Exit code, standard output and standard error.
fn shown(output: &Output) -> String {
    format!(
        "exit {:?}\n--- stdout\n{}--- stderr\n{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn run(config: &Path, arguments: &[&str]) -> String {
    shown(&agent(config).args(arguments).output().unwrap())
}

fn piped(config: &Path, arguments: &[&str], input: &str) -> String {
    let mut child = agent(config)
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    shown(&child.wait_with_output().unwrap())
}

/// Joins with the program, and returns what it said.
async fn join(world: &World, arguments: &'static [&'static str]) -> String {
    let config = world.profiles().root().to_owned();
    let code = world.invite().to_code();
    spawn_blocking(move || piped(&config, arguments, code.expose()))
        .await
        .unwrap()
}

#[test]
fn the_help_says_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["join", "connect", "status", "doctor", "leave"] {
        insta::assert_snapshot!(
            format!("help_{command}"),
            run(&folder.path().join("config"), &[command, "--help"])
        );
    }
    insta::assert_snapshot!("help", run(&folder.path().join("config"), &["--help"]));
}

#[test]
fn without_a_profile_the_next_step_is_named() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(
        "nothing_to_connect",
        run(&folder.path().join("config"), &["connect"])
    );
    insta::assert_snapshot!(
        "nothing_to_leave",
        run(&folder.path().join("config"), &["leave", "ws12"])
    );
    insta::assert_snapshot!("no_code", run(&folder.path().join("config"), &["join"]));
}

#[test]
fn a_damaged_code_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(
        "damaged_code",
        piped(&folder.path().join("config"), &["join"], "hrpyc1-AQ9\n")
    );
    insta::assert_snapshot!(
        "no_invite_code",
        piped(&folder.path().join("config"), &["join", "-"], "hello\n")
    );
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["connect", "a", "b"][..],
        &["connect", "a=1", "b=2", "--listen", "3"],
        &["connect", "a=1", "--listen", "2"],
        &["connect", "a=nowhere"],
        &["connect", "a/"],
        &["connect", "--listen", "somewhere"],
    ] {
        let said = run(&folder.path().join("config"), arguments);
        assert!(said.starts_with("exit Some(2)\n"), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn joining_shows_what_to_compare_and_no_secret() {
    let world = World::new().await;
    let said = join(&world, &["join"]).await;
    assert!(said.starts_with("exit Some(0)\n"), "{said}");
    assert!(
        said.contains(&world.realm.fingerprint().to_string()),
        "{said}"
    );
    assert!(said.contains("next: hrpyc-agent connect ws12"), "{said}");
    assert!(
        !said.contains("token.0") && !said.contains("hrpyc1-"),
        "{said}"
    );
}

#[tokio::test]
async fn a_code_on_the_command_line_is_warned_about() {
    let world = World::new().await;
    let config = world.profiles().root().to_owned();
    let code = world.invite().to_code();
    let said = spawn_blocking(move || run(&config, &["join", code.expose()]))
        .await
        .unwrap();
    assert!(said.starts_with("exit Some(0)\n"), "{said}");
    assert!(said.contains("shows in the list of processes"), "{said}");
}

#[tokio::test]
async fn status_and_leave_tell_what_they_did() {
    let world = World::new().await;
    join(&world, &["join", "-"]).await;
    let config = world.profiles().root().to_owned();
    let (status, json, unasked, left, after) = spawn_blocking(move || {
        (
            run(&config, &["status"]),
            run(&config, &["status", "--json"]),
            run(&config, &["leave"]),
            run(&config, &["leave", "--yes"]),
            run(&config, &["status"]),
        )
    })
    .await
    .unwrap();
    assert!(
        status.contains("identity     spiffe://studio.example/artist/alice"),
        "{status}"
    );
    let json = json.lines().nth(2).unwrap();
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(json["profiles"][0]["profile"], "ws12");
    assert_eq!(json["profiles"][0]["role"], "full");
    assert!(!json.to_string().contains("token.0"));
    insta::assert_snapshot!("leave_unasked", unasked);
    insta::assert_snapshot!("left", left);
    assert!(after.contains("no profile in"), "{after}");
}

#[tokio::test]
async fn status_says_what_houdini_may_ask_of_scripts() {
    let world = World::new().await;
    join(&world, &["join", "--profile", "mine"]).await;
    join(
        &world,
        &["join", "--profile", "yours", "--reverse-calls", "open"],
    )
    .await;
    let config = world.profiles().root().to_owned();
    let (status, json) = spawn_blocking(move || {
        (
            run(&config, &["status"]),
            run(&config, &["status", "--json"]),
        )
    })
    .await
    .unwrap();
    assert!(status.contains("\n  reverse      guarded\n"), "{status}");
    assert!(
        status.contains("\n  reverse      open: Houdini may run any Python in scripts here\n"),
        "{status}"
    );
    let json: serde_json::Value = serde_json::from_str(json.lines().nth(2).unwrap()).unwrap();
    assert_eq!(json["profiles"][0]["reverse_calls"], "guarded");
    assert_eq!(json["profiles"][1]["reverse_calls"], "open");
    let refused = join(&world, &["join", "--reverse-calls", "wide"]).await;
    assert!(refused.starts_with("exit Some(2)\n"), "{refused}");
}

/// `connect`, until dropped.
struct Connected {
    child: Child,
    address: String,
}

impl Connected {
    fn start(config: &Path, arguments: &[&str]) -> Self {
        let mut child = agent(config)
            .arg("connect")
            .args(arguments)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .expect(&line)
            .to_owned();
        Self { child, address }
    }

    #[cfg(unix)]
    fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
#[cfg(unix)]
async fn connect_serves_and_ends_with_0_when_told_to_stop() {
    let world = World::new().await;
    join(&world, &["join"]).await;
    let config = world.profiles().root().to_owned();
    let connected = spawn_blocking(move || Connected::start(&config, &["--listen", "0"]))
        .await
        .unwrap();
    let mut client = Client::connect(connected.address.parse().unwrap()).await;
    client.ask(0).await;
    let mut houdini = world.houdini().await;
    houdini.write_all(&reply(0)).await.unwrap();
    assert_eq!(client.answer().await.0.seq, 0);
    let houdini = tokio::spawn(async move {
        let mut rest = Vec::new();
        houdini.read_to_end(&mut rest).await.unwrap();
        rest
    });
    let code = spawn_blocking(move || connected.terminate()).await.unwrap();
    assert_eq!(code, Some(0));
    assert_eq!(client.end().await, b"");
    assert_eq!(houdini.await.unwrap(), request(0));
    until("the end of the session", || {
        *world.guard.state.goodbyes.lock().unwrap() == [true]
    })
    .await;
}

#[tokio::test]
async fn the_doctor_fails_when_something_is_wrong() {
    let world = World::new().await;
    join(&world, &["join"]).await;
    let config = world.profiles().root().to_owned();
    world.guard.refuse(
        wire::Code::AccessEnded,
        "Your access ended.",
        "ask for a new invite",
    );
    let said = spawn_blocking(move || run(&config, &["doctor"]))
        .await
        .unwrap();
    assert!(said.starts_with("exit Some(1)\n"), "{said}");
    assert!(
        said.contains("FAILED  verdict      Your access ended."),
        "{said}"
    );
    assert_eq!(said.matches("ask for a new invite").count(), 1, "{said}");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn an_output_that_cannot_be_written_is_an_error_and_spends_no_invite() {
    let world = World::new().await;
    let config = world.profiles().root().to_owned();
    let code = world.invite().to_code();
    let full = |arguments: &[&str]| {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let output = agent(&config)
            .args(arguments)
            .stdout(full.unwrap())
            .output();
        shown(&output.unwrap())
    };
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["join", code.expose()],
    ] {
        let said = full(arguments);
        assert!(said.starts_with("exit Some(1)\n"), "{said}");
        assert!(
            said.contains("error: standard output cannot be written"),
            "{said}"
        );
    }
    assert!(world.guard.state.requests.lock().unwrap().is_empty());
    join(&world, &["join"]).await;
    let said = full(&["connect", "--listen", "0"]);
    assert!(said.starts_with("exit Some(1)\n"), "{said}");
}

#[tokio::test]
#[cfg(unix)]
async fn joining_whose_output_nobody_reads_leaves_a_whole_profile() {
    let world = World::new().await;
    let config = world.profiles().root().to_owned();
    let code = world.invite().to_code();
    let state = world.guard.state.clone();
    let said = spawn_blocking(move || {
        // The guard cannot answer before the output is closed.
        let hold = state.enrols.lock().unwrap();
        let mut child = agent(&config)
            .args(["join", code.expose()])
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        for _ in 0..4 {
            stdout.read_line(&mut String::new()).unwrap();
        }
        drop(stdout);
        drop(hold);
        shown(&child.wait_with_output().unwrap())
    })
    .await
    .unwrap();
    assert!(said.starts_with("exit Some(1)\n"), "{said}");
    assert!(
        said.contains("error: standard output cannot be written"),
        "{said}"
    );
    let route = world.route();
    hrpyc_agent::tunnel::open_once(&route, b"").await.unwrap();
}
