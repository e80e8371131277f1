//! The operator's commands, each killed at some moment between its start and its end.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use e2e::forge::certificate::fresh_key;
use e2e::programs::{Running, Stream, Trial};
use rcgen::CertificateParams;
use rustix::process::Signal;
use serde_json::Value;

use super::dice::Dice;

/// Kills programs, and counts it.
pub(super) struct Killer {
    pub(super) dice: Dice,
    /// How many were killed, by what they did.
    pub(super) kills: BTreeMap<&'static str, usize>,
    /// What kills left behind, so that it can be seen that they came at every moment.
    pub(super) found: BTreeMap<&'static str, usize>,
    /// How long what was not killed took, by what it did.
    needs: BTreeMap<&'static str, Duration>,
}

impl Killer {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            kills: BTreeMap::new(),
            found: BTreeMap::new(),
            needs: BTreeMap::new(),
        }
    }

    pub(super) fn total(&self) -> usize {
        self.kills.values().sum()
    }

    /// When to kill a program that does this: at any moment of the time that it needs, and as
    /// often about its end, when most of what counts is done. Not at all the first time, to see
    /// how long it needs.
    pub(super) fn moment(&mut self, what: &'static str) -> Option<Duration> {
        let needs = *self.needs.get(what)?;
        Some(if self.dice.once_in(2) {
            self.dice.moment(needs)
        } else {
            needs.mul_f64(0.75) + self.dice.moment(needs.mul_f64(0.5))
        })
    }

    pub(super) fn killed(&mut self, what: &'static str) {
        *self.kills.entry(what).or_default() += 1;
        // Where the machine has become slower, nothing comes to its end in time any more.
        if let Some(needs) = self.needs.get_mut(what) {
            *needs = needs.mul_f64(1.05);
        }
    }

    pub(super) fn found(&mut self, what: &'static str) {
        *self.found.entry(what).or_default() += 1;
    }

    /// It came to its end in this time.
    pub(super) fn needed(&mut self, what: &'static str, time: Duration) {
        let known = self.needs.get(what).copied().unwrap_or(time);
        // Machines are slower at times: the latest counts for a quarter.
        self.needs.insert(what, (known * 3 + time) / 4);
    }

    /// Lets a command run until a moment of its time and kills it. Gives what it said when it
    /// had come to its end before.
    pub(super) fn kill(&mut self, what: &'static str, mut running: Running) -> Option<String> {
        let begun = Instant::now();
        match self.moment(what) {
            Some(moment) => {
                while begun.elapsed() < moment && running.is_running() {
                    std::thread::sleep(Duration::from_micros(200));
                }
                running.signal(Signal::KILL);
            }
            None => drop(running.wait()),
        }
        let status = running.wait().unwrap_or_else(|e| panic!("{e}"));
        if status.signal().is_some() {
            self.killed(what);
            return None;
        }
        self.needed(what, begun.elapsed());
        let said = running.text(Stream::Out);
        assert!(
            status.success(),
            "`{}` failed: {said}{}",
            running.title(),
            running.text(Stream::Err)
        );
        Some(said)
    }

    /// As [`Killer::kill`], for `hrpyc-certs --json`.
    pub(super) fn certs(
        &mut self,
        trial: &Trial,
        what: &'static str,
        args: &[&str],
    ) -> Option<Value> {
        let mut command = trial.certs_command().unwrap();
        let running = Running::start(command.arg("--json").args(args)).unwrap();
        let said = self.kill(what, running)?;
        Some(serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}")))
    }
}

/// A certificate request in a file, as it is carried to the operator by hand, and where the
/// certificate for it goes.
pub(super) struct Carried {
    pub(super) request: PathBuf,
    pub(super) out: PathBuf,
}

impl Carried {
    pub(super) fn new(trial: &Trial, name: &str) -> Self {
        let request = CertificateParams::default().serialize_request(&fresh_key());
        let carried = Self {
            request: trial.folder().join(format!("{name}.csr")),
            out: trial.folder().join(format!("{name}.crt")),
        };
        let pem = request.unwrap().pem().unwrap();
        std::fs::write(&carried.request, pem).unwrap();
        carried
    }
}
