//! Grants, renewal and revocation.

use hrpyc_certs::{
    CertificateStatus, Changes, Effect, IssueError, TokenRef, TokenStatus, TrustStore as _,
};
use jiff::{SignedDuration, Timestamp};
use wire::message::Message as _;

use crate::studio::{
    Machine, Studio, claims, der, forge, full, leaf, redeem, redeem_at, revoke, until,
};

#[test]
fn revoking_a_name_ends_certificates_tokens_invites_and_renewals() {
    let studio = Studio::new();
    let (machine, issued) = studio.join("alice");
    let pending = studio.invite("alice", &Changes::default());
    let before = studio.authority.sequence().unwrap();
    revoke(&studio.authority, "alice", "left the show");
    assert!(studio.authority.sequence().unwrap() > before);

    let standing = studio.standing(&issued);
    assert!(
        matches!(standing.certificate, CertificateStatus::Revoked(r) if r.why == "left the show")
    );
    assert!(matches!(standing.token, TokenStatus::Revoked(r) if r.why == "left the show"));
    assert!(standing.grant.unwrap().revoked.is_some());
    let now = Timestamp::now();
    let renewed = studio.authority.renew(&leaf(&issued), None, now);
    assert!(matches!(renewed, Err(IssueError::GrantRevoked { .. })));
    let joined = redeem(&studio.authority, &pending, &Machine::new());
    assert!(matches!(joined, Err(IssueError::InviteRevoked(_))));
    let secret = studio.invite("bob", &full());
    redeem(&studio.authority, &secret, &machine).unwrap();
}

#[test]
fn an_invite_after_a_revocation_revives_nothing_old() {
    let studio = Studio::new();
    let changes = Changes {
        from: Some(vec!["10.0.0.0/8".parse().unwrap()]),
        ..full()
    };
    let secret = studio.invite("alice", &changes);
    let old = redeem(&studio.authority, &secret, &Machine::new()).unwrap();
    revoke(&studio.authority, "alice", "lost laptop");
    let (_, new) = studio.join("alice");
    let standing = studio.standing(&new);
    assert_eq!(standing.certificate, CertificateStatus::Live);
    assert_eq!(standing.token, TokenStatus::Live);
    assert!(standing.grant.unwrap().from.is_empty());
    let standing = studio.standing(&old);
    assert!(matches!(
        standing.certificate,
        CertificateStatus::Revoked(_)
    ));
    assert!(matches!(standing.token, TokenStatus::Revoked(r) if r.why == "lost laptop"));
    let renewed = studio.authority.renew(&leaf(&old), None, Timestamp::now());
    assert!(matches!(renewed, Err(IssueError::CertificateRevoked(_))));
}

#[test]
fn one_certificate_or_one_token_can_be_revoked_alone() {
    let studio = Studio::new();
    let (_, laptop) = studio.join("alice");
    let (_, desktop) = studio.join("alice");
    revoke(&studio.authority, leaf(&laptop).serial.as_str(), "stolen");
    assert!(matches!(
        studio.standing(&laptop).certificate,
        CertificateStatus::Revoked(_)
    ));
    assert_eq!(
        studio.standing(&desktop).certificate,
        CertificateStatus::Live
    );

    // A whole token may be given, or its id.
    revoke(
        &studio.authority,
        desktop.token.as_ref().unwrap().jwt.expose(),
        "pasted into a chat",
    );
    let standing = studio.standing(&desktop);
    assert!(matches!(standing.token, TokenStatus::Revoked(_)));
    assert_eq!(standing.certificate, CertificateStatus::Live);
    let now = Timestamp::now();
    let renewed = studio.authority.renew(&leaf(&desktop), None, now).unwrap();
    let fresh = claims(&studio.authority, &renewed);
    let token = TokenRef {
        id: &fresh.jti,
        generation: fresh.generation,
    };
    let standing = studio
        .authority
        .standing(&desktop.identity, &leaf(&desktop).serial, Some(token))
        .unwrap();
    assert_eq!(standing.token, TokenStatus::Live);
}

#[test]
fn a_renewal_is_for_the_same_key() {
    let studio = Studio::new();
    for name in ["alice", "service/farm", "guard/ws13"] {
        let (_, issued) = studio.join(name);
        let other = Machine::new();
        let now = Timestamp::now();
        match studio
            .authority
            .renew(&leaf(&issued), Some(&other.request), now)
        {
            Err(IssueError::Request(why)) => assert!(why.contains("another key"), "{why}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_device_is_revoked_with_all_that_was_renewed_on_it() {
    for named in [0, 2] {
        let studio = Studio::new();
        let (machine, first) = studio.join("alice");
        let (_, desktop) = studio.join("alice");
        let now = Timestamp::now();
        let renew = |issued| {
            studio
                .authority
                .renew(&leaf(issued), Some(&machine.request), now)
        };
        let second = renew(&first).unwrap();
        let third = renew(&second).unwrap();
        let all = [first, second, third];
        let target = studio
            .authority
            .find_target(leaf(&all[named]).serial.as_str())
            .unwrap();
        let revoked = studio.authority.revoke(&target, "stolen", now).unwrap();
        assert_eq!(revoked.certificates, 3);
        assert_eq!(revoked.device.as_deref(), Some("laptop"));
        for issued in &all {
            let standing = studio.standing(issued);
            assert!(
                matches!(standing.certificate, CertificateStatus::Revoked(r) if r.why == "stolen")
            );
            assert!(matches!(standing.token, TokenStatus::Revoked(r) if r.why == "stolen"));
            for request in [None, Some(&machine.request[..])] {
                let error = studio.authority.renew(&leaf(issued), request, now);
                assert!(matches!(error, Err(IssueError::CertificateRevoked(_))));
            }
        }
        let standing = studio.standing(&desktop);
        assert_eq!(standing.certificate, CertificateStatus::Live);
        assert_eq!(standing.token, TokenStatus::Live);
        studio.authority.renew(&leaf(&desktop), None, now).unwrap();
        assert!(
            studio
                .authority
                .revoke(&target, "again", now)
                .unwrap()
                .already
        );
    }
}

#[test]
fn a_key_that_was_revoked_with_its_device_is_never_certified_again() {
    let studio = Studio::new();
    let (machine, issued) = studio.join("alice");
    revoke(&studio.authority, leaf(&issued).serial.as_str(), "stolen");
    let secret = studio.invite("alice", &full());
    let again = redeem(&studio.authority, &secret, &machine);
    assert!(matches!(again, Err(IssueError::KeyRevoked(r)) if r.why == "stolen"));
    let now = Timestamp::now();
    let by_hand = studio.authority.issue_for_request(
        &studio.who("bob"),
        &machine.request,
        "laptop",
        &full(),
        now,
    );
    assert!(matches!(by_hand, Err(IssueError::KeyRevoked(_))));
    // The invite is not used up by that.
    redeem(&studio.authority, &secret, &Machine::new()).unwrap();
}

#[test]
fn revoking_again_changes_nothing() {
    let studio = Studio::new();
    studio.join("alice");
    revoke(&studio.authority, "alice", "first");
    let before = studio.authority.sequence().unwrap();
    let journal = std::fs::read(studio.path().join("revocations.jsonl")).unwrap();
    let target = studio.authority.find_target("alice").unwrap();
    let again = studio
        .authority
        .revoke(&target, "second", Timestamp::now())
        .unwrap();
    assert!(again.already);
    assert_eq!(again.revocation.why, "first");
    assert_eq!(studio.authority.sequence().unwrap(), before);
    assert_eq!(
        std::fs::read(studio.path().join("revocations.jsonl")).unwrap(),
        journal
    );
}

#[test]
fn what_does_not_exist_cannot_be_revoked() {
    let studio = Studio::new();
    for text in ["alise", "00ff00ff", "inv-00000000", "a.b.c", ""] {
        let error = studio.authority.find_target(text).unwrap_err();
        assert!(matches!(error, IssueError::TargetUnknown { .. }), "{text}");
    }
    studio.join("alice");
    let target = studio.authority.find_target("alice").unwrap();
    for why in ["", " \n ", &"x".repeat(500)] {
        let error = studio.authority.revoke(&target, why, Timestamp::now());
        assert!(matches!(error, Err(IssueError::Reason { .. })));
    }
    let own = studio.authority.find_target("guard/ws12").unwrap();
    let error = studio.authority.revoke(&own, "test", Timestamp::now());
    assert!(matches!(error, Err(IssueError::OwnGuardRevoked { .. })));
}

#[test]
fn an_end_of_access_that_the_time_zones_here_contradict_is_kept_as_its_instant() {
    let studio = Studio::new();
    let (_, alice) = studio.join("alice");
    let secret = studio.invite("bob", &full());
    forge(
        &studio,
        "UPDATE grants SET access_until = '2099-12-31T18:00:00+05:00[Europe/Berlin]'
             WHERE identity LIKE '%/alice';
         UPDATE invites SET access_until = '2099-12-31T18:00:00+05:00[Mars/Olympus]'
             WHERE identity LIKE '%/bob'",
    );
    let ends = |issued: &wire::enrolment::Issued| {
        let end = studio.standing(issued).grant.unwrap().access_until;
        end.unwrap().timestamp().to_string()
    };
    let again = studio.again();
    assert_eq!(again.list(Timestamp::now()).unwrap().entries.len(), 2);
    assert_eq!(ends(&alice), "2099-12-31T13:00:00Z");
    let bob = redeem(&again, &secret, &Machine::new()).unwrap();
    assert_eq!(ends(&bob), "2099-12-31T13:00:00Z");
    revoke(&again, "alice", "left");
    assert!(matches!(
        studio.standing(&alice).certificate,
        CertificateStatus::Revoked(_)
    ));
}

#[test]
fn a_renewal_needs_a_living_grant_and_a_known_certificate() {
    let studio = Studio::new();
    let (machine, issued) = studio.join("alice");
    let now = Timestamp::now();
    // Past the certificate's end: a token alone is refused, a new certificate is not.
    let late = leaf(&issued).not_after + SignedDuration::from_hours(24);
    let error = studio.authority.renew(&leaf(&issued), None, late);
    assert!(matches!(error, Err(IssueError::Request(_))));
    let renewed = studio
        .authority
        .renew(&leaf(&issued), Some(&machine.request), late)
        .unwrap();
    assert!(leaf(&renewed).not_after > late);
    // Later than 90 days after its end nothing is renewed.
    let too_late = leaf(&issued).not_after + SignedDuration::from_hours(90 * 24 + 1);
    for request in [None, Some(&machine.request[..])] {
        let error = studio.authority.renew(&leaf(&issued), request, too_late);
        assert!(matches!(error, Err(IssueError::CertificateExpired { .. })));
    }

    let elsewhere = Studio::new();
    let error = elsewhere.authority.renew(&leaf(&issued), None, now);
    assert!(matches!(error, Err(IssueError::CertificateUnknown)));

    let changes = Changes {
        access_until: until(now + SignedDuration::from_hours(1)),
        ..Changes::default()
    };
    let alice = studio.who("alice");
    studio
        .authority
        .change_grant(&alice, &changes, now)
        .unwrap();
    let end = now + SignedDuration::from_hours(1);
    let error = studio.authority.renew(&leaf(&issued), None, end);
    assert!(matches!(error, Err(IssueError::AccessEnded { .. })));
    let pending = studio.invite("alice", &Changes::default());
    let error = redeem_at(&studio.authority, &pending, &Machine::new(), end);
    assert!(matches!(error, Err(IssueError::AccessEnded { .. })));
}

#[test]
fn a_change_of_the_grant_is_seen_at_once_by_other_processes() {
    let studio = Studio::new();
    let (_, issued) = studio.join("alice");
    let other = studio.again();
    let before = studio.authority.sequence().unwrap();
    let changes = Changes {
        upstreams: Some(vec!["main".into()]),
        from: Some(vec!["10.0.0.0/8".parse().unwrap()]),
        ..Changes::default()
    };
    let (_, effect) = other
        .change_grant(&studio.who("alice"), &changes, Timestamp::now())
        .unwrap();
    assert!(matches!(effect, Effect::Changed(said) if said.len() == 2));
    assert!(studio.authority.sequence().unwrap() > before);
    let grant = studio.standing(&issued).grant.unwrap();
    assert_eq!(grant.upstreams, ["main"]);
    let (_, effect) = other
        .change_grant(&studio.who("alice"), &changes, Timestamp::now())
        .unwrap();
    assert_eq!(effect, Effect::Kept);
}

#[test]
fn a_certificate_is_only_known_under_its_own_name() {
    let studio = Studio::new();
    let (_, alice) = studio.join("alice");
    studio.join("bob");
    let standing = studio
        .authority
        .standing(&studio.who("bob"), &leaf(&alice).serial, None)
        .unwrap();
    assert_eq!(standing.certificate, CertificateStatus::Unknown);
    assert_eq!(standing.token, TokenStatus::NotAsked);
}

#[test]
fn a_snapshot_answers_as_the_store_does() {
    let studio = Studio::new();
    let (_, alice) = studio.join("alice");
    let (_, bob) = studio.join("bob");
    let (_, carol) = studio.join("carol");
    revoke(&studio.authority, "bob", "left");
    revoke(
        &studio.authority,
        &claims(&studio.authority, &carol).jti,
        "leaked",
    );
    let text = serde_json::to_vec(&studio.authority.snapshot().unwrap()).unwrap();
    assert!(text.len() < hrpyc_certs::Snapshot::CAP);
    let snapshot: hrpyc_certs::Snapshot = serde_json::from_slice(&text).unwrap();
    for issued in [&alice, &bob, &carol] {
        let claims = claims(&studio.authority, issued);
        for generation in [claims.generation, snapshot.sequence + 1] {
            let token = TokenRef {
                id: &claims.jti,
                generation,
            };
            for serial in [&leaf(issued).serial, &"00ff".parse().unwrap()] {
                let ours = studio
                    .authority
                    .standing(&issued.identity, serial, Some(token))
                    .unwrap();
                let copied = snapshot.standing(&issued.identity, serial, Some(token));
                assert_eq!(format!("{ours:?}"), format!("{copied:?}"));
            }
        }
    }
}

#[test]
fn a_snapshot_leaves_out_what_can_do_nothing_any_more() {
    let studio = Studio::new();
    let (_, alice) = studio.join("alice");
    let (_, bob) = studio.join("bob");
    let jti = |issued| claims(&studio.authority, issued).jti;
    revoke(&studio.authority, &jti(&alice), "leaked");
    revoke(&studio.authority, &jti(&bob), "leaked");
    let now = Timestamp::now();
    let days = |days: i64| now.as_second() - days * 24 * 3600;
    let age = |issued, certificate: i64, token: i64| {
        forge(
            &studio,
            &format!(
                "UPDATE certificates SET not_after = {} WHERE serial = '{}';
                 UPDATE revocations SET at = {} WHERE subject = '{}'",
                days(certificate),
                leaf(issued).serial,
                days(token),
                jti(issued)
            ),
        );
    };
    age(&alice, 91, 31);
    age(&bob, 89, 29);
    let snapshot = studio.authority.snapshot().unwrap();
    let text = serde_json::to_string(&snapshot).unwrap();
    assert!(!text.contains(leaf(&alice).serial.as_str()));
    assert!(!text.contains(&jti(&alice)));
    let standing = snapshot.standing(&alice.identity, &leaf(&alice).serial, None);
    assert_eq!(standing.certificate, CertificateStatus::Unknown);
    // A session that it opened may still live, and can still be ended.
    assert!(text.contains(leaf(&bob).serial.as_str()));
    assert!(text.contains(&jti(&bob)));
}

#[test]
fn the_record_of_a_token_goes_after_it_expired() {
    let studio = Studio::new();
    let (_, old) = studio.join("alice");
    let id = claims(&studio.authority, &old).jti;
    studio.authority.find_target(&id).unwrap();
    forge(
        &studio,
        "UPDATE tokens SET expires = expires - 31 * 24 * 3600",
    );
    studio.join("bob");
    let error = studio.authority.find_target(&id).unwrap_err();
    assert!(matches!(error, IssueError::TargetUnknown { .. }));
}

#[test]
fn the_guards_own_certificate_is_renewed_when_due_and_rekeyed_when_revoked() {
    let studio = Studio::new();
    let now = Timestamp::now();
    let first = studio.authority.guard_credentials(now).unwrap();
    let same = studio.authority.guard_credentials(now).unwrap();
    assert_eq!(first.chain, same.chain);
    assert_eq!(first.chain[1], studio.authority.certificate());

    let due = now + SignedDuration::from_hours(61 * 24);
    assert!(first.is_due(due));
    let renewed = studio.authority.guard_credentials(due).unwrap();
    assert_ne!(first.chain[0], renewed.chain[0]);
    assert_eq!(first.key.secret_der(), renewed.key.secret_der());

    let leaf = wire::leaf::Leaf::read(&renewed.chain[0], wire::leaf::Usage::Server).unwrap();
    revoke(
        &studio.authority,
        leaf.serial.as_str(),
        "read by a stranger",
    );
    let rekeyed = studio.authority.guard_credentials(due).unwrap();
    assert_ne!(renewed.key.secret_der(), rekeyed.key.secret_der());
}

#[test]
fn a_token_by_hand_is_for_the_newest_live_certificate() {
    let studio = Studio::new();
    let (_, first) = studio.join("alice");
    let (_, second) = studio.join("alice");
    let now = Timestamp::now();
    let alice = studio.who("alice");
    let token = studio.authority.fresh_token(&alice, None, now).unwrap();
    assert_eq!(
        claims(&studio.authority, &token).cnf,
        wire::token::Confirmation::of(&leaf(&second).fingerprint)
    );
    revoke(&studio.authority, leaf(&second).serial.as_str(), "gone");
    let token = studio.authority.fresh_token(&alice, None, now).unwrap();
    assert_eq!(
        claims(&studio.authority, &token).cnf,
        wire::token::Confirmation::of(&leaf(&first).fingerprint)
    );
    let serial = leaf(&second).serial;
    let error = studio.authority.fresh_token(&alice, Some(&serial), now);
    assert!(matches!(error, Err(IssueError::CertificateRevoked(_))));
    assert_ne!(der(&first), der(&second));
}

#[test]
fn a_revocation_whose_journal_cannot_be_written_holds_and_is_made_good() {
    let studio = Studio::new();
    let (_, issued) = studio.join("alice");
    let journal = studio.path().join("revocations.jsonl");
    let away = studio.directory.path().join("away");
    std::fs::rename(&journal, &away).unwrap();
    let target = studio.authority.find_target("alice").unwrap();
    let now = Timestamp::now();
    let error = studio.authority.revoke(&target, "left", now).unwrap_err();
    assert!(matches!(error, IssueError::Journal(_)));
    assert!(
        error
            .to_string()
            .starts_with("it is revoked, but the journal")
    );
    assert!(matches!(
        studio.standing(&issued).certificate,
        CertificateStatus::Revoked(_)
    ));
    std::fs::rename(&away, &journal).unwrap();
    assert!(
        studio
            .authority
            .revoke(&target, "left", now)
            .unwrap()
            .already
    );
    assert!(std::fs::read_to_string(&journal).unwrap().contains("alice"));
}
