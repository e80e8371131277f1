//! Joining: an invite becomes a profile.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rpyc::reverse::Reverse;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use wire::enrolment::{GuardAddress, Issued, Redeem, Reply};
use wire::invite::{Invite, InviteError};
use wire::leaf::Fingerprint;
use wire::tls::{ALPN_ENROL, Anchor, client_config};
use wire::{Code, Kind, Name, Refusal, Secret};

use crate::explain::{Explain, hint, sentence};
use crate::fault::{Cause, Fault};
use crate::guard;
use crate::profile::{self, Credentials, Guard, Profile, ProfileError, Profiles, Settings};

mod issued;

pub use issued::IssuedError;
pub(crate) use issued::{Expected, check};

/// Redeems an invite. Without `name` the profile is called after the guard. `reverse_calls`
/// goes into the profile.
///
/// The key is on disk before the invite is sent, and a second try uses it again: when the
/// answer was lost, the same key asking again gets the certificate that was issued.
///
/// # Errors
/// [`JoinError`]. The profile's folder may be left with a key in it, for the next try.
pub async fn join(
    profiles: &Profiles,
    invite: &Invite,
    name: Option<Name>,
    reverse_calls: Reverse,
) -> Result<Profile, JoinError> {
    let name = name.unwrap_or_else(|| invite.guard.name.clone());
    profile::private::make_folder(profiles.root())?;
    profile::private::check_root(profiles.root())?;
    let folder = profiles.folder(&name);
    profile::private::make_folder(&folder)?;
    profile::private::check_folder(&folder)?;
    let _lock = profile::lock(&folder).await?;
    refuse_existing(profiles, &name, invite)?;

    let key = profile::key_for_joining(&folder)?;
    let request = wire::keypair::request(&key.pem).map_err(|e| JoinError::Key(e.to_string()))?;
    let issued = match redeem(invite, &request).await {
        Err(JoinError::Refused(refusal)) if key.left_over && is_about_key(&refusal) => {
            return Err(JoinError::RefusedKey { name, refusal });
        }
        issued => issued?,
    };

    let authority = authority(invite, &issued)?;
    let certificate = issued.certificate.as_deref();
    let certificate = certificate.ok_or(JoinError::Issued(IssuedError::NoCertificate))?;
    if issued.identity.kind == Kind::Guard {
        return Err(JoinError::ForGuard);
    }
    check(
        certificate,
        &Expected {
            authority: &authority,
            request: &request,
            identity: &issued.identity,
            domain: &invite.guard.domain,
        },
    )?;
    let settings = Settings {
        authority: invite.authority.to_string(),
        identity: issued.identity.clone(),
        upstream: None,
        reverse_calls,
        enrolment: GuardAddress {
            identity: invite.guard.clone(),
            address: invite.address.clone(),
        },
    };
    let token = issued.token.ok_or(IssuedError::NoToken)?;
    let credentials = Credentials {
        certificate: certificate.into(),
        token: token.jwt,
        token_received: Timestamp::now(),
        token_expires: token.expires,
        role: issued.role,
        access_until: issued.access_until,
        guards: issued.guards,
    };
    profile::finish_joining(&folder, &issued.authority, &settings, &credentials)?;
    Ok(profiles.load(&name)?)
}

/// May another key be welcome where this one is not?
fn is_about_key(refusal: &Refusal) -> bool {
    let about_key = [Code::RequestInvalid, Code::CertificateRevoked];
    about_key.iter().any(|code| code.as_str() == refusal.code)
}

/// A profile that works is never touched; neither is one whose state is unclear.
fn refuse_existing(profiles: &Profiles, name: &Name, invite: &Invite) -> Result<(), JoinError> {
    match profiles.load(name) {
        Err(ProfileError::Unfinished { .. }) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(existing) if existing.authority_fingerprint() != invite.authority => {
            Err(JoinError::OtherAuthority { name: name.clone() })
        }
        Ok(existing) => Err(JoinError::Exists {
            name: name.clone(),
            identity: existing.identity().shorthand(),
        }),
    }
}

async fn redeem(invite: &Invite, request: &[u8]) -> Result<Issued, JoinError> {
    let guard = Guard {
        identity: invite.guard.clone(),
        addresses: vec![invite.address.clone()],
    };
    let anchor = Anchor::Fingerprint(invite.authority);
    let config =
        client_config(anchor, guard.identity.clone(), ALPN_ENROL, None).map_err(|e| Fault {
            guard: guard.name().clone(),
            address: invite.address.clone(),
            cause: Cause::Credentials(e),
        })?;
    let redeem = Redeem {
        secret: Secret::new(URL_SAFE_NO_PAD.encode(invite.secret.expose())),
        request: URL_SAFE_NO_PAD.encode(request),
        device: gethostname::gethostname()
            .to_string_lossy()
            .chars()
            .take(64)
            .collect(),
        address: None,
    };
    match guard::ask(&guard, config, &redeem).await? {
        Reply::Issued(issued) => Ok(*issued),
        Reply::Refused(refusal) => Err(JoinError::Refused(refusal)),
    }
}

fn authority(invite: &Invite, issued: &Issued) -> Result<CertificateDer<'static>, JoinError> {
    let authority = CertificateDer::from_pem_slice(issued.authority.as_bytes())
        .map_err(|e| IssuedError::Unreadable(e.to_string()))?;
    if Fingerprint::of(&authority) == invite.authority {
        Ok(authority)
    } else {
        Err(IssuedError::Authority.into())
    }
}

/// Why joining did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The text is not a usable code.
    #[error(transparent)]
    Code(#[from] InviteError),
    /// There is a profile of that name.
    #[error("there is a profile {name} already, as {identity}")]
    Exists {
        /// The profile.
        name: Name,
        /// Who it is.
        identity: String,
    },
    /// There is a profile of that name, and the invite is of another authority.
    #[error("there is a profile {name} already, and this invite is of another authority")]
    OtherAuthority {
        /// The profile.
        name: Name,
    },
    /// The invite is one for a guard.
    #[error("this invite brings in a guard, not an artist or a service")]
    ForGuard,
    /// The cryptography library could not use the key.
    #[error("the new key cannot be used: {0}")]
    Key(String),
    /// The guard said no.
    #[error("{}", sentence(.0))]
    Refused(Refusal),
    /// The guard said no to a key that an earlier try left.
    #[error("{}", sentence(.refusal))]
    RefusedKey {
        /// The unfinished profile.
        name: Name,
        /// What it said.
        refusal: Refusal,
    },
    /// The guard could not be talked to.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// What the guard issued is not what was asked for.
    #[error(transparent)]
    Issued(#[from] IssuedError),
    /// The profile could not be written or read.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

impl Explain for JoinError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Code(InviteError::NotACode | InviteError::Damaged) => {
                "copy the whole code again, from `hrpyc1-` to its end".into()
            }
            Self::Code(InviteError::Version(_)) => "update hrpyc-agent".into(),
            Self::Exists { name, .. } => format!(
                "it was left as it is. To use this invite, either run `hrpyc-agent leave {name}` \
                 first, or give the new profile another name with --profile NAME"
            ),
            Self::OtherAuthority { name } => format!(
                "it was left as it is. If the guard was set up anew, compare the fingerprint \
                 with IT, run `hrpyc-agent leave {name}` and join again; otherwise give the new \
                 profile another name with --profile NAME"
            ),
            Self::ForGuard => {
                "type it into `hrpyc-guard join` on the workstation; IT makes one for you with \
                 `hrpyc-certs invite NAME`"
                    .into()
            }
            Self::Key(_) => return None,
            Self::Refused(refusal) => return hint(refusal),
            Self::RefusedKey { name, refusal } => {
                let ours = format!(
                    "an earlier try left its key, which was used again: run `hrpyc-agent leave \
                     {name}` first, then join again"
                );
                match hint(refusal) {
                    Some(theirs) => format!("{theirs}; {ours}"),
                    None => ours,
                }
            }
            Self::Fault(fault) => return fault.hint(),
            Self::Issued(error) => return error.hint(),
            Self::Profile(error) => return error.hint(),
        })
    }
}
