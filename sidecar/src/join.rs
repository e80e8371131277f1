//! Joining another guard's authority, and keeping this guard's certificate fresh there.

use std::io::{BufRead, IsTerminal, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs::{Member, StateError};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use wire::enrolment::{Issued, Redeem, Renew, Reply, exchange};
use wire::invite::{Invite, InviteError};
use wire::message::{Message, ReadError};
use wire::tls::{ALPN_ENROL, ALPN_RENEW, Anchor, ClientCredentials, client_config, guard_error};
use wire::{Kind, Refusal, Secret, keypair};

const EXCHANGE_TIME: Duration = Duration::from_secs(20);

/// Why a guard could not join or renew.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No code came.
    #[error("no invite code could be read: {0}")]
    Code(std::io::Error),
    /// Not an invite.
    #[error(transparent)]
    Invite(#[from] InviteError),
    /// The directory is in use.
    #[error("the state directory {0} exists already")]
    Exists(PathBuf),
    /// The other guard cannot be reached.
    #[error("the guard at {address} cannot be reached: {problem}")]
    Unreachable {
        /// `HOST:PORT`.
        address: String,
        /// Why.
        problem: String,
    },
    /// The other guard refused.
    #[error("{0}")]
    Refused(Refusal),
    /// Its answer cannot be used.
    #[error("the answer of the guard at {address} cannot be used: {problem}")]
    Answer {
        /// `HOST:PORT`.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The key could not be kept.
    #[error("the key cannot be kept in {path}: {source}")]
    KeyFile {
        /// Beside the state directory that is to be.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The key could not be made.
    #[error("no key could be made: {0}")]
    Key(#[from] keypair::Error),
    /// The state directory could not be written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl JoinError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Code(_) | Self::Invite(_) => {
                "paste the whole code that hrpyc-certs invite guard/NAME printed".into()
            }
            Self::Exists(_) => "a guard that joins needs a state directory of its own: name another with --state-dir".into(),
            Self::Unreachable { .. } => "check the name, the network and the firewall between the two".into(),
            Self::Refused(refusal) => refusal.hint.clone(),
            Self::Answer { .. } => "compare the versions of both guards".into(),
            Self::KeyFile { .. } => "name a --state-dir in a folder that this user can write".into(),
            Self::Key(_) => "the operating system has no randomness".into(),
            Self::State(error) => error.hint(),
        }
    }
}

/// Reads the code from the argument, or from standard input.
///
/// # Errors
/// [`JoinError::Code`] when standard input cannot be read.
pub fn read_code(argument: Option<&str>) -> Result<Invite, JoinError> {
    const LONGEST: u64 = 4096;
    let text = match argument {
        Some(code) if code != "-" => code.to_owned(),
        _ => {
            let stdin = std::io::stdin();
            let mut text = String::new();
            if stdin.is_terminal() {
                eprint!("invite code: ");
                stdin.lock().read_line(&mut text).map_err(JoinError::Code)?;
            } else {
                stdin
                    .lock()
                    .take(LONGEST)
                    .read_to_string(&mut text)
                    .map_err(JoinError::Code)?;
            }
            text
        }
    };
    Ok(text.parse()?)
}

/// Uses the invite up and writes the state directory of the new member.
///
/// The key is on disk before the invite is sent: when the answer is lost on its way, the same
/// command with the same code gets the same certificate.
///
/// # Errors
/// [`JoinError`].
pub async fn join(invite: &Invite, state: &Path, advertise: &str) -> Result<Member, JoinError> {
    if state.exists() && !certs::is_vacant(state)? {
        return Err(JoinError::Exists(state.to_owned()));
    }
    let (key, key_path) = joining_key(state)?;
    let request = Redeem {
        secret: Secret::new(URL_SAFE_NO_PAD.encode(invite.secret.expose())),
        request: URL_SAFE_NO_PAD.encode(keypair::request(&key)?),
        device: gethostname::gethostname().to_string_lossy().into_owned(),
        address: Some(advertise.to_owned()),
    };
    let config = client_config(
        Anchor::Fingerprint(invite.authority),
        invite.guard.clone(),
        ALPN_ENROL,
        None,
    );
    let issued = ask(&invite.address, config, &request).await?;
    let answer = |problem: &str| JoinError::Answer {
        address: invite.address.clone(),
        problem: problem.into(),
    };
    if issued.identity.kind != Kind::Guard {
        return Err(answer(
            "the invite is an artist's, not a guard's: use hrpyc-agent join",
        ));
    }
    let member = Member::create(state, &key, &issued, &invite.guard, &invite.address)?;
    let _ = std::fs::remove_file(key_path);
    Ok(member)
}

/// The key of a joining that is under way, kept beside the state directory that is to be, or
/// in it where an empty one waits: what is beside that may not be ours to write.
fn joining_key(state: &Path) -> Result<(Secret<String>, PathBuf), JoinError> {
    let path = if state.exists() {
        state.join(certs::JOINING_KEY)
    } else {
        let name = state.file_name().unwrap_or_default().to_string_lossy();
        state.with_file_name(format!(".{name}.joining"))
    };
    let failed = |source| JoinError::KeyFile {
        path: path.clone(),
        source,
    };
    match std::fs::read_to_string(&path) {
        Ok(pem) => return Ok((Secret::new(pem), path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let pem = keypair::generate()?.pem;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path).map_err(failed)?;
    file.write_all(pem.expose().as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    Ok((pem, path))
}

/// Asks the authority for a new certificate for the same key.
///
/// # Errors
/// [`JoinError`]; the old certificate goes on to serve.
pub async fn renew(member: &Member) -> Result<(), JoinError> {
    let key = member.guard_credentials()?.key;
    let request = Renew {
        request: Some(URL_SAFE_NO_PAD.encode(keypair::request_from_der(&key)?)),
    };
    let config = client_config(
        Anchor::Certificate(member.certificate()),
        member.authority_guard().clone(),
        ALPN_RENEW,
        Some(credentials(member)?),
    );
    let issued = ask(member.authority_address(), config, &request).await?;
    let certificate = issued.certificate.ok_or_else(|| JoinError::Answer {
        address: member.authority_address().to_owned(),
        problem: "it holds no certificate".into(),
    })?;
    Ok(member.replace_certificate(&certificate)?)
}

/// The member's own certificate, to be shown to the authority's guard.
///
/// # Errors
/// [`StateError`] when it cannot be read.
pub fn credentials(member: &Member) -> Result<ClientCredentials, StateError> {
    let own = member.guard_credentials()?;
    Ok(ClientCredentials {
        chain: own.chain,
        key: own.key,
    })
}

/// The name that TLS wants to have. Guards are known by their SPIFFE IDs; this is only what
/// was dialled.
pub fn server_name(address: &str) -> ServerName<'static> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).unwrap_or(ServerName::IpAddress(
        std::net::Ipv4Addr::UNSPECIFIED.into(),
    ))
}

async fn ask<M: Message>(
    address: &str,
    config: Result<rustls::ClientConfig, rustls::Error>,
    request: &M,
) -> Result<Issued, JoinError> {
    let unreachable = |problem: String| JoinError::Unreachable {
        address: address.into(),
        problem,
    };
    let config = Arc::new(config.map_err(|error| unreachable(error.to_string()))?);
    let exchanged = timeout(EXCHANGE_TIME, async {
        let tcp = TcpStream::connect(address)
            .await
            .map_err(|e| unreachable(e.to_string()))?;
        let mut stream = TlsConnector::from(config)
            .connect(server_name(address), tcp)
            .await
            .map_err(|error| unreachable(explain(&error)))?;
        exchange(&mut stream, request)
            .await
            .map_err(|error| match error {
                ReadError::Io(error) => unreachable(explain(&error)),
                error => JoinError::Answer {
                    address: address.into(),
                    problem: error.to_string(),
                },
            })
    });
    match exchanged.await {
        Ok(Ok(Reply::Issued(issued))) => Ok(*issued),
        Ok(Ok(Reply::Refused(refusal))) => Err(JoinError::Refused(refusal)),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(unreachable("it did not answer in time".into())),
    }
}

fn explain(error: &std::io::Error) -> String {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .and_then(guard_error)
        .map_or_else(|| error.to_string(), |guard| guard.to_string())
}
