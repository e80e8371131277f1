//! Real rpyc at both ends: a server of 4.1.0, as Houdini has it, and a client of 5.3.1.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::programs::{Failure, Result, Running, Stream, run, workspace};
use e2e::venv::Venv;

use crate::cost;
use crate::rounds::{Rounds, Sample};
use crate::way::{Site, Way};

/// Lets all ways that rpyc itself can enter say small calls in turn, and prints how they did.
pub(crate) async fn calls(rounds: usize, turn: u64) -> Result<()> {
    let mut say = |sentence: &str| println!("{sentence}");
    let server = Venv::RPYC_4.python(&mut say)?;
    let client = Venv::RPYC_5.python(&mut say)?;
    let (_houdini, address) = start(&server)?;
    let site = Site::start(address, true).await?;
    let direct = Way::direct(address);
    let ways: Vec<(&Way, SocketAddr)> = std::iter::once(&direct)
        .chain(site.ways())
        .filter_map(|way| Some((way, way.address()?)))
        .collect();
    let mut table = Rounds::new(ways.iter().map(|(way, _)| way.name.clone()).collect());
    for _ in 0..rounds {
        for (index, (way, address)) in ways.iter().enumerate() {
            table.add(index, sample(way, *address, &client, turn)?);
        }
    }
    table.print("Small calls of real rpyc, 5.3.1 to 4.1.0, one at a time: parm.set(2.0)");
    Ok(())
}

/// Starts a server with the scene of the tests.
fn start(python: &Path) -> Result<(Running, SocketAddr)> {
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(workspace().join("tests/python/hrpyc_server.py"));
    let server = Running::start(&mut command)?;
    let line = server.wait_for_line(Stream::Out, "listening on ")?;
    let address = line.rsplit(' ').next().unwrap_or_default();
    let address = address.parse();
    let address = address.map_err(|e| Failure::new(format!("{line:?} has no address: {e}")))?;
    Ok((server, address))
}

/// One turn: a client that says the line for a while and tells how long each took.
fn sample(way: &Way, address: SocketAddr, python: &Path, turn: u64) -> Result<Sample> {
    let mut command = Command::new(python);
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(workspace().join("tests/benches/relay/calls.py"))
        .args([&address.port().to_string(), &turn.to_string()]);
    let cost = || way.processes.iter().map(|(_, process)| cost::cpu(*process));
    let before: Vec<Duration> = cost().collect();
    let ran = run(&mut command)?.success()?;
    let took = ran.stdout.split_whitespace().map(str::parse::<u64>);
    let took = took.collect::<Result<Vec<_>, _>>();
    let took = took.map_err(|e| Failure::new(format!("{}: {e}", ran.title)))?;
    let took: Vec<Duration> = took.into_iter().map(Duration::from_nanos).collect();
    let time = took.iter().sum();
    let mut sample = Sample::new(took, time);
    let count = u32::try_from(sample.count.max(1)).unwrap_or(u32::MAX);
    for (place, (before, after)) in before.iter().zip(cost()).enumerate() {
        sample.cpu[place] = Some(after.saturating_sub(*before) / count);
    }
    Ok(sample)
}
