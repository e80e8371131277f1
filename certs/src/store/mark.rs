//! The high-water mark of the store: how far its sequence had come, in a file beside it.
//!
//! It exists so that an older copy of the store, put in the place of the newer one while
//! no process runs, is noticed when the store is opened, even when nothing was revoked
//! since. The mark is written after each change is committed, so it may lag behind the
//! store and is never ahead of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::error::StateError;
use crate::files;

/// What the file is, for messages.
pub(crate) const WHAT: &str = "the mark of how far the store had come";
/// As many digits as any sequence needs, so that a new number covers the old one whole
/// and whoever is killed leaves the one or the other.
const DIGITS: usize = 20;

/// The file.
#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
}

impl Mark {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The number in it; 0 when there is none yet, and `None` when it makes no sense.
    pub(crate) fn read(&self) -> Result<Option<u64>, StateError> {
        match files::check_file(&self.path, WHAT) {
            Ok(()) => {}
            Err(StateError::Missing { .. }) => return Ok(Some(0)),
            Err(e) => return Err(e),
        }
        let read = || {
            let mut file = File::open(&self.path)?;
            file.lock_shared()?;
            number(&mut file)
        };
        read().map_err(files::io_error("read", &self.path))
    }

    /// Raises the number, unless another process has raised it further. One that makes no
    /// sense stays until somebody has looked. The file is made when it is missing.
    pub(crate) fn raise(&self, to: u64) -> io::Result<()> {
        self.write(to, |now| now.is_some_and(|now| now < to))
    }

    /// Puts the number in the place of whatever is there.
    pub(crate) fn reset(&self, to: u64) -> io::Result<()> {
        self.write(to, |_| true)
    }

    fn write(&self, to: u64, when: impl FnOnce(Option<u64>) -> bool) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.path)?;
        file.lock()?;
        if !when(number(&mut file)?) {
            return Ok(());
        }
        let text = format!("{to:0DIGITS$}\n");
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)?;
        file.sync_data()
    }
}

fn number(file: &mut File) -> io::Result<Option<u64>> {
    let mut bytes = Vec::new();
    file.take(DIGITS as u64 + 2).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Ok(Some(0));
    }
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    Ok(text.trim_end().parse().ok())
}
