//! The command line of `hrpyc-guard audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::audit::reader::verify::Expected;

/// What reading the audit takes.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: AuditCommand,

    /// The guard's state directory, or a copy of its folder audit
    #[arg(long, value_name = "DIR", global = true)]
    pub state_dir: Option<PathBuf>,

    /// Print JSON: the records as they were written, or one object
    #[arg(long, global = true)]
    pub json: bool,
}

/// What can be done with the audit.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show the last records of both logs
    Show(ShowArgs),
    /// Show the last records, and new ones as they come
    Follow(ShowArgs),
    /// Show all records with a text in them
    Search(SearchArgs),
    /// Say whether the logs are what the guard wrote, whole and in order
    Verify(VerifyArgs),
    /// Count calls, denials, times and bytes by identity, role and method
    Stats(OfArgs),
    /// Print the public key that verifies the logs; keep it where the guard's machine cannot
    /// change it
    Key(KeyArgs),
}

/// Which records are wanted.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// Of one session
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,

    /// Of whom, and when.
    #[command(flatten)]
    pub of: OfArgs,

    /// Of a kind, such as call, opened, refused; may be given several times [default: all
    /// but checkpoint]
    #[arg(long, value_name = "EVENT")]
    pub event: Vec<String>,

    /// Calls that ended so: ok, exception, denied, would-be-denied or unanswered
    #[arg(long, value_name = "OUTCOME")]
    pub outcome: Option<String>,
}

/// What showing takes.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// How many of the last records
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    pub last: usize,

    /// Which.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// What searching takes.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// The text, upper and lower case being the same; * stands for anything
    #[arg(value_name = "TEXT")]
    pub text: String,

    /// Which.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// What verifying takes.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A public key as `audit key` printed it; may be given several times [default: that of
    /// the key in the state directory, which proves less]
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,

    /// A head that was kept outside, as the guard's log shows it: LOG:SEQ:HASH or SEQ:HASH;
    /// may be given several times
    #[arg(long, value_name = "HEAD")]
    pub expect_head: Vec<Expected>,
}

/// Whose records are wanted, and of which time.
#[derive(Debug, Args)]
pub struct OfArgs {
    /// Of one identity, such as alice or service/farm
    #[arg(long, value_name = "NAME")]
    pub identity: Option<String>,

    /// Not before: a date, a time, or how long ago, such as 2h
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,

    /// Before: a date, a time, or how long ago
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
}

/// What printing the key takes.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// Make the key of a state directory that has none, because it was made by a version
    /// without one
    #[arg(long)]
    pub make: bool,
}
