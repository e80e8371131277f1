//! Starts, watches and stops the built programs.
//!
//! Everything that waits has a deadline, so that a test which would hang fails instead,
//! and says what the program had printed until then.

mod running;
mod trial;

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

pub use running::{Finished, Running, Stream, run, run_with_input};
pub use trial::{Agent, Guard, Trial, opaque};

/// How long anything may take before it counts as hung. Generous, because a machine that
/// runs all tests at once is slow; nothing waits this long when all is well.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The programs that the tests run, and the packages that hold them.
pub const PROGRAMS: [&str; 3] = ["hrpyc-guard", "hrpyc-certs", "hrpyc-agent"];

/// What went wrong, as a sentence.
#[derive(Debug)]
pub struct Failure(String);

/// A result with a [`Failure`].
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure from its sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// A failure of the operating system, with what was being done.
    pub fn io(doing: impl fmt::Display, error: &io::Error) -> Self {
        Self(format!("{doing}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// The folder that holds the built programs: where the running program is, without the
/// `deps` in which cargo puts test programs.
///
/// # Errors
/// When the path of the running program cannot be found out.
pub fn program_dir() -> Result<PathBuf> {
    let own =
        std::env::current_exe().map_err(|e| Failure::io("finding the path of this program", &e))?;
    let folder = own.parent().unwrap_or(Path::new("."));
    Ok(match folder.file_name() {
        Some(name) if name == "deps" => folder.parent().unwrap_or(folder).to_owned(),
        _ => folder.to_owned(),
    })
}

/// The path of a built program.
///
/// # Errors
/// When it has not been built; the sentence says how to build it.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = program_dir()?.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::new(format!(
        "{} is not there\nhint: build it first: cargo build --workspace --bins",
        path.display()
    )))
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// Tries `attempt` until it gives something, for at most [`DEADLINE`].
///
/// # Errors
/// When the time is over; `what` names in the sentence what was waited for.
pub fn poll<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> Result<T> {
    poll_for(DEADLINE, what, attempt)
}

/// As [`poll`], with a limit of its own.
///
/// # Errors
/// As [`poll`].
pub fn poll_for<T>(
    limit: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Option<T>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = attempt() {
            return Ok(found);
        }
        if Instant::now() >= end {
            return Err(Failure::new(format!("{what}: not within {limit:?}")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A loopback address on which nothing listens at this moment. Its port is below those that
/// systems give out by themselves, so that no other test gets it before it is used.
///
/// # Errors
/// When no port can be bound.
pub fn free_address() -> Result<SocketAddr> {
    const PORTS: std::ops::Range<u16> = 20_000..32_000;
    static ASKED: AtomicU16 = AtomicU16::new(0);
    // Tests are programs of their own: each begins somewhere else.
    let begin = std::process::id().wrapping_mul(7919);
    let mut last = None;
    for _ in 0..200 {
        let place = begin.wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed).into());
        let port = PORTS.start + (place % PORTS.len() as u32) as u16;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return listener.local_addr().map_err(looking),
            Err(error) => last = Some(error),
        }
    }
    Err(looking(last.unwrap_or_else(|| ErrorKind::AddrInUse.into())))
}

fn looking(error: io::Error) -> Failure {
    Failure::io("looking for a free port", &error)
}

/// A command as somebody would type it: the program's name without its folder, and the
/// arguments quoted where a shell needs it.
pub fn typed(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(quoted)
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("/somewhere/hrpyc-certs");
        command.args(["revoke", "alice", "--why", "left the show", "it's", ""]);
        assert_eq!(
            typed(&command),
            r"hrpyc-certs revoke alice --why 'left the show' 'it'\''s' ''"
        );
    }

    #[test]
    fn a_program_that_was_not_built_is_named_with_the_way_to_build_it() {
        let message = program("hrpyc-no-such-program").unwrap_err().to_string();
        assert!(message.contains("hrpyc-no-such-program"), "{message}");
        assert!(message.contains("cargo build"), "{message}");
    }
}
