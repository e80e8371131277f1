//! Invites: one code, one certificate, whatever happens on the way.

use std::time::Duration;

use e2e::forge::certificate::{Authority, Form, dns, fresh_key, uri};
use e2e::forge::client::{Attempt, Came, Client, connect, hello};
use e2e::forge::enrol::{
    Member, enrolling, join, redeem, redeem_bytes, renew, request, request_for,
};
use e2e::forge::site::Site;
use e2e::forge::store;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use wire::enrolment::{Issued, Renew, Reply};
use wire::invite::Invite;
use wire::leaf::{Leaf, Usage};
use wire::{Code, Secret};

fn issued(attempt: Attempt) -> Box<Issued> {
    match attempt.came {
        Came::Issued(issued) => issued,
        other => panic!("a certificate was expected, and {other:?} came"),
    }
}

async fn assert_refused(site: &Site, invite: &Invite, request: &[u8], code: Code) {
    let before = site.upstream.accepted();
    let attempt = redeem(site.address(), invite, request).await;
    site.assert_refused(&attempt, code, before);
}

/// How many certificates the store has recorded for somebody.
fn certificates(site: &Site, name: &str) -> usize {
    store::certificates(&site.trial.state_dir(), name).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_works_once() {
    let site = Site::start();
    let invite = site.invite("alice", &[]);
    let alice = join(site.address(), &invite).await;
    site.open(&alice).await;
    let another = request(&fresh_key());
    assert_refused(&site, &invite, &another, Code::InviteUsed).await;
    assert_eq!(certificates(&site, "alice"), 1);
    // The second key raised an alarm: somebody else has the code.
    let alarm = site
        .trial
        .wait_for_record(|record| record["event"] == "alarm");
    assert!(alarm.unwrap().to_string().contains("alice"));
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_at_once_with_one_invite_get_one_certificate() {
    let site = Site::configured("[limits]\nhandshakes_per_address = 100\n");
    let invite = site.invite("alice", &[]);
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (guard, invite) = (site.address(), invite.clone());
            tokio::spawn(async move { redeem(guard, &invite, &request(&fresh_key())).await })
        })
        .collect();
    let (mut winners, mut losers) = (0, 0);
    for task in tasks {
        match task.await.unwrap().came {
            Came::Issued(_) => winners += 1,
            Came::Refused(refusal, _) => {
                assert_eq!(refusal.code, Code::InviteUsed.as_str(), "{refusal:?}");
                losers += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((winners, losers), (1, 49));
    assert_eq!(certificates(&site, "alice"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_asking_again_gets_the_same_certificate() {
    let site = Site::start();
    let invite = site.invite("alice", &[]);
    let key = fresh_key();
    let first = issued(redeem(site.address(), &invite, &request(&key)).await);
    // A request of the same key made anew differs in its signature only.
    let again = issued(redeem(site.address(), &invite, &request(&key)).await);
    assert_eq!(first.certificate, again.certificate);
    assert_eq!(certificates(&site, "alice"), 1);
    site.open(&Member::new(&again, &key)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_asking_again_after_a_revocation_gets_nothing() {
    let site = Site::start();
    let invite = site.invite("alice", &[]);
    let key = fresh_key();
    issued(redeem(site.address(), &invite, &request(&key)).await);
    site.certs(&["revoke", "alice", "--why", "left the show"]);
    let attempt = redeem(site.address(), &invite, &request(&key)).await;
    assert!(matches!(attempt.came, Came::Refused(..)), "{attempt:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_invite_is_refused() {
    let site = Site::start();
    site.member("alice").await;
    let invite = site.invite("bob", &["--valid", "1s"]);
    let request = request(&fresh_key());
    let end = std::time::Instant::now() + Duration::from_secs(3);
    e2e::programs::poll("the end of the invite", || {
        (std::time::Instant::now() > end).then_some(())
    })
    .unwrap();
    assert_refused(&site, &invite, &request, Code::InviteExpired).await;
    assert_eq!(certificates(&site, "bob"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_of_somebody_who_was_revoked_is_refused() {
    let site = Site::start();
    let invite = site.invite("alice", &[]);
    site.certs(&["revoke", "alice", "--why", "a mistake"]);
    let request = request(&fresh_key());
    assert_refused(&site, &invite, &request, Code::InviteRevoked).await;
    assert_eq!(certificates(&site, "alice"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_invite_is_refused() {
    let site = Site::start();
    let mut invite = site.invite("alice", &[]);
    let mut secret = *invite.secret.expose();
    secret[15] ^= 1;
    invite.secret = Secret::new(secret);
    let request = request(&fresh_key());
    assert_refused(&site, &invite, &request, Code::InviteUnknown).await;
    assert_eq!(certificates(&site, "alice"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_checked_before_the_request_is_parsed() {
    let site = Site::start();
    let mut invite = site.invite("alice", &[]);
    invite.secret = Secret::new([7; 16]);
    assert_refused(&site, &invite, b"not a request", Code::InviteUnknown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_killed_in_mid_redemption_gives_at_most_one_certificate() {
    let mut site = Site::start();
    for round in 0..12u64 {
        let name = format!("artist{round}");
        let invite = site.invite(&name, &[]);
        let key = fresh_key();
        let csr = request(&key);
        let (guard, words) = (site.address(), redeem_bytes(&invite, &csr));
        let connection = connect(guard, None).await;
        let asking = tokio::spawn(async move {
            let handshake = enrolling(guard).handshake_over(connection).await;
            let (mut stream, _) = handshake.ok()?;
            tokio::io::AsyncWriteExt::write_all(&mut stream, &words)
                .await
                .ok()?;
            tokio::io::AsyncWriteExt::flush(&mut stream).await.ok()?;
            let reply = wire::message::read::<Reply>(&mut stream);
            match reply.await.ok()? {
                Reply::Issued(issued) => issued.certificate,
                Reply::Refused(_) => None,
            }
        });
        // Some rounds die before the transaction, some in it, some behind it.
        tokio::time::sleep(Duration::from_micros(1500 * round)).await;
        site.kill();
        let seen = asking.await.unwrap();
        site.start_again();
        let retried = issued(redeem(site.address(), &invite, &csr).await);
        if let Some(seen) = seen {
            assert_eq!(Some(seen), retried.certificate, "round {round}");
        }
        assert_eq!(certificates(&site, &name), 1, "round {round}");
        site.open(&Member::new(&retried, &key)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_message_that_cannot_be_read_is_refused() {
    let site = Site::start();
    site.member("alice").await;
    let invite = site.invite("bob", &[]);
    let honest = redeem_bytes(&invite, &request(&fresh_key()));
    let mut other_version = honest.clone();
    other_version[3] = 0x23;
    let mut oversized = b"HRG\x13\x00\x00\x10\x01".to_vec();
    oversized.extend([b' '; 4097]);
    for garbage in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0; 100],
        b"HRG\x13\0\0\0\x02{}".to_vec(),
        b"HRG\x13\xff\xff\xff\xff".to_vec(),
        oversized,
        other_version,
        hello("a session's words"),
    ] {
        let before = site.upstream.accepted();
        let attempt = enrolling(site.address()).try_hello(&garbage).await;
        site.assert_refused(&attempt, Code::EnrolmentMalformed, before);
    }
    issued(enrolling(site.address()).try_hello(&honest).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_enrolment_message_is_refused_in_time() {
    let site = Site::configured("[limits]\nenrolment_timeout = \"600ms\"\n");
    site.member("alice").await;
    let invite = site.invite("bob", &[]);
    let honest = redeem_bytes(&invite, &request(&fresh_key()));
    let before = site.upstream.accepted();
    let client = enrolling(site.address());
    let silent = client.try_silence().await;
    site.assert_refused(&silent, Code::EnrolmentTimeout, before);
    let half = client.try_hello(&honest[..honest.len() - 1]).await;
    site.assert_refused(&half, Code::EnrolmentTimeout, before);
    let pause = Duration::from_millis(20);
    let dripping = client.try_dripping(&honest, pause).await;
    site.assert_refused(&dripping, Code::EnrolmentTimeout, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_more_gets_only_what_the_invite_says() {
    let site = Site::start();
    let honest = site.member("alice").await;
    let domain = honest.identity.domain.to_string();
    let key = fresh_key();
    let mut greedy = CertificateParams::default();
    greedy.subject_alt_names = vec![
        uri(&format!("spiffe://{domain}/artist/root")),
        uri(&format!("spiffe://{domain}/guard/ws12")),
        dns("ws12"),
    ];
    greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    greedy.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    greedy.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let invite = site.invite("bob", &[]);
    let csr = request_for(greedy, &key);
    let bob = Member::new(&issued(redeem(site.address(), &invite, &csr).await), &key);

    assert_eq!(
        bob.identity.to_string(),
        format!("spiffe://{domain}/artist/bob")
    );
    let leaf = Leaf::read(bob.credentials.leaf(), Usage::Client).unwrap();
    assert_eq!(leaf.identity, bob.identity);
    let (_, parsed) = x509_parser::parse_x509_certificate(bob.credentials.leaf()).unwrap();
    let usage = parsed.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature());
    assert!(!usage.key_cert_sign() && !usage.crl_sign());
    assert!(!parsed.is_ca());
    site.open(&bob).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_its_key_did_not_sign_is_refused() {
    let site = Site::start();
    site.member("alice").await;
    let invite = site.invite("bob", &[]);
    let key = fresh_key();
    let honest = request(&key);
    let mut forged = honest.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert_refused(&site, &invite, &forged, Code::RequestInvalid).await;
    assert_eq!(certificates(&site, "bob"), 0);
    // A request that was refused does not use the invite up.
    issued(redeem(site.address(), &invite, &honest).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_read_is_refused() {
    let site = Site::start();
    site.member("alice").await;
    let invite = site.invite("bob", &[]);
    let honest = request(&fresh_key());
    let trailing = [&honest[..], b"x"].concat();
    for bad in [
        &b""[..],
        b"x",
        &honest[..honest.len() / 2],
        &[0x30; 1000],
        &trailing,
    ] {
        assert_refused(&site, &invite, bad, Code::RequestInvalid).await;
    }
    issued(redeem(site.address(), &invite, &honest).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_kind_is_refused() {
    let site = Site::start();
    site.member("alice").await;
    let invite = site.invite("bob", &[]);
    for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        assert_refused(&site, &invite, &request(&key), Code::RequestInvalid).await;
    }
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048);
    assert_refused(
        &site,
        &invite,
        &request(&rsa.unwrap()),
        Code::RequestInvalid,
    )
    .await;
    assert_eq!(certificates(&site, "bob"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_the_enrolment_protocol_does_not_reach_houdini() {
    let site = Site::start();
    let alice = site.member("alice").await;
    site.open(&alice).await;
    let before = site.upstream.accepted();
    // With her certificate and her token, in the protocol that needs neither.
    let client = site
        .client(&alice.credentials)
        .offering(&[wire::tls::ALPN_ENROL]);
    let attempt = client.try_hello(&hello(&alice.token)).await;
    site.assert_recorded(&attempt, Code::EnrolmentMalformed, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn renewing_gives_a_certificate_and_a_token_that_work() {
    let site = Site::start();
    let alice = site.member("alice").await;
    let key = alice.credentials.key_pair();
    let csr = request(&key);
    let attempt = renew(site.address(), &alice.credentials, Some(&csr)).await;
    let renewed = Member::new(&issued(attempt), &key);
    assert_eq!(renewed.identity, alice.identity);
    site.open(&renewed).await;
    // And the token goes with the new certificate only.
    let before = site.upstream.accepted();
    let client = site.client(&alice.credentials);
    let attempt = client.try_hello(&hello(&renewed.token)).await;
    site.assert_refused(&attempt, Code::TokenBinding, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn renewing_for_another_key_is_refused() {
    let site = Site::start();
    let alice = site.member("alice").await;
    let before = site.upstream.accepted();
    let another = request(&fresh_key());
    let attempt = renew(site.address(), &alice.credentials, Some(&another)).await;
    site.assert_refused(&attempt, Code::RequestInvalid, before);
    assert_eq!(certificates(&site, "alice"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_device_reaches_what_it_renewed() {
    let site = Site::start();
    let alice = site.member("alice").await;
    let key = alice.credentials.key_pair();
    let attempt = renew(site.address(), &alice.credentials, Some(&request(&key))).await;
    let renewed = Member::new(&issued(attempt), &key);
    site.open(&renewed).await;
    let serial = alice.credentials.serial();
    site.certs(&["revoke", serial.as_str(), "--why", "lost laptop"]);
    let before = site.upstream.accepted();
    let attempt = site
        .client(&renewed.credentials)
        .try_hello(&hello(&renewed.token))
        .await;
    site.assert_refused(&attempt, Code::CertificateRevoked, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn renewing_without_a_certificate_is_refused() {
    let site = Site::start();
    site.member("alice").await;
    let before = site.upstream.accepted();
    let client = Client::new(site.address(), None).offering(&[wire::tls::ALPN_RENEW]);
    let words = wire::message::encode(&Renew { request: None }).unwrap();
    let attempt = client.try_hello(&words).await;
    assert!(
        matches!(attempt.came, Came::Alert(_) | Came::Refused(..)),
        "{attempt:?}"
    );
    site.assert_recorded(&attempt, Code::CertificateMissing, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_may_renew_and_a_revoked_one_may_not() {
    let site = Site::start();
    let alice = site.member("alice").await;
    let state = site.trial.state_dir();
    let authority = Authority::read(&state);
    let mut form = Form::client(&alice.identity.to_string());
    form.not_before = jiff::Timestamp::now() - Duration::from_secs(7200);
    form.not_after = jiff::Timestamp::now() - Duration::from_secs(60);
    let expired = authority.issue(&form);
    store::record(&state, &alice.credentials, &expired);

    let key = expired.key_pair();
    let attempt = renew(site.address(), &expired, Some(&request(&key))).await;
    site.open(&Member::new(&issued(attempt), &key)).await;

    let before = site.upstream.accepted();
    let serial = expired.serial();
    site.certs(&["revoke", serial.as_str(), "--why", "lost laptop"]);
    let attempt = renew(site.address(), &expired, Some(&request(&key))).await;
    site.assert_refused(&attempt, Code::CertificateRevoked, before);
}
