//! The state directory: what lies in it, and whether it is in order.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use wire::{Identity, Name, TrustDomain};

use crate::authority::Authority;
use crate::error::StateError;
use crate::files;
use crate::member::Member;

pub(crate) const STATE: &str = "state.toml";
pub(crate) const AUTHORITY_KEY: &str = "authority.key";
pub(crate) const AUTHORITY_CERTIFICATE: &str = "authority.crt";
pub(crate) const TOKEN_KEY: &str = "token.key";
pub(crate) const TOKEN_PUBLIC: &str = "token.pub";
pub(crate) const GUARD_KEY: &str = "guard.key";
pub(crate) const GUARD_CERTIFICATE: &str = "guard.crt";
pub(crate) const AUDIT_KEY: &str = "audit.key";
pub(crate) const STORE: &str = "store.db";
pub(crate) const MARK: &str = "store.high";
pub(crate) const JOURNAL: &str = "revocations.jsonl";

/// The key of a guard that is joining, where an empty directory waits to become its state
/// directory.
pub const JOINING_KEY: &str = ".hrpyc-joining.key";

/// The version of the layout.
const VERSION: u32 = 1;
/// Names that a half-made state directory leaves behind begin so.
pub(crate) const UNFINISHED: &str = ".hrpyc-new-";

/// What a state directory holds.
#[expect(
    clippy::large_enum_variant,
    reason = "a process opens one, and takes it apart at once"
)]
#[derive(Debug)]
pub enum State {
    /// Keys and store of an authority.
    Authority(Authority),
    /// The key of a guard that joined another authority.
    Member(Member),
}

/// The content of `state.toml`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Description {
    #[expect(dead_code, reason = "it is checked before the rest is read")]
    version: u32,
    #[serde(flatten)]
    pub(crate) holds: Holds,
}

/// Which kind of state directory it is.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", deny_unknown_fields)]
pub(crate) enum Holds {
    Authority {
        trust_domain: TrustDomain,
        guard: Name,
    },
    Member {
        authority_guard: Identity,
        authority_address: String,
    },
}

impl Description {
    pub(crate) fn new(holds: Holds) -> Self {
        Self {
            version: VERSION,
            holds,
        }
    }

    pub(crate) fn to_toml(&self) -> String {
        let body = match &self.holds {
            Holds::Authority {
                trust_domain,
                guard,
            } => format!(
                "kind = \"authority\"\ntrust_domain = \"{trust_domain}\"\nguard = \"{guard}\"\n"
            ),
            Holds::Member {
                authority_guard,
                authority_address,
            } => format!(
                "kind = \"member\"\nauthority_guard = \"{authority_guard}\"\nauthority_address = {authority_address:?}\n"
            ),
        };
        format!(
            "# The state of hrpyc-guard. Made by the program; not meant to be edited.\n\
             version = {VERSION}\n{body}"
        )
    }

    pub(crate) fn read(path: &Path) -> Result<Self, StateError> {
        let path = path.join(STATE);
        let text = files::read(&path, "the description of this state directory")?;
        Self::parse(text.expose(), &path)
    }

    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, StateError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let damaged = |e: toml::de::Error| StateError::Damaged {
            path: path.into(),
            why: e.message().into(),
        };
        let head: Head = toml::from_str(text).map_err(damaged)?;
        if head.version != VERSION {
            return Err(StateError::Version {
                path: path.into(),
                found: head.version,
                known: VERSION,
            });
        }
        toml::from_str(text).map_err(damaged)
    }
}

/// Where the state is kept unless told otherwise: `/var/lib/hrpyc-guard` for root, else
/// `hrpyc-guard` in the user's own state directory.
#[cfg(unix)]
pub fn default_state_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return "/var/lib/hrpyc-guard".into();
    }
    environment("XDG_STATE_HOME")
        .or_else(|| environment("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(|| "/var/lib".into())
        .join("hrpyc-guard")
}

/// Where the state is kept unless told otherwise: `hrpyc-guard` in the user's local, not
/// roaming, application data.
#[cfg(windows)]
pub fn default_state_dir() -> PathBuf {
    environment("LOCALAPPDATA")
        .unwrap_or_else(|| "C:\\ProgramData".into())
        .join("hrpyc-guard")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the default state directory is resolved here and nowhere else"
)]
fn environment(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

/// Opens a state directory. Nothing is ever created.
///
/// # Errors
/// [`StateError::Absent`] when there is none, or an empty directory; others when it is
/// not in order.
pub fn open(path: &Path) -> Result<State, StateError> {
    files::check_directory(path)?;
    if is_vacant(path)? {
        return Err(StateError::Absent { path: path.into() });
    }
    files::check_filesystem(path)?;
    match Description::read(path)?.holds {
        Holds::Authority {
            trust_domain,
            guard,
        } => Authority::load(path, trust_domain, guard).map(State::Authority),
        Holds::Member {
            authority_guard,
            authority_address,
        } => Member::load(path, authority_guard, authority_address).map(State::Member),
    }
}

/// Whether a directory holds nothing but what an interrupted start or joining left behind.
///
/// # Errors
/// [`StateError`] when it cannot be read, or is no directory.
pub fn is_vacant(path: &Path) -> Result<bool, StateError> {
    for entry in fs::read_dir(path).map_err(files::io_error("read", path))? {
        let entry = entry.map_err(files::io_error("read", path))?;
        let name = entry.file_name();
        if name != JOINING_KEY && !name.to_string_lossy().starts_with(UNFINISHED) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes a state directory as one step: `fill` writes the files into a directory that
/// gets its name when all of them are on the disk.
///
/// Where an empty directory waits already, as service managers and container volumes
/// have it, the files are moved into it one by one, and `state.toml` last: without it a
/// state directory is not opened.
pub(crate) fn make(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), StateError>,
) -> Result<(), StateError> {
    let exists = |what| StateError::Exists {
        path: path.into(),
        what,
    };
    // Starts that find the same empty directory take turns.
    let _turn = take_turn(path)?;
    let waiting = match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => return Err(exists("it is not a directory")),
        Ok(_) => {
            files::check_directory(path)?;
            if !is_vacant(path)? {
                return Err(exists("it is not empty"));
            }
            true
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
        Err(e) => return Err(files::io_error("look at", path)(e)),
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let unfinished_name = format!("{UNFINISHED}{}", crate::random::hex(8));
    let unfinished = if waiting {
        clear_unfinished(path)?;
        path.join(unfinished_name)
    } else {
        fs::create_dir_all(parent).map_err(files::io_error("make", parent))?;
        parent.join(unfinished_name)
    };
    files::make_directory(&unfinished)?;
    let made = files::check_filesystem(&unfinished)
        .and_then(|()| fill(&unfinished))
        .and_then(|()| files::sync_directory(&unfinished))
        .and_then(|()| {
            if waiting {
                move_into(&unfinished, path)
            } else {
                fs::rename(&unfinished, path).map_err(|e| match e.kind() {
                    std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::AlreadyExists => {
                        exists("another process made it just now")
                    }
                    _ => files::io_error("make", path)(e),
                })
            }
        });
    if made.is_err() {
        let _ = fs::remove_dir_all(&unfinished);
    }
    made?;
    files::sync_directory(if waiting { path } else { parent })
}

/// A lock on a directory that exists; none where it does not.
#[cfg(unix)]
fn take_turn(path: &Path) -> Result<Option<fs::File>, StateError> {
    match fs::File::open(path) {
        Ok(directory) => {
            directory.lock().map_err(files::io_error("lock", path))?;
            Ok(Some(directory))
        }
        // Whatever is wrong with it is told by the one who looks at it next.
        Err(_) => Ok(None),
    }
}

/// Directories cannot be locked here; a link that exists stops the later one.
#[cfg(not(unix))]
fn take_turn(_: &Path) -> Result<(), StateError> {
    Ok(())
}

/// Removes what an interrupted start or restore left behind.
pub(crate) fn clear_unfinished(path: &Path) -> Result<(), StateError> {
    for entry in fs::read_dir(path).map_err(files::io_error("read", path))? {
        let entry = entry.map_err(files::io_error("read", path))?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            let entry = entry.path();
            fs::remove_dir_all(&entry).map_err(files::io_error("remove", &entry))?;
        }
    }
    Ok(())
}

fn move_into(from: &Path, to: &Path) -> Result<(), StateError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(from).map_err(files::io_error("read", from))? {
        names.push(entry.map_err(files::io_error("read", from))?.file_name());
    }
    names.sort_by_key(|name| name == STATE);
    for name in names {
        let target = to.join(&name);
        // A link never replaces what is there: of two processes that start at once, one
        // fails here.
        fs::hard_link(from.join(&name), &target).map_err(files::io_error("make", &target))?;
    }
    files::sync_directory(to)?;
    fs::remove_dir_all(from).map_err(files::io_error("remove", from))
}
