//! OpenSSH with a forwarded port. It has two ends always, and one connection between them
//! that carries all sessions.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::programs::{Failure, Result, Running, free_address, run};

use super::{Contender, Place, settings, wait_for};
use crate::debian::SSHD;
use crate::session::Entry;

/// The user `nobody`: sshd as root wants a user and a folder that its package would have
/// made, and as somebody else it serves that user alone.
const NOBODY: (&str, u32) = ("nobody", 65_534);

/// Both ends.
pub(super) fn start(place: &Place<'_>) -> Result<Contender> {
    let sshd = SSHD.install()?;
    let as_root = rustix::process::geteuid().is_root();
    let folder = if as_root {
        open_folder(place.folder)?
    } else {
        place.folder.to_owned()
    };
    let host_key = key(&folder, "host")?;
    let user_key = key(&folder, "user")?;
    let (server, listen) = (free_address()?, free_address()?);
    let file = folder.join("sshd_config");
    settings(&file, &server_settings(server, &host_key))?;
    let mut command = sshd.command();
    command.args(["-D", "-e", "-f"]).arg(&file);
    if as_root {
        chown(&host_key, Some(NOBODY.1), Some(NOBODY.1))
            .map_err(|e| Failure::io(host_key.display(), &e))?;
        command.uid(NOBODY.1).gid(NOBODY.1);
    }
    let mut far = Running::start(&mut command)?;
    wait_for(&mut far, server)?;
    let mut near = Running::start(&mut client(
        place.houdini,
        (server, listen),
        &user_key,
        as_root,
    ))?;
    wait_for(&mut near, listen)?;
    Ok(Contender {
        name: "ssh -L",
        version: version(),
        one: None,
        two: Some(Entry::plain(listen)),
        far: vec![far],
        near: vec![near],
        _keeps: Vec::new(),
    })
}

/// A folder that `nobody` may look into, as it may into those above it.
fn open_folder(folder: &Path) -> Result<PathBuf> {
    let own = folder
        .ancestors()
        .take_while(|one| *one != std::env::temp_dir());
    for one in own.filter(|one| one.exists()) {
        fs::set_permissions(one, Permissions::from_mode(0o711))
            .map_err(|e| Failure::io(one.display(), &e))?;
    }
    Ok(folder.to_owned())
}

/// A key pair. Gives the file of the private key.
fn key(folder: &Path, name: &str) -> Result<PathBuf> {
    let file = folder.join(name);
    let mut command = Command::new("ssh-keygen");
    command
        .args(["-q", "-t", "ecdsa", "-b", "256", "-N", "", "-f"])
        .arg(&file);
    run(&mut command)?.success()?;
    Ok(file)
}

/// The same ciphers as the others have in TLS.
const CIPHERS: [(&str, &str); 3] = [
    ("Ciphers", "aes128-gcm@openssh.com"),
    ("KexAlgorithms", "curve25519-sha256"),
    ("HostKeyAlgorithms", "ecdsa-sha2-nistp256"),
];

/// With PAM: without it sshd that is not root takes any account for locked.
fn server_settings(listen: SocketAddr, host_key: &Path) -> String {
    let ciphers = CIPHERS
        .map(|(name, value)| format!("{name} {value}\n"))
        .concat();
    format!(
        "ListenAddress {listen}\nHostKey {key}\nAuthorizedKeysFile {folder}/user.pub\n{ciphers}\
         StrictModes no\nUsePAM yes\nPidFile none\nPasswordAuthentication no\nLogLevel ERROR\n",
        key = host_key.display(),
        folder = host_key.parent().unwrap_or(Path::new("/")).display(),
    )
}

fn client(
    houdini: SocketAddr,
    (server, listen): (SocketAddr, SocketAddr),
    key: &Path,
    as_root: bool,
) -> Command {
    let mut command = Command::new("ssh");
    command.args(["-F", "none", "-N", "-T", "-i"]).arg(key);
    for (name, value) in CIPHERS.iter().chain(&[
        ("StrictHostKeyChecking", "no"),
        ("UserKnownHostsFile", "/dev/null"),
        ("ExitOnForwardFailure", "yes"),
        ("LogLevel", "ERROR"),
    ]) {
        command.arg("-o").arg(format!("{name}={value}"));
    }
    command.arg("-L").arg(format!("{listen}:{houdini}"));
    if as_root {
        command.args(["-l", NOBODY.0]);
    }
    command
        .arg("-p")
        .arg(server.port().to_string())
        .arg(server.ip().to_string());
    command
}

fn version() -> String {
    let said = run(Command::new("ssh").arg("-V"));
    said.map_or_else(|_| "unknown".into(), |ran| ran.stderr.trim().to_owned())
}
