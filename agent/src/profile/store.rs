//! The folder of all profiles.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wire::Name;

use super::{Profile, ProfileError, private};

/// All profiles of this user.
#[derive(Debug, Clone)]
pub struct Profiles {
    root: PathBuf,
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
    /// The profiles under `root`, which need not exist.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
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
                let profile = Profile::open(name.clone(), folder.path());
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
        Profile::open(name.clone(), self.folder(name))
    }

    /// Removes one with its key, whatever state it is in.
    ///
    /// # Errors
    /// [`ProfileError::Io`] when that fails.
    pub fn remove(&self, name: &Name) -> Result<(), ProfileError> {
        let folder = self.folder(name);
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
