//! Getting at the invite code without showing it around.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use wire::Secret;
use wire::invite::{Invite, InviteError};

use super::{CliError, Failure};
use crate::join::JoinError;

/// More than any code, with whatever a mail program puts around it.
const MAX_INPUT: u64 = 64 * 1024;

pub(super) fn read(argument: Option<&str>) -> Result<Invite, Failure> {
    match argument {
        Some("-") => piped(),
        Some(code) => {
            tracing::warn!(
                "an invite code on the command line shows in the list of processes and in the \
                 shell's history; leave it out, and it is asked for"
            );
            Ok(code.parse().map_err(JoinError::Code)?)
        }
        None if io::stdin().is_terminal() => prompted(),
        None => piped(),
    }
}

fn piped() -> Result<Invite, Failure> {
    let mut text = String::new();
    io::stdin()
        .take(MAX_INPUT)
        .read_to_string(&mut text)
        .map_err(CliError::Stdin)?;
    let text = Secret::new(text);
    if text.expose().trim().is_empty() {
        return Err(CliError::NoCode.into());
    }
    Ok(text.expose().parse().map_err(JoinError::Code)?)
}

/// Takes lines until they make a code: mail programs break long ones.
fn prompted() -> Result<Invite, Failure> {
    let mut stderr = io::stderr();
    write!(stderr, "Paste the invite code: ")
        .and_then(|()| stderr.flush())
        .map_err(CliError::Prompt)?;
    let mut text = String::new();
    loop {
        let before = text.len();
        let mut stdin = io::stdin().lock().take(MAX_INPUT);
        stdin.read_line(&mut text).map_err(CliError::Stdin)?;
        let empty = text[before..].trim().is_empty();
        match text.parse::<Invite>() {
            Err(InviteError::Damaged) if !empty => {}
            Err(_) if text.trim().is_empty() => return Err(CliError::NoCode.into()),
            result => return Ok(result.map_err(JoinError::Code)?),
        }
    }
}
