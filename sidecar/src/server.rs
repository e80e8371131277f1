//! Running: taking connections, obeying signals, keeping things fresh.

use std::collections::HashSet;
use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certs::AuditKey;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::Code;

use crate::audit::{self, Audit, Event, Record};
use crate::cli::RunArgs;
use crate::config::{self, Config};
use crate::guard::Guard;
use crate::limits::UNPROVEN;
use crate::rules::{Mode, Policy};
use crate::service::{self, News};
use crate::signals::{Signal, Signals};
use crate::start::{self, Opened, StartError};
use crate::tls::TlsSettings;
use crate::{connection, follow, join, ports, watch};

/// How often exposed ports, certificates and counted failures are looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(10);
/// How long followers may take to hear of the last changes.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// How long sessions may take to end once they are told to.
const ENDING: Duration = Duration::from_secs(5);

/// How long the end may take in all once the time of the sessions is over, as the service
/// manager is told.
const CLOSING: Duration = Duration::from_secs(30);

/// Guards until a signal ends it.
///
/// # Errors
/// [`StartError`] when it cannot begin to guard.
pub async fn run(args: RunArgs, config: Config) -> Result<(), StartError> {
    let policy = config.load_policy()?;
    let opened = Arc::new(start::open(&config)?);
    let _lock: File = audit::lock_directory(&config.state_dir)?;
    let key = AuditKey::load(&config.state_dir)?;
    let audit = Audit::open(&config.state_dir.join("audit"), config.audit.clone(), key)?;
    let trust = Arc::new(opened.trust(audit.clone())?);
    let tls = TlsSettings::new(&opened.credentials()?, &trust.authority)?;
    let mut signals = Signals::install()?;
    let listener = listen(config.listen).await?;
    let listening = listener.local_addr()?;
    let reached = start::remember_address(&opened, &config, listening.port())?;
    raise_descriptor_limit(config.limits.sessions);

    let guard = Arc::new(Guard::new(trust, audit, policy, config.clone(), tls));
    warn_of_roles(&guard.rules.policy());
    let watching = watch::spawn(guard.trust.clone(), &guard.sessions)?;
    let stop = CancellationToken::new();
    let connections = TaskTracker::new();
    let mut helpers = JoinSet::new();
    if let Opened::Member { member, replica } = &*opened {
        helpers.spawn(follow::run(member.clone(), replica.clone()));
    }
    helpers.spawn(keep_house(guard.clone(), opened.clone(), listening));
    guard.audit.event(&Record::new(Event::Started));
    helpers.spawn(accept(
        listener,
        guard.clone(),
        connections.clone(),
        stop.clone(),
    ));
    helpers.spawn(start::announce(opened.clone(), config, listening, reached));
    service::tell(News::Ready, guarding(&guard, listening)).await;

    while signals.next().await == Signal::Reload {
        service::tell(News::Reloading, "reading the configuration anew".into()).await;
        let reading = (guard.clone(), opened.clone(), args.clone());
        let reading = move || reload(&reading.0, &reading.1, &reading.2);
        let _ = tokio::task::spawn_blocking(reading).await;
        service::tell(News::Ready, guarding(&guard, listening)).await;
    }
    drain(&guard, &mut signals).await;
    connections.close();
    // Sessions end by themselves now; who has not shown who he is, and followers, are cut.
    let sessions_end = async {
        while guard.sessions.count() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = timeout(ENDING, sessions_end).await;
    if !connections.is_empty() {
        // Followers hear of the last changes before they are left alone.
        sleep(LAST_WORDS).await;
    }
    stop.cancel();
    helpers.shutdown().await;
    let _ = timeout(ENDING, connections.wait()).await;
    let guarded = guard.clone();
    let finish = tokio::task::spawn_blocking(move || guarded.audit.finish());
    match timeout(ENDING, finish).await {
        Ok(Ok(0)) => {}
        Ok(Ok(lost)) => {
            tracing::error!(
                lost,
                "audit records could not be written before the end: the disk is full"
            );
        }
        _ => tracing::error!("the audit log could not be finished: the disk does not answer"),
    }
    // The last one to let go of the store closes it, and a store that was closed is one whole
    // file that can be copied.
    drop((guard, opened));
    let closed = tokio::task::spawn_blocking(move || watching.join());
    let _ = timeout(ENDING, closed).await;
    Ok(())
}

/// A session takes two descriptors; the usual limit of 1024 would end long before ours.
fn raise_descriptor_limit(sessions: usize) {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                ..limit
            },
        );
        let wanted = 2 * sessions as u64 + UNPROVEN as u64 + 64;
        let got = getrlimit(Resource::Nofile).current;
        if got.is_some_and(|got| got < wanted) {
            tracing::warn!(
                got,
                wanted,
                "the operating system allows fewer open files than the limits on sessions need: raise it (LimitNOFILE= in systemd, ulimit -n)"
            );
        }
    }
    #[cfg(not(unix))]
    let _ = sessions;
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}

async fn accept(
    listener: TcpListener,
    guard: Arc<Guard>,
    connections: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        match listener.accept().await {
            Ok((tcp, address)) => {
                let serving = connection::serve(tcp, address, guard.clone());
                let stop = stop.clone();
                // Dropped at the stop: its audit record is written all the same.
                connections.spawn(async move {
                    tokio::select! {
                        () = serving => {}
                        () = stop.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: those in use must be given back first.
                tracing::error!(%error, "a connection could not be taken");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Lets live sessions go on for a while, takes no new ones, and ends what is left.
async fn drain(guard: &Guard, signals: &mut Signals) {
    let limit = guard.config().drain_timeout;
    guard.drain();
    let status = format!(
        "stopping: {} live sessions may end by themselves",
        guard.sessions.count()
    );
    service::tell(
        News::Stopping {
            within: limit + CLOSING,
        },
        status,
    )
    .await;
    tracing::info!(
        sessions = guard.sessions.count(),
        ?limit,
        "stopping: live sessions may end by themselves; a second signal ends them"
    );
    let empty = async {
        while guard.sessions.count() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = empty => {}
        () = sleep(limit) => tracing::info!(sessions = guard.sessions.count(), "the time is over: sessions are ended"),
        () = signals.stop() => tracing::info!("a second signal: sessions are ended"),
    }
    guard.sessions.end_all(Code::SessionDrained);
}

fn reload(guard: &Guard, opened: &Opened, args: &RunArgs) {
    let old = guard.config();
    match config::resolve(args) {
        Ok(new) => {
            if new.listen != old.listen
                || new.state_dir != old.state_dir
                || new.log_format != old.log_format
            {
                tracing::warn!(
                    "listen, state_dir and log_format change only when the guard is started anew"
                );
            }
            guard.reconfigure(new);
            tracing::info!("the configuration was read anew");
        }
        Err(error) => {
            tracing::error!(
                "the new configuration is not used: {error}; hint: {}",
                error.hint()
            );
        }
    }
    reload_policy(guard);
    refresh_tls(guard, opened);
}

/// A policy that is not right leaves the old one in force.
fn reload_policy(guard: &Guard) {
    match guard.config().load_policy() {
        Ok(policy) => {
            warn_of_roles(&policy);
            let ended = guard.repolice(policy);
            tracing::info!(
                generation = guard.rules.generation(),
                ended,
                "the policy was read anew: it holds for live sessions from their next request on; those whose role is gone were ended"
            );
        }
        Err(error) => {
            tracing::error!(
                "THE NEW POLICY IS NOT USED, the old one stays in force: {error}; hint: {}",
                error.hint()
            );
        }
    }
}

fn warn_of_roles(policy: &Policy) {
    for role in policy.roles().filter(|role| role.mode() == Mode::Shadow) {
        tracing::warn!(
            role = role.as_str(),
            "this role is in shadow mode: whoever has it may do everything, and what would be denied is only reported"
        );
    }
}

fn refresh_tls(guard: &Guard, opened: &Opened) {
    let fresh = opened
        .credentials()
        .map_err(StartError::from)
        .and_then(|own| Ok(TlsSettings::new(&own, &guard.trust.authority)?));
    match fresh {
        Ok(tls) => guard.retls(tls),
        Err(error) => {
            tracing::error!(%error, "the guard's certificate could not be read anew; the old one serves on")
        }
    }
}

/// What must be looked at now and then.
async fn keep_house(guard: Arc<Guard>, opened: Arc<Opened>, listening: SocketAddr) {
    let mut ticks = interval(HOUSEKEEPING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut warned = HashSet::new();
    loop {
        ticks.tick().await;
        let looking = guard.clone();
        let looked = tokio::task::spawn_blocking(move || {
            warn_of_exposed_ports(&looking.config(), &mut warned);
            looking.audit.write_suppressed(false);
            warned
        });
        warned = looked.await.unwrap_or_default();
        keep_certificate_fresh(&guard, &opened).await;
        if !guard.is_draining() {
            service::tell(News::Going, guarding(&guard, listening)).await;
        }
    }
}

/// How the guard is, for the service manager.
fn guarding(guard: &Guard, listening: SocketAddr) -> String {
    format!(
        "listening on {listening}; live sessions: {}",
        guard.sessions.count()
    )
}

/// Stock `hrpyc.start_server` listens on all addresses: whoever reaches that port needs no
/// guard.
fn warn_of_exposed_ports(config: &Config, warned: &mut HashSet<String>) {
    let listeners = ports::Listeners::read();
    let houdinis = config.upstreams.iter().flat_map(|upstream| upstream.all());
    for (houdini, port) in
        houdinis.filter_map(|houdini| Some((houdini.to_string(), houdini.port()?)))
    {
        let open = listeners.exposed(port);
        if open.is_empty() {
            warned.remove(&houdini);
        } else if warned.insert(houdini.clone()) {
            let addresses: Vec<String> = open.iter().map(ToString::to_string).collect();
            tracing::warn!(
                port,
                addresses = addresses.join(", "),
                "DANGER: Houdini's RPC port is open to the network, past this guard: anyone who reaches it runs any Python as the artist; close the port in the firewall, or bind the server to 127.0.0.1"
            );
        }
        let owner = listeners.owner(([127, 0, 0, 1], port).into());
        if owner.is_some()
            && owner == ports::own_user()
            && warned.insert(format!("user of {houdini}"))
        {
            tracing::warn!(
                port,
                sessions_are_refused = config.upstream_owner.refuse_own,
                "Houdini runs as the guard's own user: Python in Houdini can read the guard's keys; run the guard as a user of its own"
            );
        }
    }
}

async fn keep_certificate_fresh(guard: &Arc<Guard>, opened: &Arc<Opened>) {
    let reading = opened.clone();
    // Reading it reissues the authority's own guard's certificate when it is due.
    let Ok(Ok(own)) = tokio::task::spawn_blocking(move || reading.credentials()).await else {
        return;
    };
    if let Opened::Member { member, .. } = &**opened
        && own.is_due(Timestamp::now())
        && let Err(error) = join::renew(member).await
    {
        tracing::warn!(%error, "the guard's certificate could not be renewed; it is tried again");
    }
    if !guard.tls().serves(&own) {
        let (guard, opened) = (guard.clone(), opened.clone());
        let _ = tokio::task::spawn_blocking(move || refresh_tls(&guard, &opened)).await;
    }
}
