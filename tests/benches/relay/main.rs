//! What the guard costs: `cargo bench --package e2e --bench relay`. See docs/performance.md.
//!
//! All ways from a script to Houdini take turns in one run, so that what else the machine
//! does meanwhile hits all of them alike. What counts are the ratios between them.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark that cannot go on may panic"
)]

mod cost;
mod houdini;
mod python;
mod rounds;
mod script;
mod way;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use e2e::cargo;
use e2e::programs::Result;
use rounds::{Rounds, Sample};
use script::{Form, Line, Script};
use tokio::task::LocalSet;
use way::{Site, Way};

/// Measures direct connections, the guard, and agent and guard, against each other.
#[derive(Debug, Parser)]
struct Options {
    /// What to measure; all of it unless something is named.
    #[arg(value_enum)]
    what: Vec<What>,
    /// How often each way has its turn.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// How long a turn is, in milliseconds.
    #[arg(long, default_value_t = 500)]
    turn: u64,
    /// Small calls and values: only the ways with this in their names, for profiling.
    #[arg(long, default_value = "")]
    way: String,
    /// Idle sessions whose memory is measured.
    #[arg(long, default_value_t = 1000)]
    idle: usize,
    /// Cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Small calls over one connection and over 32.
    Calls,
    /// Values of a megabyte, up and down.
    Values,
    /// Memory of sessions that do nothing.
    Idle,
    /// Small calls between real rpyc 5.3.1 and 4.1.0.
    Python,
}

impl What {
    const ALL: [Self; 4] = [Self::Calls, Self::Values, Self::Idle, Self::Python];
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    match LocalSet::new().block_on(&runtime, run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<()> {
    cargo::passed_through(&mut cargo::build_programs()?)?;
    println!(
        "load of the machine before: {}; {} turns of {} ms each",
        cost::load(),
        options.rounds,
        options.turn
    );
    let wanted = |what: &What| options.what.is_empty() || options.what.contains(what);
    for what in What::ALL.into_iter().filter(wanted) {
        match what {
            What::Calls => calls(options).await?,
            What::Values => values(options).await?,
            What::Idle => idle(options).await?,
            What::Python => python::calls(options.rounds, options.turn).await?,
        }
    }
    println!("\nload of the machine after: {}", cost::load());
    Ok(())
}

async fn calls(options: &Options) -> Result<()> {
    let houdini = houdini::start();
    let site = Site::start(houdini.address(), true).await?;
    let direct = Way::direct(houdini.address());
    let ways = chosen(&direct, &site, options);
    for connections in [1, 32] {
        let title = format!(
            "Small calls, {connections} at a time: look-up, call and release of a method \
             (2 round trips, 6 messages)"
        );
        measure(&title, &ways, connections, Line::Small, options).await;
    }
    Ok(())
}

async fn values(options: &Options) -> Result<()> {
    let houdini = houdini::start();
    let site = Site::start(houdini.address(), true).await?;
    let direct = Way::direct(houdini.address());
    let ways = chosen(&direct, &site, options);
    for (line, title) in [
        (Line::Up(Form::AsItIs), "up, not compressed"),
        (Line::Down(Form::AsItIs), "down, not compressed"),
        (Line::Up(Form::Compressed), "up, compressed by rpyc"),
        (Line::Down(Form::Compressed), "down, compressed by rpyc"),
    ] {
        let title = format!("Texts of 1 MB, {title}");
        measure(&title, &ways, 1, line, options).await;
    }
    Ok(())
}

/// The ways that were asked for. What the others are compared with is always there.
fn chosen<'a>(direct: &'a Way, site: &'a Site, options: &Options) -> Vec<&'a Way> {
    let others = site
        .ways()
        .iter()
        .filter(|way| way.name.contains(&options.way));
    std::iter::once(direct).chain(others).collect()
}

/// Lets all ways say the line in turn, and prints how they did.
async fn measure(title: &str, ways: &[&Way], connections: usize, line: Line, options: &Options) {
    let mut scripts = Vec::new();
    for way in ways {
        let mut own = Vec::new();
        for _ in 0..connections {
            own.push(Script::begin(way.open().await).await);
        }
        scripts.push(own);
    }
    let mut rounds = Rounds::new(ways.iter().map(|way| way.name.clone()).collect());
    let turn = Duration::from_millis(options.turn);
    for round in 0..=options.rounds {
        for (index, way) in ways.iter().enumerate() {
            let sample = sample(way, &mut scripts[index], line, turn).await;
            // The first round is for the caches.
            if round > 0 {
                rounds.add(index, sample);
            }
        }
    }
    rounds.print(title);
}

async fn sample(way: &Way, scripts: &mut Vec<Script>, line: Line, turn: Duration) -> Sample {
    let cost = || way.processes.iter().map(|(_, process)| cost::cpu(*process));
    let before: Vec<Duration> = cost().collect();
    let begun = Instant::now();
    let end = begun + turn;
    let said = scripts.drain(..).map(|mut script| {
        tokio::task::spawn_local(async move {
            let said = script.say(line, end).await;
            (script, said)
        })
    });
    let said: Vec<_> = said.collect();
    let mut took = Vec::new();
    for said in said {
        let (script, said) = said.await.expect("the script went on");
        took.extend(said.took);
        scripts.push(script);
    }
    let mut sample = Sample::new(took, begun.elapsed());
    let count = u32::try_from(sample.count.max(1)).unwrap_or(u32::MAX);
    for (place, (before, after)) in before.iter().zip(cost()).enumerate() {
        sample.cpu[place] = Some(after.saturating_sub(*before) / count);
    }
    sample
}

/// Memory of a session that has said its line and waits.
async fn idle(options: &Options) -> Result<()> {
    println!("\nMemory of {} idle sessions", options.idle);
    println!("{:<36} {:>14} {:>12}", "way", "KiB a session", "of opaque");
    let mut opaque = None;
    for (index, role) in way::ROLES.iter().enumerate() {
        let houdini = houdini::start();
        let site = Site::start(houdini.address(), false).await?;
        let (way, guard) = (&site.ways()[index], site.guard.process.pid());
        // What the first sessions cost is not the sessions' own.
        let mut held = Vec::new();
        open_idle(way, 100, &mut held).await;
        let before = cost::resident(guard);
        open_idle(way, options.idle, &mut held).await;
        let grown = cost::resident(guard).saturating_sub(before);
        let each = grown as f64 / 1024.0 / options.idle as f64;
        let ratio = each / *opaque.get_or_insert(each);
        println!("{:<36} {each:>14.1} {:>10.0} %", way.name, ratio * 100.0);
        let _ = role;
    }
    Ok(())
}

/// Opens sessions, lets each say its line for a moment, and waits until all is quiet.
async fn open_idle(way: &Way, count: usize, held: &mut Vec<Script>) {
    for _ in 0..count {
        let mut script = Script::begin(way.open().await).await;
        let moment = Instant::now() + Duration::from_millis(2);
        script.say(Line::Small, moment).await;
        held.push(script);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
}
