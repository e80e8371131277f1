//! The whole path once, for people to look at: a classic RPC server on loopback, the guard in
//! front of it, an artist who was invited, an assistant that may only read, a stranger, a
//! hostile tool in Houdini, and what IT reads afterwards.
//!
//! At each step it shows what one would type and what came of it. Each result is checked;
//! the program ends with 1 at the first that is not as promised.

mod audit;
mod firewall;
mod studio;
mod tunnel;

use std::process::ExitCode;
use std::time::Instant;

use e2e::cargo;
use e2e::programs::{Result, Trial, typed};
use e2e::venv::Venv;

use studio::{Studio, check, heading, part, stop};

fn main() -> ExitCode {
    let start = Instant::now();
    match demo() {
        Ok(()) => {
            println!("\nEverything was as promised, in {:.0?}.", start.elapsed());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("\nerror: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<()> {
    heading("The three programs are built");
    let mut build = cargo::build_programs()?;
    println!("$ {}", typed(&build));
    cargo::passed_through(&mut build)?;

    heading("Two Pythons: rpyc 4.1.0 as in Houdini, rpyc 5.3.1 as in the artist's tools");
    let mut say = |sentence: &str| println!("{sentence}");
    let server_python = Venv::RPYC_4.python(&mut say)?;
    let artist_python = Venv::RPYC_5.python(&mut say)?;
    println!("ready: {}", e2e::venv::folder()?.display());
    let studio = Studio {
        trial: Trial::new()?,
        server_python,
        artist_python,
    };

    part("1 of 3: the tunnel");
    let mut houdini = studio.start_houdini()?;
    let guard = studio.start_guard(&houdini)?;
    studio.bring_alice_in(&guard)?;
    let mut alice = studio.start_agent("alice", "Alice's agent, in place of Houdini's port")?;
    studio.run_the_example(&houdini, &alice)?;
    studio.run_the_package(&houdini)?;
    studio.turn_a_stranger_away(&guard)?;

    part("2 of 3: the firewall");
    let mut assistant = studio.bring_the_assistant_in(&guard)?;
    studio.run_as_alice(&houdini, &alice)?;
    let reference = studio.run_as_the_assistant(&houdini, &assistant)?;
    studio.stop_a_hostile_tool(&houdini, &alice)?;

    part("3 of 3: IT revokes, and reads the audit");
    studio.revoke_alice_at_work(&alice)?;
    studio.show_who_came()?;
    studio.find_the_denial(&reference)?;
    studio.count_the_calls()?;
    stop([&mut alice.process, &mut assistant.process])?;
    studio.verify_the_logs(guard)?;
    houdini.process.kill();
    let folder = studio.trial.folder().to_owned();
    drop(studio);
    check(!folder.exists(), "the temporary folder is gone")
}
