//! Bounds on sessions, handshakes and failures, and that they hit only whom they should.

use std::time::{Duration, Instant};

use e2e::forge::client::{Came, Client, Session, connect, hello};
use e2e::forge::enrol::{Member, renew};
use e2e::forge::site::Site;
use tokio::io::AsyncReadExt as _;
use wire::Code;

/// Waits until a place that was given up can be taken again.
async fn open_soon(client: &Client, member: &Member) -> Session {
    let end = tokio::time::Instant::now() + e2e::programs::DEADLINE;
    loop {
        match client.open(&hello(&member.token)).await {
            Ok(session) => return session,
            Err(attempt) => assert!(
                tokio::time::Instant::now() < end,
                "the place was not given back: {attempt:?}"
            ),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_sessions_in_all_are_refused() {
    let site = Site::configured("[limits]\nsessions = 2\n");
    let (alice, bob) = (site.member("alice").await, site.member("bob").await);
    let first = site.open(&alice).await;
    let mut second = site.open(&bob).await;
    let before = site.upstream.accepted();
    let client = site.client(&alice.credentials);
    let attempt = client.try_hello(&hello(&alice.token)).await;
    site.assert_refused(&attempt, Code::TooManySessions, before);
    second.ping().await.unwrap();
    drop(first);
    open_soon(&client, &alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_sessions_of_one_identity_are_refused() {
    let site = Site::configured("[limits]\nsessions_per_identity = 2\n");
    let (alice, bob) = (site.member("alice").await, site.member("bob").await);
    let first = site.open(&alice).await;
    let _second = site.open(&alice).await;
    let before = site.upstream.accepted();
    // From wherever she comes, and with whichever of her devices.
    let laptop = site.member("alice").await;
    let client = site.client(&laptop.credentials).from([127, 0, 0, 9]);
    let attempt = client.try_hello(&hello(&laptop.token)).await;
    let record = site.assert_refused(&attempt, Code::TooManyForIdentity, before);
    assert_eq!(record["identity"], alice.identity.to_string(), "{record}");
    site.open(&bob).await;
    drop(first);
    open_soon(&client, &laptop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_sessions_of_one_address_are_refused() {
    let site = Site::configured("[limits]\nsessions_per_address = 2\n");
    let (alice, bob) = (site.member("alice").await, site.member("bob").await);
    let here = [127, 0, 0, 5];
    let client = site.client(&alice.credentials).from(here);
    let first = client.open(&hello(&alice.token)).await.unwrap();
    let _second = client.open(&hello(&alice.token)).await.unwrap();
    let before = site.upstream.accepted();
    let crowded = site.client(&bob.credentials).from(here);
    let attempt = crowded.try_hello(&hello(&bob.token)).await;
    site.assert_refused(&attempt, Code::TooManyForAddress, before);
    let elsewhere = site.client(&bob.credentials).from([127, 0, 0, 6]);
    elsewhere.open(&hello(&bob.token)).await.unwrap();
    drop(first);
    open_soon(&crowded, &bob).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_of_one_address_do_not_hold_up_another() {
    let site =
        Site::configured("[limits]\nhandshakes_per_address = 4\nhandshake_timeout = \"3s\"\n");
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let before = site.upstream.accepted();
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(connect(site.address(), Some([127, 0, 0, 7].into())).await);
    }
    let start = Instant::now();
    site.open(&alice).await;
    let waited = start.elapsed();
    assert!(waited < Duration::from_secs(2), "alice waited {waited:?}");
    // And none of them is held for longer than a handshake may take.
    let codes = [Code::TooManyHandshakes, Code::HandshakeTimeout];
    for (_, local) in &silent {
        let record = site.refusal_record(*local);
        let code = codes.iter().find(|code| record["code"] == code.as_str());
        let code = code.unwrap_or_else(|| panic!("{record}"));
        assert_eq!(record["stage"], code.stage().as_str(), "{record}");
    }
    assert_eq!(site.upstream.accepted(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_can_neither_fill_the_audit_nor_shut_out_the_studio() {
    const TRIES: u64 = 300;
    let mut site = Site::configured("[limits]\nfailures_per_address = 5\n");
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let before = site.upstream.accepted();
    let stranger = Client::new(site.address(), None);
    for _ in 0..TRIES {
        stranger.try_hello(&hello("")).await;
    }
    assert_eq!(site.upstream.accepted(), before);
    // The stranger and alice share one address, as behind a VPN concentrator.
    site.open(&alice).await;
    site.stop();
    let refused = site.events("refused").len() as u64;
    assert!((1..=TRIES / 2).contains(&refused), "{refused} records");
    let counted: u64 = site
        .events("suppressed")
        .iter()
        .map(|record| record["count"].as_u64().unwrap())
        .sum();
    assert_eq!(refused + counted, TRIES, "some left no trace");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_a_known_person_do_not_count_against_the_address() {
    let site = Site::configured("[limits]\nfailures_per_address = 3\n");
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let client = site.client(&alice.credentials);
    for _ in 0..8 {
        let before = site.upstream.accepted();
        let attempt = client.try_hello(&hello("")).await;
        site.assert_refused(&attempt, Code::TokenMissing, before);
    }
    site.open(&alice).await;
}

/// Waits for the record of a session's end, and gives its reason.
fn reason(site: &Site, session: &Session) -> String {
    let id = session.accepted.session.as_str();
    let closed = site
        .trial
        .wait_for_record(|record| record["event"] == "closed" && record["session"] == id)
        .unwrap();
    closed["reason"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_which_nothing_is_sent_is_ended_after_the_idle_time() {
    let site = Site::configured("[limits]\nidle_timeout = \"1s\"\n");
    let (alice, bob) = (site.member("alice").await, site.member("bob").await);
    let start = Instant::now();
    let mut idle = site.open(&alice).await;
    let mut busy = site.open(&bob).await;
    let traffic = tokio::spawn(async move {
        while start.elapsed() < Duration::from_secs(4) {
            busy.ping().await.expect("a busy session goes on");
        }
        busy
    });
    let mut rest = Vec::new();
    let end = idle.stream.read_to_end(&mut rest);
    let end = tokio::time::timeout(e2e::programs::DEADLINE, end).await;
    assert!(end.is_ok(), "an idle session lives on");
    let lived = start.elapsed();
    assert!(lived >= Duration::from_millis(900), "cut after {lived:?}");
    assert!(rest.is_empty(), "{rest:?}");
    assert_eq!(reason(&site, &idle), Code::SessionIdle.as_str());
    // What is sent keeps a session alive for longer than the idle time.
    traffic.await.unwrap().ping().await.unwrap();
    // And whoever was cut comes in again.
    site.open(&alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_lives_on_unless_an_idle_time_is_set() {
    let site = Site::start();
    let alice = site.member("alice").await;
    let mut session = site.open(&alice).await;
    let mut byte = [0];
    let end = session.stream.read(&mut byte);
    let end = tokio::time::timeout(Duration::from_secs(4), end).await;
    assert!(end.is_err(), "an idle session was ended: {end:?}");
    session.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_renews_without_end_is_held_up_alone() {
    const BOUND: usize = 500;
    let site = Site::start();
    let (alice, bob) = (site.member("alice").await, site.member("bob").await);
    let laptop = site.member("alice").await;
    let before = site.upstream.accepted();
    let mut refused = None;
    for _ in 0..BOUND {
        let attempt = renew(site.address(), &alice.credentials, None).await;
        if !matches!(attempt.came, Came::Issued(_)) {
            refused = Some(attempt);
            break;
        }
    }
    let refused = refused.expect("somebody may renew without end");
    let record = site.assert_recorded(&refused, Code::TooManyRenewals, before);
    assert_eq!(record["identity"], alice.identity.to_string(), "{record}");
    let Came::Refused(refusal, _) = &refused.came else {
        panic!("{refused:?}");
    };
    assert_eq!(refusal.code, Code::TooManyRenewals.as_str());
    // Her other device and others renew, and what she has is as good as before.
    for other in [&laptop, &bob] {
        let attempt = renew(site.address(), &other.credentials, None).await;
        assert!(matches!(attempt.came, Came::Issued(_)), "{attempt:?}");
    }
    site.open(&bob).await;
    site.open(&alice).await;
}
