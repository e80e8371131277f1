//! Why does it not connect? Step by step, each with what to do.

mod clock;
mod presented;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use wire::Name;
use wire::tls::{ALPN_SESSION, GuardError, client_config};

use crate::dates;
use crate::explain::Explain;
use crate::fault::{Cause, Fault};
use crate::guard;
use crate::profile::{Credentials, Route};
use crate::renew;
use crate::tunnel::{self, Tunnel, TunnelError};

/// How long the guard may take for its verdict.
const VERDICT_TIME: Duration = Duration::from_secs(15);

/// What was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The profile that was looked at.
    pub profile: Name,
    /// The guard that was looked at.
    pub guard: Name,
    /// Is everything well?
    pub ok: bool,
    /// The steps that were taken. A step that needs one that failed is left out.
    pub checks: Vec<Check>,
}

/// One step.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub check: &'static str,
    /// Is it well?
    pub ok: bool,
    /// What was found.
    pub text: String,
    /// What to do, when it is not well.
    pub hint: Option<String>,
}

impl Check {
    fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self {
            check,
            ok: true,
            text: text.into(),
            hint: None,
        }
    }

    fn failed(check: &'static str, error: &impl Explain) -> Self {
        Self {
            check,
            ok: false,
            text: error.to_string(),
            hint: error.hint(),
        }
    }
}

/// Goes the whole way to the guard's verdict. A session that is granted is closed at once.
pub async fn examine(route: &Route) -> Report {
    let mut checks = Vec::new();
    names(route, &mut checks).await;
    let mut validity_checks = Vec::new();
    let credentials = validity(route, &mut validity_checks).await;
    let outcome = match &credentials {
        Some(_) => tunnel::ask_verdict(route, VERDICT_TIME).await.map(Some),
        None => dial(route).await.map(|()| None).map_err(TunnelError::Fault),
    };
    let reached = way(route, outcome.as_ref().err(), &mut checks).await;
    checks.extend(validity_checks);
    checks.extend(credentials.as_ref().map(clock::check));
    if reached && credentials.is_some() {
        checks.extend(verdict(outcome).await);
    }
    Report {
        profile: route.profile.name().clone(),
        guard: route.guard.name().clone(),
        ok: checks.iter().all(|check| check.ok),
        checks,
    }
}

/// One of the guard's addresses must resolve.
async fn names(route: &Route, checks: &mut Vec<Check>) {
    let mut failed = None;
    for address in &route.guard.addresses {
        match guard::resolve(address).await {
            Ok(resolved) => {
                let list: Vec<String> = resolved.iter().map(ToString::to_string).collect();
                checks.push(Check::ok(
                    "name",
                    format!("{address} is {}", list.join(", ")),
                ));
            }
            Err(cause) => failed = Some(fault(route, address, cause)),
        }
    }
    if let (true, Some(fault)) = (checks.is_empty(), failed) {
        checks.push(Check::failed("name", &fault));
    }
}

fn fault(route: &Route, address: &str, cause: Cause) -> Fault {
    Fault {
        guard: route.guard.name().clone(),
        address: address.into(),
        cause,
    }
}

/// How far did it get? Returns whether the guard itself was reached.
async fn way(route: &Route, error: Option<&TunnelError>, checks: &mut Vec<Check>) -> bool {
    let fault = match error {
        Some(TunnelError::Fault(fault)) => Some(fault),
        _ => None,
    };
    if let Some(fault) = fault {
        match &fault.cause {
            // The name was looked at already.
            Cause::Resolve(_) => return false,
            Cause::Connect(_) | Cause::ConnectTimeout(_) => {
                checks.push(Check::failed("network", fault));
                return false;
            }
            _ => {}
        }
    }
    let address = fault.map_or_else(|| route.guard.addresses.join(" or "), |f| f.address.clone());
    checks.push(Check::ok(
        "network",
        format!("{address} accepts connections"),
    ));
    match fault {
        Some(fault) if fault.cause.is_before_trust() => {
            let mut check = Check::failed("guard", fault);
            if matches!(fault.cause, Cause::Untrusted(GuardError::Authority))
                && let Some(presented) = presented::at(&fault.address).await
            {
                check.text.push_str(&format!("; presented was {presented}"));
            }
            checks.push(check);
            false
        }
        _ => {
            let text = format!("TLS 1.3 with {}", route.guard.identity);
            checks.push(Check::ok("guard", text));
            true
        }
    }
}

/// To the end of the handshake, with our certificate all the same: the guard's audit then
/// names us and no stranger.
async fn dial(route: &Route) -> Result<(), Fault> {
    let profile = &route.profile;
    let identity = route.guard.identity.clone();
    let mutual = profile
        .credentials()
        .and_then(|credentials| profile.client_credentials(&credentials))
        .ok();
    let config = client_config(profile.anchor(), identity, ALPN_SESSION, mutual)
        .map_err(|error| fault(route, "", Cause::Credentials(error)))?;
    let mut stream = guard::dial(&route.guard, config).await?;
    guard::close(&mut stream).await;
    Ok(())
}

/// Certificate and token; what has expired is renewed.
async fn validity(route: &Route, checks: &mut Vec<Check>) -> Option<Credentials> {
    let before = route.profile.credentials();
    let credentials = match renew::usable(&route.profile).await {
        Ok(credentials) => credentials,
        Err(error) => {
            checks.push(Check::failed("certificate", &*error));
            return None;
        }
    };
    let renewed = before.is_ok_and(|b| b.token.expose() != credentials.token.expose());
    let note = if renewed { ", renewed just now" } else { "" };
    let now = Timestamp::now();
    checks.push(match credentials.leaf() {
        Ok(leaf) => Check::ok(
            "certificate",
            format!(
                "{} until {}",
                leaf.identity,
                dates::moment(leaf.not_after, now)
            ),
        ),
        Err(error) => Check {
            check: "certificate",
            ok: false,
            text: error.to_string(),
            hint: Some("leave this profile and join again with a new invite".into()),
        },
    });
    let until = dates::moment(credentials.token_end(), now);
    checks.push(Check::ok("token", format!("until {until}{note}")));
    Some(credentials)
}

async fn verdict(outcome: Result<Option<Tunnel>, TunnelError>) -> Option<Check> {
    let tunnel = match outcome {
        Ok(tunnel) => tunnel?,
        Err(error) => return Some(Check::failed("verdict", &error)),
    };
    let accepted = &tunnel.accepted;
    let mut text = format!(
        "accepted with role {} to {}",
        accepted.role, accepted.upstream
    );
    if let Some(until) = &accepted.access_until {
        let until = dates::zoned(until, Timestamp::now());
        text.push_str(&format!(", until {until}"));
    }
    tunnel::take_leave(tunnel, None).await;
    Some(Check::ok("verdict", text))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "profile {}, guard {}", self.profile, self.guard)?;
        for Check {
            check,
            ok,
            text,
            hint,
        } in &self.checks
        {
            let mark = if *ok { "ok    " } else { "FAILED" };
            write!(f, "\n{mark}  {check:<12} {text}")?;
            if let Some(hint) = hint {
                write!(f, "\n{:<21}hint: {hint}", "")?;
            }
        }
        Ok(())
    }
}
