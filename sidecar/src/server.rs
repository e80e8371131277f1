//! Running: taking connections, obeying signals, keeping things fresh.

use std::collections::HashSet;
use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::task::TaskTracker;
use wire::Code;
use wire::leaf::{Leaf, Usage};

use crate::audit::{self, Audit, Event, Record};
use crate::cli::RunArgs;
use crate::config::{self, Config};
use crate::guard::Guard;
use crate::signals::{Signal, Signals};
use crate::start::{self, Opened, StartError};
use crate::tls::TlsSettings;
use crate::{connection, follow, join, ports, watch};

/// Dead peers are found by keepalive after this time without a byte …
const KEEPALIVE: Duration = Duration::from_secs(60);
/// … and by unanswered data after this time.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// How often exposed ports, certificates and counted failures are looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(30);
/// How long sessions may take to end once they are told to.
const ENDING: Duration = Duration::from_secs(5);

/// Guards until a signal ends it.
///
/// # Errors
/// [`StartError`] when it cannot begin to guard.
pub async fn run(args: RunArgs, config: Config) -> Result<(), StartError> {
    let opened = Arc::new(start::open(&config)?);
    let _lock: File = audit::lock_directory(&config.state_dir)?;
    let audit = Audit::open(&config.state_dir.join("audit"), config.audit.clone())?;
    let trust = Arc::new(opened.trust(audit.clone())?);
    let tls = TlsSettings::new(&opened.credentials()?, &trust.authority)?;
    let mut signals = Signals::install()?;
    let listener = listen(config.listen).await?;
    let listening = listener.local_addr()?;
    if let Opened::Authority { authority, .. } = &*opened {
        authority.set_guard_address(&start::advertised(&config, listening.port()))?;
    }
    let guard = Arc::new(Guard::new(trust, audit, config.clone(), tls));
    let keeping = tokio::spawn(watch::run(guard.trust.clone(), guard.sessions.clone()));
    let following = match &*opened {
        Opened::Member { member, replica } => {
            Some(tokio::spawn(follow::run(member.clone(), replica.clone())))
        }
        Opened::Authority { .. } => None,
    };
    let housekeeping = tokio::spawn(keep_house(guard.clone(), opened.clone()));
    guard.audit.event(Record::new(Event::Started));
    let connections = TaskTracker::new();
    let accepting = tokio::spawn(accept(listener, guard.clone(), connections.clone()));
    start::announce(&opened, &config, listening).await;

    while signals.next().await == Signal::Reload {
        reload(&guard, &opened, &args);
    }
    drain(&guard, &mut signals).await;
    for task in [
        Some(accepting),
        Some(keeping),
        following,
        Some(housekeeping),
    ]
    .into_iter()
    .flatten()
    {
        task.abort();
    }
    connections.close();
    let _ = timeout(ENDING, connections.wait()).await;
    guard.audit.event(Record::new(Event::Stopped));
    let guarded = guard.clone();
    let lost = tokio::task::spawn_blocking(move || guarded.audit.finish())
        .await
        .unwrap_or(0);
    if lost > 0 {
        tracing::error!(
            lost,
            "audit records could not be written before the end: the disk is full"
        );
    }
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}

async fn accept(listener: TcpListener, guard: Arc<Guard>, connections: TaskTracker) {
    loop {
        match listener.accept().await {
            Ok((tcp, address)) => {
                tune(&tcp);
                connections.spawn(connection::serve(tcp, address, guard.clone()));
            }
            Err(error) => {
                // Out of descriptors, most likely: those in use must be given back first.
                tracing::error!(%error, "a connection could not be taken");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// No delay for small messages, and an end for peers that vanished.
fn tune(tcp: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE / 4);
    let socket = SockRef::from(tcp);
    let _ = tcp.set_nodelay(true);
    let _ = socket.set_tcp_keepalive(&keepalive);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(USER_TIMEOUT));
}

/// Lets live sessions go on for a while, takes no new ones, and ends what is left.
async fn drain(guard: &Guard, signals: &mut Signals) {
    let limit = guard.config().drain_timeout;
    guard.drain();
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
    refresh_tls(guard, opened);
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
async fn keep_house(guard: Arc<Guard>, opened: Arc<Opened>) {
    let mut ticks = interval(HOUSEKEEPING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut warned = HashSet::new();
    loop {
        ticks.tick().await;
        warn_of_exposed_ports(&guard.config(), &mut warned);
        guard.audit.write_suppressed(false);
        keep_certificate_fresh(&guard, &opened).await;
    }
}

/// Stock `hrpyc.start_server` listens on all addresses: whoever reaches that port needs no
/// guard.
fn warn_of_exposed_ports(config: &Config, warned: &mut HashSet<String>) {
    for houdini in config.upstreams.iter().flat_map(|upstream| upstream.all()) {
        let Some(port) = houdini.port() else { continue };
        let open = ports::exposed(port);
        let name = houdini.to_string();
        if open.is_empty() {
            warned.remove(&name);
        } else if warned.insert(name) {
            let addresses: Vec<String> = open.iter().map(ToString::to_string).collect();
            tracing::warn!(
                port,
                addresses = addresses.join(", "),
                "DANGER: Houdini's RPC port is open to the network, past this guard: anyone who reaches it runs any Python as the artist; close the port in the firewall, or bind the server to 127.0.0.1"
            );
        }
        let owner = houdini.owner();
        if owner.is_some() && owner == ports::own_user() && warned.insert(format!("user of {port}"))
        {
            tracing::warn!(
                port,
                "Houdini runs as the guard's own user: Python in Houdini can read the guard's keys; run the guard as a user of its own"
            );
        }
    }
}

async fn keep_certificate_fresh(guard: &Guard, opened: &Opened) {
    let Ok(own) = opened.credentials() else {
        return;
    };
    let serving = guard.tls();
    if let Opened::Member { member, .. } = opened {
        let due = own
            .chain
            .first()
            .and_then(|der| Leaf::read(der, Usage::Server).ok())
            .is_some_and(|leaf| past_two_thirds(&leaf, Timestamp::now()));
        if due && let Err(error) = join::renew(member).await {
            tracing::warn!(%error, "the guard's certificate could not be renewed; it is tried again");
        }
    }
    if !serving.serves(&own) {
        refresh_tls(guard, opened);
    }
}

fn past_two_thirds(leaf: &Leaf, now: Timestamp) -> bool {
    let life = leaf.not_after.as_second() - leaf.not_before.as_second();
    now.as_second() >= leaf.not_before.as_second() + life / 3 * 2
}
