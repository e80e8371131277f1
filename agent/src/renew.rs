//! Renewing token and certificate while the grant lives.
//!
//! A certificate is renewed with the same key. Key and certificate lie in the same folder,
//! so that whoever could steal the one could as well renew the other; and a key that never
//! changes cannot get out of step with its certificate when an answer is lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rpyc::ExceptionClass;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::watch;
use tokio::time::sleep;
use wire::Refusal;
use wire::enrolment::{Issued, Renew, Reply};
use wire::tls::{ALPN_RENEW, client_config};

use crate::explain::{Explain, exception_class, hint, is_decision, sentence};
use crate::fault::{Cause, Fault};
use crate::guard;
use crate::join::{Expected, IssuedError, check};
use crate::patience::{Backoff, jittered};
use crate::profile::{Credentials, Profile, ProfileError};

/// The longest time between two looks at the clock, which goes on while a laptop sleeps
/// and timers do not.
const LOOK: Duration = Duration::from_secs(20);
/// The shortest time between two looks.
const GLANCE: Duration = Duration::from_secs(1);
/// How soon after a renewal the next one may be, whatever the dates say: guards limit how
/// often a device renews.
const REST: Duration = Duration::from_secs(60);
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LONGEST: Duration = Duration::from_secs(5 * 60);

/// What is to be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The token.
    Token,
    /// Certificate and token.
    Certificate,
}

/// Credentials to connect with: those on disk, renewed first when they have expired.
///
/// Those that seem to have expired are returned all the same when renewing is put off: the
/// guard's clock decides, and it may find them good.
///
/// # Errors
/// [`RenewError`] when they have expired and cannot be renewed.
pub async fn usable(profile: &Profile) -> Result<Credentials, Arc<RenewError>> {
    let credentials = profile.credentials().map_err(RenewError::from)?;
    let now = Timestamp::now();
    if !credentials.expired(now) {
        return Ok(credentials);
    }
    let due = what_is_due(&credentials, now).unwrap_or(Due::Token);
    match renew(profile, &credentials, due).await {
        Err(error) if error.is_put_off() => {
            tracing::warn!(profile = %profile.name(), %error, "going on as it is");
            Ok(credentials)
        }
        renewed => renewed,
    }
}

/// The renewal of a profile that is under way in this process, if there is one.
///
/// Many sessions may find at the same moment that the token has expired. One of them asks
/// the guard, and all get what came of it.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<Option<Flight>>);

#[derive(Debug, Clone)]
struct Flight {
    due: Due,
    outcome: watch::Receiver<Option<Outcome>>,
}

type Outcome = Result<Credentials, Arc<RenewError>>;

impl UnderWay {
    /// The renewal that is under way, or a new one. It goes on when nobody waits for it any
    /// more, so that what the guard issued is not lost.
    fn join_or_start(&self, profile: &Profile, known: &Credentials, due: Due) -> Flight {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = &*current
            && flight.outcome.borrow().is_none()
            // A renewal that panicked never has an outcome.
            && flight.outcome.has_changed().is_ok()
        {
            return flight.clone();
        }
        let (done, outcome) = watch::channel(None);
        let (profile, known) = (profile.clone(), known.clone());
        tokio::spawn(async move {
            let result = renew_alone(&profile, &known, due).await;
            done.send_replace(Some(result.map_err(Arc::new)));
        });
        let flight = Flight { due, outcome };
        *current = Some(flight.clone());
        flight
    }
}

/// Renews what is due, unless another agent has done so since `known` was read. There is
/// one renewal at a time; whoever comes meanwhile shares its outcome.
///
/// # Errors
/// [`RenewError`]; the credentials on disk are then as they were.
pub async fn renew(
    profile: &Profile,
    known: &Credentials,
    due: Due,
) -> Result<Credentials, Arc<RenewError>> {
    let mut flight = profile.under_way().join_or_start(profile, known, due);
    let outcome = flight.outcome.wait_for(Option::is_some).await;
    let outcome = outcome.ok().and_then(|outcome| outcome.clone());
    let renewed = outcome.unwrap_or_else(|| Err(Arc::new(RenewError::Broken)))?;
    if flight.due == Due::Token && due == Due::Certificate {
        // What was under way renewed only the token.
        return Box::pin(renew(profile, &renewed, due)).await;
    }
    Ok(renewed)
}

async fn renew_alone(
    profile: &Profile,
    known: &Credentials,
    due: Due,
) -> Result<Credentials, RenewError> {
    let _lock = profile.lock().await?;
    // Somebody may have left and joined again while the lock was waited for.
    let profile = &profile.reload()?;
    let current = profile.credentials()?;
    if current.token.expose() != known.token.expose() {
        return Ok(current);
    }
    let request = match due {
        Due::Token => None,
        Due::Certificate => Some(
            wire::keypair::request(profile.key()).map_err(|e| RenewError::Key(e.to_string()))?,
        ),
    };
    let issued = ask(profile, &current, request.as_deref()).await?;
    let renewed = take(profile, &current, request.as_deref(), issued)?;
    profile.save_credentials(&renewed)?;
    tracing::info!(
        profile = %profile.name(),
        certificate = due == Due::Certificate,
        token_expires = %renewed.token_expires,
        "renewed"
    );
    Ok(renewed)
}

async fn ask(
    profile: &Profile,
    current: &Credentials,
    request: Option<&[u8]>,
) -> Result<Issued, RenewError> {
    let guard = profile.guards(current).swap_remove(0);
    let mutual = profile.client_credentials(current)?;
    let identity = guard.identity.clone();
    let config =
        client_config(profile.anchor(), identity, ALPN_RENEW, Some(mutual)).map_err(|error| {
            Fault {
                guard: guard.name().clone(),
                address: guard.addresses[0].clone(),
                cause: Cause::Credentials(error),
            }
        })?;
    let renew = Renew {
        request: request.map(|der| URL_SAFE_NO_PAD.encode(der)),
    };
    match guard::ask(&guard, config, &renew).await? {
        Reply::Issued(issued) => Ok(*issued),
        Reply::Refused(refusal) => Err(RenewError::Refused {
            profile: profile.name().to_string(),
            refusal,
        }),
    }
}

fn take(
    profile: &Profile,
    current: &Credentials,
    request: Option<&[u8]>,
    issued: Issued,
) -> Result<Credentials, RenewError> {
    let authority = CertificateDer::from_pem_slice(issued.authority.as_bytes())
        .map_err(|e| IssuedError::Unreadable(e.to_string()))?;
    if authority != *profile.authority() {
        return Err(IssuedError::Authority.into());
    }
    if issued.identity != *profile.identity() {
        return Err(IssuedError::Identity {
            found: issued.identity.to_string(),
            wanted: profile.identity().to_string(),
        }
        .into());
    }
    let certificate = match (issued.certificate, request) {
        (Some(pem), Some(request)) => {
            let expected = Expected {
                authority: &authority,
                request,
                identity: profile.identity(),
                domain: &profile.identity().domain,
            };
            check(&pem, &expected)?;
            pem
        }
        (None, Some(_)) => return Err(IssuedError::NoCertificate.into()),
        (_, None) => current.certificate.clone(),
    };
    let token = issued.token.ok_or(IssuedError::NoToken)?;
    Ok(Credentials {
        certificate,
        token: token.jwt,
        token_received: Timestamp::now(),
        token_expires: token.expires,
        role: issued.role,
        access_until: issued.access_until,
        guards: issued.guards,
    })
}

fn what_is_due(credentials: &Credentials, now: Timestamp) -> Option<Due> {
    let set_back = now < credentials.token_received;
    if credentials.certificate_due() <= now {
        Some(Due::Certificate)
    } else if credentials.token_due() <= now || set_back {
        Some(Due::Token)
    } else {
        None
    }
}

/// Renews in time, for ever: the token at half of its life, the certificate at two thirds.
///
/// Failures are logged and tried again, sooner when the guard was merely away than when
/// it refused.
pub async fn keep_fresh(profile: Profile) {
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
    loop {
        let wait = match renew_when_due(&profile).await {
            Ok(wait) => {
                backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
                wait
            }
            Err(error) => {
                let refused = error.is_decision();
                let wait = if refused || error.is_put_off() {
                    jittered(RETRY_LONGEST)
                } else {
                    backoff.wait()
                };
                let hint = error.hint().unwrap_or_default();
                if refused {
                    tracing::error!(profile = %profile.name(), %error, hint);
                } else {
                    tracing::warn!(profile = %profile.name(), %error, hint, again_in = ?wait);
                }
                wait
            }
        };
        sleep(wait).await;
    }
}

/// Renews if it is time; returns when to look again.
async fn renew_when_due(profile: &Profile) -> Result<Duration, Arc<RenewError>> {
    let profile = &profile.reload().map_err(RenewError::from)?;
    let credentials = profile.credentials().map_err(RenewError::from)?;
    let now = Timestamp::now();
    if let Some(due) = what_is_due(&credentials, now) {
        renew(profile, &credentials, due).await?;
        return Ok(REST);
    }
    let next = credentials.token_due().min(credentials.certificate_due());
    let left = Duration::try_from(next.duration_since(now)).unwrap_or(GLANCE);
    Ok(left.clamp(GLANCE, LOOK))
}

/// Why nothing was renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The authority said no.
    #[error("the access of profile {profile} could not be renewed: {}", sentence(.refusal))]
    Refused {
        /// The profile.
        profile: String,
        /// What it said.
        refusal: Refusal,
    },
    /// The guard could not be talked to.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// What was issued is not what was asked for.
    #[error(transparent)]
    Issued(#[from] IssuedError),
    /// The cryptography library could not use the key.
    #[error("the key of this profile cannot be used: {0}")]
    Key(String),
    /// The profile could not be read or written.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The renewal ended without an outcome.
    #[error("the renewal broke off inside the agent")]
    Broken,
}

impl RenewError {
    /// The Python exception that says the same.
    pub fn exception_class(&self) -> ExceptionClass {
        match self {
            Self::Refused { refusal, .. } => exception_class(refusal),
            Self::Fault(fault) => fault.exception_class(),
            Self::Profile(error) => error.exception_class(),
            Self::Issued(_) | Self::Key(_) => ExceptionClass::PermissionError,
            Self::Broken => ExceptionClass::ConnectionError,
        }
    }

    fn is_decision(&self) -> bool {
        matches!(self, Self::Refused { refusal, .. } if is_decision(refusal))
    }

    /// The guard would renew, and not now.
    fn is_put_off(&self) -> bool {
        matches!(self, Self::Refused { refusal, .. } if !is_decision(refusal))
    }
}

impl Explain for RenewError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { refusal, .. } => hint(refusal),
            Self::Fault(fault) => fault.hint(),
            Self::Issued(IssuedError::Dates { .. }) => Some(
                "set the clock of this machine, or tell IT that the guard's is wrong; then it \
                 works again by itself"
                    .into(),
            ),
            Self::Issued(error) => error.hint(),
            Self::Key(_) => Some("leave this profile and join again with a new invite".into()),
            Self::Profile(error) => error.hint(),
            Self::Broken => Some("try again; the agent's log says more".into()),
        }
    }
}
