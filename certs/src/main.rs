//! `hrpyc-certs`: who may reach Houdini, and until when.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;
use hrpyc_certs::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return cli::print_usage(&error),
    };
    let json = arguments.json;
    match cli::run(arguments) {
        Ok(done) => done.print(json),
        Err(failure) => failure.print(json),
    }
}
