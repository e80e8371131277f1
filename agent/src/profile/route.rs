//! Which guard is meant by what somebody typed.

use std::net::IpAddr;

use wire::hello::Wanted;
use wire::{Identity, Name};

use super::{Entry, Profile, ProfileError, Profiles};
use crate::explain::Explain;

/// A guard and the addresses to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// What its certificate must say.
    pub identity: Identity,
    /// `HOST:PORT`, in the order to try.
    pub addresses: Vec<String>,
}

impl Guard {
    /// The guard's name.
    pub fn name(&self) -> &Name {
        &self.identity.name
    }

    fn is_called(&self, name: &str) -> bool {
        self.name().as_str() == name
    }

    fn is_at(&self, host: &str) -> bool {
        self.addresses
            .iter()
            .any(|address| host_of(address).eq_ignore_ascii_case(host))
    }
}

/// The way to one Houdini: as whom, through which guard.
#[derive(Debug, Clone)]
pub struct Route {
    /// The profile that opens it.
    pub profile: Profile,
    /// The guard.
    pub guard: Guard,
    /// Which Houdini there; `None` is the guard's first.
    pub upstream: Option<Wanted>,
    /// The client program and its version, for the guard's audit.
    pub client: String,
}

impl Route {
    /// The same way with the profile as it is on disk now. Whoever left and joined again
    /// may have got another identity, and the guard another address.
    ///
    /// # Errors
    /// [`ProfileError`] when the profile cannot be used any more.
    pub(crate) fn current(&self) -> Result<Self, ProfileError> {
        let profile = self.profile.reload()?;
        let mut route = self.clone();
        if profile.enrolment() != self.profile.enrolment()
            || profile.authority() != self.profile.authority()
        {
            let mut guards = profile.guards(&profile.credentials()?);
            let same = guards.iter().position(|g| g.name() == self.guard.name());
            route.guard = guards.swap_remove(same.unwrap_or(0));
        }
        route.profile = profile;
        Ok(route)
    }
}

impl Profiles {
    /// Finds the guard that `wanted` means: a profile (its guard is the one that enrolled
    /// us), a guard of any profile, `PROFILE:GUARD`, or the host in a guard's address.
    /// Without a name there must be only one profile.
    ///
    /// # Errors
    /// [`RouteError`] when nothing or more than one thing fits.
    pub fn route(
        &self,
        wanted: Option<&str>,
        upstream: Option<Wanted>,
        client: &str,
    ) -> Result<Route, RouteError> {
        let (profile, guard) = self.find(wanted)?;
        Ok(Route {
            upstream: upstream.or_else(|| profile.upstream()),
            profile,
            guard,
            client: client.into(),
        })
    }

    /// The profile named so, or the only one.
    ///
    /// # Errors
    /// [`RouteError`] when there is none, or none so named, or no name and several.
    pub fn only(&self, wanted: Option<&str>) -> Result<Profile, RouteError> {
        let entries = self.list()?;
        let known = || entries.iter().map(|entry| entry.name.to_string()).collect();
        match wanted {
            Some(wanted) => match entries.iter().find(|e| e.name.as_str() == wanted) {
                Some(entry) => Ok(self.load(&entry.name)?),
                None => Err(RouteError::Unknown {
                    wanted: wanted.into(),
                    known: known(),
                }),
            },
            None => match entries.as_slice() {
                [] => Err(RouteError::NoProfile),
                [only] => Ok(self.load(&only.name)?),
                _ => Err(RouteError::Several { known: known() }),
            },
        }
    }

    fn find(&self, wanted: Option<&str>) -> Result<(Profile, Guard), RouteError> {
        let Some(wanted) = wanted else {
            let profile = self.only(None)?;
            let guard = first_guard(&profile)?;
            return Ok((profile, guard));
        };
        if let Some((profile, name)) = profile_and_guard(wanted) {
            let profile = self.only(Some(profile))?;
            let guards = profile.guards(&profile.credentials()?);
            let known = guards.iter().map(|g| g.name().to_string()).collect();
            let position = guards.iter().position(|g| g.is_called(name));
            let position = position.or_else(|| guards.iter().position(|g| g.is_at(name)));
            let found = position.and_then(|at| guards.into_iter().nth(at));
            return found
                .map(|guard| (profile, guard))
                .ok_or_else(|| RouteError::Unknown {
                    wanted: wanted.into(),
                    known,
                });
        }
        let entries = self.list()?;
        if entries.is_empty() {
            return Err(RouteError::NoProfile);
        }
        if entries.iter().any(|entry| entry.name.as_str() == wanted) {
            let profile = self.only(Some(wanted))?;
            let guard = first_guard(&profile)?;
            return Ok((profile, guard));
        }
        pick(wanted, entries)
    }
}

fn first_guard(profile: &Profile) -> Result<Guard, ProfileError> {
    let mut guards = profile.guards(&profile.credentials()?);
    Ok(guards.swap_remove(0))
}

/// `PROFILE:GUARD` in its parts. The colons of an IPv6 address are none of ours.
fn profile_and_guard(wanted: &str) -> Option<(&str, &str)> {
    let parts = wanted.split_once(':')?;
    wanted.parse::<IpAddr>().is_err().then_some(parts)
}

fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The one guard of that name among all usable profiles, or the one at that host.
fn pick(wanted: &str, entries: Vec<Entry>) -> Result<(Profile, Guard), RouteError> {
    let mut known = Vec::new();
    let mut called = Vec::new();
    let mut at = Vec::new();
    for entry in entries {
        known.push(entry.name.to_string());
        let Ok(profile) = entry.profile else { continue };
        let Ok(credentials) = profile.credentials() else {
            continue;
        };
        for guard in profile.guards(&credentials) {
            if guard.is_called(wanted) {
                called.push((profile.clone(), guard));
            } else if guard.is_at(wanted) {
                at.push((profile.clone(), guard));
            } else if !known.contains(&guard.name().to_string()) {
                known.push(guard.name().to_string());
            }
        }
    }
    let mut found = if called.is_empty() { at } else { called };
    match found.len() {
        0 => Err(RouteError::Unknown {
            wanted: wanted.into(),
            known,
        }),
        1 => Ok(found.swap_remove(0)),
        _ => Err(RouteError::Ambiguous {
            wanted: wanted.into(),
            choices: found
                .iter()
                .map(|(profile, guard)| format!("{}:{}", profile.name(), guard.name()))
                .collect(),
        }),
    }
}

/// Why it is not clear which guard is meant.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// Nobody has joined.
    #[error("there is no profile yet")]
    NoProfile,
    /// Nothing is called so.
    #[error("no profile and no guard is called {wanted:?}; there are: {}", known.join(", "))]
    Unknown {
        /// What was typed.
        wanted: String,
        /// What could have been typed.
        known: Vec<String>,
    },
    /// No name was given, and there is more than one profile.
    #[error("there are several profiles: {}", known.join(", "))]
    Several {
        /// Their names.
        known: Vec<String>,
    },
    /// Several guards are called so, or are there.
    #[error("{wanted:?} is a guard of several profiles: {}", choices.join(", "))]
    Ambiguous {
        /// What was typed.
        wanted: String,
        /// What to type instead.
        choices: Vec<String>,
    },
    /// The profile cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

impl Explain for RouteError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoProfile => {
                Some("run `hrpyc-agent join` with the code that you were sent".into())
            }
            Self::Unknown { .. } => Some(
                "see `hrpyc-agent status`; a workstation that was added lately shows after the \
                 next renewal"
                    .into(),
            ),
            Self::Several { .. } => Some("name the one that you mean".into()),
            Self::Ambiguous { .. } => Some("write it as PROFILE:GUARD".into()),
            Self::Profile(error) => error.hint(),
        }
    }
}
