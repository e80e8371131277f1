//! A backup that is put back revives nobody whose revocation is at hand.

use std::fs;
use std::path::PathBuf;

use hrpyc_certs::{
    Backup, BackupError, CertificateStatus, IssueError, StateError, TrustStore as _,
};
use jiff::Timestamp;
use wire::Secret;

use crate::studio::{Machine, Studio, full, open_authority, redeem, revoke, standing};

fn passphrase() -> Secret<String> {
    Secret::new("correct horse".into())
}

fn back_up(studio: &Studio) -> PathBuf {
    let file = studio.directory.path().join("backup.json");
    studio
        .authority
        .backup(&file, Some(&passphrase()), Timestamp::now())
        .unwrap();
    file
}

#[test]
fn a_fresh_disk_gets_the_authority_back_and_waits_for_a_look() {
    let studio = Studio::new();
    let (_, alice) = studio.join("alice");
    let file = back_up(&studio);
    let (_, bob) = studio.join("bob");
    let to = studio.directory.path().join("fresh");
    let backup = Backup::read(&file).unwrap();
    assert!(backup.is_encrypted());
    let restored = backup
        .restore(&to, Some(&passphrase()), Timestamp::now())
        .unwrap();
    assert!(!restored.is_current);

    let authority = open_authority(&to);
    assert_eq!(authority.fingerprint(), studio.authority.fingerprint());
    assert_eq!(
        standing(&authority, &alice).certificate,
        CertificateStatus::Live
    );
    // What was issued since is not known, and shows that the store is older.
    let found = standing(&authority, &bob);
    assert_eq!(found.certificate, CertificateStatus::Unknown);
    assert_eq!(found.token, hrpyc_certs::TokenStatus::NewerThanStore);
    let error = authority.fresh_token(&studio.who("alice"), None, Timestamp::now());
    assert!(matches!(error, Err(IssueError::Stopped)));
    authority
        .accept_rollback("new disk", Timestamp::now())
        .unwrap();
    authority
        .fresh_token(&studio.who("alice"), None, Timestamp::now())
        .unwrap();
}

#[test]
fn over_a_newer_directory_revocations_are_kept_and_running_guards_see_it() {
    let studio = Studio::new();
    let (_, alice) = studio.join("alice");
    let (_, bob) = studio.join("bob");
    let file = back_up(&studio);
    revoke(&studio.authority, "alice", "left");
    let before = studio.authority.sequence().unwrap();
    let restored = Backup::read(&file)
        .unwrap()
        .restore(&studio.path(), Some(&passphrase()), Timestamp::now())
        .unwrap();
    assert_eq!(restored.kept, 1);
    assert!(!restored.is_current);

    // The guard that ran all the time.
    assert!(studio.authority.sequence().unwrap() > before);
    assert!(
        matches!(studio.standing(&alice).certificate, CertificateStatus::Revoked(r) if r.why == "left")
    );
    assert_eq!(studio.standing(&bob).certificate, CertificateStatus::Live);
    let error = studio
        .authority
        .fresh_token(&studio.who("bob"), None, Timestamp::now());
    assert!(matches!(error, Err(IssueError::Stopped)));
}

#[test]
fn a_damaged_directory_is_made_good_with_what_is_left_of_it() {
    let studio = Studio::new();
    let (_, alice) = studio.join("alice");
    let file = back_up(&studio);
    revoke(&studio.authority, "alice", "left");
    let (_directory, path) = studio.close();
    fs::write(path.join("store.db"), "rubbish").unwrap();
    for name in ["authority.key", "token.key", "audit.key", "state.toml"] {
        fs::remove_file(path.join(name)).unwrap();
    }
    // Half of the journal's last line is all that is damaged in it.
    let journal = fs::read_to_string(path.join("revocations.jsonl")).unwrap();
    fs::write(path.join("revocations.jsonl"), format!("{{\n{journal}")).unwrap();
    let restored = Backup::read(&file)
        .unwrap()
        .restore(&path, Some(&passphrase()), Timestamp::now())
        .unwrap();
    assert_eq!(restored.kept, 1);
    assert_eq!(restored.set_aside.len(), 2);
    let authority = open_authority(&path);
    assert!(matches!(
        standing(&authority, &alice).certificate,
        CertificateStatus::Revoked(_)
    ));
    assert!(authority.alarm().unwrap().is_some());
}

#[test]
fn an_invite_that_was_used_since_the_backup_cannot_be_used_again() {
    let studio = Studio::new();
    let secret = studio.invite("alice", &full());
    let unused = studio.invite("bob", &full());
    let file = back_up(&studio);
    redeem(&studio.authority, &secret, &Machine::new()).unwrap();
    Backup::read(&file)
        .unwrap()
        .restore(&studio.path(), Some(&passphrase()), Timestamp::now())
        .unwrap();
    let accepted = studio
        .authority
        .accept_rollback("test", Timestamp::now())
        .unwrap();
    assert_eq!(accepted.invites, 2);
    let again = studio.again();
    assert!(again.alarm().unwrap().is_none());
    for secret in [secret, unused] {
        let error = redeem(&again, &secret, &Machine::new());
        assert!(matches!(error, Err(IssueError::InviteRevoked(_))));
    }
    let journal = fs::read_to_string(studio.path().join("revocations.jsonl")).unwrap();
    assert_eq!(journal.lines().count(), 2);
    // An invite made now is good.
    studio.join("bob");
}

#[test]
fn a_backup_with_nothing_changed_since_stops_nothing() {
    let studio = Studio::new();
    let (_, alice) = studio.join("alice");
    let file = back_up(&studio);
    let restored = Backup::read(&file)
        .unwrap()
        .restore(&studio.path(), Some(&passphrase()), Timestamp::now())
        .unwrap();
    assert!(restored.is_current);
    assert!(studio.authority.alarm().unwrap().is_none());
    assert_eq!(studio.standing(&alice).certificate, CertificateStatus::Live);
    studio.join("bob");
}

#[test]
fn a_backup_of_the_same_old_state_does_not_hide_that_the_store_was_rolled_back() {
    let studio = Studio::new();
    let file = back_up(&studio);
    let (directory, path) = studio.close();
    let old = fs::read(path.join("store.db")).unwrap();
    let studio = Studio::open(directory);
    studio.join("alice");
    let (_directory, path) = studio.close();
    fs::write(path.join("store.db"), old).unwrap();
    let restored = Backup::read(&file)
        .unwrap()
        .restore(&path, Some(&passphrase()), Timestamp::now())
        .unwrap();
    assert!(!restored.is_current);
    let authority = open_authority(&path);
    assert!(authority.alarm().unwrap().is_some());
    authority.accept_rollback("test", Timestamp::now()).unwrap();
    assert!(open_authority(&path).alarm().unwrap().is_none());
}

#[test]
fn wrong_passphrases_changed_files_and_other_authorities_are_refused() {
    let studio = Studio::new();
    let file = back_up(&studio);
    let to = studio.directory.path().join("fresh");
    let restore = |file: &PathBuf, passphrase: &str| {
        let passphrase = Secret::new(passphrase.to_owned());
        Backup::read(file)?
            .restore(&to, Some(&passphrase), Timestamp::now())
            .map(drop)
    };
    let wrong = restore(&file, "wrong horse").unwrap_err();
    assert!(matches!(wrong, BackupError::Passphrase { .. }));
    let text = fs::read_to_string(&file).unwrap();
    let changed = studio.directory.path().join("changed.json");
    fs::write(&changed, text.replace("\"sequence\": 1", "\"sequence\": 9")).unwrap();
    let error = restore(&changed, "correct horse").unwrap_err();
    assert!(matches!(error, BackupError::Passphrase { .. }));
    fs::write(&changed, "{}").unwrap();
    let error = restore(&changed, "correct horse").unwrap_err();
    assert!(matches!(error, BackupError::Malformed { .. }));
    assert!(!to.exists());

    let other = Studio::new();
    let error = Backup::read(&file)
        .unwrap()
        .restore(&other.path(), Some(&passphrase()), Timestamp::now())
        .unwrap_err();
    assert!(matches!(error, BackupError::OtherAuthority { .. }));

    // A backup is never written over a file.
    let error = studio
        .authority
        .backup(&file, None, Timestamp::now())
        .unwrap_err();
    assert!(matches!(error, BackupError::State(StateError::Io { .. })));
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[cfg(unix)]
#[test]
fn a_backup_is_for_its_owner_alone_and_hides_the_keys() {
    use std::os::unix::fs::PermissionsExt as _;

    let studio = Studio::new();
    let file = back_up(&studio);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let clear = studio.directory.path().join("clear.json");
    studio
        .authority
        .backup(&clear, None, Timestamp::now())
        .unwrap();
    assert_eq!(
        fs::metadata(&clear).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(!Backup::read(&clear).unwrap().is_encrypted());
    let leftovers = fs::read_dir(studio.path())
        .unwrap()
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with('.')
        })
        .count();
    assert_eq!(leftovers, 0);
}
