//! Renewing token and certificate while the grant lives.
//!
//! A certificate is renewed with the same key. Key and certificate lie in the same folder,
//! so that whoever could steal the one could as well renew the other; and a key that never
//! changes cannot get out of step with its certificate when an answer is lost.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::time::sleep;
use wire::Refusal;
use wire::enrolment::{Issued, Renew, Reply};
use wire::tls::{ALPN_RENEW, client_config};

use crate::explain::{Explain, hint, sentence};
use crate::fault::{Cause, Fault};
use crate::guard;
use crate::join::{Expected, IssuedError, check};
use crate::patience::{Backoff, jittered};
use crate::profile::{Credentials, Profile, ProfileError};

/// The longest time between two looks at the clock, which goes on while a laptop sleeps
/// and timers do not.
const LOOK: Duration = Duration::from_secs(20);
/// How soon after a renewal the next one may be, whatever the dates say.
const REST: Duration = Duration::from_secs(1);
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
/// # Errors
/// [`RenewError`] when they have expired and cannot be renewed.
pub async fn usable(profile: &Profile) -> Result<Credentials, RenewError> {
    let credentials = profile.credentials()?;
    let now = Timestamp::now();
    if credentials.expired(now) {
        let due = what_is_due(&credentials, now).unwrap_or(Due::Token);
        renew(profile, &credentials, due).await
    } else {
        Ok(credentials)
    }
}

/// Renews what is due, unless another agent has done so since `known` was read.
///
/// # Errors
/// [`RenewError`]; the credentials on disk are then as they were.
pub async fn renew(
    profile: &Profile,
    known: &Credentials,
    due: Due,
) -> Result<Credentials, RenewError> {
    let _lock = profile.lock().await?;
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
    if credentials.certificate_due() <= now {
        Some(Due::Certificate)
    } else if credentials.token_due() <= now {
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
                let refused = matches!(error, RenewError::Refused { .. });
                let wait = if refused {
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
async fn renew_when_due(profile: &Profile) -> Result<Duration, RenewError> {
    let credentials = profile.credentials()?;
    let now = Timestamp::now();
    if let Some(due) = what_is_due(&credentials, now) {
        renew(profile, &credentials, due).await?;
        return Ok(REST);
    }
    let next = credentials.token_due().min(credentials.certificate_due());
    let left = Duration::try_from(next.duration_since(now)).unwrap_or(REST);
    Ok(left.clamp(REST, LOOK))
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
}

impl Explain for RenewError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { refusal, .. } => hint(refusal),
            Self::Fault(fault) => fault.hint(),
            Self::Issued(error) => error.hint(),
            Self::Key(_) => Some("leave this profile and join again with a new invite".into()),
            Self::Profile(error) => error.hint(),
        }
    }
}
