//! Reading the audit: while the guard writes it, or a copy of it elsewhere.
//!
//! Everything here reads from the beginning to the end and keeps little of it.

pub mod entry;
pub mod follow;
pub mod stats;
pub mod stream;
pub mod text;
pub mod verify;

use std::io;
use std::path::{Path, PathBuf};

use super::files::{self, CALLS, CONNECTIONS, Ended, LogFile, read_line};

/// Both logs.
pub const LOGS: [&str; 2] = [CONNECTIONS, CALLS];

/// Why the audit cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is none.
    #[error("there is no audit in {0}")]
    Absent(PathBuf),
    /// A file or directory cannot be read.
    #[error("{path} cannot be read: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ReadError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Absent(_) => {
                "name the guard's state directory, or a copy of its folder audit, with --state-dir"
                    .into()
            }
            Self::Io { .. } => "read it as the guard's user, or read a copy".into(),
        }
    }

    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// The folder with the logs: `audit` in a state directory, or the directory itself when it is
/// a copy of that folder.
///
/// # Errors
/// [`ReadError::Absent`].
pub fn directory(state: &Path) -> Result<PathBuf, ReadError> {
    let inside = state.join("audit");
    if inside.is_dir() {
        return Ok(inside);
    }
    let is_one = LOGS.iter().any(|log| {
        files::current(state, log).exists()
            || files::closed(state, log).is_ok_and(|closed| !closed.is_empty())
    });
    if is_one {
        Ok(state.to_owned())
    } else {
        Err(ReadError::Absent(state.to_owned()))
    }
}

/// All files of a log, the oldest first.
fn all_files(directory: &Path, log: &str) -> Result<Vec<LogFile>, ReadError> {
    let failed = |source| ReadError::io(directory, source);
    let mut found = files::closed(directory, log).map_err(failed)?;
    let current = files::current(directory, log);
    match files::first_number(&current) {
        Ok(first) => {
            // Both names are of one file for a moment when it is turned over.
            if !found
                .iter()
                .any(|file| files::is_same(&file.path, &current))
            {
                found.push(LogFile {
                    first,
                    path: current,
                });
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(ReadError::io(&current, error)),
    }
    Ok(found)
}
