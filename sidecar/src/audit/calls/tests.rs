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
    call.class.clone_from(&long);
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
