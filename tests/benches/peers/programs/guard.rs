//! hrpyc-guard, with hrpyc-agent as the client's end.

use e2e::forge::client::hello;
use e2e::forge::enrol::join;
use e2e::programs::{Agent, Failure, Guard, Result, Running, Trial};
use wire::tls::ALPN_SESSION;

use super::{Contender, Place, settings};
use crate::material::client_config;
use crate::session::Entry;

/// What the guard does with the bytes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// They go by unseen.
    Opaque,
    /// Each message is understood, and each call is written into the audit.
    Inspecting,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Opaque => "guard, opaque",
            Self::Inspecting => "guard, inspecting",
        }
    }

    fn policy(self) -> &'static str {
        match self {
            Self::Opaque => "[role.full]\ninspect = \"off\"\n",
            Self::Inspecting => "[role.full]\ninspect = \"audit\"\n",
        }
    }
}

/// A guard, somebody who speaks TLS with it, and somebody with an agent.
pub(super) fn start(place: &Place<'_>, form: Form) -> Result<Contender> {
    let trial = Trial::new()?;
    let (policy, config) = (
        place.folder.join("policy.toml"),
        place.folder.join("guard.toml"),
    );
    settings(&policy, form.policy())?;
    settings(&config, &limits(place.sessions))?;
    let (policy, config) = (policy.display().to_string(), config.display().to_string());
    let extra = ["--policy", &policy, "--config", &config];
    let guard = trial.start_guard(&place.houdini.to_string(), &extra)?;
    let one = member(&trial, &guard)?;
    let agent = trial.bring_in(&guard, "artist")?;
    Ok(contender(form, one, guard, agent, trial))
}

fn contender(form: Form, one: Entry, guard: Guard, agent: Agent, trial: Trial) -> Contender {
    Contender {
        name: form.name(),
        version: version(&guard.process),
        one: Some(one),
        two: Some(Entry::plain(agent.address)),
        far: vec![guard.process],
        near: vec![agent.process],
        _keeps: vec![Box::new(trial)],
    }
}

fn version(_: &Running) -> String {
    format!("hrpyc-guard {}", env!("CARGO_PKG_VERSION"))
}

/// Joins, and says how a client enters that does the agent's part itself.
fn member(trial: &Trial, guard: &Guard) -> Result<Entry> {
    let code = trial.invite(guard.address, "load", &[])?;
    let code = code
        .parse()
        .map_err(|e| Failure::new(format!("{code}: {e}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|e| Failure::io("making a runtime", &e))?;
    let member = runtime.block_on(join(guard.address, &code));
    let own = member.credentials;
    let config = client_config(own.chain.clone(), own.private_key(), Some(ALPN_SESSION));
    let mut entry = Entry::tls(guard.address, config);
    entry.hello = Some(hello(&member.token).into());
    Ok(entry)
}

/// Everybody comes from one address here, and most under one name.
fn limits(sessions: usize) -> String {
    format!(
        "[limits]\nsessions = {sessions}\nsessions_per_identity = {sessions}\n\
         sessions_per_address = {sessions}\n"
    )
}
