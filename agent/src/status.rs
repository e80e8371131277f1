//! What profiles there are, and how long they are good for.

use std::fmt;
use std::path::PathBuf;

use jiff::{Timestamp, Zoned};
use rpyc::reverse::Reverse;
use serde::Serialize;
use wire::Name;

use crate::dates;
use crate::explain::Explain as _;
use crate::profile::{Entry, Profile, ProfileError, Profiles};

/// All profiles.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The folder they are in.
    pub folder: PathBuf,
    /// Each of them.
    pub profiles: Vec<Item>,
    #[serde(skip)]
    now: Timestamp,
}

/// One profile.
#[derive(Debug, Serialize)]
pub struct Item {
    /// Its name.
    pub profile: Name,
    /// What is in it, when it can be used.
    #[serde(flatten)]
    pub content: Option<Content>,
    /// Why it cannot be used.
    pub error: Option<String>,
    /// What to do about that.
    pub hint: Option<String>,
}

/// What a profile holds.
#[derive(Debug, Serialize)]
pub struct Content {
    /// The SPIFFE ID.
    pub identity: String,
    /// The fingerprint of the authority's certificate.
    pub authority: String,
    /// The role at the last renewal.
    pub role: String,
    /// What Houdini may ask of scripts here: `guarded` or `open`.
    pub reverse_calls: Reverse,
    /// When access ends, if it does.
    pub access_until: Option<Zoned>,
    /// The certificate's serial number.
    pub serial: String,
    /// The certificate's first moment.
    pub certificate_from: Timestamp,
    /// The certificate's last moment.
    pub certificate_until: Timestamp,
    /// Until when the token admits, by the clock of this machine.
    pub token_until: Timestamp,
    /// The guards, the one that enrolled us first.
    pub guards: Vec<GuardItem>,
}

/// One guard.
#[derive(Debug, Serialize)]
pub struct GuardItem {
    /// Its name.
    pub guard: Name,
    /// `HOST:PORT`, in the order to try.
    pub addresses: Vec<String>,
}

/// Looks at all profiles. Nothing is sent anywhere.
///
/// # Errors
/// [`ProfileError`] when the folder of profiles cannot be read.
pub fn report(profiles: &Profiles, now: Timestamp) -> Result<Report, ProfileError> {
    let items = profiles.list()?.into_iter().map(item).collect();
    Ok(Report {
        folder: profiles.root().into(),
        profiles: items,
        now,
    })
}

fn item(entry: Entry) -> Item {
    let (content, error) = match entry.profile.and_then(content) {
        Ok(content) => (Some(content), None),
        Err(error) => (None, Some(error)),
    };
    Item {
        profile: entry.name,
        content,
        hint: error.as_ref().and_then(ProfileError::hint),
        error: error.map(|error| error.to_string()),
    }
}

fn content(profile: Profile) -> Result<Content, ProfileError> {
    let credentials = profile.credentials()?;
    let leaf = credentials.leaf().map_err(|e| ProfileError::Damaged {
        path: profile.folder().into(),
        problem: e.to_string(),
    })?;
    let guards = profile.guards(&credentials).into_iter();
    let token_until = credentials.token_end();
    Ok(Content {
        identity: profile.identity().to_string(),
        authority: profile.authority_fingerprint().to_string(),
        role: credentials.role,
        reverse_calls: profile.reverse_calls(),
        access_until: credentials.access_until,
        serial: leaf.serial.to_string(),
        certificate_from: leaf.not_before,
        certificate_until: leaf.not_after,
        token_until,
        guards: guards
            .map(|guard| GuardItem {
                guard: guard.identity.name,
                addresses: guard.addresses,
            })
            .collect(),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.profiles.is_empty() {
            return write!(
                f,
                "no profile in {}\nnext: hrpyc-agent join",
                self.folder.display()
            );
        }
        for (at, item) in self.profiles.iter().enumerate() {
            if at > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{}", item.profile)?;
            if let Some(content) = &item.content {
                content.write(f, self.now)?;
            }
            if let Some(error) = &item.error {
                write!(f, "\n  unusable     {error}")?;
            }
            if let Some(hint) = &item.hint {
                write!(f, "\n  hint         {hint}")?;
            }
        }
        Ok(())
    }
}

impl Content {
    fn write(&self, f: &mut fmt::Formatter<'_>, now: Timestamp) -> fmt::Result {
        write!(f, "\n  identity     {}", self.identity)?;
        write!(f, "\n  authority    {}", self.authority)?;
        write!(f, "\n  role         {}", self.role)?;
        match &self.access_until {
            Some(until) => write!(f, "\n  access       until {}", dates::zoned(until, now))?,
            None => write!(f, "\n  access       without end")?,
        }
        let reverse = match self.reverse_calls {
            Reverse::Guarded => "guarded",
            Reverse::Open => "open: Houdini may run any Python in scripts here",
        };
        write!(f, "\n  reverse      {reverse}")?;
        let state = |until: Timestamp| if until <= now { "expired" } else { "until" };
        let until = self.certificate_until;
        let moment = dates::moment(until, now);
        write!(f, "\n  certificate  {} {moment}", state(until))?;
        let moment = dates::moment(self.token_until, now);
        write!(f, "\n  token        {} {moment}", state(self.token_until))?;
        for guard in &self.guards {
            let addresses = guard.addresses.join(", ");
            write!(f, "\n  guard        {} at {addresses}", guard.guard)?;
        }
        Ok(())
    }
}
