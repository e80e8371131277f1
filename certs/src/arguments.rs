//! What can be typed to `hrpyc-certs`. It is in the library, so that the documentation can be
//! held to it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use jiff::SignedDuration;
use wire::leaf::Serial;
use wire::{Name, TrustDomain};

use crate::when::{self, TextError};
use crate::{AccessEnd, Changes};

/// Who may reach Houdini, and until when: the authority of hrpyc-guard.
#[derive(Debug, Parser)]
#[command(name = "hrpyc-certs", version, max_term_width = 100)]
pub struct Arguments {
    /// The state directory of the authority
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an authority where there is none
    Init(InitArguments),
    /// Make a one-time code that lets somebody in, or adds a device
    Invite(InviteArguments),
    /// Change what somebody may do; live sessions feel it
    Grant(GrantArguments),
    /// Issue a certificate by hand, for a machine that cannot join by itself
    Issue(IssueArguments),
    /// Print a fresh token for somebody's newest certificate
    Token(TokenArguments),
    /// List everybody
    List,
    /// Show all that is known of somebody
    Show(ShowArguments),
    /// Take access back; live sessions end within a second
    Revoke(RevokeArguments),
    /// Print the revocation list (X.509, PEM)
    Crl,
    /// Write keys, store and journal into one file
    Backup(BackupArguments),
    /// Put a backup back, or go on after a rollback was noticed
    ///
    /// Kept of what is in the state directory: every revocation in its store and in its journal,
    /// and the guard's own key and certificate. All else is then as in the backup: what was
    /// granted, issued or used up since is forgotten, and who joined since must join again.
    ///
    /// If anything may have changed since the backup, nothing is issued until somebody has looked
    /// and types --accept-rollback. That revokes every open invite, because it may have been used
    /// since.
    ///
    /// The guard may run meanwhile, and sees the change within a second. Only on Windows it must
    /// be stopped when the store is damaged.
    Restore(RestoreArguments),
}

/// What `init` takes.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// The trust domain, such as studio.example [default: NAME.internal]
    #[arg(long)]
    pub domain: Option<TrustDomain>,
    /// The name of the guard on this machine [default: the machine's name]
    #[arg(long)]
    pub name: Option<Name>,
}

/// What can be stated about a grant.
#[derive(Debug, Args)]
pub struct Terms {
    /// What they may do: full, read-only, read-numeric, or a role of the guard's policy file
    #[arg(long)]
    role: Option<String>,
    /// The end of access: 2026-12-31, "2026-12-31 18:00", 2026-12-31T18:00+01:00, or never
    #[arg(long, value_name = "DATE", value_parser = access_end)]
    access_until: Option<AccessEnd>,
    /// A network to come from, such as 10.1.0.0/16; repeat it for more, "any" for all
    #[arg(long, value_name = "CIDR", value_parser = network)]
    from: Vec<Choice<IpNet>>,
    /// The name of an upstream they may reach; repeat it for more, "any" for all
    #[arg(long, value_name = "NAME", value_parser = upstream)]
    upstream: Vec<Choice<String>>,
}

/// One value of an option, or all there are.
#[derive(Debug, Clone)]
enum Choice<T> {
    Any,
    One(T),
}

impl Terms {
    /// The changes that were asked for.
    pub fn to_changes(&self) -> Changes {
        Changes {
            role: self.role.clone(),
            access_until: self.access_until.clone(),
            from: chosen(&self.from),
            upstreams: chosen(&self.upstream),
        }
    }

    /// Was nothing said?
    pub fn is_empty(&self) -> bool {
        self.role.is_none()
            && self.access_until.is_none()
            && self.from.is_empty()
            && self.upstream.is_empty()
    }
}

/// `None` when nothing was said, an empty list for any.
fn chosen<T: Clone + PartialEq>(said: &[Choice<T>]) -> Option<Vec<T>> {
    if said.is_empty() {
        return None;
    }
    let mut list: Vec<T> = Vec::new();
    for choice in said {
        match choice {
            Choice::Any => return Some(Vec::new()),
            Choice::One(one) if !list.contains(one) => list.push(one.clone()),
            Choice::One(_) => {}
        }
    }
    Some(list)
}

/// What `invite` takes.
#[derive(Debug, Args)]
pub struct InviteArguments {
    /// Whom: alice, service/farm, or guard/ws13 for a workstation that joins
    pub name: String,
    /// What is said about the grant.
    #[command(flatten)]
    pub terms: Terms,
    /// Where they reach the guard of this authority: HOST:PORT [default: as it advertises]
    #[arg(long, value_name = "HOST:PORT", value_parser = when::address)]
    pub guard: Option<String>,
    /// How long the code can be used
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = when::duration)]
    pub valid: SignedDuration,
}

/// What `grant` takes.
#[derive(Debug, Args)]
pub struct GrantArguments {
    /// Whose: alice, service/farm
    pub name: String,
    /// What is said about the grant.
    #[command(flatten)]
    pub terms: Terms,
}

/// What `issue` takes.
#[derive(Debug, Args)]
pub struct IssueArguments {
    /// For whom: alice, service/farm
    pub name: String,
    /// For which key.
    #[command(flatten)]
    pub what: IssueWhat,
    /// Where the certificate goes [default: it is printed]
    #[arg(long, value_name = "FILE", requires = "csr")]
    pub out: Option<PathBuf>,
    /// Where a token goes
    #[arg(long, value_name = "FILE")]
    pub token_out: Option<PathBuf>,
    /// The passphrase of the bundle: a file, or - for standard input [default: ask]
    #[arg(long, value_name = "FILE", conflicts_with = "csr")]
    pub passphrase_file: Option<PathBuf>,
    /// The name of the machine, for lists
    #[arg(long, value_name = "NAME", default_value = "issued by hand")]
    pub device: String,
    /// What is said about the grant.
    #[command(flatten)]
    pub terms: Terms,
}

/// For which key a certificate is issued.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct IssueWhat {
    /// For the key of this certificate request, PEM or DER; - for standard input
    #[arg(long, value_name = "FILE")]
    pub csr: Option<PathBuf>,
    /// With a new key, in a password-protected PEM file together with the certificates
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
}

/// What `token` takes.
#[derive(Debug, Args)]
pub struct TokenArguments {
    /// For whom: alice, service/farm
    pub name: String,
    /// For this certificate instead of the newest
    #[arg(long)]
    pub serial: Option<Serial>,
}

/// What `show` takes.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// Whom: alice, service/farm, guard/ws13
    pub name: String,
}

/// What `revoke` takes.
#[derive(Debug, Args)]
pub struct RevokeArguments {
    /// A name, the serial of a certificate for its whole device, a token or its id, or an
    /// invite's id
    #[arg(value_name = "NAME|SERIAL|TOKEN")]
    pub target: String,
    /// The reason; artists get to read it
    #[arg(long, value_name = "TEXT")]
    pub why: String,
}

/// What `backup` takes.
#[derive(Debug, Args)]
pub struct BackupArguments {
    /// The file to write; it must not exist
    pub file: PathBuf,
    /// The passphrase: a file, or - for standard input [default: ask]
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Leave the keys in the file unencrypted
    #[arg(long, conflicts_with = "passphrase_file")]
    pub no_passphrase: bool,
}

/// What `restore` takes.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The backup
    #[arg(required_unless_present = "accept_rollback")]
    pub file: Option<PathBuf>,
    /// The passphrase: a file, or - for standard input [default: ask]
    #[arg(long, value_name = "FILE", requires = "file")]
    pub passphrase_file: Option<PathBuf>,
    /// Issue again, although what happened since is lost
    #[arg(long, requires = "why")]
    pub accept_rollback: bool,
    /// What was found out about the rollback
    #[arg(long, value_name = "TEXT", requires = "accept_rollback")]
    pub why: Option<String>,
}

fn access_end(text: &str) -> Result<AccessEnd, TextError> {
    when::access_end(text, &when::local_zone())
}

fn network(text: &str) -> Result<Choice<IpNet>, TextError> {
    match text {
        "any" => Ok(Choice::Any),
        text => when::network(text).map(Choice::One),
    }
}

fn upstream(text: &str) -> Result<Choice<String>, String> {
    match text.trim() {
        "" => Err("the name of an upstream is empty".into()),
        "any" => Ok(Choice::Any),
        name if name.len() > 64 || name.chars().any(char::is_control) => {
            Err("the name of an upstream is one line of up to 64 bytes".into())
        }
        name => Ok(Choice::One(name.into())),
    }
}
