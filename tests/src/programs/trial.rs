//! One trial of the whole: a guard's state, the agents' configurations, and the commands
//! that an operator and the artists would type, all in a folder that goes away.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{Failure, Result, Running, Stream, poll, program, run, run_with_input};

/// A policy under which bytes go by whatever they are.
const OPAQUE: &str = "tests/src/forge/opaque.toml";

/// The file of a policy under which bytes go by whatever they are.
pub fn opaque() -> PathBuf {
    super::workspace().join(OPAQUE)
}

/// The folder of a trial. Start programs with it, and drop them before it.
#[derive(Debug)]
pub struct Trial {
    folder: TempDir,
    /// A policy file for guards for which none is named.
    policy: Option<PathBuf>,
}

/// A guard that listens.
#[derive(Debug)]
pub struct Guard {
    /// The process.
    pub process: Running,
    /// Where it listens.
    pub address: SocketAddr,
}

/// An agent that listens.
#[derive(Debug)]
pub struct Agent {
    /// The process.
    pub process: Running,
    /// Where scripts connect to.
    pub address: SocketAddr,
}

impl Trial {
    /// An empty trial.
    ///
    /// # Errors
    /// When no temporary folder can be made, or a program has not been built.
    pub fn new() -> Result<Self> {
        for name in super::PROGRAMS {
            program(name)?;
        }
        let folder = tempfile::Builder::new()
            .prefix("hrpyc-")
            .tempdir()
            .map_err(|e| Failure::io("making a temporary folder", &e))?;
        Ok(Self {
            folder,
            policy: None,
        })
    }

    /// An empty trial whose guards and agents let the bytes of their sessions go by without
    /// looking at them: for tests with an upstream that counts and echoes, and speaks no rpyc.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn opaque() -> Result<Self> {
        let mut trial = Self::new()?;
        trial.policy = Some(opaque());
        Ok(trial)
    }

    /// The folder that holds everything of this trial.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The guard's state directory. It is not there until a guard or `hrpyc-certs init`
    /// has made it.
    pub fn state_dir(&self) -> PathBuf {
        self.folder().join("guard")
    }

    /// The configuration directory of somebody's agent.
    pub fn config_dir(&self, who: &str) -> PathBuf {
        self.folder().join(format!("agent-{who}"))
    }

    /// One of our programs, in an environment in which nothing of this machine's user
    /// can be found.
    ///
    /// # Errors
    /// When it has not been built.
    pub fn command(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(program(name)?);
        command
            .current_dir(self.folder())
            .env("HOME", self.folder());
        for variable in [
            "XDG_CONFIG_HOME",
            "XDG_DATA_HOME",
            "XDG_STATE_HOME",
            "XDG_CACHE_HOME",
            "XDG_RUNTIME_DIR",
            "RUST_LOG",
        ] {
            command.env_remove(variable);
        }
        Ok(command)
    }

    /// `hrpyc-guard --listen … --upstream … --state-dir … --name ws12`, and more.
    ///
    /// # Errors
    /// When the program has not been built.
    pub fn guard_command(&self, listen: &str, upstream: &str, extra: &[&str]) -> Result<Command> {
        let mut command = self.command("hrpyc-guard")?;
        command
            .args(["--listen", listen, "--upstream", upstream])
            .args(["--name", "ws12", "--state-dir"])
            .arg(self.state_dir())
            .args(extra);
        if let Some(policy) = &self.policy
            && !extra.contains(&"--policy")
        {
            command.arg("--policy").arg(policy);
        }
        Ok(command)
    }

    /// Starts a guard on a free port and waits until it listens.
    ///
    /// # Errors
    /// With what it printed, when it does not.
    pub fn start_guard(&self, upstream: &str, extra: &[&str]) -> Result<Guard> {
        Guard::start(&mut self.guard_command("127.0.0.1:0", upstream, extra)?)
    }

    /// Starts a guard on the given address, such as that of one that was stopped.
    ///
    /// # Errors
    /// As [`Self::start_guard`].
    pub fn start_guard_at(
        &self,
        address: SocketAddr,
        upstream: &str,
        extra: &[&str],
    ) -> Result<Guard> {
        Guard::start(&mut self.guard_command(&address.to_string(), upstream, extra)?)
    }

    /// `hrpyc-certs --state-dir …`, to which a subcommand is to be added.
    ///
    /// # Errors
    /// When the program has not been built.
    pub fn certs_command(&self) -> Result<Command> {
        let mut command = self.command("hrpyc-certs")?;
        command.arg("--state-dir").arg(self.state_dir());
        Ok(command)
    }

    /// Runs `hrpyc-certs --state-dir … --json ARGS` and reads what it prints.
    ///
    /// # Errors
    /// When it fails or prints anything but one JSON object.
    pub fn certs(&self, args: &[&str]) -> Result<Value> {
        let finished = run(self.certs_command()?.arg("--json").args(args))?.success()?;
        serde_json::from_str(&finished.stdout).map_err(|e| {
            Failure::new(format!(
                "`{}` did not print one JSON object: {e}\n{}",
                finished.title, finished.stdout
            ))
        })
    }

    /// Invites somebody with the role `full`, to enrol at `guard`. Gives the code.
    ///
    /// # Errors
    /// When there is no code.
    pub fn invite(&self, guard: SocketAddr, name: &str, extra: &[&str]) -> Result<String> {
        let guard = guard.to_string();
        let mut args = vec!["invite", name, "--role", "full", "--guard", &guard];
        args.extend(extra);
        let printed = self.certs(&args)?;
        printed["code"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| Failure::new(format!("the invite has no code: {printed}")))
    }

    /// Revokes an identity, a certificate or a token.
    ///
    /// # Errors
    /// When `hrpyc-certs revoke` fails.
    pub fn revoke(&self, what: &str, why: &str) -> Result<Value> {
        self.certs(&["revoke", what, "--why", why])
    }

    /// `hrpyc-guard audit … --state-dir …`, with the arguments given.
    ///
    /// # Errors
    /// When the program has not been built.
    pub fn audit_command(&self, state: &Path, args: &[&str]) -> Result<Command> {
        let mut command = self.command("hrpyc-guard")?;
        command
            .arg("audit")
            .args(args)
            .arg("--state-dir")
            .arg(state);
        Ok(command)
    }

    /// `hrpyc-agent --config-dir …`, to which a subcommand is to be added.
    ///
    /// # Errors
    /// When the program has not been built.
    pub fn agent_command(&self, who: &str) -> Result<Command> {
        let mut command = self.command("hrpyc-agent")?;
        command.arg("--config-dir").arg(self.config_dir(who));
        Ok(command)
    }

    /// Uses up an invite; the code goes in by standard input.
    ///
    /// # Errors
    /// When `hrpyc-agent join` fails.
    pub fn join(&self, who: &str, code: &str) -> Result<()> {
        let mut command = self.agent_command(who)?;
        command.args(["join", "-"]);
        if self.policy.is_some() {
            command.args(["--reverse-calls", "open"]);
        }
        run_with_input(&mut command, code)?.success()?;
        Ok(())
    }

    /// Starts somebody's agent on a free port and waits until it listens.
    ///
    /// # Errors
    /// With what it printed, when it does not.
    pub fn connect(&self, who: &str, extra: &[&str]) -> Result<Agent> {
        let mut command = self.agent_command(who)?;
        command
            .args(["connect", "--listen", "127.0.0.1:0"])
            .args(extra);
        Agent::start(&mut command)
    }

    /// Invite, join and connect in one.
    ///
    /// # Errors
    /// Those of each.
    pub fn bring_in(&self, guard: &Guard, who: &str) -> Result<Agent> {
        let code = self.invite(guard.address, who, &[])?;
        self.join(who, &code)?;
        self.connect(who, &[])
    }

    /// The file with the audit of connections.
    pub fn audit_file(&self) -> PathBuf {
        self.state_dir().join("audit").join("connections.jsonl")
    }

    /// The records of the audit of connections so far, without checkpoints. A last line that
    /// is still being written is left out.
    ///
    /// # Errors
    /// When the file cannot be read, or a whole line is not JSON.
    pub fn audit(&self) -> Result<Vec<Value>> {
        let path = self.audit_file();
        let text = std::fs::read_to_string(&path).map_err(|e| Failure::io(path.display(), &e))?;
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| {
                serde_json::from_str(line)
                    .map_err(|e| Failure::new(format!("not an audit record: {line:?}: {e}")))
            })
            .filter(|record: &Result<Value>| {
                !matches!(record, Ok(record) if record["event"] == "checkpoint")
            })
            .collect()
    }

    /// Waits for the first audit record that `wanted` is true of.
    ///
    /// # Errors
    /// With all records, when there is none within the deadline.
    pub fn wait_for_record(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        poll("the audit record", || {
            self.audit().ok()?.into_iter().find(&wanted)
        })
        .map_err(|e| {
            let records = self.audit().unwrap_or_default();
            Failure::new(format!("{e}; the records are {records:#?}"))
        })
    }
}

impl Guard {
    /// Starts a guard and waits until it listens.
    ///
    /// # Errors
    /// With what it printed, when it does not.
    pub fn start(command: &mut Command) -> Result<Self> {
        let process = Running::start(command)?;
        let address = listening(&process)?;
        Ok(Self { process, address })
    }
}

impl Agent {
    /// Starts an agent and waits until it listens.
    ///
    /// # Errors
    /// With what it printed, when it does not.
    pub fn start(command: &mut Command) -> Result<Self> {
        let process = Running::start(command)?;
        let address = listening(&process)?;
        Ok(Self { process, address })
    }
}

/// Reads the address from the line `listening on ADDRESS`.
fn listening(process: &Running) -> Result<SocketAddr> {
    let line = process.wait_for_line(Stream::Out, "listening on ")?;
    let (_, address) = line.split_once("listening on ").unwrap_or_default();
    let address = address.split_whitespace().next().unwrap_or_default();
    address
        .parse()
        .map_err(|e| Failure::new(format!("{line:?} does not name an address: {e}")))
}
