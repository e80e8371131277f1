//! `hrpyc-guard`: see `hrpyc-guard --help`.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser;
use hrpyc_guard::cli::{Cli, Command, ConfigCommand, JoinArgs, LogFormat, RunArgs};
use hrpyc_guard::{config, join, server, start};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        None => run(cli.run),
        Some(Command::Config {
            command: ConfigCommand::Check { config },
        }) => check(&config),
        Some(Command::Join(args)) => join(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err((problem, hint)) => {
            eprintln!("error: {problem}\nhint: {hint}");
            ExitCode::FAILURE
        }
    }
}

/// What happened, and what to do next.
type Failure = (String, String);

fn run(args: RunArgs) -> Result<(), Failure> {
    let config = config::resolve(&args).map_err(|error| (error.to_string(), error.hint()))?;
    log_to_stderr(config.log_format);
    runtime()?
        .block_on(server::run(args, config))
        .map_err(|error| (error.to_string(), error.hint()))
}

fn check(path: &std::path::Path) -> Result<(), Failure> {
    let config = config::check(path).map_err(|error| (error.to_string(), error.hint()))?;
    println!("{} is right:", path.display());
    println!("  listen       {}", config.listen);
    for upstream in &config.upstreams {
        println!("  upstream     {upstream}");
    }
    println!("  state        {}", config.state_dir.display());
    Ok(())
}

fn join(args: &JoinArgs) -> Result<(), Failure> {
    let failure = |error: join::JoinError| (error.to_string(), error.hint());
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
    let advertise =
        config::host_and_port(advertise).map_err(|error| (error.to_string(), error.hint()))?;
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

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            let error = start::StartError::System(error);
            (error.to_string(), error.hint())
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
