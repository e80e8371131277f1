//! Passphrases: from a file, from standard input, or typed unseen. Never from an argument,
//! which other users can read.

use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use wire::Secret;

use super::outcome::Failure;

/// Gets a passphrase for something new: long enough, and typed twice.
pub(crate) fn new(file: Option<&Path>) -> Result<Secret<String>, Failure> {
    let passphrase = match file {
        Some(file) => read(file)?,
        None => {
            let first = ask("Passphrase: ")?;
            if *ask("Once more: ")?.expose() != *first.expose() {
                return Err(Failure::new("the two are not the same", "try again"));
            }
            first
        }
    };
    if passphrase.expose().chars().count() < hrpyc_certs::SHORTEST_PASSPHRASE {
        return Err(Failure::new(
            format!(
                "the passphrase is shorter than {} characters",
                hrpyc_certs::SHORTEST_PASSPHRASE
            ),
            "choose a longer one: whoever gets the file can try as many as they like",
        ));
    }
    Ok(passphrase)
}

/// Gets the passphrase of something that exists.
pub(crate) fn known(file: Option<&Path>) -> Result<Secret<String>, Failure> {
    match file {
        Some(file) => read(file),
        None => ask("Passphrase: "),
    }
}

/// The first line of a file, or of standard input for `-`.
fn read(file: &Path) -> Result<Secret<String>, Failure> {
    if file == Path::new("-") {
        return line().map_err(|e| Failure::io("read", file, e));
    }
    let text = fs::read_to_string(file)
        .map(Secret::new)
        .map_err(|e| Failure::io("read", file, e))?;
    Ok(Secret::new(
        text.expose().lines().next().unwrap_or_default().into(),
    ))
}

fn line() -> io::Result<Secret<String>> {
    let mut text = String::new();
    io::stdin().lock().read_line(&mut text)?;
    let text = Secret::new(text);
    Ok(Secret::new(
        text.expose().trim_end_matches(['\r', '\n']).into(),
    ))
}

fn ask(prompt: &str) -> Result<Secret<String>, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "a passphrase is needed, and there is no terminal to ask at",
            "give it with --passphrase-file FILE, or --passphrase-file - on standard input",
        ));
    }
    // Asked when nothing is shown any more: what was typed before that is thrown away.
    let typed = unseen(|| {
        let _ = write!(io::stderr(), "{prompt}");
        line()
    });
    let _ = writeln!(io::stderr());
    typed.map_err(|e| Failure::io("read from", Path::new("the terminal"), e))
}

#[cfg(unix)]
fn unseen<T>(f: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

    let stdin = io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &quiet)?;
    let result = f();
    tcsetattr(&stdin, OptionalActions::Flush, &before)?;
    result
}

/// Elsewhere what is typed can be seen, so it is not asked for.
#[cfg(not(unix))]
fn unseen<T>(_: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    Err(io::Error::other("use --passphrase-file"))
}
