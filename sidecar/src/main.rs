//! `hrpyc-guard`: see `hrpyc-guard --help`.

mod policy_command;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use hrpyc_guard::audit::commands;
use hrpyc_guard::cli::{AuditArgs, Cli, Command, ConfigCommand, JoinArgs, LogFormat, RunArgs};
use hrpyc_guard::config::ConfigError;
use hrpyc_guard::{config, join, server, start};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        None => run(cli.run),
        Some(Command::Config {
            command: ConfigCommand::Check { config },
        }) => check(&config),
        Some(Command::Join(args)) => join(&args),
        Some(Command::Audit(args)) => audit(&args),
        Some(Command::Policy { command }) => match policy_command::run(&command) {
            Ok(exit) => return exit,
            Err(failure) => Err(failure),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}\nhint: {}", failure.problem, failure.hint);
            ExitCode::from(failure.exit)
        }
    }
}

/// What happened, what to do next, and the exit code.
struct Failure {
    problem: String,
    hint: String,
    exit: u8,
}

impl Failure {
    fn new(problem: &dyn std::error::Error, hint: String) -> Self {
        Self {
            problem: problem.to_string(),
            hint,
            exit: 1,
        }
    }

    /// A value on the command line that makes no sense is wrong usage.
    fn config(error: &ConfigError) -> Self {
        let exit = if matches!(error, ConfigError::Value { .. }) {
            2
        } else {
            1
        };
        Self {
            exit,
            ..Self::new(error, error.hint())
        }
    }
}

fn run(args: RunArgs) -> Result<(), Failure> {
    let config = config::resolve(&args).map_err(|error| Failure::config(&error))?;
    log_to_stderr(config.log_format);
    let runtime = runtime()?;
    let result = runtime.block_on(server::run(args, config));
    // A disk that hangs must not keep the program from ending.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result.map_err(|error| Failure::new(&error, error.hint()))
}

fn check(path: &std::path::Path) -> Result<(), Failure> {
    let config = config::check(path).map_err(|error| Failure::new(&error, error.hint()))?;
    println!("{} is right:", path.display());
    println!("  listen       {}", config.listen);
    for upstream in &config.upstreams {
        println!("  upstream     {upstream}");
    }
    println!("  state        {}", config.state_dir.display());
    let policy = config
        .load_policy()
        .map_err(|error| Failure::new(&error, error.hint()))?;
    if let Some(path) = &config.policy {
        let roles: Vec<&str> = policy.roles().map(|role| role.as_str()).collect();
        println!("  policy       {} ({})", path.display(), roles.join(", "));
    }
    Ok(())
}

fn join(args: &JoinArgs) -> Result<(), Failure> {
    let failure = |error: join::JoinError| Failure::new(&error, error.hint());
    let state = args
        .state_dir
        .clone()
        .unwrap_or_else(certs::default_state_dir);
    let advertise = args.advertise.clone().unwrap_or_else(|| {
        format!(
            "{}:{}",
            gethostname::gethostname().to_string_lossy(),
            wire::DEFAULT_GUARD_PORT
        )
    });
    let advertise = config::host_and_port(advertise).map_err(|error| Failure::config(&error))?;
    let invite = join::read_code(args.code.as_deref()).map_err(failure)?;
    println!("authority    {}", invite.authority);
    println!("at           {} ({})", invite.address, invite.guard);
    let member = runtime()?
        .block_on(join::join(&invite, &state, &advertise))
        .map_err(failure)?;
    println!("joined as    {}", member.guard_identity());
    println!("state        {}", state.display());
    println!(
        "\nNext, start it:\n  hrpyc-guard --state-dir {}",
        state.display()
    );
    Ok(())
}

fn audit(args: &AuditArgs) -> Result<(), Failure> {
    commands::run(args).map_err(|error| Failure {
        exit: error.exit_code(),
        ..Failure::new(&error, error.hint())
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            let error = start::StartError::System(error);
            Failure::new(&error, error.hint())
        })
}

fn log_to_stderr(format: LogFormat) {
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::INFO)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
