//! The folder of all profiles.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use wire::Name;

use super::{Profile, ProfileError, lock, private};
use crate::renew::UnderWay;

/// All profiles of this user.
#[derive(Debug, Clone)]
pub struct Profiles {
    root: PathBuf,
    /// The renewals under way, shared by all who open the same profile here.
    under_way: Arc<Mutex<BTreeMap<Name, Arc<UnderWay>>>>,
}

/// One profile in the folder, whether it can be used or not.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: Name,
    /// The profile, or why it cannot be used.
    pub profile: Result<Profile, ProfileError>,
}

impl Profiles {
    /// The profiles under `root`, which need not exist, or may be a symbolic link to where
    /// they are.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let root = match fs::canonicalize(&root) {
            Ok(real) if root.is_symlink() => real,
            _ => root,
        };
        Self {
            root,
            under_way: Arc::default(),
        }
    }

    /// Where they are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// [`ProfileError`] when the folder cannot be read or is open to others.
    pub fn list(&self) -> Result<Vec<Entry>, ProfileError> {
        let error = |source| ProfileError::Io {
            path: self.root.clone(),
            source,
        };
        let folders = match fs::read_dir(&self.root) {
            Ok(folders) => folders,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(error(e)),
        };
        private::check_root(&self.root)?;
        let mut entries = Vec::new();
        for folder in folders {
            let folder = folder.map_err(error)?;
            // What joining did not make is not ours to complain about.
            let Some(Ok(name)) = folder.file_name().to_str().map(str::parse::<Name>) else {
                continue;
            };
            if folder.file_type().map_err(error)?.is_dir() {
                let profile = self.open(&name);
                entries.push(Entry { name, profile });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Opens one.
    ///
    /// # Errors
    /// [`ProfileError`] when it cannot be used.
    pub fn load(&self, name: &Name) -> Result<Profile, ProfileError> {
        private::check_root(&self.root)?;
        self.open(name)
    }

    fn open(&self, name: &Name) -> Result<Profile, ProfileError> {
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let under_way = under_way.entry(name.clone()).or_default().clone();
        Profile::open(name.clone(), self.folder(name), under_way)
    }

    /// Removes one with its key, whatever state it is in, once nobody is changing it.
    ///
    /// # Errors
    /// [`ProfileError::Locked`] when somebody does for too long; [`ProfileError::Io`].
    pub async fn remove(&self, name: &Name) -> Result<(), ProfileError> {
        let folder = self.folder(name);
        let _lock = match lock(&folder).await {
            Err(error @ ProfileError::Locked { .. }) => return Err(error),
            // A folder in which nothing can be locked can perhaps be removed.
            lock => lock.ok(),
        };
        fs::remove_dir_all(&folder).map_err(|source| ProfileError::Io {
            path: folder,
            source,
        })
    }

    pub(crate) fn folder(&self, name: &Name) -> PathBuf {
        self.root.join(name.as_str())
    }
}

/// The platform's local configuration folder for this program. Local, because keys must
/// not roam with a Windows profile.
///
/// # Errors
/// [`ProfileError::NoHome`] when the environment does not say.
pub fn default_root() -> Result<PathBuf, ProfileError> {
    const FOLDER: &str = "hrpyc-guard";
    if cfg!(windows) {
        let local = variable("LOCALAPPDATA").ok_or(ProfileError::NoHome("LOCALAPPDATA"))?;
        return Ok(local.join(FOLDER));
    }
    // The XDG Base Directory Specification has relative paths ignored.
    let xdg = variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    if let (Some(xdg), false) = (xdg, cfg!(target_os = "macos")) {
        return Ok(xdg.join(FOLDER));
    }
    let home = variable("HOME").ok_or(ProfileError::NoHome("HOME"))?;
    Ok(if cfg!(target_os = "macos") {
        home.join("Library/Application Support").join(FOLDER)
    } else {
        home.join(".config").join(FOLDER)
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the environment is read"
)]
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
