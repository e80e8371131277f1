//! What revoking ends, and that it stays ended.

use hrpyc_certs::{CertificateStatus, Changes, IssueError, TokenRef, TokenStatus, TrustStore as _};
use jiff::Timestamp;

use crate::studio::{Machine, Studio, claims, full, leaf, redeem, revoke};

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
