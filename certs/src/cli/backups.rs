//! Backups, and going on after one was put back.

use std::fmt::Write as _;
use std::path::Path;

use hrpyc_certs::when;
use hrpyc_certs::{Authority, Backup, InviteState};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::open_authority;
use super::outcome::{Done, Failure, check_free};
use super::passphrase;
use super::people::grant_in_words;
use hrpyc_certs::arguments::{BackupArguments, RestoreArguments};

pub(crate) fn backup(
    authority: &Authority,
    arguments: &BackupArguments,
    now: Timestamp,
) -> Result<Done, Failure> {
    check_free(&arguments.file)?;
    let passphrase = if arguments.no_passphrase {
        None
    } else {
        Some(passphrase::new(arguments.passphrase_file.as_deref())?)
    };
    authority.backup(&arguments.file, passphrase.as_ref(), now)?;
    let path = arguments.file.display();
    let text = match passphrase {
        Some(_) => {
            format!("The backup is in {path}. It is worth nothing without its passphrase.\n")
        }
        None => format!(
            "The backup is in {path}. It holds the keys in clear: whoever reads it can let anybody in.\n"
        ),
    };
    Ok(Done::new(
        text,
        json!({ "path": arguments.file, "taken": now, "encrypted": passphrase.is_some() }),
    ))
}

pub(crate) fn restore(
    directory: &Path,
    arguments: &RestoreArguments,
    now: Timestamp,
) -> Result<Done, Failure> {
    let mut text = String::new();
    let mut json = json!({ "state_dir": directory });
    if let Some(file) = &arguments.file {
        let backup = Backup::read(file)?;
        let passphrase = if backup.is_encrypted() {
            Some(passphrase::known(arguments.passphrase_file.as_deref())?)
        } else {
            None
        };
        let restored = backup.restore(directory, passphrase.as_ref(), now)?;
        let _ = writeln!(
            text,
            "Put back the backup of {} in {}.",
            when::local(restored.taken),
            directory.display()
        );
        if restored.kept > 0 {
            let _ = writeln!(text, "Revocations made since and kept: {}.", restored.kept);
        }
        for path in &restored.set_aside {
            let _ = writeln!(text, "What was damaged there is now {}.", path.display());
        }
        json["taken"] = json!(restored.taken);
        json["kept_revocations"] = json!(restored.kept);
        json["set_aside"] = json!(restored.set_aside);
        json["is_current"] = json!(restored.is_current);
    }
    let authority = open_authority(directory)?;
    let is_stopped = authority.alarm()?.is_some();
    // Without a backup, that there is nothing to accept is an error.
    if arguments.accept_rollback && (is_stopped || arguments.file.is_none()) {
        accept(&authority, arguments, now, &mut text, &mut json)?;
    } else if is_stopped {
        let _ = write!(
            text,
            "Nothing is issued yet, because what else was changed since the backup is lost here.\n\
             Those who have access now:\n{}{}\
             Look through them, revoke who should be out, then type:\n  \
             hrpyc-certs --state-dir {} restore --accept-rollback --why TEXT\n",
            living(&authority, now)?,
            open_invites(&authority, now)?,
            directory.display()
        );
        json["issuing"] = json!("stopped");
    } else {
        text.push_str("It is current, so certificates and tokens go on being issued.\n");
        json["issuing"] = json!("on");
    }
    Ok(Done::new(text, json))
}

fn accept(
    authority: &Authority,
    arguments: &RestoreArguments,
    now: Timestamp,
    text: &mut String,
    json: &mut Value,
) -> Result<(), Failure> {
    let why = arguments.why.as_deref().unwrap_or_default();
    let accepted = authority.accept_rollback(why, now)?;
    let alarm = accepted.alarm;
    let _ = writeln!(
        text,
        "Certificates and tokens are issued again. What had stopped it: {}.",
        alarm.why
    );
    if accepted.invites > 0 {
        let _ = writeln!(
            text,
            "Open invites revoked, because they may have been used before: {}.",
            accepted.invites
        );
    }
    let _ = write!(
        text,
        "Those who have access now:\n{}",
        living(authority, now)?
    );
    json["revoked_invites"] = json!(accepted.invites);
    json["accepted"] = json!({ "at": alarm.at, "seen": alarm.seen, "why": alarm.why });
    json["issuing"] = json!("on");
    Ok(())
}

/// The invites that accepting a rollback revokes, or nothing.
fn open_invites(authority: &Authority, now: Timestamp) -> Result<String, Failure> {
    let mut text = String::new();
    for entry in authority.list(now)?.entries {
        for invite in &entry.invites {
            if invite.state == InviteState::Open {
                let _ = writeln!(
                    text,
                    "  {} for {}, until {}",
                    invite.id,
                    entry.identity.shorthand(),
                    when::local(invite.expires)
                );
            }
        }
    }
    if !text.is_empty() {
        text.insert_str(
            0,
            "Open invites, which may have been used since and are revoked when you go on:\n",
        );
    }
    Ok(text)
}

fn living(authority: &Authority, now: Timestamp) -> Result<String, Failure> {
    let mut text = String::new();
    for grant in authority.living_grants(now)? {
        let _ = if grant.role.is_empty() {
            writeln!(text, "  {}", grant.identity.shorthand())
        } else {
            writeln!(
                text,
                "  {}: {}",
                grant.identity.shorthand(),
                grant_in_words(&grant)
            )
        };
    }
    if text.is_empty() {
        text.push_str("  nobody\n");
    }
    Ok(text)
}
