//! An older store that is put back revives nobody and does not go unnoticed.

use std::fs;

use hrpyc_certs::{
    CertificateStatus, IssueError, StateError, TokenRef, TokenStatus, TrustStore as _, open,
};
use jiff::Timestamp;

use crate::studio::{Machine, Studio, claims, full, leaf, redeem, revoke, standing};

/// Every way to have something issued answers that it is stopped.
fn assert_stopped(studio: &Studio, authority: &hrpyc_certs::Authority) {
    let now = Timestamp::now();
    let machine = Machine::new();
    let alice = studio.who("alice");
    let changes = full();
    let answers = [
        authority.check_invite(&[0; 16], now).unwrap_err(),
        redeem(authority, &[0; 16], &machine).unwrap_err(),
        authority.fresh_token(&alice, None, now).unwrap_err(),
        authority
            .issue_for_request(&alice, &machine.request, "x", &changes, now)
            .unwrap_err(),
        authority
            .invite(&hrpyc_certs::InviteOrder {
                identity: &alice,
                changes: &changes,
                guard_address: Some("ws12:18812"),
                valid: jiff::SignedDuration::from_hours(1),
                now,
            })
            .unwrap_err(),
    ];
    for error in answers {
        assert!(matches!(error, IssueError::Stopped), "{error:?}");
    }
}

#[test]
fn a_revocation_survives_an_older_store_and_raises_the_alarm() {
    let studio = Studio::new();
    let (_, alice) = studio.join("alice");
    let (_, bob) = studio.join("bob");
    let studio = rolled_back(studio, |studio| {
        revoke(&studio.authority, "alice", "left the show");
    });
    let found = studio.standing(&alice);
    assert!(matches!(found.certificate, CertificateStatus::Revoked(r) if r.why == "left the show"));
    assert!(matches!(found.token, TokenStatus::Revoked(_)));
    assert!(studio.authority.alarm().unwrap().is_some());
    assert_stopped(&studio, &studio.authority);
    let error = studio.authority.renew(&leaf(&bob), None, Timestamp::now());
    assert!(matches!(error, Err(IssueError::Stopped)));
    // Who was in stays in.
    assert_eq!(studio.standing(&bob).certificate, CertificateStatus::Live);
    // What narrows access can still be done.
    revoke(&studio.authority, "bob", "to be safe");

    // Once merged it is no news, and once accepted things go on.
    studio
        .authority
        .accept_rollback("old disk", Timestamp::now())
        .unwrap();
    let again = studio.again();
    assert!(again.alarm().unwrap().is_none());
    let error = again.accept_rollback("again", Timestamp::now());
    assert!(matches!(error, Err(IssueError::NoAlarm)));
    studio.join("carol");
}

#[test]
fn a_token_newer_than_the_store_is_recognised_and_reported() {
    let studio = Studio::new();
    let (_, alice) = studio.join("alice");
    let now_at = studio.authority.sequence().unwrap();
    let seen = now_at + 40;
    let token = TokenRef {
        id: "unknown",
        generation: seen,
    };
    let found = studio
        .authority
        .standing(&alice.identity, &leaf(&alice).serial, Some(token))
        .unwrap();
    assert_eq!(found.token, TokenStatus::NewerThanStore);
    studio.authority.report_rollback(now_at).unwrap();
    assert!(studio.authority.alarm().unwrap().is_none());
    studio.authority.report_rollback(seen).unwrap();
    let other = studio.again();
    assert_eq!(other.alarm().unwrap().unwrap().seen, seen);
    assert_stopped(&studio, &other);
    other
        .accept_rollback("looked into it", Timestamp::now())
        .unwrap();
    assert!(studio.authority.sequence().unwrap() > seen);
    studio.join("bob");
}

#[cfg(unix)]
#[test]
fn a_store_that_is_replaced_while_a_guard_runs_is_noticed() {
    let studio = Studio::new();
    let (_, alice) = studio.join("alice");
    let path = studio.path();
    let copy = path.join("copy.db");
    // A consistent copy, as a file-level backup tool would make it.
    rusqlite::Connection::open(path.join("store.db"))
        .unwrap()
        .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
    let (_, bob) = studio.join("bob");
    revoke(&studio.authority, "alice", "left");
    let before = studio.authority.sequence().unwrap();
    for name in ["store.db-wal", "store.db-shm"] {
        let _ = fs::remove_file(path.join(name));
    }
    fs::rename(&copy, path.join("store.db")).unwrap();

    let after = studio.authority.sequence().unwrap();
    assert!(after > before, "{after} must be above {before}");
    assert!(studio.authority.alarm().unwrap().is_some());
    assert!(matches!(
        standing(&studio.authority, &alice).certificate,
        CertificateStatus::Revoked(_)
    ));
    assert_eq!(
        standing(&studio.authority, &bob).certificate,
        CertificateStatus::Unknown
    );
    assert_stopped(&studio, &studio.authority);
}

#[test]
fn an_old_store_without_any_revocation_is_noticed_by_a_running_guard() {
    let studio = Studio::new();
    let path = studio.path();
    let copy = studio.directory.path().join("copy.db");
    rusqlite::Connection::open(path.join("store.db"))
        .unwrap()
        .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
    studio.join("alice");
    let before = studio.authority.sequence().unwrap();
    for name in ["store.db-wal", "store.db-shm"] {
        let _ = fs::remove_file(path.join(name));
    }
    fs::rename(&copy, path.join("store.db")).unwrap();
    assert!(studio.authority.sequence().unwrap() > before);
    assert_stopped(&studio, &studio.authority);
}

/// Puts the store of before `f` back while no process runs, and opens it.
fn rolled_back(studio: Studio, f: impl FnOnce(&Studio)) -> Studio {
    let (directory, path) = studio.close();
    let old = fs::read(path.join("store.db")).unwrap();
    let studio = Studio::open(directory);
    f(&studio);
    let (directory, path) = studio.close();
    fs::write(path.join("store.db"), old).unwrap();
    Studio::open(directory)
}

#[test]
fn an_old_store_put_back_while_nothing_runs_is_noticed() {
    let studio = Studio::new();
    let (_, alice) = studio.join("alice");
    let mut seen = 0;
    let studio = rolled_back(studio, |studio| {
        studio.join("bob");
        seen = studio.authority.sequence().unwrap();
    });
    assert!(studio.authority.sequence().unwrap() < seen);
    assert_eq!(studio.authority.alarm().unwrap().unwrap().seen, seen);
    assert_stopped(&studio, &studio.authority);
    assert_eq!(studio.standing(&alice).certificate, CertificateStatus::Live);
    // What is still written leaves the mark where it was.
    revoke(&studio.authority, "alice", "to be safe");
    assert_stopped(&studio, &studio.again());
    studio
        .authority
        .accept_rollback("old disk", Timestamp::now())
        .unwrap();
    assert!(studio.authority.sequence().unwrap() > seen);
    assert!(studio.again().alarm().unwrap().is_none());
    studio.join("carol");
}

#[test]
fn a_mark_that_lags_behind_or_is_missing_is_made_good() {
    let studio = Studio::new();
    let mark = studio.path().join("store.high");
    let early = fs::read(&mark).unwrap();
    studio.join("alice");
    let late = fs::read(&mark).unwrap();
    assert!(late > early);
    for before in [Some(early), Some(Vec::new()), None] {
        match before {
            // A process was killed between the store and the mark.
            Some(before) => fs::write(&mark, before).unwrap(),
            None => fs::remove_file(&mark).unwrap(),
        }
        assert!(studio.again().alarm().unwrap().is_none());
        assert_eq!(fs::read(&mark).unwrap(), late);
    }
}

#[test]
fn a_mark_that_makes_no_sense_must_be_looked_at_and_can_be_got_over() {
    for rubbish in ["rubbish", "99999999999999999999", "09223372036854775807\n"] {
        let studio = Studio::new();
        fs::write(studio.path().join("store.high"), rubbish).unwrap();
        let again = studio.again();
        assert_stopped(&studio, &again);
        again.accept_rollback("test", Timestamp::now()).unwrap();
        assert!(studio.again().alarm().unwrap().is_none(), "{rubbish}");
        studio.join("alice");
        assert!(studio.again().alarm().unwrap().is_none(), "{rubbish}");
    }
}

#[test]
fn a_number_that_no_store_reaches_does_not_stop_it_for_good() {
    let i64_max = u64::try_from(i64::MAX).unwrap();
    for seen in [u64::MAX, i64_max, i64_max - 1] {
        let studio = Studio::new();
        studio.authority.report_rollback(seen).unwrap();
        assert!(studio.authority.alarm().unwrap().is_some());
        studio
            .authority
            .accept_rollback("test", Timestamp::now())
            .unwrap();
        // It is no news when it comes again.
        studio.authority.report_rollback(seen).unwrap();
        assert!(studio.again().alarm().unwrap().is_none());
        let (_, alice) = studio.join("alice");
        assert_eq!(studio.standing(&alice).token, TokenStatus::Live);
    }
    // The same for a journal that says so.
    let studio = rolled_back(Studio::new(), |studio| {
        studio.join("alice");
        revoke(&studio.authority, "alice", "left");
        let journal = studio.path().join("revocations.jsonl");
        let text = fs::read_to_string(&journal).unwrap();
        let sequence = studio.authority.sequence().unwrap();
        let from = format!("\"sequence\":{sequence}");
        assert!(text.contains(&from));
        fs::write(
            &journal,
            text.replace(&from, &format!("\"sequence\":{}", u64::MAX)),
        )
        .unwrap();
    });
    studio
        .authority
        .accept_rollback("test", Timestamp::now())
        .unwrap();
    studio.join("alice");
}

#[test]
fn a_device_stays_revoked_on_an_older_store_that_knows_its_renewal_or_not() {
    for renewed_before in [false, true] {
        let studio = Studio::new();
        let (machine, first) = studio.join("alice");
        let (_, desktop) = studio.join("alice");
        let now = Timestamp::now();
        let renew = |studio: &Studio| {
            studio
                .authority
                .renew(&leaf(&first), Some(&machine.request), now)
        };
        let mut second = renewed_before.then(|| renew(&studio).unwrap());
        let studio = rolled_back(studio, |studio| {
            let second = second.get_or_insert_with(|| renew(studio).unwrap());
            revoke(&studio.authority, leaf(second).serial.as_str(), "stolen");
        });
        let second = second.unwrap();
        assert!(matches!(
            studio.standing(&first).certificate,
            CertificateStatus::Revoked(r) if r.why == "stolen"
        ));
        assert_eq!(
            studio.standing(&second).certificate != CertificateStatus::Unknown,
            renewed_before
        );
        assert_eq!(
            studio.standing(&desktop).certificate,
            CertificateStatus::Live
        );
        studio.authority.accept_rollback("test", now).unwrap();
        assert!(matches!(
            renew(&studio),
            Err(IssueError::CertificateRevoked(_))
        ));
        let secret = studio.invite("alice", &full());
        let again = redeem(&studio.authority, &secret, &machine);
        assert!(matches!(again, Err(IssueError::KeyRevoked(_))));
        assert_ne!(
            studio.standing(&second).certificate,
            CertificateStatus::Live
        );
    }
}

#[test]
fn the_journal_is_completed_from_the_store() {
    let studio = Studio::new();
    studio.join("alice");
    revoke(&studio.authority, "alice", "left für immer");
    let journal = studio.path().join("revocations.jsonl");
    let whole = fs::read(&journal).unwrap();
    let within_a_character = whole.iter().position(|byte| *byte > 127).unwrap() + 1;
    // A crash between the store and the journal, in the middle of the line.
    for cut in [20, within_a_character] {
        fs::write(&journal, &whole[..cut]).unwrap();
        let again = studio.again();
        assert_eq!(fs::read(&journal).unwrap(), whole);
        assert!(again.alarm().unwrap().is_none());
    }
}

#[test]
fn a_part_line_that_nobody_knows_is_left_out() {
    let studio = Studio::new();
    let journal = studio.path().join("revocations.jsonl");
    fs::write(&journal, b"{\"why\":\"f\xc3").unwrap();
    let again = studio.again();
    assert!(again.alarm().unwrap().is_none());
    again
        .backup(&studio.directory.path().join("b"), None, Timestamp::now())
        .unwrap();
    studio.join("alice");
    revoke(&again, "alice", "left");
    assert!(fs::read(&journal).unwrap().starts_with(b"{\"id\""));
    // A whole line that is not text is damage.
    let mut damaged = fs::read(&journal).unwrap();
    damaged.extend(b"\xc3\n");
    fs::write(&journal, damaged).unwrap();
    let error = open(&studio.path()).err().unwrap();
    assert!(matches!(error, StateError::Damaged { why, .. } if why.contains("line 2")));
}

#[test]
fn tokens_of_the_time_before_a_rollback_are_not_newer_than_the_store() {
    let studio = Studio::new();
    let (_, alice) = studio.join("alice");
    studio.authority.report_rollback(1_000).unwrap();
    studio
        .authority
        .accept_rollback("test", Timestamp::now())
        .unwrap();
    let old = claims(&studio.authority, &alice);
    assert!(old.generation < studio.authority.sequence().unwrap());
    assert_eq!(studio.standing(&alice).token, TokenStatus::Live);
}
