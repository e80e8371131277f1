//! `hrpyc-certs`: who may reach Houdini, and until when.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let json = arguments.json;
    match cli::run(arguments) {
        Ok(done) => done.print(json),
        Err(failure) => failure.print(json),
    }
}
