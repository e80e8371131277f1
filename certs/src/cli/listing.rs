//! Seeing who is in.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use hrpyc_certs::arguments::ShowArguments;
use hrpyc_certs::when;
use hrpyc_certs::{Authority, Device, Entry, EntryState, InviteState, IssueError};
use jiff::Timestamp;
use serde_json::{Value, json};
use wire::{Identity, Kind};

use super::outcome::{Done, Failure};
use super::people::any_or;

pub(crate) fn list(authority: &Authority, now: Timestamp) -> Result<Done, Failure> {
    let listing = authority.list(now)?;
    let alarm = authority.alarm()?;
    let address = authority.guard_address()?;
    let mut rows = vec![
        [
            "NAME",
            "ROLE",
            "STATE",
            "ACCESS UNTIL",
            "DEVICES",
            "OPEN INVITES",
        ]
        .map(str::to_owned),
    ];
    for entry in &listing.entries {
        let live: BTreeSet<&str> = entry
            .devices
            .iter()
            .filter(|device| device.revoked.is_none() && device.not_after > now)
            .map(|device| device.key.as_str())
            .collect();
        let open = entry
            .invites
            .iter()
            .filter(|invite| invite.state == InviteState::Open)
            .count();
        rows.push([
            entry.identity.shorthand(),
            role_of(entry),
            state_in_words(entry.state).into(),
            end_of(entry),
            live.len().to_string(),
            open.to_string(),
        ]);
    }
    let mut text = format!(
        "Authority of {}, {}\nGuard {} at {}\n\n",
        authority.domain(),
        authority.fingerprint(),
        authority.guard_identity().shorthand(),
        address.as_deref().unwrap_or("an address not yet known")
    );
    if listing.entries.is_empty() {
        text.push_str("Nobody has been invited.\n");
    } else {
        text.push_str(&table(&rows));
    }
    Ok(Done::new(
        text,
        json!({
            "trust_domain": authority.domain(),
            "fingerprint": authority.fingerprint().to_string(),
            "guard": authority.guard_identity(),
            "guard_address": address,
            "alarm": alarm_json(alarm.as_ref()),
            "sequence": listing.sequence,
            "entries": listing.entries,
        }),
    )
    .with_notes(alarm_in_words(alarm.as_ref())))
}

pub(crate) fn show(
    authority: &Authority,
    arguments: &ShowArguments,
    now: Timestamp,
) -> Result<Done, Failure> {
    let identity = Identity::from_shorthand(&arguments.name, authority.domain())?;
    let entry = authority.show(&identity, now)?.ok_or_else(|| {
        Failure::from(IssueError::TargetUnknown {
            text: arguments.name.clone(),
        })
    })?;
    let alarm = authority.alarm()?;
    let mut text = format!("{}\n", entry.identity);
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<13} {value}");
    };
    line("state", state_in_words(entry.state).into());
    if let Some(grant) = &entry.grant {
        if let Some(revocation) = &grant.revoked {
            line(
                "revoked",
                format!("{}: {}", when::local(revocation.at), revocation.why),
            );
        }
        if grant.identity.kind != Kind::Guard {
            line("role", grant.role.clone());
            line("access until", end_of(&entry));
            line("upstreams", any_or(&grant.upstreams));
            line("from", any_or(&grant.from));
        }
    }
    if let Some(address) = &entry.address {
        line("address", address.clone());
    }
    if let Some(since) = entry.since {
        line("since", when::local(since));
    }
    let mut seen = BTreeSet::new();
    for device in &entry.devices {
        if !seen.insert(&device.key) {
            continue;
        }
        // One device by its key, with its latest certificate first.
        let mut latest = true;
        for device in entry.devices.iter().rev().filter(|d| d.key == device.key) {
            let certificate = certificate_in_words(device, now);
            if std::mem::take(&mut latest) {
                line("device", format!("{}, {certificate}", device.device));
            } else {
                line("", format!("earlier: {certificate}"));
            }
        }
    }
    for token in &entry.tokens {
        let fate = match &token.revoked {
            Some(revocation) => format!("revoked: {}", revocation.why),
            None => format!("admits until {}", when::local(token.expires)),
        };
        line("token", format!("{}, {fate}", token.id));
    }
    for invite in &entry.invites {
        let fate = match &invite.state {
            InviteState::Open => format!("open until {}", when::local(invite.expires)),
            InviteState::Used { at } => format!("used {}", when::local(*at)),
            InviteState::Expired => format!("expired {}", when::local(invite.expires)),
            InviteState::Revoked(revocation) => format!("revoked: {}", revocation.why),
        };
        let role = if invite.role.is_empty() {
            String::new()
        } else {
            format!(", role {}", invite.role)
        };
        line("invite", format!("{}{role}, {fate}", invite.id));
    }
    let mut json = json!(entry);
    json["alarm"] = alarm_json(alarm.as_ref());
    Ok(Done::new(text, json).with_notes(alarm_in_words(alarm.as_ref())))
}

fn certificate_in_words(device: &Device, now: Timestamp) -> String {
    let fate = match &device.revoked {
        Some(revocation) => {
            format!("revoked {}: {}", when::local(revocation.at), revocation.why)
        }
        None if device.not_after <= now => format!("expired {}", when::local(device.not_after)),
        None => format!("valid until {}", when::local(device.not_after)),
    };
    format!("certificate {}, {fate}", device.serial)
}

/// What the rollback alarm says to somebody who looks at a list.
fn alarm_in_words(alarm: Option<&hrpyc_certs::Alarm>) -> String {
    alarm.map_or_else(String::new, |alarm| {
        format!(
            "warning: nothing is issued since {}, because {}\nhint: {}\n\n",
            when::local(alarm.at),
            alarm.why,
            IssueError::Stopped.hint()
        )
    })
}

fn alarm_json(alarm: Option<&hrpyc_certs::Alarm>) -> Value {
    alarm.map_or(
        Value::Null,
        |alarm| json!({ "at": alarm.at, "seen": alarm.seen, "why": alarm.why }),
    )
}

fn state_in_words(state: EntryState) -> &'static str {
    match state {
        EntryState::Live => "has access",
        EntryState::Ended => "access ended",
        EntryState::Revoked => "revoked",
        EntryState::Invited => "invited",
        EntryState::Expired => "invite expired",
    }
}

fn role_of(entry: &Entry) -> String {
    let role = match (&entry.grant, entry.invites.last()) {
        (Some(grant), _) => grant.role.as_str(),
        (None, Some(invite)) => invite.role.as_str(),
        (None, None) => "",
    };
    if role.is_empty() { "-" } else { role }.into()
}

fn end_of(entry: &Entry) -> String {
    let until = match (&entry.grant, entry.invites.last()) {
        (Some(grant), _) => grant.access_until.as_ref(),
        (None, Some(invite)) => invite.access_until.as_ref(),
        (None, None) => None,
    };
    until.map_or_else(|| "no end".into(), when::moment)
}

fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    });
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
