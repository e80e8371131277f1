//! Renewing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hrpyc_agent::Explain as _;
use hrpyc_agent::renew::{self, Due};
use hrpyc_agent::tunnel::{self, PATIENCE, TunnelError};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use wire::{Code, Refusal};

use crate::guard::Mood;
use crate::realm::DAY;
use crate::world::{Client, World, reply, until};

#[tokio::test]
async fn an_expired_token_is_renewed_before_connecting() {
    let world = World::new().await;
    *world.guard.state.token_seconds.lock().unwrap() = -1;
    let profile = world.join().await;
    *world.guard.state.token_seconds.lock().unwrap() = 3600;
    tunnel::open(&world.route(), b"", PATIENCE).await.unwrap();
    let hello = world.guard.state.hellos.lock().unwrap().pop().unwrap();
    assert_eq!(hello.token.expose(), "token.1.of-alice");
    assert_eq!(
        profile.credentials().unwrap().token.expose(),
        "token.1.of-alice"
    );
}

#[tokio::test]
async fn certificate_and_token_are_renewed_in_the_background() {
    let world = World::new().await;
    *world.guard.state.certificate_life.lock().unwrap() = (-25 * DAY, 5 * DAY);
    let profile = world.join().await;
    let before = profile.credentials().unwrap();
    *world.guard.state.certificate_life.lock().unwrap() = crate::realm::GOOD;
    let task = tokio::spawn(renew::keep_fresh(profile.clone()));
    until("a new certificate", || {
        profile.credentials().unwrap().certificate != before.certificate
    })
    .await;
    task.abort();
    let after = profile.credentials().unwrap();
    assert_ne!(after.token.expose(), before.token.expose());
    let (before, after) = (before.leaf().unwrap(), after.leaf().unwrap());
    assert_eq!(before.key_digest, after.key_digest);
    assert!(before.not_after < after.not_after);
    tunnel::open(&world.route(), b"", PATIENCE).await.unwrap();
}

#[tokio::test]
async fn what_another_agent_renewed_is_taken_over() {
    let world = World::new().await;
    let profile = world.join().await;
    let known = profile.credentials().unwrap();
    let renewals = (0..10).map(|_| {
        let (profile, known) = (profile.clone(), known.clone());
        tokio::spawn(async move { renew::renew(&profile, &known, Due::Token).await.unwrap() })
    });
    for renewal in renewals.collect::<Vec<_>>() {
        assert_eq!(renewal.await.unwrap().token.expose(), "token.1.of-alice");
    }
    assert_eq!(world.guard.state.renewals.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_token_that_only_the_guard_finds_expired_is_renewed_once() {
    let world = World::new().await;
    world.join().await;
    world
        .guard
        .refuse(Code::TokenExpired, "The token has expired.", "");
    let error = tunnel::open_once(&world.route(), b"").await.unwrap_err();
    assert!(matches!(error, TunnelError::Refused(_)));
    assert_eq!(world.guard.state.renewals.load(Ordering::SeqCst), 1);
    assert_eq!(world.guard.state.hellos.lock().unwrap().len(), 2);
    world.guard.set_mood(Mood::Accept);
    tunnel::open_once(&world.route(), b"").await.unwrap();
}

#[tokio::test]
async fn a_refused_renewal_tells_the_sentence_and_keeps_the_file() {
    let world = World::new().await;
    *world.guard.state.token_seconds.lock().unwrap() = -1;
    let profile = world.join().await;
    let path = profile.folder().join("credentials.json");
    let before = std::fs::read(&path).unwrap();
    let refusal = Refusal::new(
        Code::AccessEnded,
        "Your access ended.",
        "ask for a new invite",
    );
    *world.guard.state.refuse_renewal.lock().unwrap() = Some(refusal);
    let error = tunnel::open(&world.route(), b"", PATIENCE)
        .await
        .unwrap_err();
    assert!(error.is_refusal());
    insta::assert_snapshot!(error.explained());
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_refused_renewal_is_asked_for_once_and_shared() {
    let world = World::new().await;
    let profile = world.join().await;
    let known = profile.credentials().unwrap();
    let refusal = Refusal::new(Code::AccessEnded, "Your access ended.", "");
    *world.guard.state.refuse_renewal.lock().unwrap() = Some(refusal);
    let renewals = (0..10).map(|_| {
        let (profile, known) = (profile.clone(), known.clone());
        tokio::spawn(async move { renew::renew(&profile, &known, Due::Token).await })
    });
    for renewal in renewals.collect::<Vec<_>>() {
        renewal.await.unwrap().unwrap_err();
    }
    assert_eq!(world.guard.state.renewals.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_renewal_that_is_put_off_does_not_keep_a_good_token_from_being_used() {
    let world = World::new().await;
    *world.guard.state.token_seconds.lock().unwrap() = -1;
    world.join().await;
    let refusal = Refusal::new(Code::TooManyRenewals, "This device renews too often.", "");
    *world.guard.state.refuse_renewal.lock().unwrap() = Some(refusal);
    tunnel::open_once(&world.route(), b"").await.unwrap();

    world
        .guard
        .refuse(Code::TokenExpired, "The token has expired.", "");
    let error = tunnel::open_once(&world.route(), b"").await.unwrap_err();
    assert!(!error.is_refusal());
    assert_eq!(
        error.exception_class(),
        rpyc::ExceptionClass::ConnectionError
    );
}

#[tokio::test]
async fn after_a_renewal_there_is_none_for_a_while_whatever_the_clock_says() {
    let world = World::new().await;
    *world.guard.state.token_seconds.lock().unwrap() = -1;
    let profile = world.join().await;
    let task = tokio::spawn(renew::keep_fresh(profile));
    let count = || world.guard.state.renewals.load(Ordering::SeqCst);
    until("a renewal", || count() > 0).await;
    sleep(Duration::from_millis(1500)).await;
    task.abort();
    assert_eq!(count(), 1);
}

#[tokio::test]
async fn a_guard_that_says_nothing_is_told_within_ten_seconds() {
    let world = World::new().await;
    *world.guard.state.token_seconds.lock().unwrap() = -1;
    world.join().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut route = world.route();
    let settings = route.profile.folder().join("profile.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let text = text.replace(&world.guard.address.to_string(), &address);
    std::fs::write(&settings, text).unwrap();
    route.guard.addresses = vec![address];
    let begin = Instant::now();
    let sessions = (0..5).map(|_| {
        let route = route.clone();
        tokio::spawn(async move { tunnel::open(&route, b"", PATIENCE).await })
    });
    for session in sessions.collect::<Vec<_>>() {
        let error = session.await.unwrap().unwrap_err();
        assert_eq!(
            error.exception_class(),
            rpyc::ExceptionClass::ConnectionError
        );
    }
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn who_leaves_and_joins_again_goes_on_with_the_agent_that_runs() {
    use tokio::io::AsyncWriteExt as _;
    let world = World::new().await;
    let port = world.serve().await;
    let before = world.route().profile;
    world.session(port).await;
    let profiles = world.profiles();
    profiles.remove(before.name()).await.unwrap();
    let mut client = Client::connect(port).await;
    client.ask(0).await;
    let exception = client.exception(0).await;
    assert!(exception.contains("ConnectionError"), "{exception}");

    let after = world.join().await;
    let (mut client, mut houdini) = world.session(port).await;
    houdini.write_all(&reply(0)).await.unwrap();
    assert_eq!(client.answer().await.0.seq, 0);
    let hello = world.guard.state.hellos.lock().unwrap().pop().unwrap();
    let credentials = after.credentials().unwrap();
    assert_eq!(hello.token.expose(), credentials.token.expose());
}
