//! What a command prints: text for people, or one JSON object.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use hrpyc_certs::{BackupError, IssueError, StateError, StoreError};
use jiff::Timestamp;
use serde_json::{Value, json};
use wire::identity::NameError;

/// What was done.
pub(crate) struct Done {
    /// The result itself, on standard output.
    text: String,
    /// What goes with it, on standard error.
    notes: String,
    json: Value,
}

impl Done {
    pub(crate) fn new(text: String, json: Value) -> Self {
        Self {
            text,
            notes: String::new(),
            json,
        }
    }

    /// Adds what is for reading and not for a pipe.
    pub(crate) fn with_notes(mut self, notes: String) -> Self {
        self.notes = notes;
        self
    }

    pub(crate) fn print(&self, json: bool) -> ExitCode {
        let mut out = std::io::stdout().lock();
        let printed = if json {
            writeln!(out, "{}", self.json)
        } else {
            let _ = write!(std::io::stderr(), "{}", self.notes);
            write!(out, "{}", self.text)
        };
        // A code or token that went nowhere is worth knowing about.
        match printed.and_then(|()| out.flush()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                let _ = writeln!(
                    std::io::stderr(),
                    "error: it is done, and the result could not be printed: {e}"
                );
                ExitCode::FAILURE
            }
        }
    }
}

/// Why nothing was done.
pub(crate) struct Failure {
    sentence: String,
    hint: String,
    exit: u8,
}

impl Failure {
    pub(crate) fn new(sentence: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            sentence: sentence.into(),
            hint: hint.into(),
            exit: 1,
        }
    }

    /// What was typed makes no sense.
    pub(crate) fn usage(sentence: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            exit: 2,
            ..Self::new(sentence, hint)
        }
    }

    pub(crate) fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Self {
        StateError::Io {
            doing,
            path: path.into(),
            source,
        }
        .into()
    }

    pub(crate) fn print(&self, json: bool) -> ExitCode {
        let _ = writeln!(
            std::io::stderr(),
            "error: {}\nhint: {}",
            self.sentence,
            self.hint
        );
        if json {
            let _ = writeln!(
                std::io::stdout(),
                "{}",
                json!({ "error": self.sentence, "hint": self.hint })
            );
        }
        ExitCode::from(self.exit)
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Self::new(error.to_string(), error.hint())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(error.to_string(), error.hint())
    }
}

impl From<IssueError> for Failure {
    fn from(error: IssueError) -> Self {
        Self::new(error.to_string(), error.hint())
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        Self::new(error.to_string(), error.hint())
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::usage(
            error.to_string(),
            "write alice for an artist, service/farm for a program, guard/ws13 for a workstation",
        )
    }
}

/// Writes a new file for its owner alone. Nothing is overwritten.
pub(crate) fn write_file(path: &Path, content: &str) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => already_there(path),
        _ => Failure::io("write", path, e),
    })?;
    file.write_all(content.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|e| {
            let _ = std::fs::remove_file(path);
            Failure::io("write", path, e)
        })
}

/// Refuses to go on when a result would have nowhere to go.
pub(crate) fn check_free(path: &Path) -> Result<(), Failure> {
    match path.symlink_metadata() {
        Ok(_) => Err(already_there(path)),
        Err(_) => Ok(()),
    }
}

fn already_there(path: &Path) -> Failure {
    Failure::new(
        format!("{} exists already", path.display()),
        "give another name, or move it away; nothing is overwritten",
    )
}

/// A line about a file just made, and its JSON.
pub(crate) fn file_made(what: &str, path: &Path, expires: Timestamp) -> (String, Value) {
    (
        format!(
            "{what} is in {}, valid until {}.\n",
            path.display(),
            hrpyc_certs::when::local(expires)
        ),
        json!({ "path": path, "expires": expires }),
    )
}
