//! Revocation: at once, for live sessions too, and for good.

use std::path::Path;
use std::time::{Duration, Instant};

use e2e::forge::certificate::fresh_key;
use e2e::forge::client::{Came, Session, hello};
use e2e::forge::enrol::{Member, join, renew, request};
use e2e::forge::site::Site;
use e2e::forge::token::Forged;
use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;
use wire::Code;

/// The promise.
const CUT_WITHIN: Duration = Duration::from_secs(1);

/// Runs `cut` while the session is busy; returns how long after it the session ended.
async fn cut_during_traffic(mut session: Session, cut: impl FnOnce()) -> Duration {
    let (ended, end) = tokio::sync::oneshot::channel();
    let traffic = tokio::spawn(async move {
        while session.ping().await.is_ok() {}
        let _ = ended.send(Instant::now());
    });
    tokio::task::block_in_place(cut);
    let revoked = Instant::now();
    let end = tokio::time::timeout(e2e::programs::DEADLINE, end)
        .await
        .expect("the session is cut")
        .expect("the session is cut");
    traffic.await.unwrap();
    end.saturating_duration_since(revoked)
}

fn token_id(member: &Member) -> String {
    let id = &Forged::from(&member.token).claims["jti"];
    id.as_str().unwrap().to_owned()
}

fn closed(site: &Site, session: &str) -> Value {
    site.trial
        .wait_for_record(|record| record["event"] == "closed" && record["session"] == session)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_session_is_cut_within_one_second() {
    let site = Site::start();
    let mut worst = Duration::ZERO;
    for run in 0..21 {
        let name = format!("artist{run}");
        let member = site.member(&name).await;
        let session = site.open(&member).await;
        let id = session.accepted.session.clone();
        let what = match run % 3 {
            0 => name,
            1 => member.credentials.serial().to_string(),
            _ => token_id(&member),
        };
        let after = cut_during_traffic(session, || {
            site.certs(&["revoke", &what, "--why", "left the show"]);
        })
        .await;
        worst = worst.max(after);
        assert!(after < CUT_WITHIN, "{what}: cut after {after:?}");
        let record = closed(&site, &id);
        assert_eq!(record["reason"], Code::SessionRevoked.as_str(), "{record}");
        assert!(record["bytes_up"].as_u64().unwrap() > 0, "{record}");
    }
    println!("worst of 21 cuts: {worst:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_cuts_whom_it_names_and_nobody_else() {
    let site = Site::start();
    let (alice, bob) = (site.member("alice").await, site.member("bob").await);
    let laptop = site.member("alice").await;
    let mut others = vec![site.open(&bob).await, site.open(&laptop).await];
    let session = site.open(&alice).await;
    let serial = alice.credentials.serial();
    cut_during_traffic(session, || {
        site.certs(&["revoke", serial.as_str(), "--why", "lost laptop"]);
    })
    .await;
    for session in &mut others {
        session.ping().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_grant_ends_the_session_in_time() {
    let site = Site::start();
    let alice = site.member("alice").await;
    let mut session = site.open(&alice).await;
    let id = session.accepted.session.clone();
    let end = (Timestamp::now() + 2.seconds()).to_string();
    site.certs(&["grant", "alice", "--role", "full", "--access-until", &end]);
    let end: Timestamp = end.parse().unwrap();
    session
        .busy_until_cut(e2e::programs::DEADLINE)
        .await
        .expect("the session ends");
    let late = Timestamp::now().duration_since(end).as_millis();
    assert!((-200..1000).contains(&late), "{late} ms after the end");
    let record = closed(&site, &id);
    assert_eq!(record["reason"], Code::SessionEnded.as_str(), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_time_given_during_a_session_is_taken_up() {
    let site = Site::start();
    let soon = (Timestamp::now() + 4.seconds()).to_string();
    let alice = site.member_with("alice", &["--access-until", &soon]).await;
    let mut session = site.open(&alice).await;
    let later = (Timestamp::now() + 1.hour()).to_string();
    site.certs(&["grant", "alice", "--role", "full", "--access-until", &later]);
    let soon: Timestamp = soon.parse().unwrap();
    while Timestamp::now() < soon + 2.seconds() {
        session.ping().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demotion_reaches_a_live_session() {
    let site = Site::start();
    let alice = site.member("alice").await;
    let session = site.open(&alice).await;
    let id = session.accepted.session.clone();
    cut_during_traffic(session, || {
        e2e::forge::store::set_role(&site.trial.state_dir(), &alice.identity, "read-only");
    })
    .await;
    let record = closed(&site, &id);
    assert_eq!(record["reason"], Code::SessionChanged.as_str(), "{record}");
}

/// Checks that nothing of somebody revoked gets in: not with the certificate, not by
/// renewing, not with the invite that was used.
async fn assert_shut_out(site: &Site, who: &Member) {
    let before = site.upstream.accepted();
    let client = site.client(&who.credentials);
    let attempt = client.try_hello(&hello(&who.token)).await;
    site.assert_refused(&attempt, Code::CertificateRevoked, before);
    let csr = request(&fresh_key());
    for request in [None, Some(&csr[..])] {
        let attempt = renew(site.address(), &who.credentials, request).await;
        assert!(matches!(attempt.came, Came::Refused(..)), "{attempt:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_stays_revoked_after_a_restart() {
    let mut site = Site::start();
    let (alice, bob) = (site.member("alice").await, site.member("bob").await);
    site.open(&alice).await;
    site.certs(&["revoke", "alice", "--why", "left the show"]);
    site.kill();
    site.start_again();
    assert_shut_out(&site, &alice).await;
    site.open(&bob).await;
}

/// The files of the database, with what SQLite keeps beside it.
const DATABASE: [&str; 3] = ["store.db", "store.db-wal", "store.db-shm"];

fn copy_database(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in DATABASE {
        let _ = std::fs::remove_file(to.join(name));
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_stays_revoked_when_an_older_store_is_put_back() {
    let mut site = Site::start();
    let (alice, bob) = (site.member("alice").await, site.member("bob").await);
    site.open(&alice).await;
    site.stop();
    let (state, kept) = (site.trial.state_dir(), site.trial.folder().join("kept"));
    copy_database(&state, &kept);
    site.start_again();
    site.certs(&["revoke", "alice", "--why", "left the show"]);
    site.stop();
    copy_database(&kept, &state);
    site.start_again();
    assert_shut_out(&site, &alice).await;
    site.open(&bob).await;
    // That the store went back in time does not pass in silence, and nothing is issued
    // until somebody has looked.
    site.trial
        .wait_for_record(|record| record["event"] == "alarm")
        .unwrap();
    let attempt = renew(site.address(), &bob.credentials, None).await;
    let before = site.upstream.accepted();
    site.assert_refused(&attempt, Code::IssuingStopped, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_store_under_a_running_guard_revives_nobody() {
    let mut site = Site::start();
    let (alice, bob) = (site.member("alice").await, site.member("bob").await);
    site.stop();
    let (state, kept) = (site.trial.state_dir(), site.trial.folder().join("kept"));
    copy_database(&state, &kept);
    site.start_again();
    let session = site.open(&alice).await;
    cut_during_traffic(session, || {
        site.certs(&["revoke", "alice", "--why", "left the show"]);
    })
    .await;
    for name in DATABASE {
        let _ = std::fs::remove_file(state.join(name));
    }
    std::fs::rename(kept.join("store.db"), state.join("store.db")).unwrap();
    let before = site.upstream.accepted();
    let client = site.client(&alice.credentials);
    for _ in 0..5 {
        let attempt = client.try_hello(&hello(&alice.token)).await;
        assert!(matches!(attempt.came, Came::Refused(..)), "{attempt:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(site.upstream.accepted(), before);
    site.open(&bob).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_stays_revoked_after_a_restored_backup() {
    let mut site = Site::start();
    let (alice, bob) = (site.member("alice").await, site.member("bob").await);
    site.open(&alice).await;
    let backup = site.trial.folder().join("backup");
    let backup = backup.to_str().unwrap();
    site.certs(&["backup", backup, "--no-passphrase"]);
    site.certs(&["revoke", "alice", "--why", "left the show"]);
    site.stop();
    let mut command = site.trial.certs_command().unwrap();
    command.args(["restore", backup]);
    let finished = e2e::programs::run(&mut command).unwrap();
    println!("{}{}", finished.stdout, finished.stderr);
    site.start_again();
    assert_shut_out(&site, &alice).await;
    site.open(&bob).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_invite_starts_anew_and_revives_nothing() {
    let site = Site::start();
    let old = site.member("alice").await;
    site.open(&old).await;
    site.certs(&["revoke", "alice", "--why", "left the show"]);
    let new = join(site.address(), &site.invite("alice", &[])).await;
    site.open(&new).await;
    assert_shut_out(&site, &old).await;
    // Nor is the old token good with the new certificate.
    let before = site.upstream.accepted();
    let client = site.client(&new.credentials);
    let attempt = client.try_hello(&hello(&old.token)).await;
    assert!(matches!(attempt.came, Came::Refused(..)), "{attempt:?}");
    assert_eq!(site.upstream.accepted(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_opens_during_a_revocation_does_not_outlive_it() {
    let site = Site::start();
    for run in 0..5 {
        let name = format!("artist{run}");
        let member = site.member(&name).await;
        let client = site.client(&member.credentials);
        let words = hello(&member.token);
        let opening = tokio::spawn(async move {
            let mut sessions = Vec::new();
            while let Ok(session) = client.open(&words).await {
                sessions.push(session);
                if sessions.len() > 200 {
                    break;
                }
            }
            sessions
        });
        tokio::task::block_in_place(|| {
            site.certs(&["revoke", &name, "--why", "left the show"]);
        });
        for mut session in opening.await.unwrap() {
            let end = session.busy_until_cut(e2e::programs::DEADLINE).await;
            assert!(end.is_some(), "a session outlived the revocation");
        }
    }
}
