//! The program `hrpyc-agent`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hrpyc_agent::cli::main()
}
