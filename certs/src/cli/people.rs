//! Letting people in, seeing who is in, and putting them out.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use hrpyc_certs::when;
use hrpyc_certs::{
    Authority, Device, Effect, Entry, EntryState, Grant, InviteOrder, InviteState, IssueError,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use wire::{Identity, Kind};

use super::outcome::{Done, Failure};
use hrpyc_certs::arguments::{GrantArguments, InviteArguments, RevokeArguments, ShowArguments};

pub(crate) fn invite(
    authority: &Authority,
    arguments: &InviteArguments,
    now: Timestamp,
) -> Result<Done, Failure> {
    let identity = Identity::from_shorthand(&arguments.name, authority.domain())?;
    let made = authority.invite(&InviteOrder {
        identity: &identity,
        changes: &arguments.terms.to_changes(),
        guard_address: arguments.guard.as_deref(),
        valid: arguments.valid,
        now,
    })?;
    let name = identity.shorthand();
    let (effect, changes) = effect_json(&made.effect);
    let mut notes = match &made.effect {
        Effect::New if identity.kind == Kind::Guard => {
            format!("{name} may join when the code is used.\n")
        }
        Effect::New => format!(
            "{name} has access when the code is used: {}.\n",
            grant_in_words(&made.grant)
        ),
        Effect::Kept => format!("{name} has access already; the code adds a device.\n"),
        Effect::Changed(said) => format!(
            "{name} has access already, which was changed now: {}. The code adds a device.\n",
            said.join("; ")
        ),
    };
    let (program, state) = match identity.kind {
        Kind::Guard => ("hrpyc-guard join", "--advertise HOST:PORT"),
        Kind::Artist | Kind::Service => ("hrpyc-agent join", ""),
    };
    let _ = write!(
        notes,
        "The code works once, until {}, at {}. Whoever has it can use it: send it over a channel that you trust.\n\
         There, type: {program} {state}\n\
         and paste the code. The fingerprint shown must be {}\n\
         To take it back: hrpyc-certs revoke {} --why TEXT\n\n",
        when::local(made.expires),
        made.address,
        authority.fingerprint(),
        made.id,
    );
    let notes = notes.replace(" \nand", "\nand") + &custom_role(&made.grant.role);
    Ok(Done::new(
        format!("{}\n", made.code.expose()),
        json!({
            "code": made.code.expose(),
            "invite": made.id,
            "identity": identity,
            "role": made.grant.role,
            "access_until": made.grant.access_until,
            "from": made.grant.from,
            "upstreams": made.grant.upstreams,
            "expires": made.expires,
            "address": made.address,
            "guard": authority.guard_identity(),
            "authority": authority.fingerprint().to_string(),
            "grant": effect,
            "changes": changes,
        }),
    )
    .with_notes(notes))
}

pub(crate) fn grant(
    authority: &Authority,
    arguments: &GrantArguments,
    now: Timestamp,
) -> Result<Done, Failure> {
    let identity = Identity::from_shorthand(&arguments.name, authority.domain())?;
    if arguments.terms.is_empty() {
        return Err(Failure::usage(
            "nothing to change was given",
            "add --role, --access-until, --from or --upstream; see what holds now with: hrpyc-certs show NAME",
        ));
    }
    let (grant, effect) = authority.change_grant(&identity, &arguments.terms.to_changes(), now)?;
    let name = identity.shorthand();
    let text = match &effect {
        Effect::Changed(said) => format!("{name} now has {}.\n", said.join("; ")),
        Effect::Kept | Effect::New => format!("{name} has that already.\n"),
    };
    let (effect, changes) = effect_json(&effect);
    Ok(Done::new(
        text,
        json!({ "identity": identity, "effect": effect, "changes": changes, "grant": grant }),
    )
    .with_notes(custom_role(&grant.role)))
}

/// What to know about a role that is not built in. The authority has no list of them.
fn custom_role(role: &str) -> String {
    if role.is_empty() || wire::role::BUILT_IN.contains(&role) {
        return String::new();
    }
    format!(
        "{role} is not a built-in role: a guard whose policy file has no role of this name lets nobody in with it.\n"
    )
}

pub(crate) fn revoke(
    authority: &Authority,
    arguments: &RevokeArguments,
    now: Timestamp,
) -> Result<Done, Failure> {
    let target = authority.find_target(&arguments.target)?;
    let revoked = authority.revoke(&target, &arguments.why, now)?;
    let what = match &target {
        hrpyc_certs::Target::Identity(identity) => identity.shorthand(),
        hrpyc_certs::Target::Certificate(serial) => format!(
            "the device {} of {} (certificate {serial})",
            revoked.device.as_deref().unwrap_or_default(),
            revoked.identity.shorthand()
        ),
        hrpyc_certs::Target::Token(id) => format!("token {id} of {}", revoked.identity.shorthand()),
        hrpyc_certs::Target::Invite(id) => {
            format!("invite {id} of {}", revoked.identity.shorthand())
        }
    };
    let text = if revoked.already {
        format!(
            "{what} was revoked already, on {}: {}\n",
            when::local(revoked.revocation.at),
            revoked.revocation.why
        )
    } else {
        let mut text = format!("Revoked {what}.");
        if matches!(target, hrpyc_certs::Target::Identity(_)) {
            let _ = write!(
                text,
                " That ends {}, {} and every token.",
                count(revoked.certificates, "certificate"),
                count(revoked.invites, "open invite")
            );
        }
        if matches!(target, hrpyc_certs::Target::Certificate(_)) {
            let _ = write!(
                text,
                " That ends {} of this device, renewed ones as well, and their tokens; its key is never certified again.",
                count(revoked.certificates, "certificate")
            );
        }
        text.push_str(if matches!(target, hrpyc_certs::Target::Invite(_)) {
            " Nobody can use its code.\n"
        } else {
            " Live sessions end within a second. What ran in Houdini before is not undone.\n"
        });
        text
    };
    Ok(Done::new(
        text,
        json!({
            "identity": revoked.identity,
            "target": arguments_target(&target),
            "device": revoked.device,
            "at": revoked.revocation.at,
            "why": revoked.revocation.why,
            "already": revoked.already,
            "certificates": revoked.certificates,
            "invites": revoked.invites,
        }),
    ))
}

fn arguments_target(target: &hrpyc_certs::Target) -> Value {
    match target {
        hrpyc_certs::Target::Identity(identity) => json!({ "identity": identity }),
        hrpyc_certs::Target::Certificate(serial) => json!({ "certificate": serial }),
        hrpyc_certs::Target::Token(id) => json!({ "token": id }),
        hrpyc_certs::Target::Invite(id) => json!({ "invite": id }),
    }
}

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

fn effect_json(effect: &Effect) -> (&'static str, &[String]) {
    match effect {
        Effect::New => ("new", &[]),
        Effect::Kept => ("kept", &[]),
        Effect::Changed(said) => ("changed", said),
    }
}

pub(crate) fn grant_in_words(grant: &Grant) -> String {
    let mut text = format!("role {}", grant.role);
    match &grant.access_until {
        Some(until) => {
            let _ = write!(text, ", until {}", when::moment(until));
        }
        None => text.push_str(", until it is revoked"),
    }
    if !grant.from.is_empty() {
        let _ = write!(text, ", from {}", any_or(&grant.from));
    }
    if !grant.upstreams.is_empty() {
        let _ = write!(text, ", to {}", any_or(&grant.upstreams));
    }
    text
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

fn any_or<T: ToString>(list: &[T]) -> String {
    if list.is_empty() {
        return "any".into();
    }
    let texts: Vec<_> = list.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
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
