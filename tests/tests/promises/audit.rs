//! The audit: who, when, from where, to what, how much, and how it ended; and no secret.

use e2e::forge::client::{Client, hello};
use e2e::forge::enrol::{join, renew};
use e2e::forge::site::Site;
use e2e::forge::token::Forged;
use jiff::Timestamp;
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
