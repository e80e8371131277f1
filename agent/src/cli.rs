//! The command line.

mod args;
mod connect;
mod invite;
mod leave;
mod target;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use jiff::Timestamp;
use rpyc::reverse::Reverse;
use wire::invite::Invite;

use crate::explain::Explain;
use crate::join::join;
use crate::profile::{Profiles, default_root};
use crate::{dates, doctor, status};

pub use args::{Args, Command, LogFormat};
pub use target::Target;

/// How the agent names itself to a guard.
pub const CLIENT: &str = concat!("hrpyc-agent ", env!("CARGO_PKG_VERSION"));

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let args = Args::parse();
    log_to_stderr(args.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!(
                "the program could not start its threads: {error}"
            ));
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(Box::pin(run(args)));
    // A thread may be waiting for a name server; nobody waits for it any more.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => {
            complain(error.explained());
            ExitCode::FAILURE
        }
    }
}

/// Writes to standard output what was asked for.
fn say(text: impl Display) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(CliError::Stdout)
}

/// Writes to standard error why it went wrong. Best effort: there is nowhere else to say so.
fn complain(error: impl Display) {
    let _ = writeln!(io::stderr(), "error: {error}");
}

fn log_to_stderr(format: LogFormat) {
    let logs = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::INFO)
        .with_target(false)
        .log_internal_errors(false);
    match format {
        LogFormat::Text => logs.with_ansi(false).init(),
        LogFormat::Json => logs.json().init(),
    }
}

type Failure = Box<dyn Explain>;

impl<E: Explain + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Box::new(error)
    }
}

async fn run(args: Args) -> Result<ExitCode, Failure> {
    let root = args.config_dir.map_or_else(default_root, Ok)?;
    let profiles = Profiles::at(root);
    match args.command {
        Command::Join {
            code,
            profile,
            reverse_calls,
        } => {
            let invite = invite::read(code.as_deref())?;
            run_join(&profiles, &invite, profile, reverse_calls).await
        }
        Command::Connect(options) => connect::run(&profiles, options).await,
        Command::Status { json } => {
            let report = status::report(&profiles, Timestamp::now())?;
            print(json, &report)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor { profile, json } => {
            let route = profiles.route(profile.as_deref(), None, CLIENT)?;
            let report = doctor::examine(&route).await;
            print(json, &report)?;
            Ok(if report.ok {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Command::Leave { profile, yes } => leave::run(&profiles, profile.as_deref(), yes).await,
    }
}

async fn run_join(
    profiles: &Profiles,
    invite: &Invite,
    name: Option<wire::Name>,
    reverse_calls: Reverse,
) -> Result<ExitCode, Failure> {
    say(format_args!(
        "guard        {} at {}\n\
         authority    {}\n\
         fingerprint  {}\n             (compare it with what IT tells you by another way)",
        invite.guard.name, invite.address, invite.guard.domain, invite.authority
    ))?;
    let profile = join(profiles, invite, name, reverse_calls).await?;
    let now = Timestamp::now();
    let credentials = profile.credentials()?;
    say(format_args!(
        "\njoined as {} with role {}\nprofile      {}",
        profile.identity(),
        credentials.role,
        profile.folder().display()
    ))?;
    if let Ok(leaf) = credentials.leaf() {
        let until = dates::moment(leaf.not_after, now);
        say(format_args!(
            "certificate  until {until}, renewed by itself"
        ))?;
    }
    if let Some(until) = &credentials.access_until {
        say(format_args!(
            "access       until {}",
            dates::zoned(until, now)
        ))?;
    }
    say(format_args!(
        "\nnext: hrpyc-agent connect {}",
        profile.name()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn print(json: bool, report: &(impl serde::Serialize + Display)) -> Result<(), CliError> {
    if json {
        say(serde_json::json!(report))
    } else {
        say(report)
    }
}

/// What only the command line can get wrong.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error("no invite code was given: standard input is empty")]
    NoCode,
    #[error("standard input cannot be read: {0}")]
    Stdin(io::Error),
    #[error("nobody can be asked, because standard error cannot be written: {0}")]
    Prompt(io::Error),
    #[error("standard output cannot be written: {0}")]
    Stdout(io::Error),
    #[error("nobody was asked whether the profile {0} may go: there is no terminal")]
    NotAsked(wire::Name),
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
    #[error("there is no profile {0}")]
    NoSuchProfile(String),
}

impl Explain for CliError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoCode => Some("paste the code that IT sent, or pipe it in".into()),
            Self::NotAsked(_) => Some("add --yes".into()),
            Self::NoSuchProfile(_) => Some("see `hrpyc-agent status`".into()),
            Self::Stdout(_) => {
                Some("only the output is lost; `hrpyc-agent status` shows how things are".into())
            }
            Self::Stdin(_) | Self::Prompt(_) | Self::Signals(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
