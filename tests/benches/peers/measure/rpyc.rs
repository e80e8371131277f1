//! Real rpyc at both ends: a server of 4.1.0, as Houdini has it, and a client of 5.3.1.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::programs::{Failure, Result, Running, Stream, run, workspace};
use e2e::venv::Venv;
use serde_json::Value;

use crate::material::Material;
use crate::programs::{Contender, Hops};
use crate::results::{Metric, Results};

/// What rpyc's own TLS is called.
const OWN_TLS: &str = "rpyc's TLS";

/// The server, without TLS and with rpyc's own.
pub(crate) struct Servers {
    client: PathBuf,
    /// Where the one without TLS listens.
    pub(crate) plain: SocketAddr,
    own_tls: SocketAddr,
    _processes: [Running; 2],
}

impl Servers {
    /// Starts both.
    ///
    /// # Errors
    /// When there is no suitable Python, or they do not start.
    pub(crate) fn start(folder: &Path, material: &Material) -> Result<Self> {
        let mut say = |sentence: &str| println!("{sentence}");
        let python = Venv::RPYC_4.python(&mut say)?;
        let client = Venv::RPYC_5.python(&mut say)?;
        let tests = workspace().join("tests");
        let mut command = Command::new(&python);
        command.arg(tests.join("python/hrpyc_server.py"));
        let (plain_process, plain) = listening(&mut command)?;
        let mut command = with_pinned_tls(&python, folder)?;
        command
            .arg(tests.join("benches/peers/rpyc_server.py"))
            .arg(tests.join("python/scene"))
            .args([&material.server, &material.server_key, &material.authority]);
        let (tls_process, own_tls) = listening(&mut command)?;
        Ok(Self {
            client,
            plain,
            own_tls,
            _processes: [plain_process, tls_process],
        })
    }
}

/// OpenSSL takes its cipher suites of TLS 1.3 from a file only, when Python asks it.
fn with_pinned_tls(python: &Path, folder: &Path) -> Result<Command> {
    let file = folder.join("openssl.cnf");
    let text = "openssl_conf = own\n[own]\nssl_conf = tls\n[tls]\nsystem_default = pinned\n\
                [pinned]\nMinProtocol = TLSv1.3\nCiphersuites = TLS_AES_128_GCM_SHA256\n\
                Groups = X25519\n";
    std::fs::write(&file, text).map_err(|e| Failure::io(file.display(), &e))?;
    let mut command = Command::new(python);
    command.env("OPENSSL_CONF", file);
    Ok(command)
}

fn listening(command: &mut Command) -> Result<(Running, SocketAddr)> {
    let process = Running::start(command.env("PYTHONDONTWRITEBYTECODE", "1"))?;
    let line = process.wait_for_line(Stream::Out, "listening on ")?;
    let address = line.rsplit(' ').next().unwrap_or_default().parse();
    let address = address.map_err(|e| Failure::new(format!("{line:?} has no address: {e}")))?;
    Ok((process, address))
}

/// All programs that stand in front of the server without TLS, and rpyc's own TLS, in turn.
///
/// # Errors
/// When one of them fails.
pub(crate) fn measure(
    servers: &Servers,
    contenders: &[Contender],
    own_tls: Option<(&Path, &Material)>,
    (rounds, time): (usize, Duration),
    results: &mut Results,
) -> Result<()> {
    for _ in 0..rounds {
        for contender in contenders {
            if let Some(entry) = contender.entry(Hops::Two) {
                let command = Command::new(&servers.client);
                turn(command, entry.address, None, time, contender.name, results)?;
            }
        }
        if let Some((folder, material)) = own_tls {
            let command = with_pinned_tls(&servers.client, folder)?;
            turn(
                command,
                servers.own_tls,
                Some(material),
                time,
                OWN_TLS,
                results,
            )?;
        }
    }
    Ok(())
}

/// One turn: a client that does one thing after the other, each for a while.
fn turn(
    mut command: Command,
    address: SocketAddr,
    tls: Option<&Material>,
    time: Duration,
    name: &'static str,
    results: &mut Results,
) -> Result<()> {
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(workspace().join("tests/benches/peers/rpyc_client.py"))
        .args([address.port().to_string(), time.as_millis().to_string()]);
    if let Some(material) = tls {
        command.args([&material.client, &material.client_key, &material.authority]);
    }
    let ran = run(&mut command)?.success()?;
    let found: Value = serde_json::from_str(&ran.stdout)
        .map_err(|e| Failure::new(format!("{}: {e}: {}", ran.title, ran.stdout)))?;
    for metric in [
        Metric::RealCalls,
        Metric::RealUp,
        Metric::RealDown,
        Metric::FirstAnswer,
    ] {
        let number = found[metric.key()].as_f64();
        let number = number.ok_or_else(|| Failure::new(format!("no {}", metric.key())))?;
        results.add(metric, Hops::Two, name, number);
    }
    Ok(())
}
