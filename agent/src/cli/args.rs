use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};
use rpyc::reverse::Reverse;
use wire::Name;
use wire::hello::Wanted;

use super::target::{self, Target};

/// Connects scripts on this machine to Houdini behind hrpyc-guard.
#[derive(Debug, Parser)]
#[command(name = "hrpyc-agent", version, max_term_width = 100)]
pub struct Args {
    /// Where profiles are kept, instead of the configuration folder of this user.
    #[arg(long, global = true, value_name = "FOLDER")]
    pub config_dir: Option<PathBuf>,

    /// How log lines are written to standard error.
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs, one object a line.
    Json,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Use an invite: make a key and get a certificate for it.
    Join {
        /// The code that IT sent, or `-` for standard input. Better left out: it is asked
        /// for then, and shows neither in the list of processes nor in the history.
        #[arg(value_name = "CODE")]
        code: Option<String>,
        /// What to call the profile, instead of the guard's name.
        #[arg(long, value_name = "NAME")]
        profile: Option<Name>,
        /// What Houdini may ask of scripts here: what callbacks need, or any Python. To change
        /// it later, edit `reverse_calls` in the profile's profile.toml.
        #[arg(long, value_name = "HOW", value_parser = reverse_calls(), default_value = "guarded")]
        reverse_calls: Reverse,
    },
    /// Serve Houdini on a local port until interrupted.
    Connect(ConnectOptions),
    /// Show the profiles, and how long they are good for.
    Status {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Find out why connecting does not work, step by step.
    Doctor {
        /// A profile or a guard; not needed with a single profile.
        #[arg(value_name = "PROFILE")]
        profile: Option<String>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Remove a profile and its key from this machine.
    Leave {
        /// The profile; not needed when there is only one.
        #[arg(value_name = "PROFILE")]
        profile: Option<String>,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

fn reverse_calls() -> impl TypedValueParser<Value = Reverse> {
    PossibleValuesParser::new(Reverse::ALL.map(Reverse::as_str))
        .try_map(|text| text.parse::<Reverse>())
}

/// Options of `connect`.
#[derive(Debug, clap::Args)]
#[command(after_help = target::EXAMPLES)]
pub struct ConnectOptions {
    /// What to serve: NAME[/UPSTREAM][=PORT]. NAME is a profile or a guard, UPSTREAM a
    /// Houdini there by name or port, PORT the local one. Not needed with a single profile.
    #[arg(value_name = "TARGET")]
    pub targets: Vec<Target>,
    /// The local address or port, for a single target. [default: 127.0.0.1:18811]
    #[arg(long, value_name = "ADDRESS", value_parser = target::listen_address)]
    pub listen: Option<std::net::SocketAddr>,
    /// Which Houdini there, by name or port, for a single target.
    #[arg(long, value_name = "NAME|PORT")]
    pub upstream: Option<Wanted>,
    /// Serve every user of this machine as you. Needed where the agent cannot tell whose a
    /// connection is.
    #[arg(long)]
    pub allow_any_local_user: bool,
}
