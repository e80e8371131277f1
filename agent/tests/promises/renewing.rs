//! Renewing.

use std::sync::atomic::Ordering;

use hrpyc_agent::Explain as _;
use hrpyc_agent::renew::{self, Due};
use hrpyc_agent::tunnel::{self, TunnelError};
use wire::{Code, Refusal};

use crate::guard::Mood;
use crate::realm::DAY;
use crate::world::{World, until};

#[tokio::test]
async fn an_expired_token_is_renewed_before_connecting() {
    let world = World::new().await;
    *world.guard.state.token_seconds.lock().unwrap() = -1;
    let profile = world.join().await;
    *world.guard.state.token_seconds.lock().unwrap() = 3600;
    tunnel::open(&world.route(), b"").await.unwrap();
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
    tunnel::open(&world.route(), b"").await.unwrap();
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
    let error = tunnel::open(&world.route(), b"").await.unwrap_err();
    assert!(error.is_refusal());
    insta::assert_snapshot!(error.explained());
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
