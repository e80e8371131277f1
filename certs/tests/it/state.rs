//! A state directory that is not in order is refused, and nothing is made anew.

use std::fs;
use std::path::Path;

use hrpyc_certs::{AuditKey, Authority, Backup, Member, State, StateError, StoreError, open};
use jiff::Timestamp;
use wire::Secret;

use crate::studio::{Machine, Studio, invite, leaf, redeem};

fn refused(path: &Path) -> StateError {
    match open(path) {
        Err(error) => {
            assert!(!error.hint().is_empty());
            error
        }
        Ok(_) => panic!("{} was opened", path.display()),
    }
}

#[test]
fn opening_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    assert!(matches!(refused(&path), StateError::Absent { .. }));
    assert!(!path.exists());
    private(directory.path());
    assert!(matches!(
        refused(directory.path()),
        StateError::Absent { .. }
    ));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[cfg(unix)]
fn private(path: &Path) {
    mode(path, 0o700);
}

#[cfg(not(unix))]
fn private(_: &Path) {}

#[cfg(unix)]
fn mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn an_authority_is_made_only_where_there_is_nothing() {
    let studio = Studio::new();
    let path = studio.path();
    let before = studio.authority.fingerprint();
    let error = Authority::init(&path, None, &"ws12".parse().unwrap()).unwrap_err();
    assert!(matches!(error, StateError::Exists { .. }));
    assert_eq!(studio.again().fingerprint(), before);

    let file = studio.directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Authority::init(&file, None, &"ws12".parse().unwrap()).unwrap_err();
    assert!(matches!(error, StateError::Exists { .. }));

    // Nothing is left of the attempts beside it.
    let names: Vec<_> = fs::read_dir(studio.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn an_empty_directory_that_waits_is_filled() {
    let directory = tempfile::tempdir().unwrap();
    private(directory.path());
    // An earlier start was cut off.
    fs::create_dir(directory.path().join(".hrpyc-new-0011")).unwrap();
    let authority = Authority::init(directory.path(), None, &"ws12".parse().unwrap()).unwrap();
    assert_eq!(authority.domain().as_str(), "ws12.internal");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 9 + 1 + 2);
    assert!(matches!(open(directory.path()), Ok(State::Authority(_))));
}

#[test]
fn two_starts_at_once_make_one_authority() {
    for waiting in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        if waiting {
            fs::create_dir(&path).unwrap();
            private(&path);
        }
        let made = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| Authority::init(&path, None, &"ws12".parse().unwrap())))
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap())
                .filter(Result::is_ok)
                .count()
        });
        assert_eq!(made, 1);
        open(&path).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn modes_are_exact_and_wider_ones_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;

    let studio = Studio::new();
    let path = studio.path();
    let mut names: Vec<_> = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    for file in &names {
        let found = fs::metadata(file).unwrap().permissions().mode() & 0o7777;
        assert_eq!(found, 0o600, "{}", file.display());
        for wide in [0o640, 0o604, 0o666] {
            mode(file, wide);
            let error = refused(&path);
            let chmod = format!("chmod 600 {}", file.display());
            assert!(error.hint().contains(&chmod), "{error} {}", error.hint());
            assert!(matches!(error, StateError::Mode { found, .. } if found == wide));
        }
        mode(file, 0o600);
    }
    for wide in [0o750, 0o701, 0o777] {
        mode(&path, wide);
        let error = refused(&path);
        assert!(matches!(error, StateError::Mode { wanted: 0o700, .. }));
        assert!(error.hint().contains("chmod 700"));
    }
    mode(&path, 0o700);
    open(&path).unwrap();
}

#[test]
fn a_missing_file_is_named_and_never_made_anew() {
    let studio = Studio::new();
    let path = studio.path();
    for name in [
        "authority.key",
        "authority.crt",
        "token.key",
        "guard.key",
        "guard.crt",
        "audit.key",
        "store.db",
        "revocations.jsonl",
        "state.toml",
    ] {
        let away = studio.directory.path().join("away");
        fs::rename(path.join(name), &away).unwrap();
        let error = refused(&path);
        assert!(
            matches!(&error, StateError::Missing { path, .. } if path.ends_with(name)),
            "{name}: {error}"
        );
        assert!(error.hint().contains("restore"), "{}", error.hint());
        assert!(!path.join(name).exists());
        fs::rename(&away, path.join(name)).unwrap();
    }
    open(&path).unwrap();
}

#[test]
fn a_damaged_file_is_named() {
    let studio = Studio::new();
    let (_directory, path) = studio.close();
    let other = Studio::new();
    for name in [
        "authority.key",
        "authority.crt",
        "token.key",
        "audit.key",
        "state.toml",
        "revocations.jsonl",
    ] {
        let whole = fs::read(path.join(name)).unwrap();
        for content in [&b"hello\n"[..], b"\xff\xfe\n"] {
            fs::write(path.join(name), content).unwrap();
            let error = refused(&path);
            assert!(
                matches!(&error, StateError::Damaged { path, .. } if path.ends_with(name)),
                "{name}: {error}"
            );
        }
        fs::write(path.join(name), whole).unwrap();
    }
    // Another authority's key is not this one's.
    let whole = fs::read(path.join("authority.key")).unwrap();
    fs::copy(
        other.path().join("authority.key"),
        path.join("authority.key"),
    )
    .unwrap();
    assert!(matches!(refused(&path), StateError::Damaged { .. }));
    fs::write(path.join("authority.key"), whole).unwrap();
    open(&path).unwrap();
}

#[test]
fn a_damaged_store_is_told_from_a_good_one() {
    let studio = Studio::new();
    for number in 0..20 {
        studio.join(&format!("artist{number}"));
    }
    let (_directory, path) = studio.close();
    let store = path.join("store.db");
    let whole = fs::read(&store).unwrap();
    let damaged = |content: &[u8]| {
        fs::write(&store, content).unwrap();
        let error = refused(&path);
        assert!(
            matches!(error, StateError::Store(StoreError::Damaged { .. })),
            "{error}"
        );
        assert!(error.hint().contains("restore"));
    };
    damaged(b"");
    damaged(b"this is not a database, it is a text of some length");
    damaged(&whole[..whole.len() / 2]);
    let mut holed = whole.clone();
    let middle = whole.len() / 3;
    holed[middle..middle + 8192].fill(0x5a);
    damaged(&holed);
    fs::write(&store, &whole).unwrap();
    open(&path).unwrap();
    // A database of another program.
    fs::remove_file(&store).unwrap();
    rusqlite::Connection::open(&store)
        .unwrap()
        .execute_batch("CREATE TABLE a (b)")
        .unwrap();
    #[cfg(unix)]
    mode(&store, 0o600);
    let error = refused(&path);
    assert!(error.to_string().contains("not a store of hrpyc-guard"));
}

#[test]
fn a_newer_layout_is_left_alone() {
    let studio = Studio::new();
    let state = studio.path().join("state.toml");
    let text = fs::read_to_string(&state).unwrap();
    fs::write(&state, text.replace("version = 1", "version = 9")).unwrap();
    let error = refused(&studio.path());
    assert!(matches!(error, StateError::Version { found: 9, .. }));
    fs::write(&state, format!("{text}colour = \"red\"\n")).unwrap();
    assert!(matches!(
        refused(&studio.path()),
        StateError::Damaged { .. }
    ));
    fs::write(&state, &text).unwrap();
    let store = rusqlite::Connection::open(studio.path().join("store.db")).unwrap();
    store.pragma_update(None, "user_version", 7).unwrap();
    let error = refused(&studio.path());
    assert!(matches!(
        error,
        StateError::Store(StoreError::Version { found: 7, .. })
    ));
}

#[cfg(unix)]
#[test]
fn links_in_the_place_of_keys_are_refused() {
    let studio = Studio::new();
    let key = studio.path().join("authority.key");
    let elsewhere = studio.directory.path().join("key");
    fs::rename(&key, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &key).unwrap();
    assert!(matches!(refused(&studio.path()), StateError::Kind { .. }));
}

#[cfg(unix)]
#[test]
fn a_directory_of_another_user_is_refused() {
    let studio = Studio::new();
    let path = studio.path();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        assert!(matches!(
            refused(&path),
            StateError::Owner { owner: 65534, .. }
        ));
    } else {
        assert!(matches!(refused(Path::new("/")), StateError::Owner { .. }));
    }
}

#[test]
fn a_guard_that_joined_holds_its_own_key_and_no_other() {
    let studio = Studio::new();
    let secret = invite(&studio.authority, "guard/ws13", &Default::default());
    let machine = Machine::new();
    let issued = redeem(&studio.authority, &secret, &machine).unwrap();
    let path = studio.directory.path().join("member");
    let owner = studio.authority.guard_identity();
    let create = |key: &Secret<String>| Member::create(&path, key, &issued, owner, "ws12:18812");

    let error = create(&Machine::new().key).unwrap_err();
    assert!(matches!(error, StateError::Damaged { .. }));
    assert!(!path.exists());

    create(&machine.key).unwrap();
    let Ok(State::Member(member)) = open(&path) else {
        panic!("a member was expected");
    };
    assert_eq!(member.guard_identity(), &studio.who("guard/ws13"));
    assert_eq!(member.authority_guard(), owner);
    assert_eq!(member.authority_address(), "ws12:18812");
    assert_eq!(member.domain(), studio.authority.domain());
    assert_eq!(member.certificate(), studio.authority.certificate());
    assert_eq!(member.token_key_pem(), studio.authority.token_key_pem());
    assert!(!path.join("authority.key").exists());
    assert!(!path.join("token.key").exists());
    // What it signs is its own.
    let audit = AuditKey::load(&path).unwrap();
    let theirs = AuditKey::load(studio.authority.path()).unwrap();
    assert_ne!(audit.public(), theirs.public());

    let renewed = studio
        .authority
        .renew(&leaf(&issued), Some(&machine.request), Timestamp::now())
        .unwrap();
    let pem = renewed.certificate.unwrap();
    member.replace_certificate(&pem).unwrap();
    let credentials = member.guard_credentials().unwrap();
    assert!(!credentials.is_due(Timestamp::now()));
    let (_, alice) = studio.join("alice");
    assert!(
        member
            .replace_certificate(&alice.certificate.unwrap())
            .is_err()
    );
    let (_, other) = studio.join("guard/ws14");
    assert!(
        member
            .replace_certificate(&other.certificate.unwrap())
            .is_err()
    );
    assert!(create(&machine.key).is_err());
}

#[test]
fn an_audit_key_is_made_only_when_asked_and_never_replaced() {
    let studio = Studio::new();
    let path = studio.path();
    let key = path.join("audit.key");
    let before = AuditKey::load(&path).unwrap().public().clone();
    let error = AuditKey::make(&path).unwrap_err();
    assert!(matches!(error, StateError::Exists { .. }), "{error}");
    assert_eq!(AuditKey::load(&path).unwrap().public(), &before);

    fs::remove_file(&key).unwrap();
    let error = refused(&path);
    assert!(
        error.hint().contains("audit key --make"),
        "{}",
        error.hint()
    );
    let made = AuditKey::make(&path).unwrap();
    assert_ne!(made.public(), &before);
    open(&path).unwrap();

    // It is no way to begin a state directory.
    let empty = tempfile::tempdir().unwrap();
    mode(empty.path(), 0o700);
    AuditKey::make(empty.path()).unwrap_err();
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn the_audit_key_of_a_backup_does_not_replace_a_sound_one() {
    let studio = Studio::new();
    let path = studio.path();
    let file = studio.directory.path().join("backup");
    studio
        .authority
        .backup(&file, None, Timestamp::now())
        .unwrap();
    let old = AuditKey::load(&path).unwrap().public().clone();
    let restore = || {
        let backup = Backup::read(&file).unwrap();
        backup.restore(&path, None, Timestamp::now()).unwrap();
        AuditKey::load(&path).unwrap().public().clone()
    };
    fs::remove_file(path.join("audit.key")).unwrap();
    assert_eq!(restore(), old, "a lost one comes back");
    fs::remove_file(path.join("audit.key")).unwrap();
    let new = AuditKey::make(&path).unwrap().public().clone();
    assert_eq!(restore(), new, "what is here signed what is here");
}
