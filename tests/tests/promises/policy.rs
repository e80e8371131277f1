//! What the grant allows: the role, the addresses, the time, the upstream.

use e2e::forge::client::{Came, Client, hello, hello_for};
use e2e::forge::enrol::{Member, join};
use e2e::forge::site::Site;
use e2e::forge::store;
use e2e::forge::upstream::Upstream;
use e2e::programs::{Trial, free_address, poll, run};
use jiff::{Timestamp, ToSpan as _};
use wire::Code;
use wire::hello::Wanted;

/// Refused with this code, and told who it was.
async fn assert_refused(site: &Site, who: &Member, client: &Client, code: Code) {
    assert_words_refused(site, who, client, &hello(&who.token), code).await;
}

async fn assert_words_refused(
    site: &Site,
    who: &Member,
    client: &Client,
    words: &[u8],
    code: Code,
) {
    let before = site.upstream.accepted();
    let attempt = client.try_hello(words).await;
    let record = site.assert_refused(&attempt, code, before);
    assert_eq!(record["identity"], who.identity.to_string(), "{record}");
    let serial = who.credentials.serial();
    assert_eq!(record["serial"], serial.as_str(), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_the_guard_does_not_know_is_refused_and_never_taken_for_full() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    for role in ["read-Only", "Full", "full ", "", "admin"] {
        store::set_role(&site.trial.state_dir(), &alice.identity, role);
        let client = site.client(&alice.credentials);
        assert_refused(&site, &alice, &client, Code::RoleUnknown).await;
    }
    store::set_role(&site.trial.state_dir(), &alice.identity, "full");
    site.open(&alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_does_not_exist_cannot_be_given() {
    let site = Site::start();
    for args in [
        &[
            "invite",
            "alice",
            "--role",
            "Read-Only",
            "--guard",
            "127.0.0.1:1",
        ][..],
        &["grant", "alice", "--role", "full "],
    ] {
        let mut command = site.trial.certs_command().unwrap();
        let finished = run(command.args(args)).unwrap().with_code(1).unwrap();
        assert!(finished.stderr.contains("error: "), "{}", finished.stderr);
        assert!(finished.stderr.contains("hint: "), "{}", finished.stderr);
    }
    let listed = site.certs(&["list"]).to_string();
    assert!(!listed.contains("alice"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_outside_the_grant_is_refused() {
    let site = Site::start();
    let alice = site.member_with("alice", &["--from", "127.0.0.2/32"]).await;
    let inside = site.client(&alice.credentials).from([127, 0, 0, 2]);
    inside.open(&hello(&alice.token)).await.unwrap();
    let outside = site.client(&alice.credentials).from([127, 0, 0, 3]);
    assert_refused(&site, &alice, &outside, Code::AddressNotAllowed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_that_has_ended_is_refused() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let end = (Timestamp::now() + 1.second()).to_string();
    site.certs(&["grant", "alice", "--role", "full", "--access-until", &end]);
    let end = end.parse::<Timestamp>().unwrap() + 1.second();
    poll("the end of access", || {
        (Timestamp::now() > end).then_some(())
    })
    .unwrap();
    let client = site.client(&alice.credentials);
    assert_refused(&site, &alice, &client, Code::AccessEnded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_without_a_grant_is_refused() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    store::drop_grant(&site.trial.state_dir(), &alice.identity);
    let client = site.client(&alice.credentials);
    assert_refused(&site, &alice, &client, Code::GrantMissing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_whose_access_was_revoked_is_refused() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    site.certs(&["revoke", "alice", "--why", "left the show"]);
    let before = site.upstream.accepted();
    let client = site.client(&alice.credentials);
    let attempt = client.try_hello(&hello(&alice.token)).await;
    let record = site.refusal_record(attempt.local);
    // The certificate is looked at first, and it went with the grant.
    let codes = [Code::CertificateRevoked, Code::GrantRevoked];
    let code = codes.iter().find(|code| record["code"] == code.as_str());
    let code = code.unwrap_or_else(|| panic!("{record}"));
    site.assert_refused(&attempt, *code, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_not_configured_is_refused() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let client = site.client(&alice.credentials);
    let neighbour = Upstream::echo();
    for wanted in [
        Wanted::Name("render".into()),
        Wanted::Name(neighbour.address().to_string()),
        Wanted::Name("../etc/passwd".into()),
        Wanted::Name(String::new()),
        Wanted::Port(neighbour.address().port()),
        Wanted::Port(0),
        Wanted::Port(22),
    ] {
        let words = hello_for(&alice.token, Some(wanted));
        assert_words_refused(&site, &alice, &client, &words, Code::UpstreamUnknown).await;
    }
    assert_eq!(neighbour.accepted(), 0, "a neighbour was dialled");
    let wanted = Wanted::Port(site.upstream.address().port());
    let own = hello_for(&alice.token, Some(wanted));
    client.open(&own).await.unwrap().ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_taken_from_within_the_range_and_never_from_outside() {
    // The range is the one port of the upstream; its neighbours are outside.
    let upstream = Upstream::echo();
    let port = upstream.address().port();
    let trial = Trial::opaque().unwrap();
    let guard = trial
        .start_guard(&format!("127.0.0.1:{port}-{port}"), &[])
        .unwrap();
    let code = trial.invite(guard.address, "alice", &[]).unwrap();
    let alice = join(guard.address, &code.parse().unwrap()).await;
    let client = Client::new(guard.address, Some(&alice.credentials));
    let words = |port| hello_for(&alice.token, Some(Wanted::Port(port)));
    client
        .open(&words(port))
        .await
        .unwrap()
        .ping()
        .await
        .unwrap();
    for outside in [port - 1, port.wrapping_add(1)] {
        let attempt = client.open(&words(outside)).await.unwrap_err();
        let Came::Refused(refusal, true) = attempt.came else {
            panic!("{attempt:?}");
        };
        assert_eq!(refusal.code, Code::UpstreamUnknown.as_str());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_down_is_said_to_be_down() {
    let trial = Trial::opaque().unwrap();
    let nobody = free_address().unwrap();
    let guard = trial.start_guard(&nobody.to_string(), &[]).unwrap();
    let code = trial.invite(guard.address, "alice", &[]).unwrap();
    let alice = join(guard.address, &code.parse().unwrap()).await;
    let client = Client::new(guard.address, Some(&alice.credentials));
    let attempt = client.try_hello(&hello(&alice.token)).await;
    let Came::Refused(refusal, true) = attempt.came else {
        panic!("{attempt:?}");
    };
    assert_eq!(refusal.code, Code::UpstreamDown.as_str());
    let peer = attempt.local.to_string();
    let record = trial
        .wait_for_record(|record| record["event"] == "refused" && record["peer"] == peer)
        .unwrap();
    assert_eq!(record["stage"], Code::UpstreamDown.stage().as_str());
    assert_eq!(record["role"], "full", "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_of_the_policy_ends_only_whose_role_is_gone() {
    let mut site = Site::configured("");
    let alice = site.member("alice").await;
    let bob = site.member("bob").await;
    // What is not inspected may say anything.
    let write = {
        let path = site.trial.folder().join("policy.toml");
        move |roles: &str| {
            let text = format!("[role.full]\ninspect = 'off'\n{roles}");
            std::fs::write(&path, text).unwrap();
        }
    };
    let policy = site.trial.folder().join("policy.toml");
    let config = site.trial.folder().join("guard.toml");
    site.certs(&["grant", "bob", "--role", "farm"]);
    assert_refused(
        &site,
        &bob,
        &site.client(&bob.credentials),
        Code::RoleUnknown,
    )
    .await;

    write("[role.farm]\nextends = 'full'\n");
    std::fs::write(&config, "policy = 'policy.toml'\n").unwrap();
    site.reload("the policy was read anew");
    let mut of_alice = site.open(&alice).await;
    let mut of_bob = site.open(&bob).await;
    assert_eq!(of_bob.accepted.role, "farm");

    // What is not right changes nothing.
    for broken in [
        "[role.farm]\nextends = 'fulll'\n",
        "[role.farm",
        "[role.farm]\ninspekt = 1\n",
    ] {
        write(broken);
        site.reload("THE NEW POLICY IS NOT USED");
        of_bob.ping().await.unwrap();
        site.open(&bob).await;
    }
    std::fs::remove_file(&policy).unwrap();
    site.reload("THE NEW POLICY IS NOT USED");
    of_bob.ping().await.unwrap();

    // A change elsewhere drops nobody.
    write("[role.farm]\nextends = 'full'\ncontact = 'it'\n[role.new]\nextends = 'read-only'\n");
    site.reload("the policy was read anew");
    of_bob.ping().await.unwrap();

    // Who streams unjudged must not go on when the role is to be judged, and not when it is gone.
    let id = of_bob.accepted.session.clone();
    write("[role.farm]\nextends = 'read-only'\n");
    site.reload("the policy was read anew");
    let cut = poll("the end of the session", || {
        let mut closed = site.events("closed").into_iter();
        closed.find(|record| record["session"] == id.as_str())
    })
    .unwrap();
    assert_eq!(cut["reason"], Code::SessionChanged.as_str(), "{cut}");
    // Anew they come in, to be judged.
    let client = site.client(&bob.credentials);
    let judged = client.open(&hello(&bob.token)).await.unwrap();
    assert_eq!(judged.accepted.role, "farm");
    write("");
    site.reload("the policy was read anew");
    let client = site.client(&bob.credentials);
    assert_refused(&site, &bob, &client, Code::RoleUnknown).await;
    of_alice.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_which_houdini_was_not_held_back_ends_when_it_is_to_be() {
    let mut site = Site::configured("");
    let policy = site.trial.folder().join("policy.toml");
    let config = site.trial.folder().join("guard.toml");
    std::fs::write(&config, "policy = 'policy.toml'\n").unwrap();
    let write = |how: &str| {
        let text = format!("[role.farm]\nextends = 'full'\nreverse_calls = '{how}'\n");
        std::fs::write(&policy, text).unwrap();
    };
    write("open");
    site.reload("the policy was read anew");
    let alice = site.member("alice").await;
    let bob = site.member("bob").await;
    site.certs(&["grant", "bob", "--role", "farm"]);
    let mut of_alice = site.open(&alice).await;
    let of_bob = site.open(&bob).await;
    assert_eq!(of_bob.accepted.role, "farm");
    let id = of_bob.accepted.session.clone();
    write("guarded");
    site.reload("the policy was read anew");
    let cut = poll("the end of the session", || {
        let mut closed = site.events("closed").into_iter();
        closed.find(|record| record["session"] == id.as_str())
    })
    .unwrap();
    assert_eq!(cut["reason"], Code::SessionChanged.as_str(), "{cut}");
    // A session that began guarded goes on so.
    let mut held = site.open(&bob).await;
    write("open");
    site.reload("the policy was read anew");
    held.ping().await.unwrap();
    of_alice.ping().await.unwrap();
}
