//! Letting people in, and putting them out.

use std::fmt::Write as _;

use hrpyc_certs::when;
use hrpyc_certs::{Authority, Effect, Grant, InviteOrder};
use jiff::Timestamp;
use serde_json::{Value, json};
use wire::{Identity, Kind};

use super::outcome::{Done, Failure};
use hrpyc_certs::arguments::{GrantArguments, InviteArguments, RevokeArguments};

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
            "target": target_json(&target),
            "device": revoked.device,
            "at": revoked.revocation.at,
            "why": revoked.revocation.why,
            "already": revoked.already,
            "certificates": revoked.certificates,
            "invites": revoked.invites,
        }),
    ))
}

fn target_json(target: &hrpyc_certs::Target) -> Value {
    match target {
        hrpyc_certs::Target::Identity(identity) => json!({ "identity": identity }),
        hrpyc_certs::Target::Certificate(serial) => json!({ "certificate": serial }),
        hrpyc_certs::Target::Token(id) => json!({ "token": id }),
        hrpyc_certs::Target::Invite(id) => json!({ "invite": id }),
    }
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

pub(super) fn any_or<T: ToString>(list: &[T]) -> String {
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
