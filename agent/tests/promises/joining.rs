//! Joining.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hrpyc_agent::Explain as _;
use hrpyc_agent::join::{IssuedError, JoinError, join};
use hrpyc_agent::profile::{ProfileError, Profiles, RouteError};
use rpyc::reverse::Reverse;
use wire::enrolment::GuardAddress;
use wire::{Code, Kind, Refusal};

use crate::guard::Guard;
use crate::realm::{DAY, Realm};
use crate::world::{World, invite};

async fn failed(world: &World) -> JoinError {
    join(&world.profiles(), &world.invite(), None, Reverse::Guarded)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_profile_is_called_after_the_guard_and_belongs_to_us_alone() {
    let world = World::new().await;
    let profile = world.join().await;
    assert_eq!(profile.name().as_str(), "ws12");
    assert_eq!(profile.identity().shorthand(), "alice");
    let mut files: Vec<_> = std::fs::read_dir(profile.folder())
        .unwrap()
        .map(|file| file.unwrap())
        .collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    let names: Vec<_> = files.iter().map(|file| file.file_name()).collect();
    let all = [
        "authority.pem",
        "credentials.json",
        "key.pem",
        "lock",
        "profile.toml",
    ];
    assert_eq!(names, all);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert!(files.iter().all(|file| mode(&file.path()) == 0o600));
        assert_eq!(mode(profile.folder()), 0o700);
    }
}

#[tokio::test]
async fn a_second_try_asks_with_the_same_key() {
    let world = World::new().await;
    world.guard.state.lose_answers.store(1, Ordering::SeqCst);
    assert!(matches!(failed(&world).await, JoinError::Fault(_)));
    let unfinished = world.profiles().load(&"ws12".parse().unwrap());
    assert!(matches!(unfinished, Err(ProfileError::Unfinished { .. })));
    world.join().await;
    let requests = world.guard.state.requests.lock().unwrap();
    let keys: Vec<_> = requests.iter().map(|request| key(request)).collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
}

#[tokio::test]
async fn a_key_that_an_earlier_try_left_and_that_is_refused_can_be_got_rid_of() {
    let world = World::new().await;
    let refuse = |code| {
        let refusal = Refusal::new(code, "The request cannot be used.", "ask IT");
        *world.guard.state.refuse_enrolment.lock().unwrap() = Some(refusal);
    };
    refuse(Code::RequestInvalid);
    let error = failed(&world).await;
    assert_eq!(error.hint().unwrap(), "ask IT");
    for code in [Code::RequestInvalid, Code::CertificateRevoked] {
        refuse(code);
        let hint = failed(&world).await.hint().unwrap();
        assert!(hint.starts_with("ask IT; "), "{hint}");
        assert!(hint.contains("run `hrpyc-agent leave ws12` first, then join again"));
    }
    refuse(Code::InviteExpired);
    assert_eq!(failed(&world).await.hint().unwrap(), "ask IT");

    let profiles = world.profiles();
    profiles.remove(&"ws12".parse().unwrap()).await.unwrap();
    *world.guard.state.refuse_enrolment.lock().unwrap() = None;
    world.join().await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_folder_of_profiles_may_be_a_link_and_a_profile_may_not() {
    use std::os::unix::fs::symlink;
    let world = World::new().await;
    world.join().await;
    let link = world.folder.path().join("link");
    symlink(world.profiles().root(), &link).unwrap();
    let profiles = Profiles::at(&link);
    profiles.load(&"ws12".parse().unwrap()).unwrap();
    join(
        &profiles,
        &world.invite(),
        Some("second".parse().unwrap()),
        Reverse::Guarded,
    )
    .await
    .unwrap();

    symlink(link.join("ws12"), link.join("third")).unwrap();
    let error = profiles.load(&"third".parse().unwrap()).unwrap_err();
    assert!(matches!(error, ProfileError::Io { .. }), "{error}");
    assert_eq!(profiles.list().unwrap().len(), 2);
}

fn key(request: &[u8]) -> Vec<u8> {
    use x509_parser::prelude::*;
    let (_, request) = X509CertificationRequest::from_der(request).unwrap();
    request.certification_request_info.subject_pki.raw.to_vec()
}

#[tokio::test]
async fn a_profile_that_exists_is_left_as_it_is() {
    let world = World::new().await;
    let profile = world.join().await;
    let content = |name| std::fs::read(profile.folder().join(name)).unwrap();
    let before = (content("key.pem"), content("credentials.json"));
    let error = failed(&world).await;
    assert!(matches!(error, JoinError::Exists { .. }));
    insta::assert_snapshot!("exists", error.explained());

    let elsewhere = Arc::new(Realm::new("elsewhere.example"));
    let guard = Guard::start(&elsewhere, "ws12").await;
    let other = invite(&elsewhere, &guard);
    let error = join(&world.profiles(), &other, None, Reverse::Guarded)
        .await
        .unwrap_err();
    assert!(matches!(error, JoinError::OtherAuthority { .. }));
    insta::assert_snapshot!("other_authority", error.explained());
    assert_eq!(guard.connections(), 0);
    assert_eq!((content("key.pem"), content("credentials.json")), before);
}

#[tokio::test]
async fn an_authority_without_the_fingerprint_of_the_invite_is_refused() {
    let world = World::new().await;
    let mut wrong = world.invite();
    wrong.authority = Realm::new("studio.example").fingerprint();
    let error = join(&world.profiles(), &wrong, None, Reverse::Guarded)
        .await
        .unwrap_err();
    assert!(matches!(error, JoinError::Fault(_)));
    assert!(world.guard.state.requests.lock().unwrap().is_empty());

    let other = Arc::new(Realm::new("studio.example"));
    *world.guard.state.other_authority.lock().unwrap() = Some(other);
    let error = failed(&world).await;
    assert!(matches!(error, JoinError::Issued(IssuedError::Authority)));
}

#[tokio::test]
async fn a_certificate_for_another_key_is_refused() {
    let world = World::new().await;
    *world.guard.state.sign_other_key.lock().unwrap() = true;
    assert!(matches!(
        failed(&world).await,
        JoinError::Issued(IssuedError::Key)
    ));
}

#[tokio::test]
async fn a_certificate_of_another_domain_is_refused() {
    let world = World::new().await;
    let alice = Realm::new("elsewhere.example").identity(Kind::Artist, "alice");
    *world.guard.state.enrols.lock().unwrap() = alice;
    let error = failed(&world).await;
    assert!(matches!(
        error,
        JoinError::Issued(IssuedError::Identity { .. })
    ));
}

#[tokio::test]
async fn a_certificate_that_begins_later_blames_the_clock() {
    let world = World::new().await;
    *world.guard.state.certificate_life.lock().unwrap() = (DAY, 2 * DAY);
    let error = failed(&world).await;
    assert!(matches!(
        error,
        JoinError::Issued(IssuedError::Dates { .. })
    ));
    assert!(error.hint().unwrap().contains("set the clock"));
}

#[tokio::test]
async fn an_invite_for_a_guard_is_refused() {
    let world = World::new().await;
    *world.guard.state.enrols.lock().unwrap() = world.realm.identity(Kind::Guard, "ws13");
    let error = failed(&world).await;
    assert!(matches!(error, JoinError::ForGuard));
    insta::assert_snapshot!(error.explained());
}

#[tokio::test]
async fn one_invite_opens_every_guard_of_the_authority() {
    let world = World::new().await;
    let ws13 = GuardAddress {
        identity: world.realm.identity(Kind::Guard, "ws13"),
        address: "ws13.studio.example:18812".into(),
    };
    world.guard.state.others.lock().unwrap().push(ws13);
    world.join().await;
    let find = |name| world.profiles().route(Some(name), None, "test");
    let ws12 = find("ws12").unwrap().guard;
    assert_eq!(ws12.addresses[0], world.guard.address.to_string());
    assert_eq!(ws12.addresses[1], "ws12.studio.example:18812");
    for name in [
        "ws13",
        "ws12:ws13",
        "WS13.studio.example",
        "ws12:ws13.studio.example",
    ] {
        let ws13 = find(name).unwrap();
        assert_eq!(ws13.guard.addresses, ["ws13.studio.example:18812"]);
        assert_eq!(ws13.profile.name().as_str(), "ws12");
    }
    let local = find("127.0.0.1").unwrap();
    assert_eq!(local.guard.name().as_str(), "ws12");
    for name in ["ws14", "studio.example", "ws13.studio.example:18812", "::1"] {
        assert!(
            matches!(find(name), Err(RouteError::Unknown { .. })),
            "{name}"
        );
    }

    let again = join(
        &world.profiles(),
        &world.invite(),
        Some("b".parse().unwrap()),
        Reverse::Guarded,
    )
    .await;
    again.unwrap();
    let error = find("ws13").unwrap_err();
    assert!(matches!(error, RouteError::Ambiguous { .. }));
    insta::assert_snapshot!("ambiguous", error.explained());
    let error = world.profiles().route(None, None, "test").unwrap_err();
    insta::assert_snapshot!("several", error.explained());
}
