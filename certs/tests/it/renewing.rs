//! Certificates and tokens that are issued again.

use hrpyc_certs::{Changes, IssueError};
use jiff::{SignedDuration, Timestamp};

use crate::studio::{Machine, Studio, claims, der, forge, leaf, redeem_at, revoke, until};

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
