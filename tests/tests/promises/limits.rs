//! Bounds on sessions, handshakes and failures, and that they hit only whom they should.

use std::time::{Duration, Instant};

use e2e::forge::client::{Client, Session, connect, hello};
use e2e::forge::enrol::Member;
use e2e::forge::site::Site;
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
