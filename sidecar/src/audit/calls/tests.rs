use std::path::Path;

use certs::AuditKey;
use serde_json::Value;

use super::super::{Audit, Event, Record};
use super::*;
use crate::config::{AuditConfig, HeadsTo, WhenFull};

fn config() -> AuditConfig {
    AuditConfig {
        heads: HeadsTo::Nowhere,
        ..AuditConfig::default()
    }
}

fn audit(folder: &Path, config: AuditConfig) -> Arc<Audit> {
    Audit::open(folder, config, AuditKey::ephemeral().unwrap()).unwrap()
}

fn calls(audit: &Audit) -> SessionCalls {
    SessionCalls::new(
        audit.queue.clone(),
        audit.redactor.read().unwrap().clone(),
        "0123456789abcdef",
        "spiffe://studio.example/artist/alice",
        "full",
    )
}

fn call(method: &str, arguments: &[&str]) -> Call {
    Call {
        time: "2026-11-23T10:00:00.123456Z".parse().unwrap(),
        direction: Direction::ToHoudini,
        expression: format!("hou.node('/obj').{method}"),
        form: CALLED,
        class: "hou.ObjNode".into(),
        method: method.into(),
        arguments: arguments
            .iter()
            .map(|value| Argument {
                keyword: None,
                value: (*value).into(),
            })
            .collect(),
        bytes_up: 40,
        reference: None,
    }
}

fn written(folder: &Path) -> Vec<Value> {
    std::fs::read_to_string(folder.join("calls.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|record: &Value| record["event"] == "call")
        .collect()
}

const TOOK: Duration = Duration::from_micros(1500);

#[tokio::test]
async fn every_outcome_is_written_down_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let audit = audit(folder.path(), config());
    let calls = calls(&audit);
    let mut denied = call("destroy", &[]);
    denied.reference = Some("00c0ffee00".into());
    denied.direction = Direction::ToClient;
    for (call, outcome) in [
        (call("setInput", &["0", "None"]), Outcome::Ok),
        (
            call("cook", &[]),
            Outcome::Exception("hou.OperationFailed".into()),
        ),
        (denied, Outcome::Denied("read-only".into())),
        (
            call("set", &["1"]),
            Outcome::WouldBeDenied("no-set".into(), None),
        ),
        (call("render", &[]), Outcome::Unanswered),
    ] {
        let slot = calls.reserve().await.unwrap();
        slot.write(call, &outcome, TOOK, 20);
    }
    assert_eq!(audit.finish(), 0);
    let mut records = written(folder.path());
    for record in &mut records {
        record.as_object_mut().unwrap().remove("hash");
    }
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test]
async fn a_call_that_is_dropped_in_mid_flight_is_written_down_as_unanswered() {
    let folder = tempfile::tempdir().unwrap();
    let audit = audit(folder.path(), config());
    let calls = calls(&audit);
    let open = calls.reserve().await.unwrap().begin(call("cook", &[]));
    drop(open);
    let open = calls.reserve().await.unwrap().begin(call("set", &[]));
    open.answered(&Outcome::Ok, 3);
    drop(calls.reserve().await.unwrap());
    audit.finish();
    let records = written(folder.path());
    let outcomes: Vec<&str> = records
        .iter()
        .map(|r| r["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["unanswered", "ok"]);
}

#[tokio::test]
async fn what_is_too_long_is_cut_and_stays_json() {
    let folder = tempfile::tempdir().unwrap();
    let audit = audit(folder.path(), config());
    let long = "\u{1f600}\"\\\n".repeat(10_000);
    let mut call = call(&long, &[long.as_str(); 40]);
    call.class = long.as_str().into();
    call.reference = Some(long.clone());
    let slot = calls(&audit).reserve().await.unwrap();
    slot.write(call, &Outcome::Exception(long), TOOK, 0);
    audit.finish();
    let records = written(folder.path());
    assert!(records[0].to_string().len() < 24 * 1024);
    let args = records[0]["args"].as_array().unwrap();
    assert_eq!(args.len(), ARGUMENTS + 1);
    assert_eq!(args[ARGUMENTS], "… 24 more");
    assert!(args[0].as_str().unwrap().ends_with('…'));
}

#[tokio::test]
async fn a_secret_is_gone_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let audit = audit(folder.path(), config());
    let mut login = call("login", &["'alice'"]);
    login.expression = "vault('hunter2hunter2').login".into();
    login.arguments.push(Argument {
        keyword: Some("password".into()),
        value: "'hunter2hunter2'".into(),
    });
    let slot = calls(&audit).reserve().await.unwrap();
    slot.write(login, &Outcome::Ok, TOOK, 0);
    audit.finish();
    let text = std::fs::read_to_string(folder.path().join("calls.jsonl")).unwrap();
    assert!(text.contains("password=[redacted]"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn one_session_cannot_take_the_room_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let refusing = AuditConfig {
        when_full: WhenFull::Refuse,
        ..config()
    };
    let audit = audit(folder.path(), refusing);
    let (greedy, other) = (calls(&audit), calls(&audit));
    let mut held = Vec::new();
    for _ in 0..SHARE {
        held.push(greedy.reserve().await.unwrap());
    }
    assert_eq!(greedy.reserve().await.unwrap_err(), Full::Refused);
    drop(other.reserve().await.unwrap());
    held.pop();
    held.push(greedy.reserve().await.unwrap());
}

#[tokio::test]
async fn a_call_waits_for_room_and_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let patient = |limit| AuditConfig {
        wait_timeout: limit,
        ..config()
    };
    let audit = audit(folder.path(), patient(Duration::from_millis(100)));
    let calls = calls(&audit);
    let mut held = Vec::new();
    for _ in 0..SHARE {
        held.push(calls.reserve().await.unwrap());
    }
    assert_eq!(calls.reserve().await.unwrap_err(), Full::TimedOut);
    audit.queue.reconfigure(&patient(Duration::from_secs(60)));
    let waiting = tokio::spawn({
        let calls = calls.clone();
        async move { calls.reserve().await.map(drop) }
    });
    tokio::task::yield_now().await;
    held.pop();
    assert_eq!(waiting.await.unwrap(), Ok(()));
    drop(held);
    audit.finish();
    // The guard stops: nothing happens from now on.
    assert_eq!(calls.reserve().await.unwrap_err(), Full::Stopped);
}

#[tokio::test]
async fn what_waited_is_told_by_the_next_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let refusing = AuditConfig {
        when_full: WhenFull::Refuse,
        ..config()
    };
    let audit = audit(folder.path(), refusing);
    let calls = calls(&audit);
    let mut held = Vec::new();
    while let Ok(slot) = calls.reserve().await {
        held.push(slot);
    }
    held.pop()
        .unwrap()
        .write(call("set", &[]), &Outcome::Ok, TOOK, 0);
    audit.finish();
    let text = std::fs::read_to_string(folder.path().join("calls.jsonl")).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["event"], &last["turned_away"]),
        (&"checkpoint".into(), &1.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_of_many_sessions_is_lost_or_written_twice() {
    let folder = tempfile::tempdir().unwrap();
    let small = AuditConfig {
        max_bytes: 200_000,
        checkpoint_records: 100,
        ..config()
    };
    let audit = audit(folder.path(), small);
    audit.event(&Record::new(Event::Started));
    let sessions = (0..8).map(|session| {
        let calls = calls(&audit);
        tokio::spawn(async move {
            for n in 0..2000 {
                let slot = calls.reserve().await.unwrap();
                let mut call = call("set", &["1.0"]);
                call.reference = Some(format!("{session}-{n}"));
                slot.write(call, &Outcome::Ok, TOOK, 0);
            }
        })
    });
    for session in sessions.collect::<Vec<_>>() {
        session.await.unwrap();
    }
    assert_eq!(audit.finish(), 0);
    let mut seen: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let refs = records.filter_map(|r: Value| Some(r["ref"].as_str()?.to_owned()));
        seen.extend(refs);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 16_000);
}

/// Runs [`on_a_small_disk`] in a mount namespace of its own, where its folder is a small disk.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_makes_calls_wait_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let in_namespace = |script: &str| {
        let mut command = std::process::Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.arg("-r");
        }
        command
            .args(["-m", "--propagation", "private", "sh", "-ec"])
            .arg(format!(
                "mount -t tmpfs -o size=16m,mode=0700 tmpfs \"$1\"; cd \"$1\"; {script}"
            ))
            .arg("sh")
            .arg(folder.path())
            .arg(std::env::current_exe().unwrap())
            .output()
    };
    if !in_namespace("true").is_ok_and(|probe| probe.status.success()) {
        use std::io::Write as _;
        let _ = writeln!(
            std::io::stderr(),
            "NOT RUN: a_full_disk_makes_calls_wait_and_loses_none (needs mount namespaces)"
        );
        return;
    }
    let done = in_namespace(
        "exec \"$2\" --ignored --exact audit::calls::tests::on_a_small_disk --nocapture",
    )
    .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let failed = String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("1 passed"), "{said}\n{failed}");
}

#[cfg(target_os = "linux")]
#[ignore = "it is run by a_full_disk_makes_calls_wait_and_loses_none, on a small disk"]
#[tokio::test(flavor = "multi_thread")]
async fn on_a_small_disk() {
    let impatient = |when_full| AuditConfig {
        wait_timeout: Duration::from_millis(300),
        when_full,
        max_bytes: 100_000,
        ..config()
    };
    let folder = Path::new("audit");
    let key = AuditKey::ephemeral().unwrap();
    let public = key.public().clone();
    let audit = Audit::open(folder, impatient(WhenFull::Wait), key).unwrap();
    let sessions: Vec<SessionCalls> = (0..16).map(|_| calls(&audit)).collect();
    let mut made = 0_usize;
    let mut make = async |fill: bool| -> Result<(), Full> {
        for _ in 0..if fill { usize::MAX } else { 500 } {
            let slot = sessions[made % sessions.len()].reserve().await?;
            let mut call = call("set", &["1.0"]);
            call.reference = Some(made.to_string());
            slot.write(call, &Outcome::Ok, TOOK, 0);
            made += 1;
        }
        Ok(())
    };
    make(false).await.unwrap();
    let mut filler = std::fs::File::create("filler").unwrap();
    for size in [64 * 1024, 4096, 1] {
        let block = vec![0; size];
        while filler.write_all(&block).is_ok() {}
    }
    // They are queued as long as there is room, wait, and are refused at last.
    assert_eq!(make(true).await, Err(Full::TimedOut));
    audit.reconfigure(impatient(WhenFull::Refuse));
    let end = Instant::now() + Duration::from_secs(20);
    while make(false).await != Err(Full::Refused) {
        assert!(Instant::now() < end, "nothing is refused on a full disk");
    }
    // As soon as there is room, all that was queued is written, and it goes on.
    drop(filler);
    std::fs::remove_file("filler").unwrap();
    audit.reconfigure(impatient(WhenFull::Wait));
    while make(false).await.is_err() {
        assert!(Instant::now() < end, "it does not go on");
    }
    assert_eq!(audit.finish(), 0);

    let verified = super::super::reader::verify::verify(folder, "calls", &[public], &[]);
    let verified = verified.unwrap().unwrap();
    assert_eq!(verified.lines, verified.last);
    assert!(verified.files > 3);
    let mut seen: Vec<usize> = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
        seen.extend(records.filter_map(|r: Value| r["ref"].as_str()?.parse::<usize>().ok()));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..made).collect::<Vec<_>>());
}
