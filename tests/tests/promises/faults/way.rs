//! Many ways from an artist's program to a Houdini, each with a leg of its own in front of each
//! program: one guard, one agent, and as many Houdinis as ways.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::forge::houdini::houdini;
use e2e::forge::leg::{Leg, until};
use e2e::forge::upstream::Upstream;
use e2e::programs::{Guard, Running, Stream, Trial};
use serde_json::Value;

/// Programs, and the ways through them.
pub(super) struct Stage {
    /// In their order.
    pub(super) ways: Vec<Arc<Way>>,
    pub(super) agent: Running,
    pub(super) guard: Guard,
    pub(super) audit: Arc<Audit>,
    _trial: Trial,
}

/// From one port of the agent to one Houdini.
pub(super) struct Way {
    /// Artist's program to agent.
    pub(super) script: Leg,
    /// Agent to guard.
    pub(super) agent: Leg,
    /// Guard to Houdini.
    pub(super) guard: Leg,
    pub(super) houdini: Upstream,
}

impl Stage {
    /// So many ways, through a guard with these settings.
    pub(super) fn with(count: usize, settings: &str) -> Self {
        let trial = Trial::new().unwrap();
        let houdinis: Vec<Upstream> = (0..count).map(|_| houdini()).collect();
        let to_houdini: Vec<Leg> = houdinis.iter().map(|one| Leg::to(one.address())).collect();
        let guard = start_guard(&trial, settings, &to_houdini);
        let code = trial.invite(guard.address, "alice", &[]).unwrap();
        trial.join("alice", &code).unwrap();
        // Each from an address of its own, by which the audit tells them apart.
        let own = |number: usize| Ipv4Addr::new(127, 0, 1, 1 + number as u8);
        let to_guard = (0..count).map(|number| Leg::to_as(guard.address, own(number)));
        let to_guard: Vec<Leg> = to_guard.collect();
        let (agent, ports) = start_agent(&trial, guard.address, &to_guard, &to_houdini);
        let legs = to_guard.into_iter().zip(to_houdini).zip(houdinis);
        let ways = legs.zip(ports).map(|(((agent, guard), houdini), port)| {
            Arc::new(Way {
                script: Leg::to(port),
                agent,
                guard,
                houdini,
            })
        });
        Self {
            ways: ways.collect(),
            agent,
            audit: Audit::follow(&trial.audit_file()),
            guard,
            _trial: trial,
        }
    }
}

fn start_guard(trial: &Trial, settings: &str, to_houdini: &[Leg]) -> Guard {
    let upstreams: Vec<String> = to_houdini
        .iter()
        .map(|leg| format!("\"{}\"", leg.address()))
        .collect();
    let settings = format!("upstream = [{}]\n{settings}", upstreams.join(", "));
    let path = trial.folder().join("guard.toml");
    std::fs::write(&path, settings).unwrap();
    let mut command = trial.command("hrpyc-guard").unwrap();
    command
        .args(["--listen", "127.0.0.1:0", "--name", "ws12", "--config"])
        .arg(path)
        .arg("--state-dir")
        .arg(trial.state_dir());
    Guard::start(&mut command).unwrap_or_else(|e| panic!("{e}"))
}

/// One agent that listens once for each way. It finds the guard where the way's leg begins,
/// because each way has a profile of its own: a copy of the one that joining made, with
/// another address in it.
fn start_agent(
    trial: &Trial,
    guard: SocketAddr,
    to_guard: &[Leg],
    to_houdini: &[Leg],
) -> (Running, Vec<SocketAddr>) {
    let profiles = trial.config_dir("alice");
    let mut command = trial.agent_command("alice").unwrap();
    command.arg("connect");
    for (number, (to_guard, to_houdini)) in to_guard.iter().zip(to_houdini).enumerate() {
        let name = format!("way{number}");
        copy_profile(&profiles, &name, guard, to_guard.address());
        command.arg(format!("{name}/{}=0", to_houdini.address().port()));
    }
    let agent = Running::start(&mut command).unwrap();
    let ports = listening(&agent, to_guard.len());
    (agent, ports)
}

fn copy_profile(profiles: &Path, name: &str, from: SocketAddr, to: SocketAddr) {
    use std::os::unix::fs::DirBuilderExt as _;
    let folder = profiles.join(name);
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700).create(&folder).unwrap();
    for entry in std::fs::read_dir(profiles.join("ws12")).unwrap() {
        let entry = entry.unwrap();
        let copy = folder.join(entry.file_name());
        // With its mode, which the agent insists on.
        std::fs::copy(entry.path(), &copy).unwrap();
        let text = std::fs::read_to_string(&copy).unwrap();
        std::fs::write(&copy, text.replace(&from.to_string(), &to.to_string())).unwrap();
    }
}

/// Where an agent listens, in the order of what it was told to serve.
fn listening(agent: &Running, count: usize) -> Vec<SocketAddr> {
    let ports = e2e::programs::poll("the agent's ports", || {
        let lines = agent.lines(Stream::Out);
        let ports: Vec<SocketAddr> = lines
            .iter()
            .filter_map(|line| line.strip_prefix("listening on ")?.parse().ok())
            .collect();
        (ports.len() == count).then_some(ports)
    });
    ports.unwrap_or_else(|e| panic!("{e}\n{}", agent.text(Stream::Err)))
}

/// What a guard has written down, read by one for all.
pub(super) struct Audit {
    records: Mutex<Vec<Value>>,
}

impl Audit {
    fn follow(file: &Path) -> Arc<Self> {
        let audit = Arc::new(Self {
            records: Mutex::default(),
        });
        let (following, file) = (Arc::downgrade(&audit), file.to_owned());
        tokio::spawn(async move {
            let mut read = 0;
            while let Some(audit) = following.upgrade() {
                let text = std::fs::read_to_string(&file).unwrap_or_default();
                let whole = text.rfind('\n').map_or(0, |at| at + 1);
                let lines = text.get(read..whole).unwrap_or_default().lines();
                let new = lines.filter_map(|line| serde_json::from_str(line).ok());
                audit.records.lock().unwrap().extend(new);
                read = read.max(whole);
                drop(audit);
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        });
        audit
    }

    /// The records of connections from these addresses.
    pub(super) fn of(&self, peers: &[SocketAddr]) -> Vec<Value> {
        let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
        let ours = |record: &&Value| {
            let peer = record["peer"].as_str();
            peer.is_some_and(|peer| peers.iter().any(|ours| ours == peer))
        };
        let records = self.records.lock().unwrap();
        records.iter().filter(ours).cloned().collect()
    }
}

impl Way {
    /// Waits until nobody holds anything of a connection on this way.
    pub(super) async fn until_given_back(&self) {
        let open = || {
            let legs = [&self.script, &self.agent, &self.guard];
            let ends = legs.map(|leg| (leg.near_open(), leg.far_open()));
            (ends, self.houdini.open())
        };
        let nothing = ([(0, 0); 3], 0);
        until(
            || open() == nothing,
            || {
                format!(
                    "not given back, by near and far end of each leg, and by Houdini: {:?}",
                    open()
                )
            },
        )
        .await;
    }
}
