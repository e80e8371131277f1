//! Files and folders that nobody else may read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::ProfileError;

/// No file of a profile is longer.
const MAX_FILE: u64 = 1024 * 1024;

/// Reads a file that must be ours alone.
pub(crate) fn read(path: &Path) -> Result<String, ProfileError> {
    let error = |source| ProfileError::Io {
        path: path.into(),
        source,
    };
    let file = open_no_link(path).map_err(error)?;
    let metadata = file.metadata().map_err(error)?;
    if !metadata.is_file() {
        return Err(error(io::Error::other("it is not a plain file")));
    }
    check_access(path, &metadata, "600")?;
    let mut text = String::new();
    file.take(MAX_FILE)
        .read_to_string(&mut text)
        .map_err(error)?;
    Ok(text)
}

/// Replaces a file as a whole: after a crash there is the old one or the new one.
pub(crate) fn replace(path: &Path, content: &str) -> Result<(), ProfileError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = write_new(&temporary, content)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sync_parent(path));
    written.map_err(|source| {
        // Best effort: the error that is told is the one that came first.
        let _ = fs::remove_file(&temporary);
        ProfileError::Io {
            path: path.into(),
            source,
        }
    })
}

/// Is this a name under which [`replace`] writes, `NAME.PID.new`?
pub(crate) fn is_temporary(name: &str) -> bool {
    let pid = name
        .strip_suffix(".new")
        .and_then(|name| name.rsplit_once('.'));
    pid.is_some_and(|(name, pid)| !name.is_empty() && pid.parse::<u32>().is_ok())
}

/// Makes a folder for us alone, with its parents; one that exists is left as it is.
pub(crate) fn make_folder(path: &Path) -> Result<(), ProfileError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| ProfileError::Io {
        path: path.into(),
        source,
    })
}

/// Checks that a folder is ours alone.
pub(crate) fn check_folder(path: &Path) -> Result<(), ProfileError> {
    check_folder_for(path, "700")
}

/// Checks that nobody else can put anything into the folder of all profiles. Others may
/// see their names.
pub(crate) fn check_root(path: &Path) -> Result<(), ProfileError> {
    check_folder_for(path, "755")
}

fn check_folder_for(path: &Path, mode: &'static str) -> Result<(), ProfileError> {
    let metadata = fs::symlink_metadata(path).map_err(|source| ProfileError::Io {
        path: path.into(),
        source,
    })?;
    if !metadata.is_dir() {
        return Err(ProfileError::Io {
            path: path.into(),
            source: io::Error::other("it is not a folder"),
        });
    }
    check_access(path, &metadata, mode)
}

/// Opens the file whose lock says who may change a profile.
pub(crate) fn open_lock(folder: &Path) -> io::Result<File> {
    options()
        .create(true)
        .truncate(false)
        .open(lock_path(folder))
}

/// Is this the lock that others find in the folder now?
#[cfg(unix)]
pub(crate) fn is_lock_of(file: &File, folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let found = fs::symlink_metadata(lock_path(folder)).map(id).ok();
    found.is_some() && found == file.metadata().map(id).ok()
}

/// On Windows a file that somebody has open keeps its place.
#[cfg(not(unix))]
pub(crate) fn is_lock_of(_: &File, _: &Path) -> bool {
    true
}

fn lock_path(folder: &Path) -> PathBuf {
    folder.join("lock")
}

fn write_new(path: &Path, content: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = options().create_new(true).open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
fn open_no_link(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

#[cfg(not(unix))]
fn open_no_link(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(unix)]
fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

#[cfg(not(unix))]
fn sync_parent(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn check_access(
    path: &Path,
    metadata: &fs::Metadata,
    mode: &'static str,
) -> Result<(), ProfileError> {
    use std::os::unix::fs::MetadataExt as _;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(ProfileError::Owner {
            path: path.into(),
            uid: metadata.uid(),
        });
    }
    let allowed = u32::from_str_radix(mode, 8).unwrap_or(0);
    if metadata.mode() & 0o777 & !allowed & 0o077 != 0 {
        return Err(ProfileError::Mode {
            path: path.into(),
            found: metadata.mode() & 0o7777,
            wanted: mode,
        });
    }
    Ok(())
}

/// On Windows the local configuration folder is private to its user by inheritance.
#[cfg(not(unix))]
fn check_access(_: &Path, _: &fs::Metadata, _: &'static str) -> Result<(), ProfileError> {
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn files_and_folders_are_made_for_us_alone() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("a/b");
        make_folder(&folder).unwrap();
        let file = folder.join("key.pem");
        replace(&file, "one").unwrap();
        replace(&file, "two").unwrap();
        assert_eq!(read(&file).unwrap(), "two");
        assert_eq!((mode(&file), mode(&folder)), (0o600, 0o700));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn wider_modes_are_refused_with_what_to_type() {
        use crate::Explain as _;
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("p");
        make_folder(&folder).unwrap();
        let file = folder.join("key.pem");
        replace(&file, "one").unwrap();
        chmod(&file, 0o640);
        let error = read(&file).unwrap_err();
        assert!(matches!(error, ProfileError::Mode { found: 0o640, .. }));
        let hint = error.hint().unwrap();
        assert!(hint.contains("chmod 600 "), "{hint}");
        chmod(&folder, 0o750);
        assert!(matches!(
            check_folder(&folder).unwrap_err(),
            ProfileError::Mode { wanted: "700", .. }
        ));
        check_root(&folder).unwrap();
        chmod(&folder, 0o770);
        assert!(matches!(
            check_root(&folder).unwrap_err(),
            ProfileError::Mode { wanted: "755", .. }
        ));
    }

    #[test]
    fn a_file_of_another_owner_is_refused() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let top = tempfile::tempdir().unwrap();
        let file = top.path().join("key.pem");
        replace(&file, "one").unwrap();
        std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
        let error = read(&file).unwrap_err();
        assert!(matches!(error, ProfileError::Owner { uid: 65534, .. }));
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let top = tempfile::tempdir().unwrap();
        let file = top.path().join("real");
        replace(&file, "one").unwrap();
        let link = top.path().join("key.pem");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(matches!(read(&link), Err(ProfileError::Io { .. })));
    }
}
