//! The start: opening or making the state directory, and saying what the guard found.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use certs::{Authority, Member, State, StateError};
use jiff::Timestamp;
use jsonwebtoken::DecodingKey;
use rpyc::probe::{Probe, Verdict};
use tokio::time::timeout;
use wire::Name;
use wire::leaf::Fingerprint;

use crate::audit::{Audit, AuditError};
use crate::config::{Config, ConfigError};
use crate::follow::Replica;
use crate::ports::{self, OwnerRule};
use crate::rules::PolicyError;
use crate::tls;
use crate::trust::Trust;
use crate::upstream::{Houdini, ask, connect_to_probe};

/// How long a Houdini may take to accept, and then to answer, a probe.
const PROBE_TIME: Duration = Duration::from_millis(750);
/// Of a long range, only so many ports are looked at.
const PROBED: usize = 32;

/// Why the guard does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is not right.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The policy is not right.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The audit log cannot be used.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The guard's certificate and key cannot be used.
    #[error("the guard's certificate cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// The authority's token key cannot be used.
    #[error("the authority's token key cannot be used: {0}")]
    TokenKey(jsonwebtoken::errors::Error),
    /// The store was written in vain.
    #[error(transparent)]
    Store(#[from] certs::StoreError),
    /// The address is taken, or not this machine's.
    #[error("{address} cannot be listened on: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Another name was asked for than the state directory has.
    #[error("the state directory is of the guard {found}, and --name says {wanted}")]
    Name {
        /// The name in the state directory.
        found: Name,
        /// The name asked for.
        wanted: Name,
    },
    /// The operating system failed.
    #[error("the guard cannot run: {0}")]
    System(#[from] std::io::Error),
}

impl StartError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Config(error) => error.hint(),
            Self::Policy(error) => error.hint(),
            Self::State(error) => error.hint(),
            Self::Store(_) => "see docs/operations.md: restoring a backup".into(),
            Self::Audit(AuditError::Locked { .. }) => {
                "stop the other one first, or give this one another --state-dir".into()
            }
            Self::Audit(AuditError::Io { .. }) => {
                "the guard writes down every connection: make room or mend the permissions".into()
            }
            Self::Tls(_) | Self::TokenKey(_) => {
                "restore the state directory from a backup: hrpyc-certs restore".into()
            }
            Self::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
                "another program has that port, perhaps another guard: choose another with --listen"
                    .into()
            }
            Self::Listen { .. } => "choose an address of this machine with --listen".into(),
            Self::Name { found, .. } => {
                format!("leave --name out, or write --name {found}: clients know this guard by it")
            }
            Self::System(_) => "see the error above".into(),
        }
    }
}

/// The opened state directory.
#[derive(Debug)]
pub enum Opened {
    /// This guard holds the authority.
    Authority {
        /// The authority.
        authority: Arc<Authority>,
        /// It was made just now.
        new: bool,
    },
    /// This guard follows another's authority.
    Member {
        /// Its own keys.
        member: Arc<Member>,
        /// Its copy of the store.
        replica: Arc<Replica>,
    },
}

/// Opens the state directory. Only where there is none at all, an authority is made.
///
/// # Errors
/// [`StartError`].
pub fn open(config: &Config) -> Result<Opened, StartError> {
    let opened = match certs::open(&config.state_dir) {
        Ok(State::Authority(authority)) => Opened::Authority {
            authority: Arc::new(authority),
            new: false,
        },
        Ok(State::Member(member)) => {
            let replica = Arc::new(Replica::new(member.authority_address().to_owned()));
            Opened::Member {
                member: Arc::new(member),
                replica,
            }
        }
        Err(StateError::Absent { .. }) => {
            let name = config.name.clone().unwrap_or_else(machine_name);
            let authority = Authority::init(&config.state_dir, None, &name)?;
            Opened::Authority {
                authority: Arc::new(authority),
                new: true,
            }
        }
        Err(error) => return Err(error.into()),
    };
    let found = &opened.identity().name;
    match &config.name {
        Some(wanted) if wanted != found => Err(StartError::Name {
            found: found.clone(),
            wanted: wanted.clone(),
        }),
        _ => Ok(opened),
    }
}

impl Opened {
    fn identity(&self) -> &wire::Identity {
        match self {
            Self::Authority { authority, .. } => authority.guard_identity(),
            Self::Member { member, .. } => member.guard_identity(),
        }
    }

    /// What the guard believes.
    ///
    /// # Errors
    /// [`StartError::TokenKey`].
    pub fn trust(&self, audit: Arc<Audit>) -> Result<Trust, StartError> {
        let key =
            |pem: String| DecodingKey::from_ed_pem(pem.as_bytes()).map_err(StartError::TokenKey);
        Ok(match self {
            Self::Authority { authority, .. } => Trust {
                domain: authority.domain().clone(),
                guard: authority.guard_identity().clone(),
                authority: authority.certificate(),
                token_key: key(authority.token_key_pem())?,
                algorithms: tls::algorithms(),
                store: authority.clone(),
                issuer: Some(authority.clone()),
                audit,
            },
            Self::Member { member, replica } => Trust {
                domain: member.domain().clone(),
                guard: member.guard_identity().clone(),
                authority: member.certificate(),
                token_key: key(member.token_key_pem())?,
                algorithms: tls::algorithms(),
                store: replica.clone(),
                issuer: None,
                audit,
            },
        })
    }

    /// The guard's own certificate and key, reissued when they are due.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn credentials(&self) -> Result<certs::GuardCredentials, StateError> {
        let own = match self {
            Self::Authority { authority, .. } => authority.guard_credentials(Timestamp::now()),
            Self::Member { member, .. } => member.guard_credentials(),
        }?;
        if let Some(error) = &own.not_renewed {
            tracing::warn!(%error, until = %own.not_after, "the guard's certificate is due and could not be renewed; it is tried again");
        }
        Ok(own)
    }
}

/// This machine's name as a guard's name, without what a name may not hold.
pub fn machine_name() -> Name {
    let host = gethostname::gethostname().to_string_lossy().to_lowercase();
    let short = host.split('.').next().unwrap_or_default();
    let plain: String = short
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_')
        .take(64)
        .collect();
    let plain = plain.trim_start_matches(['-', '_']);
    plain
        .parse()
        .or_else(|_| "workstation".parse())
        .unwrap_or_else(|_| unreachable!("a plain word is a name"))
}

/// `HOST:PORT` at which artists reach the guard: what is said now, or was said before, or
/// what can be guessed.
///
/// # Errors
/// [`StartError::Store`] when the authority's store cannot be used.
pub fn remember_address(opened: &Opened, config: &Config, port: u16) -> Result<String, StartError> {
    let Opened::Authority { authority, .. } = opened else {
        return Ok(config
            .advertise
            .clone()
            .unwrap_or_else(|| guessed_address(config, port)));
    };
    let address = match (&config.advertise, authority.guard_address()?) {
        (Some(said), _) => said.clone(),
        (None, Some(remembered)) => remembered,
        (None, None) => guessed_address(config, port),
    };
    authority.set_guard_address(&address)?;
    Ok(address)
}

fn guessed_address(config: &Config, port: u16) -> String {
    let ip = config.listen.ip();
    let host = if ip.is_unspecified() {
        gethostname::gethostname().to_string_lossy().into_owned()
    } else {
        ip.to_string()
    };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    format!("{host}:{port}")
}

/// Says what the guard is and where, what answers at Houdini's end, and, last of all, that it
/// is ready. Nobody need read it: a closed standard output is no reason to stop.
pub async fn announce(opened: Arc<Opened>, config: Config, listening: SocketAddr, reached: String) {
    let mut text = introduction(&opened, &config, &reached);
    let mut probes = tokio::task::JoinSet::new();
    let houdinis = config
        .upstreams
        .iter()
        .flat_map(|upstream| upstream.all())
        .take(PROBED);
    for (place, houdini) in houdinis.enumerate() {
        let rule = config.upstream_owner.clone();
        probes.spawn(async move {
            let described = describe(&houdini, &rule).await;
            (place, format!("  Houdini at   {houdini}: {described}\n"))
        });
    }
    let mut lines = probes.join_all().await;
    lines.sort();
    text.extend(lines.into_iter().map(|(_, line)| line));
    if let Opened::Authority {
        authority,
        new: true,
    } = &*opened
    {
        let _ = write!(
            text,
            "\nNext, invite an artist:\n  hrpyc-certs --state-dir {} invite alice --role full\nand have the artist compare this fingerprint when joining:\n  {}\n\n",
            shell_word(&config.state_dir),
            authority.fingerprint()
        );
    }
    let _ = writeln!(text, "listening on {listening}");
    say(&text);
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn introduction(opened: &Opened, config: &Config, reached: &str) -> String {
    let mut text = format!(
        "hrpyc-guard {}, guard {}\n",
        env!("CARGO_PKG_VERSION"),
        opened.identity().name
    );
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    match opened {
        Opened::Authority { authority, new } => {
            if *new {
                line(
                    "new",
                    &format!("an authority was made in {}", config.state_dir.display()),
                );
            }
            line("authority", authority.domain());
            line("fingerprint", &authority.fingerprint());
        }
        Opened::Member { member, .. } => {
            line("authority", member.domain());
            line("fingerprint", &Fingerprint::of(&member.certificate()));
            line(
                "follows",
                &format!(
                    "{} at {}",
                    member.authority_guard(),
                    member.authority_address()
                ),
            );
        }
    }
    line("state", &config.state_dir.display());
    line("artists use", &reached);
    if let Some(user) = ports::own_user() {
        line("runs as", &user);
    }
    text
}

fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c))) {
        format!("'{}'", text.replace('\'', r"'\''"))
    } else {
        text
    }
}

/// What answers at a Houdini's address, and whose it is.
async fn describe(houdini: &Houdini, rule: &OwnerRule) -> String {
    let mut stream = match timeout(PROBE_TIME, connect_to_probe(houdini)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return "nothing listens there yet; sessions are refused until Houdini's server runs"
                .into();
        }
        Ok(Err(error)) => return format!("cannot be reached yet: {error}"),
        Err(_) => return "does not accept: busy, perhaps cooking".into(),
    };
    if let Some(objection) = stream.objection(rule).await {
        return format!("WARNING: it belongs to {objection}; sessions are refused");
    }
    let owner = stream.owner().await;
    let answer = match timeout(PROBE_TIME, ask(&mut stream, Probe::new())).await {
        Ok(Ok(Some(Verdict::Rpyc(rpyc::Family::Classic)))) => "rpyc 5 or older answers".into(),
        Ok(Ok(Some(Verdict::Rpyc(rpyc::Family::Six)))) => "rpyc 6 answers".into(),
        Ok(Ok(Some(Verdict::NotRpyc { what }))) => format!("WARNING: {what} answers, not rpyc"),
        Ok(Ok(None) | Err(_)) => "it listens, and hangs up on a question".into(),
        Err(_) => "it listens and does not answer: busy, perhaps cooking".into(),
    };
    match owner {
        Some(owner) => format!("{answer}; it runs as {owner}"),
        None => answer,
    }
}
