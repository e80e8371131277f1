//! The guard against what a user would otherwise take: `cargo bench-peers`. See
//! docs/performance.md.
//!
//! All programs run on the same cores, with the same ciphers, and take turns in one run.
//! What counts are the ratios between them.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark that cannot go on may panic"
)]

mod debian;
mod frames;
mod goals;
mod houdini;
mod machine;
mod material;
mod measure;
mod programs;
mod report;
mod results;
mod session;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use e2e::cargo;
use e2e::programs::{Failure, Result, workspace};
use material::Material;
use measure::What;
use programs::{Contender, Program};
use results::Results;

/// Measures hrpyc-guard against the programs that people put in front of a port otherwise.
#[derive(Debug, Parser)]
struct Options {
    /// Only these programs.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Program>,
    /// Only these measurements.
    #[arg(long, value_enum, value_delimiter = ',')]
    what: Vec<What>,
    /// How often each program has its turn.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// How long a turn is, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    turn: u64,
    /// Idle sessions whose memory is measured.
    #[arg(long, default_value_t = 5000)]
    idle: usize,
    /// The cores that everything runs on, such as 0,1.
    #[arg(long, default_value = "0,1")]
    cores: String,
    /// A look whether all of it works: one short round, few sessions. Its numbers say nothing.
    #[arg(long)]
    quick: bool,
    /// Where the results go.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Writes the tables into docs/performance.md, and the plots beside it.
    #[arg(long)]
    docs: bool,
    /// Cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn wants(&self, program: Program) -> bool {
        self.only.is_empty() || self.only.contains(&program)
    }

    /// Rounds, the length of a turn, and idle sessions.
    fn amounts(&self) -> (usize, Duration, usize) {
        match self.quick {
            true => (1, Duration::from_millis(100), 50),
            false => (self.rounds, Duration::from_millis(self.turn), self.idle),
        }
    }
}

fn main() -> ExitCode {
    // The alias has a `--` already, and whoever types another means the same.
    let given = std::env::args().filter(|argument| argument != "--");
    match run(&Options::parse_from(given)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    cargo::passed_through(&mut cargo::build_programs()?)?;
    machine::keep_to(&options.cores)?;
    let (rounds, time, idle) = options.amounts();
    // A program has two connections for each session.
    machine::open_files(2 * idle as u64 + 1000)?;
    let whats = match &options.what[..] {
        [] => &What::ALL[..],
        some => some,
    };
    let bench = Bench::new(options, idle)?;
    let mut results = Results::default();
    let streams = whats
        .iter()
        .filter(|what| !matches!(what, What::Idle | What::Rpyc));
    let streams: Vec<What> = streams.copied().collect();
    if !streams.is_empty() {
        let contenders = bench.start_all(None, &mut results)?;
        for what in streams {
            measure::measure(what, &contenders, rounds, time, &mut results)?;
        }
    }
    if whats.contains(&What::Idle) {
        bench.idle(idle, &mut results)?;
    }
    if whats.contains(&What::Rpyc) {
        bench.rpyc((rounds, time), &mut results)?;
    }
    report::write(&results, options)
}

/// What programs are started with.
struct Bench<'a> {
    options: &'a Options,
    folder: tempfile::TempDir,
    material: Material,
    sessions: usize,
}

impl<'a> Bench<'a> {
    fn new(options: &'a Options, idle: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hrpyc-peers-").tempdir();
        let folder = folder.map_err(|e| Failure::io("making a temporary folder", &e))?;
        Ok(Self {
            options,
            material: Material::make(folder.path())?,
            sessions: idle + 1000,
            folder,
        })
    }

    /// A program's forms; none when it cannot be had and was not asked for by name.
    fn start(
        &self,
        program: Program,
        server: Option<SocketAddr>,
        results: &mut Results,
    ) -> Result<Vec<Contender>> {
        let folder = self.folder.path();
        match programs::start(program, server, folder, &self.material, self.sessions) {
            Ok(started) => {
                for one in &started {
                    let version = (one.name, one.version.clone());
                    if !results.versions.contains(&version) {
                        results.versions.push(version);
                    }
                }
                Ok(started)
            }
            Err(failure) if self.options.only.contains(&program) => Err(failure),
            Err(failure) => {
                println!("left out: {failure}");
                let note = format!("{program:?}: {failure}");
                if !results.notes.contains(&note) {
                    results.notes.push(note);
                }
                Ok(Vec::new())
            }
        }
    }

    fn start_all(
        &self,
        server: Option<SocketAddr>,
        results: &mut Results,
    ) -> Result<Vec<Contender>> {
        let mut contenders = Vec::new();
        let wanted = |program: &Program| self.options.wants(*program);
        for program in Program::ALL.into_iter().filter(wanted) {
            contenders.extend(self.start(program, server, results)?);
        }
        Ok(contenders)
    }

    /// Each program by itself, just started: what it has used before would count as free.
    fn idle(&self, count: usize, results: &mut Results) -> Result<()> {
        measure::watched("Idle", results, |results| {
            let wanted = |program: &Program| self.options.wants(*program);
            for program in Program::ALL.into_iter().filter(wanted) {
                for contender in self.start(program, None, results)? {
                    measure::idle(&contender, count, results)?;
                }
            }
            Ok(())
        })
    }

    /// Real rpyc, through both ends of each program.
    fn rpyc(&self, time: (usize, Duration), results: &mut Results) -> Result<()> {
        let folder = self.folder.path();
        let servers = measure::Servers::start(folder, &self.material)?;
        let contenders = self.start_all(Some(servers.plain), results)?;
        let own_tls = self.options.wants(Program::Rpyc);
        let own_tls = own_tls.then_some((folder, &self.material));
        measure::watched("Rpyc", results, |results| {
            measure::measure_rpyc(&servers, &contenders, own_tls, time, results)
        })
    }
}

/// Where the results go unless something else is said.
fn out(options: &Options) -> Result<PathBuf> {
    if let Some(out) = &options.out {
        return Ok(out.clone());
    }
    let programs = e2e::programs::program_dir()?;
    Ok(programs.parent().unwrap_or(workspace()).join("peers"))
}
