//! What the record of a call costs: on the session's side, until it is queued, and on the
//! writer's side, until it is in the file.
//!
//!     cargo bench -p hrpyc-guard --bench audit

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use certs::AuditKey;
use hrpyc_guard::audit::{Argument, Audit, CALLED, Call, Direction, Outcome, SessionCalls};
use hrpyc_guard::config::AuditConfig;
use jiff::Timestamp;

const RECORDS: u32 = 400_000;

fn call() -> Call {
    Call {
        time: Timestamp::now(),
        direction: Direction::ToHoudini,
        expression: "hou.node('/obj/sphere1').parm('scale').set".into(),
        form: CALLED,
        class: "hou.Parm".into(),
        method: "set".into(),
        arguments: vec![
            Argument {
                keyword: None,
                value: "2.0".into(),
            },
            Argument {
                keyword: Some("follow_parm_reference".into()),
                value: "True".into(),
            },
        ],
        bytes_up: 61,
        reference: None,
    }
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let config = AuditConfig {
        max_bytes: 1 << 30,
        ..AuditConfig::default()
    };
    let audit = Audit::open(folder.path(), config, AuditKey::ephemeral().unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure(&audit));
    let written = std::fs::read_to_string(folder.path().join("calls.jsonl")).unwrap();
    let records = written
        .lines()
        .filter(|line| line.contains("\"event\":\"call\""));
    assert_eq!(records.count() as u32, 2 * RECORDS, "a record was lost");
    println!(
        "bytes a record           {:>8}",
        written.len() as u32 / (2 * RECORDS)
    );
}

async fn measure(audit: &Arc<Audit>) {
    let mut attempt = audit.attempt("192.0.2.7:40000".parse().unwrap());
    let alice = "spiffe://studio.example/artist/alice".parse().unwrap();
    attempt.claims(Some(alice), None);
    let session = attempt.open(false).await.map_err(|_| "no session").unwrap();
    let calls = session.calls();
    // The first round is for the caches.
    round(&calls).await;
    let writer = cpu_of("audit");
    let begun = Instant::now();
    let session_side = round(&calls).await;
    let wall = begun.elapsed();
    let calls_made = made().await;
    // The writer has its turns; then its thread ends.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let writer = cpu_of("audit").saturating_sub(writer);
    assert_eq!(audit.finish(), 0);
    let each = |time: Duration| time.as_nanos() / u128::from(RECORDS);
    println!("making the call itself   {:>8} ns", each(calls_made));
    println!(
        "session, CPU a record    {:>8} ns (without the above)",
        each(session_side.saturating_sub(calls_made))
    );
    println!("writer, CPU a record     {:>8} ns", each(writer));
    println!("wall time a record       {:>8} ns", each(wall));
}

/// CPU time of this thread for writing down the records.
async fn round(calls: &SessionCalls) -> Duration {
    let before = own_cpu();
    for n in 0..RECORDS {
        let slot = calls.reserve().await.unwrap();
        let open = slot.begin(std::hint::black_box(call()));
        open.answered(&Outcome::Ok, u64::from(n % 100));
    }
    own_cpu() - before
}

/// CPU time for what is measured with the record and is not part of it.
async fn made() -> Duration {
    let before = own_cpu();
    for _ in 0..RECORDS {
        drop(std::hint::black_box(call()));
    }
    own_cpu() - before
}

fn own_cpu() -> Duration {
    on_cpu(Path::new("/proc/thread-self/schedstat"))
}

/// CPU time of all threads of a name that run.
fn cpu_of(name: &str) -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    threads
        .filter(|thread| {
            let comm = std::fs::read_to_string(thread.path().join("comm"));
            comm.is_ok_and(|comm| comm.trim() == name)
        })
        .map(|thread| on_cpu(&thread.path().join("schedstat")))
        .sum()
}

fn on_cpu(schedstat: &Path) -> Duration {
    let text = std::fs::read_to_string(schedstat).unwrap_or_default();
    let nanoseconds = text.split_whitespace().next();
    Duration::from_nanos(nanoseconds.and_then(|n| n.parse().ok()).unwrap_or(0))
}
