//! The command line.

mod audit;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use audit::{
    AuditArgs, AuditCommand, FilterArgs, KeyArgs, OfArgs, SearchArgs, ShowArgs, VerifyArgs,
};

/// Stands in front of Houdini's RPC server and lets in only who may come in.
///
/// Started without a state directory, it makes an authority of its own and prints the
/// command that invites the first artist.
#[derive(Debug, Parser)]
#[command(name = "hrpyc-guard", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What guarding takes.
    #[command(flatten)]
    pub run: RunArgs,

    /// Something else than guarding.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What else the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at the configuration
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Read, search and verify the audit logs; while the guard runs, or a copy elsewhere
    Audit(AuditArgs),
    /// Look at the policy: what each role may ask of Houdini
    Policy {
        /// What to do with it.
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Join the authority of another guard, with an invite for guard/NAME
    Join(JoinArgs),
}

/// What can be done with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether a configuration file is right, and by line what is wrong with it
    Check {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// What can be done with a policy.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Say whether a policy file is right, and what its roles promise
    Check {
        /// The policy file [default: the built-in roles]
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
    },
    /// Say request by request what a role does with an expression
    ///
    /// Exits with 0 when all of it is allowed, 1 when something is denied or not known, 2
    /// when the question makes no sense.
    Explain(ExplainArgs),
    /// Hold a policy against a file of cases
    ///
    /// Exits with 0 when all are as expected, 1 when one is not, 2 when they cannot be run.
    Test {
        /// The cases, in TOML
        #[arg(value_name = "CASES")]
        cases: PathBuf,

        /// The policy file [default: the built-in roles]
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
    },
}

/// What explaining takes.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// What a script would write, such as 'hou.node("/obj/a").destroy()'
    #[arg(value_name = "EXPRESSION")]
    pub expression: String,

    /// The role to look at
    #[arg(long, value_name = "ROLE")]
    pub role: String,

    /// The policy file [default: the built-in roles]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,

    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// What `hrpyc-guard` takes when it guards. Each has a place in the configuration file
/// too; the command line wins.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// Where to take connections [default: 0.0.0.0:18812]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,

    /// Where Houdini's RPC server is: ADDRESS:PORT, ADDRESS:FIRST-LAST or unix:PATH; may be
    /// given several times [default: 127.0.0.1:18811]
    #[arg(long, value_name = "UPSTREAM")]
    pub upstream: Vec<String>,

    /// Where keys, the trust store and the audit log are kept
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// The address that artists use to reach this guard [default: this machine's name]
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,

    /// Send nothing to a Houdini that runs as the guard's own user: Python in it could read
    /// the guard's keys
    #[arg(long)]
    pub refuse_own_user: bool,

    /// A configuration file in TOML
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The policy file, with the roles of this studio [default: the built-in roles]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,

    /// The name of this guard, used at its first start [default: this machine's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// How log lines look on standard error [default: text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// How long sessions may go on after SIGTERM, such as 30s [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub drain_timeout: Option<String>,

    /// Allow upstreams on this host although the way there is not protected; may be given
    /// several times
    #[arg(long, value_name = "HOST")]
    pub allow_remote_upstream: Vec<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What joining takes.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The invite code; - or nothing reads it from standard input
    #[arg(value_name = "CODE")]
    pub code: Option<String>,

    /// Where keys and the audit log are to be kept; must not exist yet, or be empty
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// The address that artists will use to reach this guard
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,
}
