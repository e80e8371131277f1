//! The command line: each command opens the state directory, does one thing, and says
//! what it did.

mod backups;
mod issuing;
mod listing;
mod outcome;
mod passphrase;
mod people;

use std::path::Path;

use hrpyc_certs::arguments::{Arguments, Command, InitArguments};
use hrpyc_certs::{Authority, State, StateError, open};
use jiff::Timestamp;
use serde_json::json;
use wire::Name;

pub(crate) use outcome::print_usage;
use outcome::{Done, Failure};

/// Does what was asked.
pub(crate) fn run(arguments: Arguments) -> Result<Done, Failure> {
    let directory = arguments
        .state_dir
        .unwrap_or_else(hrpyc_certs::default_state_dir);
    let now = Timestamp::now();
    let open = || open_authority(&directory);
    match arguments.command {
        Command::Init(a) => init(&directory, &a),
        Command::Invite(a) => people::invite(&open()?, &a, now),
        Command::Grant(a) => people::grant(&open()?, &a, now),
        Command::List => listing::list(&open()?, now),
        Command::Show(a) => listing::show(&open()?, &a, now),
        Command::Revoke(a) => people::revoke(&open()?, &a, now),
        Command::Issue(a) => issuing::issue(&open()?, &a, now),
        Command::Token(a) => issuing::token(&open()?, &a, now),
        Command::Crl => issuing::crl(&open()?, now),
        Command::Backup(a) => backups::backup(&open()?, &a, now),
        Command::Restore(a) => backups::restore(&directory, &a, now),
    }
}

/// Opens a state directory that must hold an authority.
fn open_authority(directory: &Path) -> Result<Authority, Failure> {
    match open(directory)? {
        State::Authority(authority) => Ok(authority),
        State::Member(member) => Err(StateError::Member {
            path: directory.into(),
            authority: member.authority_guard().shorthand(),
        }
        .into()),
    }
}

fn init(directory: &Path, arguments: &InitArguments) -> Result<Done, Failure> {
    let guard = match &arguments.name {
        Some(name) => name.clone(),
        None => host_name()?,
    };
    let authority = Authority::init(directory, arguments.domain.clone(), &guard)?;
    let path = directory.display();
    let until = hrpyc_certs::when::local(authority.not_after());
    Ok(Done::new(
        format!(
            "Made the authority of {domain} in {path}, valid until {until}.\n\
             Its fingerprint: {fingerprint}\n\
             The guard here is {guard}.\n\
             Keep a backup of it: hrpyc-certs --state-dir {path} backup FILE\n\
             Let somebody in: hrpyc-certs --state-dir {path} invite NAME --role full --guard HOST:PORT\n",
            domain = authority.domain(),
            fingerprint = authority.fingerprint(),
            guard = authority.guard_identity().shorthand(),
        ),
        json!({
            "state_dir": directory,
            "trust_domain": authority.domain(),
            "guard": authority.guard_identity(),
            "fingerprint": authority.fingerprint().to_string(),
            "valid_until": authority.not_after(),
        }),
    ))
}

/// The first label of this machine's name, as a guard's name.
fn host_name() -> Result<Name, Failure> {
    let host = gethostname::gethostname().to_string_lossy().to_lowercase();
    let label = host.split('.').next().unwrap_or_default();
    label.parse().map_err(|_| {
        Failure::usage(
            format!("this machine's name, {host:?}, cannot be a guard's name"),
            "give one with --name ws12, for example",
        )
    })
}
