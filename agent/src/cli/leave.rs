//! `hrpyc-agent leave`.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use wire::Name;

use super::{CliError, Failure, say};
use crate::profile::{Profiles, RouteError};

pub(super) async fn run(
    profiles: &Profiles,
    wanted: Option<&str>,
    yes: bool,
) -> Result<ExitCode, Failure> {
    let name = named(profiles, wanted)?;
    if !yes && !asked(&name)? {
        say("nothing was changed")?;
        return Ok(ExitCode::FAILURE);
    }
    profiles.remove(&name).await?;
    say(format_args!(
        "profile {name} and its key are gone from this machine"
    ))?;
    say(
        "The certificate stays valid until it expires or IT revokes it: tell IT if somebody \
         else may have a copy.",
    )?;
    Ok(ExitCode::SUCCESS)
}

/// A profile that cannot be used can be left all the same.
fn named(profiles: &Profiles, wanted: Option<&str>) -> Result<Name, Failure> {
    let entries = profiles.list()?;
    if let Some(wanted) = wanted {
        let entry = entries.iter().find(|entry| entry.name.as_str() == wanted);
        return entry
            .map(|entry| entry.name.clone())
            .ok_or_else(|| CliError::NoSuchProfile(wanted.into()).into());
    }
    match entries.as_slice() {
        [] => Err(RouteError::NoProfile.into()),
        [only] => Ok(only.name.clone()),
        several => Err(RouteError::Several {
            known: several.iter().map(|entry| entry.name.to_string()).collect(),
        }
        .into()),
    }
}

fn asked(name: &Name) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::NotAsked(name.clone()));
    }
    let mut stderr = io::stderr();
    write!(
        stderr,
        "Remove the profile {name} and its key? Only a new invite brings it back. [y/N] "
    )
    .and_then(|()| stderr.flush())
    .map_err(CliError::Prompt)?;
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(CliError::Stdin)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
