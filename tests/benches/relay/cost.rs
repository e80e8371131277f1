//! What a program that runs has cost so far, as Linux counts it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// CPU time of all threads of a process, those of its tasks and those of the kernel for it.
///
/// # Panics
/// When the process is not there.
pub(crate) fn cpu(process: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    let nanoseconds = |thread: PathBuf| {
        // A thread can have ended meanwhile; it was not one that works.
        let text = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
        let first = text.split_whitespace().next().map(str::parse::<u64>);
        first.and_then(Result::ok).unwrap_or(0)
    };
    let all = threads.flatten().map(|thread| nanoseconds(thread.path()));
    Duration::from_nanos(all.sum())
}

/// Bytes of memory that a process has in use, shared ones included.
///
/// # Panics
/// When the process is not there.
pub(crate) fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.expect("Linux tells it") * 1024
}

/// Runnable processes of the machine, averaged over the last minute.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace()
        .next()
        .unwrap_or("unknown")
        .to_owned()
}
