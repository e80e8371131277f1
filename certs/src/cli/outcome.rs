//! What a command prints: text for people, or one JSON object.

use std::fs::File;
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

/// Prints what clap has to say: help, or why what was typed makes no sense.
pub(crate) fn print_usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        let text = error.to_string();
        let (sentence, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
        let one_line = |text: &str| {
            let words: Vec<_> = text.split_whitespace().collect();
            words.join(" ")
        };
        let sentence = one_line(sentence.strip_prefix("error: ").unwrap_or(sentence));
        let hint = one_line(rest);
        let _ = writeln!(
            std::io::stdout(),
            "{}",
            json!({ "error": sentence, "hint": hint })
        );
    }
    ExitCode::from(2)
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

/// A new file for its owner alone, made before there is something to put in it: what
/// could not be written down is then not issued. It goes away unless it is filled.
pub(crate) struct NewFile<'a> {
    path: &'a Path,
    file: File,
    is_filled: bool,
}

impl<'a> NewFile<'a> {
    /// Makes the file. Nothing is overwritten.
    pub(crate) fn create(path: &'a Path) -> Result<Self, Failure> {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => already_there(path),
            _ => Failure::io("write", path, e),
        })?;
        Ok(Self {
            path,
            file,
            is_filled: false,
        })
    }

    pub(crate) fn fill(mut self, content: &str) -> Result<(), Failure> {
        self.file
            .write_all(content.as_bytes())
            .and_then(|()| self.file.sync_all())
            .map_err(|e| Failure::io("write", self.path, e))?;
        self.is_filled = true;
        Ok(())
    }

    /// A line about the file, and its JSON.
    pub(crate) fn described(&self, what: &str, expires: Timestamp) -> (String, Value) {
        (
            format!(
                "{what} is in {}, valid until {}.\n",
                self.path.display(),
                hrpyc_certs::when::local(expires)
            ),
            json!({ "path": self.path, "expires": expires }),
        )
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if !self.is_filled {
            let _ = std::fs::remove_file(self.path);
        }
    }
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
