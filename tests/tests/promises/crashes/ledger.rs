//! What somebody was told is done, and whether the store says the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use e2e::forge::certificate::Credentials;
use e2e::forge::enrol::Member;
use e2e::forge::token::Forged;
use rcgen::KeyPair;
use rusqlite::{Connection, OptionalExtension as _, params};
use wire::enrolment::Issued;
use wire::invite::Invite;
use wire::leaf::{Fingerprint, Serial};

use super::operator::Killer;

/// An invite that was sent, and the key that asked with it.
pub(super) struct Sent {
    pub(super) name: String,
    pub(super) invite: Invite,
    pub(super) key: KeyPair,
}

/// What was told.
#[derive(Default)]
pub(super) struct Ledger {
    /// Who has joined and may come.
    pub(super) members: BTreeMap<String, Member>,
    /// Invites that were printed, and with which nobody has got in yet.
    pub(super) sent: Vec<Sent>,
    /// Certificates and tokens that somebody has in hand.
    certificates: BTreeMap<Serial, Fingerprint>,
    tokens: BTreeSet<String>,
    /// Secrets of all invites that were printed, hashed as the store has them.
    invites: Vec<Vec<u8>>,
    /// Those of whom it was said that they are revoked, or was seen once.
    pub(super) revoked: BTreeMap<String, Member>,
    /// Those whom a killed command was to revoke.
    pub(super) undecided: BTreeMap<String, Member>,
    /// What a grant may say about the end of access, the last that was said first.
    ends: BTreeMap<String, Vec<Option<String>>>,
}

impl Ledger {
    /// An invite was printed.
    pub(super) fn invited(&mut self, name: &str, invite: Invite, key: KeyPair) {
        let hash = digest(&SHA256, invite.secret.expose());
        self.invites.push(hash.as_ref().to_vec());
        let name = name.to_owned();
        self.sent.push(Sent { name, invite, key });
    }

    /// Somebody got a certificate, or a token for the one that they had.
    pub(super) fn issued(&mut self, name: &str, issued: &Issued, key: &KeyPair) {
        let token = issued.token.as_ref().unwrap();
        self.tokens.insert(token_id(token.jwt.expose()));
        if issued.certificate.is_some() {
            let member = Member::new(issued, key);
            let own = &member.credentials;
            self.certificates.insert(own.serial(), own.fingerprint());
            self.members.insert(name.to_owned(), member);
        } else if let Some(member) = self.members.get_mut(name) {
            member.token.clone_from(token.jwt.expose());
        }
    }

    /// A certificate that was issued by hand lies in a file.
    pub(super) fn carried(&mut self, pem: &str) {
        let own = Credentials::from_pem(pem, "");
        self.certificates.insert(own.serial(), own.fingerprint());
    }

    /// A grant was to be changed; `done` when it was said to be.
    pub(super) fn granted(&mut self, name: &str, end: &str, done: bool) {
        let possible = self.ends.entry(name.to_owned()).or_insert(vec![None]);
        if done {
            possible.clear();
        }
        possible.push(Some(end.to_owned()));
    }

    /// Compares with a copy of the store: what the guard finds when it starts.
    pub(super) fn check(&mut self, state: &Path, killer: &mut Killer) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["store.db", "store.db-wal"] {
            let copied = fs::copy(state.join(name), folder.path().join(name));
            // There is no log of changes when the last process closed it in order.
            assert!(copied.is_ok() || name.ends_with("-wal"), "{copied:?}");
        }
        let store = Connection::open(folder.path().join("store.db")).unwrap();
        check_database(&store);
        check_invites(&store);
        self.check_issued(&store);
        self.check_grants(&store, killer);
        self.check_revoked(&store, killer);
    }

    /// Every certificate and token that somebody has is recorded, and every printed invite.
    fn check_issued(&self, store: &Connection) {
        let mut query = store
            .prepare("SELECT fingerprint FROM certificates WHERE serial = ?1")
            .unwrap();
        for (serial, fingerprint) in &self.certificates {
            let found = query.query_row([serial.as_str()], |row| row.get::<_, Vec<u8>>(0));
            let found = found.unwrap_or_else(|e| panic!("certificate {serial}: {e}"));
            assert_eq!(found, fingerprint.0, "certificate {serial}");
        }
        let mut query = store
            .prepare("SELECT count(*) FROM tokens WHERE id = ?1")
            .unwrap();
        for id in &self.tokens {
            let count: u64 = query.query_row([id], |row| row.get(0)).unwrap();
            assert_eq!(count, 1, "token {id}");
        }
        let mut query = store
            .prepare("SELECT count(*) FROM invites WHERE hash = ?1")
            .unwrap();
        for hash in &self.invites {
            let count: u64 = query.query_row([hash], |row| row.get(0)).unwrap();
            assert_eq!(count, 1, "an invite that was printed");
        }
    }

    fn check_grants(&mut self, store: &Connection, killer: &mut Killer) {
        for (name, possible) in &mut self.ends {
            let end: Option<String> = store
                .query_row(
                    "SELECT access_until FROM grants WHERE identity LIKE '%/artist/' || ?1",
                    [name],
                    |row| row.get(0),
                )
                .unwrap();
            let day = end.as_ref().map(|end| end[..10].to_owned());
            assert!(possible.contains(&day), "{name}: {end:?}, not {possible:?}");
            if possible.len() > 1 {
                let is_old = possible[0] == day;
                killer.found(if is_old {
                    "a killed grant without effect"
                } else {
                    "a killed grant with its effect"
                });
            }
            *possible = vec![day];
        }
    }

    /// Every revocation is in the journal as well, once a guard has started.
    pub(super) fn check_journal(&self, state: &Path) {
        let journal = fs::read_to_string(state.join("revocations.jsonl")).unwrap();
        for name in self.revoked.keys() {
            let entries = journal.matches(&format!("/artist/{name}\"")).count();
            assert_eq!(entries, 1, "{name} in the journal of revocations");
        }
    }

    /// Who was revoked is; whom a killed command was to revoke is whole or not at all.
    fn check_revoked(&mut self, store: &Connection, killer: &mut Killer) {
        for name in self.revoked.keys() {
            assert!(is_revoked(store, name), "{name} is not revoked any more");
        }
        for (name, member) in std::mem::take(&mut self.undecided) {
            if is_revoked(store, &name) {
                killer.found("a killed revocation with its effect");
                self.revoked.insert(name, member);
            } else {
                killer.found("a killed revocation without effect");
                self.members.insert(name, member);
            }
        }
    }
}

/// Whether a grant is revoked, and with it everything else of that identity; or nothing is.
fn is_revoked(store: &Connection, name: &str) -> bool {
    let count = |sql: &str| -> u64 { store.query_row(sql, [name], |row| row.get(0)).unwrap() };
    let all = count("SELECT count(*) FROM certificates WHERE identity LIKE '%/artist/' || ?1");
    let ended = count(
        "SELECT count(*) FROM certificates
         WHERE identity LIKE '%/artist/' || ?1 AND revoked_at IS NOT NULL",
    );
    let grants = count(
        "SELECT count(*) FROM grants
         WHERE identity LIKE '%/artist/' || ?1 AND revoked_at IS NOT NULL",
    );
    let records = count(
        "SELECT count(*) FROM revocations
         WHERE kind = 'identity' AND subject LIKE '%/artist/' || ?1",
    );
    assert_eq!(records, grants, "{name} is revoked by halves");
    assert_eq!(ended, all * grants, "{name} is revoked by halves");
    grants == 1
}

fn check_database(store: &Connection) {
    let check: String = store
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    let alarm: Option<String> = store
        .query_row("SELECT alarm_why FROM meta", [], |row| row.get(0))
        .unwrap();
    assert_eq!(alarm, None, "a kill is taken for a rollback");
    // What was issued is to somebody who was let in, and a token for a certificate.
    for orphans in [
        "SELECT count(*) FROM certificates WHERE identity NOT IN (SELECT identity FROM grants)
             AND identity NOT LIKE '%/guard/%'",
        "SELECT count(*) FROM tokens WHERE serial NOT IN (SELECT serial FROM certificates)",
        "SELECT count(*) FROM certificates, meta WHERE generation > sequence",
    ] {
        let count: u64 = store.query_row(orphans, [], |row| row.get(0)).unwrap();
        assert_eq!(count, 0, "{orphans}");
    }
}

/// An invite is not used at all, or it is, and its certificate is there, for the key that used
/// it, which got no other by it.
fn check_invites(store: &Connection) {
    let mut query = store
        .prepare("SELECT id, identity, used_at, used_key, serial FROM invites")
        .unwrap();
    type Row = (String, String, Option<i64>, Option<Vec<u8>>, Option<String>);
    let rows = query.query_map([], |row| {
        Ok((
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
        ))
    });
    let rows: Vec<Row> = rows.unwrap().map(Result::unwrap).collect();
    for (id, identity, used_at, key, serial) in rows {
        match (used_at, key, serial) {
            (None, None, None) => {}
            (Some(_), Some(key), Some(serial)) => {
                let found: Option<(String, Vec<u8>)> = store
                    .query_row(
                        "SELECT identity, key_digest FROM certificates WHERE serial = ?1",
                        params![serial],
                        |row| Ok((row.get(0)?, row.get(1)?)),
                    )
                    .optional()
                    .unwrap();
                assert_eq!(found, Some((identity, key)), "invite {id}");
            }
            half => panic!("invite {id} is used by halves: {half:?}"),
        }
    }
}

/// The id in a token.
fn token_id(jwt: &str) -> String {
    let claims = Forged::from(jwt).claims;
    claims["jti"].as_str().unwrap().to_owned()
}
