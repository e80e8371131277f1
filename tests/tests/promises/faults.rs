//! What becomes of a session when something goes wrong on its way: every fault, on every leg,
//! in every phase of its life. What is expected stands in [`matrix`].

mod cell;
mod matrix;
mod way;

use std::sync::Arc;
use std::time::Duration;

use e2e::forge::leg::until;
use e2e::forge::script::{Heard, Script};
use e2e::programs::{DEADLINE, Stream};
use tokio::sync::{Barrier, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use cell::Run;
use matrix::{Cell, Phase};
use way::Stage;

/// How long a cell may take, all in all, before it hangs.
const HANGS: Duration = DEADLINE.saturating_mul(2);
/// Sessions without a fault that may begin at the same time. The cells begin when theirs is
/// over, and the time that a cell measures should be its own.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_goes_wrong_on_the_way_ends_as_expected_and_gives_everything_back() {
    // A guard that is stopped ends all of its sessions, so that phase has a guard of its own.
    let (drained, lasting): (Vec<Cell>, Vec<Cell>) =
        matrix::cells().partition(|cell| cell.phase == Phase::Drain);
    let mut stopped = Stage::with(drained.len(), "drain_timeout = \"6s\"\n");
    let staying = Stage::with(lasting.len(), "");
    let before = sockets(&staying);

    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let (stops, hears) = watch::channel(false);
    let all_there = Arc::new(Barrier::new(drained.len() + 1));
    let mut runs = JoinSet::new();
    for (cell, way) in drained.into_iter().zip(&stopped.ways) {
        let (all_there, mut hears) = (all_there.clone(), hears.clone());
        let draining = async move {
            all_there.wait().await;
            let _ = hears.wait_for(|stops| *stops).await;
        };
        let run = Run::new(cell, way.clone(), stopped.audit.clone());
        runs.spawn(judged(cell, run.carry_out(turns.clone(), draining)));
    }
    for (cell, way) in lasting.into_iter().zip(&staying.ways) {
        let run = Run::new(cell, way.clone(), staying.audit.clone());
        runs.spawn(judged(cell, run.carry_out(turns.clone(), async {})));
    }
    // One that fails before does not come; it says so itself.
    let _ = timeout(DEADLINE, all_there.wait()).await;
    stopped.guard.process.terminate();
    let stopping = stopped.guard.process.wait_for_line(Stream::Err, "stopping");
    stopping.unwrap_or_else(|e| panic!("{e}"));
    stops.send_replace(true);

    let failed: Vec<String> = runs.join_all().await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{}\n{}", failed.len(), failed.join("\n"));
    let status = stopped.guard.process.wait().unwrap();
    assert_eq!(status.code(), Some(0), "the guard that was stopped");
    let given_back = || sockets(&staying) == before;
    let otherwise = || format!("{:?} sockets, and {before:?} before", sockets(&staying));
    until(given_back, otherwise).await;
}

/// Of agent and guard.
fn sockets(stage: &Stage) -> [usize; 2] {
    let programs = [&stage.agent, &stage.guard.process];
    programs.map(|program| program.open_sockets().unwrap())
}

/// Runs a cell within its deadline. Gives a text when it fails, with what it is about.
async fn judged(cell: Cell, run: impl Future<Output = ()> + Send + 'static) -> Option<String> {
    let run = tokio::spawn(timeout(HANGS, run));
    let failure = match run.await {
        Ok(Ok(())) => return None,
        Ok(Err(_)) => "it hangs".to_owned(),
        Err(panic) => {
            let said = panic.into_panic();
            let text = said.downcast_ref::<String>().cloned();
            text.unwrap_or_else(|| "it fails without a word".to_owned())
        }
    };
    let Cell {
        leg, fault, phase, ..
    } = cell;
    Some(format!("{leg:?} {fault:?} {phase:?}: {failure}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_houdini_that_takes_no_connection_is_said_to_be_busy_in_time() {
    let stage = Stage::with(1, "[limits]\nupstream_timeout = \"1s\"\n");
    let way = &stage.ways[0];
    let ask = async || {
        let mut script = Script::connect(way.script.address()).await.unwrap();
        script.ask_for_root().await;
        script.hears(DEADLINE).await
    };
    assert_eq!(ask().await, Heard::Answer(0));
    way.guard.shut().await;
    let Heard::Raised(0, class, text) = ask().await else {
        panic!("no sentence");
    };
    assert_eq!(class, "ConnectionError", "{text}");
    assert!(text.contains("upstream-timeout"), "{text}");
    assert!(text.contains("cooking"), "{text}");
    way.guard.reopen();
    assert_eq!(ask().await, Heard::Answer(0));
    way.until_given_back().await;
}
