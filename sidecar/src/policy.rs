//! What the peer may do: from a peer and a token to a [`Permit`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use certs::{CertificateStatus, Grant, Standing, TokenStatus};
use jiff::{Timestamp, Zoned};
use rpyc::reverse::Reverse;
use wire::hello::{Accepted, Wanted};
use wire::{Code, Identity};

use crate::config::Config;
use crate::denial::Denial;
use crate::identity::{VerifiedPeer, day_and_time};
use crate::ports::OwnerRule;
use crate::rules::{Inspect, Live, Policy, Role};
use crate::sessions::{Registration, Subject, Terms};
use crate::token::VerifiedToken;
use crate::trust::Trust;
use crate::upstream::Houdini;

/// The right to one session with one Houdini. It holds the session's registration, so that
/// a revocation finds it from before the grant was looked at until the session has ended.
///
/// Only [`authorize`] makes one, and only a permit can dial.
#[derive(Debug)]
pub struct Permit {
    peer: VerifiedPeer,
    token: VerifiedToken,
    role: Role,
    rules: Arc<Live>,
    houdini: Houdini,
    access_until: Option<Zoned>,
    upstream_timeout: Duration,
    peer_timeout: Duration,
    idle_timeout: Option<Duration>,
    upstream_owner: OwnerRule,
    registration: Registration,
}

impl Permit {
    /// Who.
    pub fn peer(&self) -> &VerifiedPeer {
        &self.peer
    }

    /// With which token.
    pub fn token(&self) -> &VerifiedToken {
        &self.token
    }

    /// In which role.
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// The policy in force, by which the session's requests are judged.
    pub fn rules(&self) -> &Arc<Live> {
        &self.rules
    }

    /// Which Houdini may be dialled.
    pub fn houdini(&self) -> &Houdini {
        &self.houdini
    }

    /// How long it may take to accept.
    pub fn upstream_timeout(&self) -> Duration {
        self.upstream_timeout
    }

    /// After how long without a word its machine has vanished, when it is another one.
    pub fn peer_timeout(&self) -> Duration {
        self.peer_timeout
    }

    /// After how long without a byte the session ends, if at all.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout
    }

    /// Whose Houdini's port must be.
    pub fn upstream_owner(&self) -> &OwnerRule {
        &self.upstream_owner
    }

    /// The session's place in the registry.
    pub fn registration(&mut self) -> &mut Registration {
        &mut self.registration
    }

    /// What the client is told.
    pub fn accepted(&self, session: &str) -> Accepted {
        Accepted {
            session: session.into(),
            role: self.role.as_str().into(),
            upstream: self.houdini.to_string(),
            access_until: self.access_until.clone(),
        }
    }
}

/// Decides whether the peer may have the Houdini it wants.
///
/// The session is registered already: a revocation that lands between this look at the
/// grant and the first byte ends it all the same.
///
/// # Errors
/// A denial of the stage `policy`, or of the token when that was revoked.
pub async fn authorize(
    peer: VerifiedPeer,
    token: VerifiedToken,
    wanted: Option<&Wanted>,
    mut registration: Registration,
    trust: &Arc<Trust>,
    rules: &Arc<Live>,
    config: &Config,
) -> Result<Permit, Denial> {
    let leaf = peer.leaf();
    let asked = Some((token.id(), token.generation()));
    let standing = trust.standing(&leaf.identity, &leaf.serial, asked).await?;
    if standing.token == TokenStatus::NewerThanStore {
        // A genuine token that the store cannot have issued yet.
        let (trust, seen) = (trust.clone(), token.generation());
        let _ = tokio::task::spawn_blocking(move || trust.rolled_back(seen)).await;
    }
    let grant = live_grant(peer.identity(), &standing, Timestamp::now())?;
    let role = role(grant, &token, &rules.policy())?;
    from_allowed_address(grant, registration.address())?;
    let houdini = choose(wanted, grant, config)?;
    let access_until = grant.access_until.clone();
    registration.set_terms(Terms {
        houdini: houdini.clone(),
        granted: grant.role.clone(),
        role: role.clone(),
        access_until: access_until.as_ref().map(Zoned::timestamp),
    });
    // A policy that was replaced in between did not find this session in the registry.
    if !still_holds(&role, &rules.policy()) {
        return Err(unknown(role.as_str()));
    }
    Ok(Permit {
        peer,
        token,
        role,
        rules: rules.clone(),
        houdini,
        access_until,
        upstream_timeout: config.limits.upstream_timeout,
        peer_timeout: config.limits.peer_timeout,
        idle_timeout: config.limits.idle_timeout,
        upstream_owner: config.upstream_owner.clone(),
        registration,
    })
}

/// The grant, if it, the certificate and the token still count.
///
/// # Errors
/// A denial that says which does not.
pub fn live_grant<'a>(
    identity: &Identity,
    standing: &'a Standing,
    now: Timestamp,
) -> Result<&'a Grant, Denial> {
    const ASK: &str = "Ask your IT team; a new invite starts anew.";
    let who = identity.shorthand();
    let Some(grant) = &standing.grant else {
        return Err(Denial::new(
            Code::GrantMissing,
            format!("{who} has no access here."),
            ASK,
        ));
    };
    if let Some(revocation) = &grant.revoked {
        return Err(Denial::new(
            Code::GrantRevoked,
            format!(
                "The access of {who} was revoked on {}: {}.",
                day_and_time(revocation.at),
                revocation.why
            ),
            ASK,
        ));
    }
    match &standing.certificate {
        CertificateStatus::Live => {}
        CertificateStatus::Revoked(revocation) => {
            return Err(Denial::new(
                Code::CertificateRevoked,
                format!(
                    "The access of {who} with this certificate was revoked on {}: {}.",
                    day_and_time(revocation.at),
                    revocation.why
                ),
                ASK,
            ));
        }
        CertificateStatus::Unknown => {
            return Err(Denial::new(
                Code::CertificateUnknown,
                format!("The authority has no record of this certificate of {who}."),
                ASK,
            ));
        }
    }
    if let TokenStatus::Revoked(revocation) = &standing.token {
        return Err(Denial::new(
            Code::TokenRevoked,
            format!(
                "The token of {who} was revoked on {}: {}.",
                day_and_time(revocation.at),
                revocation.why
            ),
            ASK,
        ));
    }
    match &grant.access_until {
        Some(until) if until.timestamp() <= now => Err(Denial::new(
            Code::AccessEnded,
            format!(
                "The access of {who} ended on {}.",
                until.strftime("%A %Y-%m-%d %H:%M %Z")
            ),
            "Ask your IT team for a longer one.",
        )),
        _ => Ok(grant),
    }
}

/// The role that token and grant agree on: neither makes of the other's narrow role a full
/// one, and between two narrow ones the grant is the live word. A role that the policy does
/// not know, in either, lets nobody in.
fn role(grant: &Grant, token: &VerifiedToken, policy: &Policy) -> Result<Role, Denial> {
    let known = |name: &str| policy.role(name).ok_or_else(|| unknown(name));
    let (stated, granted) = (known(token.role())?, known(&grant.role)?);
    let narrowed = granted.is_full() && !stated.is_full();
    Ok(if narrowed { stated } else { granted })
}

fn unknown(name: &str) -> Denial {
    Denial::new(
        Code::RoleUnknown,
        format!("This guard knows no role {name:?}; it never takes one for another."),
        "Ask your IT team: the role may be missing in the guard's policy file, or the guard older than the authority.",
    )
}

/// May a session that began in `role` go on under `policy`? Its rules may have changed: the
/// next request is judged by them. The role may not be gone, and who streams through
/// unjudged may not have become somebody to be judged; nor a script whose Houdini may ask
/// anything of it, for what that has got already is not known to be harmless.
pub fn still_holds(role: &Role, policy: &Policy) -> bool {
    policy.role(role.as_str()).is_some_and(|now| {
        let judged = role.inspect() == Inspect::Enforce || now.inspect() != Inspect::Enforce;
        let held = role.reverse_calls() == Reverse::Guarded || now.reverse_calls() == Reverse::Open;
        judged && held
    })
}

fn from_allowed_address(grant: &Grant, address: IpAddr) -> Result<(), Denial> {
    if grant.from.is_empty() || grant.from.iter().any(|net| net.contains(&address)) {
        return Ok(());
    }
    let nets: Vec<String> = grant.from.iter().map(ToString::to_string).collect();
    Err(Denial::new(
        Code::AddressNotAllowed,
        format!(
            "Access is given from {} only, and this connection comes from {address}.",
            nets.join(", ")
        ),
        "Connect from there, by the studio's VPN perhaps, or ask your IT team.",
    ))
}

fn choose(wanted: Option<&Wanted>, grant: &Grant, config: &Config) -> Result<Houdini, Denial> {
    let houdini = match wanted {
        // Without a wish, the first that the grant holds.
        None => config
            .upstreams
            .iter()
            .flat_map(|upstream| upstream.all())
            .find(|houdini| houdini.is_in(&grant.upstreams)),
        Some(_) => config
            .upstreams
            .iter()
            .find_map(|upstream| upstream.choose(wanted)),
    };
    match houdini {
        Some(houdini) if houdini.is_in(&grant.upstreams) => Ok(houdini),
        None if wanted.is_some() => Err(Denial::new(
            Code::UpstreamUnknown,
            format!(
                "This guard leads to no Houdini called {}.",
                wanted
                    .map(ToString::to_string)
                    .unwrap_or_default()
                    .escape_debug()
            ),
            "Name a port or a name that the guard is configured with.",
        )),
        _ => Err(Denial::new(
            Code::UpstreamNotGranted,
            format!(
                "Access is given to these Houdinis only: {}.",
                grant.upstreams.join(", ")
            ),
            "Name one of them, or ask your IT team.",
        )),
    }
}

/// Whether a session may go on, with the code of the reason when it may not. Asked again
/// whenever the store has changed.
pub fn still_permitted(
    standing: &Standing,
    subject: &Subject,
    now: Timestamp,
) -> Result<Option<Timestamp>, Code> {
    let grant =
        live_grant(&subject.identity, standing, now).map_err(|denial| match denial.code {
            Code::AccessEnded => Code::SessionEnded,
            _ => Code::SessionRevoked,
        })?;
    let fits = from_allowed_address(grant, subject.address).is_ok()
        && subject.terms.as_ref().is_none_or(|terms| {
            terms.granted == grant.role && terms.houdini.is_in(&grant.upstreams)
        });
    if fits {
        Ok(grant.access_until.as_ref().map(Zoned::timestamp))
    } else {
        Err(Code::SessionChanged)
    }
}
