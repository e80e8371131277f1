//! `hrpyc-agent connect`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use clap::CommandFactory as _;
use jiff::Timestamp;
use rpyc::reverse::Reverse;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::args::{Args, ConnectOptions};
use super::{CLIENT, CliError, Failure, say, target};
use crate::local::{self, Admit, ListenError};
use crate::profile::{Profiles, Route};
use crate::standing::Standing;
use crate::{dates, renew};

pub(super) async fn run(profiles: &Profiles, options: ConnectOptions) -> Result<ExitCode, Failure> {
    let targets = target::place(&options).unwrap_or_else(|message| {
        Args::command()
            .error(clap::error::ErrorKind::ArgumentConflict, message)
            .exit()
    });
    let admit = admit(&options)?;

    let mut served = Vec::new();
    for (target, listen) in targets {
        let route = profiles.route(target.name.as_deref(), target.upstream, CLIENT)?;
        let listener = local::listen(listen)?;
        let address = listener.local_addr().map_err(|source| ListenError::Bind {
            address: listen,
            source,
        })?;
        served.push((address, listener, route));
    }
    let shutdown = CancellationToken::new();
    let signals = Signals::new().map_err(CliError::Signals)?;
    let listeners = TaskTracker::new();
    let mut fresh = BTreeMap::new();
    for (address, listener, route) in served {
        say(format_args!(
            "listening on {address}\n  {}",
            describe(&route)
        ))?;
        fresh
            .entry(route.profile.name().clone())
            .or_insert_with(|| tokio::spawn(renew::keep_fresh(route.profile.clone())));
        let standing = Arc::new(Standing::new(route));
        listeners.spawn(local::serve(listener, standing, admit, shutdown.clone()));
    }
    listeners.close();

    signals.wait().await;
    tracing::info!("stopping");
    shutdown.cancel();
    listeners.wait().await;
    fresh.values().for_each(tokio::task::JoinHandle::abort);
    Ok(ExitCode::SUCCESS)
}

fn admit(options: &ConnectOptions) -> Result<Admit, ListenError> {
    if options.allow_any_local_user {
        tracing::warn!("every user of this machine can use the local port as you");
        Ok(Admit::AnyLocalUser)
    } else if local::can_tell_users() {
        Ok(Admit::SameUser)
    } else {
        Err(ListenError::CannotTellUsers)
    }
}

fn describe(route: &Route) -> String {
    let guard = &route.guard;
    let address = guard.addresses.first().map_or("", String::as_str);
    let mut text = format!(
        "guard {} at {address}, as {}",
        guard.name(),
        route.profile.identity().shorthand()
    );
    if let Some(upstream) = &route.upstream {
        text.push_str(&format!(", to {upstream}"));
    }
    if route.profile.reverse_calls() == Reverse::Open {
        text.push_str(", reverse calls open");
    }
    if let Ok(credentials) = route.profile.credentials()
        && let Some(until) = &credentials.access_until
    {
        let until = dates::zoned(until, Timestamp::now());
        text.push_str(&format!(", until {until}"));
    }
    text
}

/// What ends the program.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// From here on signals are caught, before anything says that we are ready.
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    async fn wait(self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "signals cannot be received");
            std::future::pending::<()>().await;
        }
    }
}
