//! Grants as guards see them: changes, ends of access, snapshots.

use hrpyc_certs::{CertificateStatus, Changes, Effect, TokenRef, TokenStatus, TrustStore as _};
use jiff::Timestamp;
use wire::message::Message as _;

use crate::studio::{Machine, Studio, claims, forge, full, leaf, redeem, revoke};

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
