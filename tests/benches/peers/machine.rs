//! What Linux tells of programs that run, and of the machine they run on.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use e2e::programs::{Failure, Result, run};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

/// `/proc` counts CPU time in this, on every architecture that these programs run on.
const TICK: Duration = Duration::from_millis(10);

/// Everything runs on these cores from now on: this process and what it starts.
///
/// # Errors
/// When there are no such cores.
pub(crate) fn keep_to(cores: &str) -> Result<()> {
    let own = std::process::id().to_string();
    let mut command = Command::new("taskset");
    command.args(["--all-tasks", "--pid", "--cpu-list", cores, &own]);
    run(&mut command)?.success()?;
    Ok(())
}

/// As many open files as the machine allows, for this process and what it starts.
///
/// # Errors
/// When that is less than `needed`.
pub(crate) fn open_files(needed: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised)
        .map_err(|e| Failure::io("raising the limit of open files", &e.into()))?;
    match limit.maximum {
        Some(most) if most < needed => Err(Failure::new(format!(
            "{needed} open files are needed, and this machine allows {most}\n\
             hint: raise the hard limit (`ulimit -Hn`), or measure with fewer sessions: --idle"
        ))),
        _ => Ok(()),
    }
}

/// What `/proc/PID/stat` says.
struct Stat {
    parent: u32,
    /// With that of children which have ended.
    ticks: u64,
}

fn stat(process: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name is in brackets and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        ticks: (11..15).map(|place| number(place).unwrap_or(0)).sum(),
    })
}

/// These processes, and all that came of them and still run.
fn family(roots: &[u32]) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parents: HashMap<u32, u32> = processes
        .filter_map(|process| Some((process, stat(process)?.parent)))
        .collect();
    let belongs = |mut process: u32| {
        while !roots.contains(&process) {
            match parents.get(&process) {
                Some(&parent) if parent != 0 => process = parent,
                _ => return false,
            }
        }
        true
    };
    parents.keys().copied().filter(|p| belongs(*p)).collect()
}

/// CPU time of these processes and of all that came of them, in user mode and in the kernel.
pub(crate) fn cpu(roots: &[u32]) -> Duration {
    let ticks: u64 = family(roots)
        .into_iter()
        .filter_map(stat)
        .map(|stat| stat.ticks)
        .sum();
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// Bytes of memory of these processes and of all that came of them. What several share is
/// shared out between them (PSS).
pub(crate) fn memory(roots: &[u32]) -> u64 {
    let pss = |process: u32| {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    family(roots).into_iter().filter_map(pss).sum::<u64>() * 1024
}

/// Runnable processes, averaged over 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let words: Vec<&str> = load.split_whitespace().take(3).collect();
    words.join(" ")
}

/// What this machine is.
pub(crate) fn about() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    let kernel = read("/proc/sys/kernel/osrelease");
    json!({ "cpu": model, "cores": cores, "kernel": kernel.trim() })
}

/// Watches how busy the machine is with what is none of ours.
#[derive(Debug)]
pub(crate) struct Others {
    busy: u64,
    all: u64,
    own: Duration,
}

impl Others {
    /// From now on.
    pub(crate) fn watch() -> Self {
        let (busy, all) = whole();
        Self {
            busy,
            all,
            own: cpu(&[std::process::id()]),
        }
    }

    /// The part of the machine's time that others took, 0 to 1.
    pub(crate) fn part(&self) -> f64 {
        let (busy, all) = whole();
        let own = cpu(&[std::process::id()]).saturating_sub(self.own);
        let own = own.as_secs_f64() / TICK.as_secs_f64();
        let others = (busy - self.busy) as f64 - own;
        (others / (all - self.all).max(1) as f64).clamp(0.0, 1.0)
    }
}

/// Ticks of all cores: those not idle, and all.
fn whole() -> (u64, u64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .flat_map(str::parse)
        .collect();
    let all = ticks.iter().sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    (all - idle, all)
}
