//! The audit: who, when, from where, to what, how much, and how it ended; and no secret.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use e2e::forge::client::{Client, hello};
use e2e::forge::enrol::{Member, join, renew};
use e2e::forge::site::Site;
use e2e::forge::token::Forged;
use jiff::Timestamp;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_recorded_from_its_beginning_to_its_end() {
    let site = Site::start();
    let alice = site.member("alice").await;
    let client = site.client(&alice.credentials);
    let mut session = client.open(&hello(&alice.token)).await.unwrap();
    session.stream.write_all(&[1; 5000]).await.unwrap();
    session.stream.shutdown().await.unwrap();
    let mut back = Vec::new();
    session.stream.read_to_end(&mut back).await.unwrap();
    assert_eq!(back.len(), 5000);

    let id = session.accepted.session.as_str();
    let of = |event: &str| {
        site.trial
            .wait_for_record(|record| record["event"] == event && record["session"] == id)
            .unwrap()
    };
    let (opened, closed) = (of("opened"), of("closed"));
    for record in [&opened, &closed] {
        let token = Forged::from(&alice.token);
        assert_eq!(record["peer"], session.local.to_string(), "{record}");
        assert_eq!(record["identity"], alice.identity.to_string(), "{record}");
        let serial = alice.credentials.serial();
        assert_eq!(record["serial"], serial.as_str(), "{record}");
        assert_eq!(record["token"], token.claims["jti"], "{record}");
        assert_eq!(record["role"], "full", "{record}");
        let time: Timestamp = record["time"].as_str().unwrap().parse().unwrap();
        assert!(time <= Timestamp::now(), "{record}");
    }
    let upstream = opened["upstream"].as_str().unwrap();
    let port = site.upstream.address().port().to_string();
    assert!(upstream.contains(&port), "{opened}");
    assert_eq!(closed["bytes_up"], 5000, "{closed}");
    assert_eq!(closed["bytes_down"], 5000, "{closed}");
    assert!(closed["seconds"].as_f64().unwrap() >= 0.0, "{closed}");
    let reasons = ["client-closed", "upstream-closed"];
    assert!(reasons.iter().any(|reason| closed["reason"] == *reason));
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_and_renewing_are_recorded() {
    let site = Site::start();
    let alice = site.member("alice").await;
    renew(site.address(), &alice.credentials, None).await;
    let who = alice.identity.to_string();
    for event in ["enrolled", "renewed"] {
        let record = site
            .trial
            .wait_for_record(|record| record["event"] == event)
            .unwrap();
        assert_eq!(record["identity"], who, "{record}");
        assert!(record["peer"].is_string(), "{record}");
    }
    assert_eq!(site.events("started").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_the_audit_or_the_log() {
    let mut site = Site::start();
    let invite = site.invite("alice", &[]);
    let alice = join(site.address(), &invite).await;
    site.open(&alice).await;
    // Also not by way of what is refused.
    let client = site.client(&alice.credentials);
    let spoiled = format!("{}x", alice.token);
    client.try_hello(&hello(&spoiled)).await;
    client.try_hello(&hello(&alice.token)[..60]).await;
    Client::new(site.address(), None)
        .try_hello(&hello(&alice.token))
        .await;
    join_again(&site, &invite).await;
    site.guard().process.terminate();
    site.guard().process.wait().unwrap();

    let mut said = site.log();
    said += &std::fs::read_to_string(site.trial.audit_file()).unwrap();
    let signature = alice.token.rsplit('.').next().unwrap();
    let code = invite.to_code();
    for secret in [
        signature,
        alice.token.split('.').nth(1).unwrap(),
        code.expose(),
        &wire::hex(invite.secret.expose()),
    ] {
        assert!(!said.contains(secret), "{secret} is in what the guard says");
    }
}

async fn join_again(site: &Site, invite: &wire::invite::Invite) {
    let key = e2e::forge::certificate::fresh_key();
    let request = e2e::forge::enrol::request(&key);
    e2e::forge::enrol::redeem(site.address(), invite, &request).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_is_dialled_once_for_each_session() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let before = site.upstream.accepted();
    for _ in 0..10 {
        site.open(&alice).await;
    }
    assert_eq!(site.upstream.accepted(), before + 10);
}

/// All files of the audit of connections, the oldest first, with their records. Every line must be one.
fn all_files(site: &Site) -> Vec<(PathBuf, Vec<Value>)> {
    let folder = site.trial.audit_file();
    let folder = folder.parent().unwrap();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("/connections"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let records = text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line:?}: {e}")));
            let records: Vec<Value> = records.collect();
            (path, records)
        })
        .collect();
    files.sort_by_key(|(_, records)| {
        records.first().map(|record| {
            let time: Timestamp = record["time"].as_str().unwrap().parse().unwrap();
            time
        })
    });
    files
}

/// The session ids of one kind of event, sorted.
fn sessions(records: &[Value], event: &str) -> Vec<String> {
    let mut ids: Vec<String> = records
        .iter()
        .filter(|record| record["event"] == event)
        .map(|record| record["session"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

/// Opens and ends sessions, eight at a time. Gives their ids, sorted.
pub(crate) async fn come_and_go(site: &Site, alice: &Member, count: usize) -> Vec<String> {
    let clients = (0..8).map(|worker| {
        let (client, words) = (site.client(&alice.credentials), hello(&alice.token));
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for _ in (worker..count).step_by(8) {
                let session = client.open(&words).await.unwrap();
                ids.push(session.accepted.session.to_string());
            }
            ids
        })
    });
    let mut ids = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        ids.extend(client.await.unwrap());
    }
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn no_record_is_lost_when_the_file_turns_over() {
    const MAX: u64 = 65536;
    let mut site = Site::configured(&format!("[audit]\nmax_bytes = {MAX}\n"));
    let alice = site.member("alice").await;
    let ids = come_and_go(&site, &alice, 400).await;
    site.stop();

    let files = all_files(&site);
    assert!(files.len() > 3, "it did not turn over: {}", files.len());
    for (path, _) in &files {
        let file = std::fs::metadata(path).unwrap();
        let mode = file.permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{}: {mode:o}", path.display());
        assert!(file.len() <= MAX, "{}: {}", path.display(), file.len());
    }
    assert_eq!(files.last().unwrap().0, site.trial.audit_file());
    let records: Vec<Value> = files.into_iter().flat_map(|(_, records)| records).collect();
    assert_eq!(sessions(&records, "opened"), ids);
    assert_eq!(sessions(&records, "closed"), ids);
    let at = |event: &str, id: &str| {
        records
            .iter()
            .position(|record| record["event"] == event && record["session"] == id)
    };
    for id in &ids {
        assert!(at("opened", id) < at("closed", id), "{id} ended before");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_closed_files_are_kept_as_was_said() {
    let mut site = Site::configured("[audit]\nmax_bytes = 65536\nkeep = 2\n");
    let alice = site.member("alice").await;
    let mut ids = come_and_go(&site, &alice, 400).await;
    site.stop();
    let files = all_files(&site);
    assert_eq!(files.len(), 3, "{:?}", files.iter().map(|(path, _)| path));
    // The newest are those that are kept.
    let (_, last) = files.last().unwrap();
    let mut newest = last.iter().rev();
    assert_eq!(newest.next().unwrap()["event"], "checkpoint");
    assert_eq!(newest.next().unwrap()["event"], "stopped");
    let records: Vec<Value> = files.into_iter().flat_map(|(_, records)| records).collect();
    let kept = sessions(&records, "closed");
    assert!(kept.len() < ids.len());
    ids.retain(|id| kept.contains(id));
    assert_eq!(kept, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_run_is_recorded_from_its_first_line_to_its_last() {
    let mut site = Site::with_args(&["--drain-timeout", "500ms"]);
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let _held = site.open(&alice).await;
    Client::new(site.address(), None).try_hello(b"").await;
    site.stop();
    let records = site.trial.audit().unwrap();
    assert!(records.len() > 4, "{records:?}");
    assert_eq!(records.first().unwrap()["event"], "started");
    assert_eq!(records.last().unwrap()["event"], "stopped");
    assert_eq!(site.events("started").len(), 1);
    assert_eq!(site.events("stopped").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_a_killed_guard_could_not_close_are_closed_at_its_next_start() {
    let mut site = Site::configured("[audit]\nmax_bytes = 65536\n");
    let (alice, bob) = (site.member("alice").await, site.member("bob").await);
    let ended = site.open(&alice).await;
    let ended_id = ended.accepted.session.to_string();
    drop(ended);
    site.trial
        .wait_for_record(|record| {
            record["event"] == "closed" && record["session"] == ended_id.as_str()
        })
        .unwrap();
    // One that began in a file that is closed by now, and one in the last.
    let early = site.open(&bob).await;
    come_and_go(&site, &alice, 120).await;
    let late = site.open(&alice).await;
    assert!(all_files(&site).len() > 1, "it did not turn over");
    site.kill();
    // Twice: what was written once is not written again.
    for _ in 0..2 {
        site.start_again();
        site.open(&alice).await;
        site.stop();
    }

    let files = all_files(&site);
    let records: Vec<Value> = files.into_iter().flat_map(|(_, records)| records).collect();
    assert_eq!(sessions(&records, "opened"), sessions(&records, "closed"));
    for (session, who) in [(&early, &bob), (&late, &alice)] {
        let id = session.accepted.session.as_str();
        let closed = records
            .iter()
            .find(|record| record["event"] == "closed" && record["session"] == id)
            .unwrap();
        assert_eq!(closed["reason"], "guard-killed", "{closed}");
        assert_eq!(closed["identity"], who.identity.to_string(), "{closed}");
        assert!(closed["bytes_up"].is_null(), "{closed}");
    }
    let of_ended = records
        .iter()
        .find(|record| record["event"] == "closed" && record["session"] == ended_id.as_str());
    assert_ne!(of_ended.unwrap()["reason"], "guard-killed");
}
