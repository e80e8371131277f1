//! One change of a profile at a time, over all processes.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{ProfileError, private};

/// How long another agent may hold the lock of a profile.
const WAIT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(25);

/// The right to change a profile, given back when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Waits for the right to change the profile in `folder`. What a killed process left
/// half-written there is removed: nobody else writes now.
///
/// # Errors
/// [`ProfileError::Locked`] after some seconds; [`ProfileError::Io`].
pub(crate) async fn lock(folder: &Path) -> Result<Lock, ProfileError> {
    let error = |source| ProfileError::Io {
        path: folder.join("lock"),
        source,
    };
    let deadline = Instant::now() + WAIT;
    let mut file = private::open_lock(folder).map_err(error)?;
    loop {
        match file.try_lock() {
            Ok(()) if private::is_lock_of(&file, folder) => {
                remove_unfinished(folder).map_err(error)?;
                return Ok(Lock { _file: file });
            }
            // The profile was left, and perhaps joined again, while it was waited for.
            Ok(()) => file = private::open_lock(folder).map_err(error)?,
            Err(TryLockError::Error(e)) => return Err(error(e)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(ProfileError::Locked {
                    path: folder.into(),
                });
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(POLL).await,
        }
    }
}

fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in folder.read_dir()? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(private::is_temporary) && entry.file_type()?.is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn what_a_killed_process_left_is_removed_at_the_next_change() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("credentials.json.4711.new");
        let ours = ["key.pem", "notes.new", "credentials.json.new"];
        fs::write(&left, "half").unwrap();
        for name in ours {
            fs::write(folder.path().join(name), "whole").unwrap();
        }
        let _lock = lock(folder.path()).await.unwrap();
        assert!(!left.exists());
        for name in ours {
            assert!(folder.path().join(name).exists(), "{name}");
        }
    }

    #[test]
    fn a_profile_that_is_being_changed_is_no_lack_of_permission() {
        let locked = ProfileError::Locked { path: "p".into() };
        assert_eq!(
            locked.exception_class(),
            rpyc::ExceptionClass::ConnectionError
        );
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_lock_of_a_folder_that_was_left_locks_nothing() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("ws12");
        fs::create_dir(&folder).unwrap();
        let old = lock(&folder).await.unwrap();
        let waiting = tokio::spawn({
            let folder = folder.clone();
            async move { lock(&folder).await }
        });
        tokio::time::sleep(2 * POLL).await;
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        drop(old);
        let held = waiting.await.unwrap().unwrap();
        let other = private::open_lock(&folder).unwrap();
        assert!(other.try_lock().is_err());
        drop(held);
        other.try_lock().unwrap();
    }
}
