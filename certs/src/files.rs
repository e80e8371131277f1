//! Files that only their owner may touch, written so that a crash leaves the old or the
//! new content and never a part.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use wire::Secret;

use crate::error::StateError;

/// Wraps an I/O error with what was being done to which file.
pub(crate) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io {
        doing,
        path,
        source,
    }
}

/// Checks that a directory is there, ours, and closed to others.
pub(crate) fn check_directory(path: &Path) -> Result<(), StateError> {
    let metadata = match fs::symlink_metadata(path) {
        // The state directory itself may be reached through a link.
        Ok(metadata) if metadata.is_symlink() => fs::metadata(path),
        other => other,
    };
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(StateError::Absent { path: path.into() });
        }
        Err(e) => return Err(io_error("look at", path)(e)),
    };
    if !metadata.is_dir() {
        return Err(StateError::Kind {
            path: path.into(),
            wanted: "a directory",
        });
    }
    check_owner_and_mode(path, &metadata, 0o700)
}

/// Checks that a file is there, ours, and closed to others. `what` describes the file.
pub(crate) fn check_file(path: &Path, what: &'static str) -> Result<(), StateError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(StateError::Missing {
                path: path.into(),
                what,
            });
        }
        Err(e) => return Err(io_error("look at", path)(e)),
    };
    if !metadata.is_file() {
        return Err(StateError::Kind {
            path: path.into(),
            wanted: "a plain file",
        });
    }
    check_owner_and_mode(path, &metadata, 0o600)
}

#[cfg(unix)]
fn check_owner_and_mode(
    path: &Path,
    metadata: &fs::Metadata,
    wanted: u32,
) -> Result<(), StateError> {
    use std::os::unix::fs::MetadataExt as _;

    let me = rustix::process::geteuid().as_raw();
    if metadata.uid() != me {
        return Err(StateError::Owner {
            path: path.into(),
            owner: metadata.uid(),
            me,
        });
    }
    let found = metadata.mode() & 0o7777;
    if found & !wanted != 0 {
        return Err(StateError::Mode {
            path: path.into(),
            found,
            wanted,
        });
    }
    Ok(())
}

/// On Windows the directory lies in the user's profile, whose access list is inherited.
#[cfg(not(unix))]
fn check_owner_and_mode(_: &Path, _: &fs::Metadata, _: u32) -> Result<(), StateError> {
    Ok(())
}

/// Reads a checked file that holds text and may hold a secret.
pub(crate) fn read(path: &Path, what: &'static str) -> Result<Secret<String>, StateError> {
    check_file(path, what)?;
    let text = fs::read_to_string(path).map_err(|e| match e.kind() {
        io::ErrorKind::InvalidData => StateError::Damaged {
            path: path.into(),
            why: "it is not text".into(),
        },
        _ => io_error("read", path)(e),
    })?;
    Ok(Secret::new(text))
}

/// As [`read`], for what need not be text.
pub(crate) fn read_bytes(path: &Path, what: &'static str) -> Result<Secret<Vec<u8>>, StateError> {
    check_file(path, what)?;
    fs::read(path)
        .map(Secret::new)
        .map_err(io_error("read", path))
}

/// Makes a directory for its owner alone.
pub(crate) fn make_directory(path: &Path) -> Result<(), StateError> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(io_error("make", path))
}

/// Makes a new file for its owner alone and brings it to the disk.
pub(crate) fn create(path: &Path, content: &[u8]) -> Result<(), StateError> {
    write_new(path, content).map_err(io_error("write", path))
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Puts new content in the place of a file, or makes it. Whoever looks finds the old
/// content or the new.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), StateError> {
    let beside = beside(path);
    let written = write_new(&beside, content).and_then(|()| fs::rename(&beside, path));
    if let Err(e) = written {
        let _ = fs::remove_file(&beside);
        return Err(io_error("write", path)(e));
    }
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// A fresh name in the same directory, hidden.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new-{}", crate::random::hex(8)))
}

/// Brings a directory's entries to the disk, so that a rename survives a power cut.
pub(crate) fn sync_directory(path: &Path) -> Result<(), StateError> {
    if cfg!(unix) {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        File::open(path)
            .and_then(|directory| directory.sync_all())
            .map_err(io_error("write", path))?;
    }
    Ok(())
}

/// Refuses filesystems on which SQLite's locks and shared memory do not hold.
#[cfg(target_os = "linux")]
pub(crate) fn check_filesystem(path: &Path) -> Result<(), StateError> {
    // Magic numbers from statfs(2).
    const NETWORK: &[(i64, &str)] = &[
        (0x6969, "NFS"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x517b, "SMB"),
        (0x5346_414f, "AFS"),
        (0x00c3_6400, "Ceph"),
    ];
    let found = rustix::fs::statfs(path)
        .map_err(|e| io_error("look at", path)(e.into()))?
        .f_type;
    match NETWORK.iter().find(|(magic, _)| *magic == found) {
        Some((_, filesystem)) => Err(StateError::NetworkFilesystem {
            path: path.into(),
            filesystem,
        }),
        None => Ok(()),
    }
}

/// Only Linux tells the kind of a filesystem in a way that is looked at here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn check_filesystem(_: &Path) -> Result<(), StateError> {
    Ok(())
}
