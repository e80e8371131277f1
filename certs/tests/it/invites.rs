//! An invite works once.

use hrpyc_certs::{Changes, InviteOrder, IssueError, StateError};
use jiff::{SignedDuration, Timestamp};

use crate::studio::{Machine, Studio, claims, der, full, leaf, redeem, redeem_at, revoke, until};

fn later(hours: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(hours)
}

#[test]
fn a_pending_invite_grants_nothing() {
    let studio = Studio::new();
    studio.invite("alice", &full());
    let alice = studio.who("alice");
    let entry = studio
        .authority
        .show(&alice, Timestamp::now())
        .unwrap()
        .unwrap();
    assert!(entry.grant.is_none());
    assert!(
        studio
            .authority
            .living_grants(Timestamp::now())
            .unwrap()
            .is_empty()
    );
    let error = studio.authority.fresh_token(&alice, None, Timestamp::now());
    assert!(matches!(error, Err(IssueError::GrantMissing { .. })));
}

#[test]
fn redeeming_issues_certificate_token_and_grant() {
    let studio = Studio::new();
    studio.authority.set_guard_address("ws12:18812").unwrap();
    let (_, issued) = studio.join("alice");
    assert_eq!(issued.role, "full");
    assert_eq!(leaf(&issued).identity, studio.who("alice"));
    let claims = claims(&studio.authority, &issued);
    assert_eq!(claims.sub, studio.who("alice"));
    assert_eq!(
        claims.cnf,
        wire::token::Confirmation::of(&leaf(&issued).fingerprint)
    );
    let standing = studio.standing(&issued);
    assert_eq!(standing.certificate, hrpyc_certs::CertificateStatus::Live);
    assert_eq!(standing.token, hrpyc_certs::TokenStatus::Live);
    assert!(standing.grant.unwrap().revoked.is_none());
    assert_eq!(issued.guards[0].address, "ws12:18812");
}

#[test]
fn the_same_key_gets_the_same_certificate_again_for_an_hour() {
    let studio = Studio::new();
    let secret = studio.invite("alice", &full());
    let machine = Machine::new();
    // It is used in its last minute, and the answer is lost.
    let used = later(24) - SignedDuration::from_mins(1);
    let first = redeem_at(&studio.authority, &secret, &machine, used).unwrap();
    let retry = used + SignedDuration::from_mins(50);
    studio.authority.check_invite(&secret, retry).unwrap();
    let second = redeem_at(&studio.authority, &secret, &machine, retry).unwrap();
    assert_eq!(der(&first), der(&second));
    let late = used + SignedDuration::from_mins(70);
    for error in [
        studio.authority.check_invite(&secret, late).unwrap_err(),
        redeem_at(&studio.authority, &secret, &machine, late).unwrap_err(),
    ] {
        assert!(matches!(error, IssueError::InviteUsed { .. }));
    }
}

#[test]
fn another_key_is_refused_and_leaves_an_alarm() {
    let studio = Studio::new();
    let secret = studio.invite("alice", &full());
    redeem(&studio.authority, &secret, &Machine::new()).unwrap();
    let error = redeem(&studio.authority, &secret, &Machine::new()).unwrap_err();
    assert!(matches!(error, IssueError::InviteUsed { .. }));
    let store = rusqlite::Connection::open(studio.path().join("store.db")).unwrap();
    let alarms: i64 = store
        .query_row(
            "SELECT count(*) FROM events WHERE kind = 'alarm' AND identity = ?1",
            [studio.who("alice").to_string()],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(alarms, 1);
}

#[test]
fn what_is_the_matter_with_an_invite_is_told() {
    let studio = Studio::new();
    let authority = &studio.authority;
    let machine = Machine::new();
    let error = redeem(authority, &[1; 16], &machine).unwrap_err();
    assert!(matches!(error, IssueError::InviteUnknown));

    let expired = studio.invite("alice", &full());
    for error in [
        authority.check_invite(&expired, later(25)).unwrap_err(),
        redeem_at(authority, &expired, &machine, later(25)).unwrap_err(),
    ] {
        assert!(matches!(error, IssueError::InviteExpired { .. }));
    }

    let revoked = studio.invite("bob", &full());
    revoke(authority, "bob", "changed our mind");
    for error in [
        authority
            .check_invite(&revoked, Timestamp::now())
            .unwrap_err(),
        redeem(authority, &revoked, &machine).unwrap_err(),
    ] {
        assert!(matches!(error, IssueError::InviteRevoked(_)));
    }
}

#[test]
fn the_secret_of_an_invite_is_not_in_the_store() {
    let studio = Studio::new();
    let secret = studio.invite("alice", &full());
    for entry in std::fs::read_dir(studio.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(16).any(|window| window == secret));
    }
}

#[test]
fn a_second_invite_adds_a_device_and_keeps_the_grant() {
    let studio = Studio::new();
    let (_, first) = studio.join("alice");
    let (_, second) = studio.join("alice");
    assert_ne!(der(&first), der(&second));
    for issued in [&first, &second] {
        let standing = studio.standing(issued);
        assert_eq!(standing.certificate, hrpyc_certs::CertificateStatus::Live);
    }
}

#[test]
fn the_latest_command_decides_the_terms() {
    let studio = Studio::new();
    let alice = studio.who("alice");
    let older = studio.invite(
        "alice",
        &Changes {
            access_until: until(later(1000)),
            ..full()
        },
    );
    let newer = studio.invite(
        "alice",
        &Changes {
            access_until: until(later(10)),
            ..full()
        },
    );
    let first = redeem(&studio.authority, &newer, &Machine::new()).unwrap();
    let second = redeem(&studio.authority, &older, &Machine::new()).unwrap();
    assert_eq!(first.access_until, second.access_until);

    // A grant that was narrowed is not widened by an invite from before.
    let pending = studio.invite("alice", &Changes::default());
    let changes = Changes {
        access_until: until(later(5)),
        ..Changes::default()
    };
    let (grant, _) = studio
        .authority
        .change_grant(&alice, &changes, Timestamp::now())
        .unwrap();
    let third = redeem(&studio.authority, &pending, &Machine::new()).unwrap();
    assert_eq!(third.access_until, grant.access_until);
}

#[test]
fn only_a_guard_that_says_where_it_is_may_join() {
    let studio = Studio::new();
    let secret = studio.invite("guard/ws13", &Changes::default());
    let machine = Machine::new();
    let redemption = hrpyc_certs::Redemption {
        secret: &secret,
        request_der: &machine.request,
        device: "ws13",
        address: None,
        now: Timestamp::now(),
    };
    let error = studio.authority.redeem(&redemption).unwrap_err();
    assert!(matches!(error, IssueError::AddressMissing));
    let issued = redeem(&studio.authority, &secret, &machine).unwrap();
    assert!(issued.token.is_none());
    assert_eq!(issued.token_key, Some(studio.authority.token_key_pem()));
    assert_eq!(issued.guards[0].identity, studio.who("guard/ws13"));
    revoke(&studio.authority, "guard/ws13", "scrapped");
    assert!(studio.join("alice").1.guards.is_empty());
}

#[test]
fn a_guard_cannot_use_up_the_invite_of_an_artist() {
    let studio = Studio::new();
    let secret = studio.invite("alice", &full());
    let machine = Machine::new();
    let redemption = hrpyc_certs::Redemption {
        secret: &secret,
        request_der: &machine.request,
        device: "ws13",
        address: Some("ws13:18812"),
        now: Timestamp::now(),
    };
    let error = studio.authority.redeem(&redemption).unwrap_err();
    assert!(matches!(error, IssueError::NotAGuard { .. }));
    redeem(&studio.authority, &secret, &machine).unwrap();
}

#[test]
fn an_address_that_makes_no_sense_is_refused_and_uses_nothing_up() {
    let studio = Studio::new();
    let secret = studio.invite("guard/ws13", &Changes::default());
    let machine = Machine::new();
    let long = format!("{}:18812", "x".repeat(255));
    for address in [
        "",
        "ws13",
        "ws13:0",
        "ws13:65536",
        " ws13:18812",
        "ws13:18812\n",
        "ws 13:18812",
        "ws13\u{1b}[2J:18812",
        &long,
    ] {
        let redemption = hrpyc_certs::Redemption {
            secret: &secret,
            request_der: &machine.request,
            device: "ws13",
            address: Some(address),
            now: Timestamp::now(),
        };
        let error = studio.authority.redeem(&redemption).unwrap_err();
        assert!(matches!(error, IssueError::Address { .. }), "{address:?}");
        assert!(!error.to_string().contains(char::is_control));
        assert!(error.hint().contains("HOST:PORT"));
        let error = studio.authority.set_guard_address(address).unwrap_err();
        assert!(matches!(error, StateError::Address { .. }), "{address:?}");
        assert!(!error.to_string().contains(char::is_control));
    }
    assert_eq!(studio.authority.guard_address().unwrap(), None);
    redeem(&studio.authority, &secret, &machine).unwrap();
}

#[test]
fn a_redemption_does_not_print_its_secret() {
    let machine = Machine::new();
    let redemption = hrpyc_certs::Redemption {
        secret: &[171; 16],
        request_der: &machine.request,
        device: "laptop",
        address: None,
        now: Timestamp::now(),
    };
    let text = format!("{redemption:?} {redemption:#?}");
    assert!(text.contains("laptop"));
    assert!(!text.contains("171") && !text.contains("ab, ab"), "{text}");
}

#[test]
fn orders_that_make_no_sense_are_refused() {
    let studio = Studio::new();
    let now = Timestamp::now();
    let order = |name: &str, changes: &Changes, hours: i64| {
        studio
            .authority
            .invite(&InviteOrder {
                identity: &studio.who(name),
                changes,
                guard_address: Some("ws12:18812"),
                valid: SignedDuration::from_hours(hours),
                now,
            })
            .map(drop)
            .unwrap_err()
    };
    let none = Changes::default();
    assert!(matches!(
        order("alice", &none, 1),
        IssueError::RoleMissing { .. }
    ));
    assert!(matches!(
        order("guard/ws13", &full(), 1),
        IssueError::RoleOfGuard { .. }
    ));
    assert!(matches!(
        order("guard/ws12", &none, 1),
        IssueError::OwnGuard { .. }
    ));
    assert!(matches!(order("alice", &full(), 0), IssueError::Validity));
    assert!(matches!(
        order("alice", &full(), 31 * 24),
        IssueError::Validity
    ));
    let admin = Changes {
        role: Some("Read Only".into()),
        ..Changes::default()
    };
    assert!(matches!(order("alice", &admin, 1), IssueError::Role(_)));
    let past = Changes {
        access_until: until(later(-1)),
        ..full()
    };
    assert!(matches!(
        order("alice", &past, 1),
        IssueError::EndIsPast { .. }
    ));
}
