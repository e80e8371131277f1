//! Ending and reloading: live sessions get their time, new ones are told, nothing hangs.

use std::time::{Duration, Instant};

use e2e::forge::client::{Attempt, Came, hello};
use e2e::forge::enrol::Member;
use e2e::forge::site::Site;
use e2e::programs::{Trial, poll};
use rustix::process::Signal;
use wire::Code;
use wire::invite::Invite;

#[tokio::test(flavor = "multi_thread")]
async fn a_live_session_goes_on_until_the_drain_is_over() {
    let mut site = Site::with_args(&["--drain-timeout", "3s"]);
    let alice = site.member("alice").await;
    let mut session = site.open(&alice).await;
    let start = Instant::now();
    site.guard().process.terminate();
    let lived = session
        .busy_until_cut(Duration::from_secs(20))
        .await
        .expect("the drain ends");
    assert!(lived > Duration::from_secs(2), "cut after {lived:?}");
    let status = site.guard().process.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(15));
    let closed = site.events("closed").pop().unwrap();
    assert_eq!(closed["reason"], Code::SessionDrained.as_str(), "{closed}");
    assert_eq!(site.events("stopped").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_session_is_refused_while_the_guard_drains() {
    let mut site = Site::with_args(&["--drain-timeout", "20s"]);
    let alice = site.member("alice").await;
    let mut session = site.open(&alice).await;
    site.guard().process.terminate();
    if let Some(attempt) = until_turned_away(&site, &alice).await {
        let late = site.upstream.accepted();
        site.assert_refused(&attempt, Code::Draining, late);
    }
    session.ping().await.unwrap();
}

/// Knocks until the guard lets nobody in any more; `None` when its port is closed. The
/// signal takes a moment to arrive, and until then clients may get in.
async fn until_turned_away(site: &Site, who: &Member) -> Option<Attempt> {
    let client = site.client(&who.credentials);
    let words = hello(&who.token);
    let end = Instant::now() + e2e::programs::DEADLINE;
    while tokio::net::TcpStream::connect(site.address()).await.is_ok() {
        assert!(Instant::now() < end, "the guard goes on letting clients in");
        let attempt = client.try_hello(&words).await;
        if matches!(attempt.came, Came::Refused(..)) {
            return Some(attempt);
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_ends_when_its_last_session_does() {
    let mut site = Site::with_args(&["--drain-timeout", "60s"]);
    let alice = site.member("alice").await;
    let session = site.open(&alice).await;
    site.guard().process.terminate();
    drop(session);
    let limit = Duration::from_secs(20);
    let status = site.guard().process.wait_at_most(limit).unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sigterm_ends_at_once() {
    let mut site = Site::with_args(&["--drain-timeout", "60s"]);
    let alice = site.member("alice").await;
    let mut session = site.open(&alice).await;
    site.guard().process.terminate();
    until_turned_away(&site, &alice).await;
    site.guard().process.terminate();
    let limit = Duration::from_secs(10);
    site.guard().process.wait_at_most(limit).unwrap();
    assert!(session.ping().await.is_err());
    // Also then the audit says how the session ended.
    let id = session.accepted.session.as_str();
    let closed = site.events("closed");
    assert!(closed.iter().any(|record| record["session"] == id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_live_sessions_and_applies_new_limits() {
    let mut site = Site::configured("[limits]\nsessions_per_identity = 10\n");
    let alice = site.member("alice").await;
    let mut session = site.open(&alice).await;
    let path = site.trial.folder().join("guard.toml");
    std::fs::write(&path, "[limits]\nsessions_per_identity = 1\n").unwrap();
    site.guard().process.signal(Signal::HUP);

    let client = site.client(&alice.credentials);
    let end = Instant::now() + e2e::programs::DEADLINE;
    let refused = loop {
        match client.open(&hello(&alice.token)).await {
            Ok(_) => assert!(Instant::now() < end, "the new limit is not applied"),
            Err(attempt) => break attempt,
        }
    };
    let before = site.upstream.accepted();
    site.assert_refused(&refused, Code::TooManyForIdentity, before);
    session.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_of_a_bad_configuration_changes_nothing() {
    let mut site = Site::configured("[limits]\nsessions_per_identity = 10\n");
    let alice = site.member("alice").await;
    let mut session = site.open(&alice).await;
    let path = site.trial.folder().join("guard.toml");
    std::fs::write(&path, "[limits]\nsessions_per_identity = \"many\"\n").unwrap();
    site.guard().process.signal(Signal::HUP);
    poll("a complaint in the log", || {
        let log = site.log();
        log.contains("sessions_per_identity").then_some(())
    })
    .unwrap();
    session.ping().await.unwrap();
    site.open(&alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_session_is_closed_in_the_audit_exactly_once() {
    let mut site = Site::with_args(&["--drain-timeout", "500ms"]);
    let alice = site.member("alice").await;
    let mut sessions = Vec::new();
    for _ in 0..10 {
        sessions.push(site.open(&alice).await);
    }
    sessions.truncate(5);
    site.stop();
    let ids = |event: &str| {
        let mut ids: Vec<String> = site
            .events(event)
            .iter()
            .map(|record| record["session"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    let opened = ids("opened");
    assert_eq!(opened.len(), 10);
    assert_eq!(opened, ids("closed"));
    for closed in site.events("closed") {
        assert_eq!(closed["bytes_up"], closed["bytes_down"], "{closed}");
        assert!(closed["seconds"].as_f64().is_some(), "{closed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_of_a_broken_configuration_keeps_the_old_one_and_says_why() {
    const OLD: &str = "[limits]\nsessions_per_identity = 1\n";
    let mut site = Site::configured(OLD);
    let alice = site.member("alice").await;
    let mut session = site.open(&alice).await;
    let path = site.trial.folder().join("guard.toml");
    for (broken, said) in [
        ("[limits\nsessions_per_identity = 5\n", "guard.toml"),
        (
            "[limits]\nsessions_per_identity = 5\nseshuns = 7\n",
            "seshuns",
        ),
        (
            "[limits]\nsessions_per_identity = 5\nhello_timeout = \"soon\"\n",
            "hello_timeout",
        ),
    ] {
        std::fs::write(&path, broken).unwrap();
        site.reload(said);
        let before = site.upstream.accepted();
        let client = site.client(&alice.credentials);
        let attempt = client.try_hello(&hello(&alice.token)).await;
        site.assert_refused(&attempt, Code::TooManyForIdentity, before);
        session.ping().await.unwrap();
    }
    // And a good one is taken up again.
    std::fs::write(&path, "[limits]\nsessions_per_identity = 5\n").unwrap();
    site.guard().process.signal(Signal::HUP);
    let client = site.client(&alice.credentials);
    let end = Instant::now() + e2e::programs::DEADLINE;
    while let Err(attempt) = client.open(&hello(&alice.token)).await {
        assert!(Instant::now() < end, "not taken up: {attempt:?}");
    }
}

#[test]
fn an_advertised_address_is_remembered_at_the_next_start() {
    let trial = Trial::opaque().unwrap();
    let advertised = |extra: &[&str]| {
        let guard = trial.start_guard("127.0.0.1:1", extra).unwrap();
        let code = trial.certs(&["invite", "alice", "--role", "full"]).unwrap();
        drop(guard);
        let invite: Invite = code["code"].as_str().unwrap().parse().unwrap();
        invite.address
    };
    let (old, new) = ("ws12.studio.example:18812", "10.0.0.7:18813");
    assert_eq!(advertised(&["--advertise", old]), old);
    assert_eq!(advertised(&[]), old);
    assert_eq!(advertised(&["--advertise", new]), new);
    assert_eq!(advertised(&[]), new);
}
