//! What joining brought, on disk: one folder for each profile.
//!
//! | file | content | written |
//! |---|---|---|
//! | `key.pem` | the private key, made here; it never leaves this machine | once, before joining |
//! | `authority.pem` | the authority's certificate | once, by joining |
//! | `profile.toml` | who we are, whom we trust, where to renew; may be edited | once, by joining, last |
//! | `credentials.json` | certificate, token, the guards that they open | by joining and each renewal |
//! | `lock` | held while credentials are changed | never |

mod credentials;
mod lock;
pub(crate) mod private;
mod route;
mod store;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rpyc::ExceptionClass;
use rpyc::reverse::Reverse;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use wire::enrolment::GuardAddress;
use wire::hello::Wanted;
use wire::leaf::Fingerprint;
use wire::tls::{Anchor, ClientCredentials};
use wire::{Identity, Name, Secret};

pub use credentials::Credentials;
pub(crate) use credentials::token_claims;
pub(crate) use lock::{Lock, lock};
pub use route::{Guard, Route, RouteError};
pub use store::{Entry, Profiles, default_root};

use crate::explain::Explain;
use crate::renew::UnderWay;

const KEY: &str = "key.pem";
const AUTHORITY: &str = "authority.pem";
const SETTINGS: &str = "profile.toml";
const CREDENTIALS: &str = "credentials.json";

/// A profile as joining left it. Cheap to share.
#[derive(Debug, Clone)]
pub struct Profile {
    name: Name,
    folder: PathBuf,
    settings: Settings,
    authority: CertificateDer<'static>,
    key: Arc<Secret<String>>,
    under_way: Arc<UnderWay>,
}

/// `profile.toml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Fingerprint of the authority's certificate.
    pub(crate) authority: String,
    /// Who we are.
    pub(crate) identity: Identity,
    /// The Houdini that is asked for unless told otherwise: a name or a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upstream: Option<String>,
    /// What Houdini may ask of scripts here.
    #[serde(default)]
    pub(crate) reverse_calls: Reverse,
    /// The guard that enrolled us, where certificate and token are renewed.
    pub(crate) enrolment: GuardAddress,
}

impl Profile {
    /// Opens the profile in `folder`.
    ///
    /// # Errors
    /// [`ProfileError`] when a file is missing, damaged, or open to others.
    pub(crate) fn open(
        name: Name,
        folder: PathBuf,
        under_way: Arc<UnderWay>,
    ) -> Result<Self, ProfileError> {
        private::check_folder(&folder)?;
        let settings_path = folder.join(SETTINGS);
        if !settings_path.exists() {
            return Err(ProfileError::Unfinished { name });
        }
        let settings: Settings = toml::from_str(&private::read(&settings_path)?)
            .map_err(|e| damaged(&settings_path, e.to_string()))?;
        let authority_path = folder.join(AUTHORITY);
        let authority = CertificateDer::from_pem_slice(private::read(&authority_path)?.as_bytes())
            .map_err(|e| damaged(&authority_path, e.to_string()))?;
        let fingerprint = Fingerprint::of(&authority).to_string();
        if fingerprint != settings.authority {
            let problem = format!(
                "it is not the certificate {} of {SETTINGS}",
                settings.authority
            );
            return Err(damaged(&authority_path, problem));
        }
        let key = Arc::new(Secret::new(private::read(&folder.join(KEY))?));
        Ok(Self {
            name,
            folder,
            settings,
            authority,
            key,
            under_way,
        })
    }

    /// The profile as it is on disk now. Somebody may have left and joined again, or edited
    /// `profile.toml`, while this process runs.
    ///
    /// # Errors
    /// [`ProfileError`] as for opening it.
    pub(crate) fn reload(&self) -> Result<Self, ProfileError> {
        Self::open(
            self.name.clone(),
            self.folder.clone(),
            self.under_way.clone(),
        )
    }

    /// The profile's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Who we are under this profile.
    pub fn identity(&self) -> &Identity {
        &self.settings.identity
    }

    /// The fingerprint of the authority.
    pub fn authority_fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.authority)
    }

    /// How guards of this profile are known.
    pub fn anchor(&self) -> Anchor {
        Anchor::Certificate(self.authority.clone())
    }

    /// The guard that enrolled us and that renews.
    pub fn enrolment(&self) -> Guard {
        Guard {
            identity: self.settings.enrolment.identity.clone(),
            addresses: vec![self.settings.enrolment.address.clone()],
        }
    }

    /// The Houdini that is asked for unless told otherwise.
    pub fn upstream(&self) -> Option<Wanted> {
        let text = self.settings.upstream.as_deref()?;
        text.parse().ok()
    }

    /// What Houdini may ask of scripts on this machine.
    pub fn reverse_calls(&self) -> Reverse {
        self.settings.reverse_calls
    }

    /// The guards that this profile opens. The one that enrolled us comes first, and the
    /// address that worked then is tried before the one it advertises.
    pub fn guards(&self, credentials: &Credentials) -> Vec<Guard> {
        let mut guards = vec![self.enrolment()];
        for advertised in &credentials.guards {
            match guards
                .iter_mut()
                .find(|g| g.identity == advertised.identity)
            {
                Some(known) if known.addresses.contains(&advertised.address) => {}
                Some(known) => known.addresses.push(advertised.address.clone()),
                None => guards.push(Guard {
                    identity: advertised.identity.clone(),
                    addresses: vec![advertised.address.clone()],
                }),
            }
        }
        guards
    }

    /// Reads certificate and token, which a renewal elsewhere may have changed.
    ///
    /// # Errors
    /// [`ProfileError`] when the file is missing, damaged, or open to others.
    pub fn credentials(&self) -> Result<Credentials, ProfileError> {
        let path = self.folder.join(CREDENTIALS);
        serde_json::from_str(&private::read(&path)?).map_err(|e| {
            // The text of a JSON error may quote the file, which holds a secret.
            damaged(&path, format!("line {}, column {}", e.line(), e.column()))
        })
    }

    /// What mutual TLS needs.
    ///
    /// # Errors
    /// [`ProfileError::Damaged`] when certificate or key cannot be read.
    pub fn client_credentials(
        &self,
        credentials: &Credentials,
    ) -> Result<ClientCredentials, ProfileError> {
        let key_path = self.folder.join(KEY);
        Ok(ClientCredentials {
            chain: vec![self.certificate(credentials)?],
            key: PrivateKeyDer::from_pem_slice(self.key.expose().as_bytes())
                .map_err(|_| damaged(&key_path, "it holds no private key".into()))?,
        })
    }

    /// The certificate in DER.
    pub(crate) fn certificate(
        &self,
        credentials: &Credentials,
    ) -> Result<CertificateDer<'static>, ProfileError> {
        CertificateDer::from_pem_slice(credentials.certificate.as_bytes())
            .map_err(|e| damaged(&self.folder.join(CREDENTIALS), e.to_string()))
    }

    /// The renewal that is under way in this process.
    pub(crate) fn under_way(&self) -> &UnderWay {
        &self.under_way
    }

    pub(crate) fn key(&self) -> &Secret<String> {
        &self.key
    }

    pub(crate) fn authority(&self) -> &CertificateDer<'static> {
        &self.authority
    }

    /// Replaces certificate and token. Hold the lock.
    pub(crate) fn save_credentials(&self, credentials: &Credentials) -> Result<(), ProfileError> {
        save_credentials(&self.folder, credentials)
    }

    /// Waits for the right to change the credentials; other agents of the same user may
    /// be renewing the same profile.
    pub(crate) async fn lock(&self) -> Result<Lock, ProfileError> {
        lock(&self.folder).await
    }
}

/// The key of a profile that is being joined: the one an earlier try left, or a new one.
///
/// It is on disk before it is used, so that a second try with the same invite asks with
/// the same key and gets the certificate whose delivery failed.
pub(crate) fn key_for_joining(folder: &Path) -> Result<KeyForJoining, ProfileError> {
    let path = folder.join(KEY);
    if path.exists() {
        return Ok(KeyForJoining {
            pem: Secret::new(private::read(&path)?),
            left_over: true,
        });
    }
    let key = wire::keypair::generate().map_err(|e| ProfileError::Io {
        path: path.clone(),
        source: io::Error::other(e),
    })?;
    private::replace(&path, key.pem.expose())?;
    Ok(KeyForJoining {
        pem: key.pem,
        left_over: false,
    })
}

/// The key to join with.
pub(crate) struct KeyForJoining {
    /// The key.
    pub(crate) pem: Secret<String>,
    /// Is it that of an earlier try, which did not come to its end?
    pub(crate) left_over: bool,
}

/// Writes what joining brought. `profile.toml` comes last: a folder without it is an
/// unfinished profile.
pub(crate) fn finish_joining(
    folder: &Path,
    authority_pem: &str,
    settings: &Settings,
    credentials: &Credentials,
) -> Result<(), ProfileError> {
    let path = folder.join(SETTINGS);
    let text = toml::to_string(settings).map_err(|e| damaged(&path, e.to_string()))?;
    private::replace(&folder.join(AUTHORITY), authority_pem)?;
    save_credentials(folder, credentials)?;
    private::replace(&path, &text)
}

fn save_credentials(folder: &Path, credentials: &Credentials) -> Result<(), ProfileError> {
    let path = folder.join(CREDENTIALS);
    let text =
        serde_json::to_string_pretty(credentials).map_err(|e| damaged(&path, e.to_string()))?;
    private::replace(&path, &text)
}

fn damaged(path: &Path, problem: String) -> ProfileError {
    ProfileError::Damaged {
        path: path.into(),
        problem: problem.trim_end().into(),
    }
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Nothing in the environment says where configuration belongs.
    #[error("there is no home folder to keep profiles in: {0} is not set")]
    NoHome(&'static str),
    /// Others may read or change it.
    #[error("{} is open to other users: its mode is {found:o}, and {wanted} is needed", path.display())]
    Mode {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        found: u32,
        /// The bits it must have, in octal.
        wanted: &'static str,
    },
    /// It belongs to somebody else.
    #[error("{} belongs to another user (uid {uid})", path.display())]
    Owner {
        /// The file or folder.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// Joining began and did not end.
    #[error("joining as profile {name} was begun and not finished")]
    Unfinished {
        /// The profile.
        name: Name,
    },
    /// A file does not hold what it should.
    #[error("{} cannot be used: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Another agent has been changing the profile for too long.
    #[error("another agent is changing the profile in {} and does not come to an end", path.display())]
    Locked {
        /// The profile's folder.
        path: PathBuf,
    },
    /// The operating system said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl ProfileError {
    /// The Python exception that says the same: what another program holds up, or the disk
    /// does, passes.
    pub fn exception_class(&self) -> ExceptionClass {
        match self {
            Self::Locked { .. } | Self::Io { .. } => ExceptionClass::ConnectionError,
            _ => ExceptionClass::PermissionError,
        }
    }
}

impl Explain for ProfileError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoHome(_) => Some("name a folder with --config-dir".into()),
            Self::Mode { path, wanted, .. } => Some(format!(
                "if nobody has read it, type `chmod {wanted} {}`; otherwise leave and join again",
                path.display()
            )),
            Self::Owner { path, .. } => Some(format!(
                "run the agent as the user that joined, or remove {} and join again",
                path.display()
            )),
            Self::Unfinished { name } => Some(format!(
                "run `hrpyc-agent join --profile {name}` with the same code again: it keeps the \
                 key, so that the invite still works; or `hrpyc-agent leave {name}`"
            )),
            Self::Damaged { .. } => {
                Some("put the file back from a copy, or leave and join with a new invite".into())
            }
            Self::Locked { .. } => Some("look for an hrpyc-agent that hangs, and end it".into()),
            Self::Io { .. } => None,
        }
    }
}
