//! Whoever is killed (SIGKILL), at whatever moment: nothing that somebody was told is undone,
//! nothing is done by halves, and the guard starts again without help.
//!
//! The guard is killed at work, with sessions that call, people who come, join and renew, and
//! log files that turn over; and it is killed while it starts. Meanwhile the operator's
//! commands are killed, and so is an agent that joins. Moments and choices are random; a seed
//! repeats the choices:
//!
//!     HRPYC_CRASH_SEED=7 cargo test -p e2e --test promises crashes

mod clients;
mod commands;
mod dice;
mod ledger;
mod operator;
mod records;
mod scene;
mod studio;

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant, SystemTime};

use e2e::forge::upstream::Upstream;
use e2e::programs::{Running, Stream, Trial};
use rustix::process::Signal;

use operator::Killer;
use studio::Studio;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_half_done_whoever_is_killed() {
    killed(60).await;
}

/// The same for longer. Run it by itself:
/// `cargo test -p e2e --test promises a_thousand_kills -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn a_thousand_kills_lose_nothing_and_leave_nothing_half_done() {
    killed(1000).await;
}

/// Goes on until so many programs were killed.
async fn killed(wanted: usize) {
    let seed = seed();
    // Shown when the test fails.
    println!("HRPYC_CRASH_SEED={seed}");
    let mut killer = Killer::new(seed);
    for _ in 0..wanted.div_ceil(30) {
        killed_at_its_first_start(&mut killer);
    }
    let mut studio = Studio::new(killer).await;
    while studio.killer.total() < wanted {
        studio.round().await;
    }
    studio.end();
    println!("killed: {:#?}", studio.killer.kills);
    println!("left behind: {:#?}", studio.killer.found);
    for what in [
        "the guard at work",
        "the guard while it starts",
        "the guard at its first start",
        "invite",
        "issue",
        "grant",
        "revoke",
        "join",
    ] {
        assert!(studio.killer.kills.contains_key(what), "{what}");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "who repeats a failure says with which seed"
)]
fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    match std::env::var("HRPYC_CRASH_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => now().unwrap().as_micros() as u64,
    }
}

/// A first start makes an authority, or nothing that the next one minds.
fn killed_at_its_first_start(killer: &mut Killer) {
    const WHAT: &str = "the guard at its first start";
    let trial = Trial::opaque().unwrap();
    let upstream = Upstream::echo().address().to_string();
    // Where service managers have made a directory already, files are moved into it.
    if killer.dice.once_in(2) {
        use std::os::unix::fs::DirBuilderExt as _;
        let mut directory = std::fs::DirBuilder::new();
        directory.mode(0o700).create(trial.state_dir()).unwrap();
    }
    let start = || {
        let command = trial.guard_command("127.0.0.1:0", &upstream, &[]);
        Running::start(&mut command.unwrap()).unwrap()
    };
    for _ in 0..2 {
        kill_while_it_starts(killer, WHAT, start());
    }
    let guard = start();
    let said = guard.wait_for_line(Stream::Out, "listening on ");
    said.unwrap_or_else(|e| panic!("{e}"));
    let invite = trial.certs(&["invite", "alice", "--role", "full"]);
    invite.unwrap_or_else(|e| panic!("{e}"));
}

/// Kills a guard before it says that it listens, or just after.
fn kill_while_it_starts(killer: &mut Killer, what: &'static str, mut guard: Running) {
    let begun = Instant::now();
    let moment = killer.moment(what);
    let mut needed = None;
    while moment.map_or(needed.is_none(), |moment| begun.elapsed() < moment) && guard.is_running() {
        let is_ready = || guard.text(Stream::Out).contains("listening on ");
        if needed.is_none() && is_ready() {
            needed = Some(begun.elapsed());
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    guard.signal(Signal::KILL);
    let status = guard.wait().unwrap();
    assert!(
        status.signal().is_some(),
        "it ended by itself: {}",
        guard.text(Stream::Err)
    );
    killer.killed(what);
    if let Some(needed) = needed {
        killer.needed(what, needed);
    }
}
