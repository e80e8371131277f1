//! The whole path once, for people to look at: a classic RPC server on loopback, the
//! guard in front of it, an artist who was invited, a stranger, and what the audit says.
//!
//! At each step it shows what one would type and what came of it. Each result is checked;
//! the program ends with 1 at the first that is not as promised.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use e2e::cargo;
use e2e::programs::{
    Agent, Failure, Finished, Guard, Result, Running, Stream, Trial, run_with_input, typed,
    workspace,
};
use e2e::venv::Venv;
use e2e::wheel::Wheel;
use serde_json::Value;

/// How long a session may live on after `revoke` has returned.
const CUT: Duration = Duration::from_secs(1);

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
    let houdini = studio.start_houdini()?;
    let mut guard = studio.start_guard(&houdini)?;
    studio.bring_alice_in(&guard)?;
    let mut agent = studio.start_agent()?;
    studio.run_the_example(&houdini, &agent)?;
    studio.run_the_package(&houdini)?;
    studio.turn_a_stranger_away(&guard)?;
    studio.revoke_alice_at_work(&agent)?;
    studio.show_the_audit()?;
    stop(&mut agent.process, &mut guard.process, houdini.process)?;
    let folder = studio.trial.folder().to_owned();
    drop(studio);
    check(!folder.exists(), "the temporary folder is gone")
}

/// Where the demo takes place.
struct Studio {
    trial: Trial,
    server_python: PathBuf,
    artist_python: PathBuf,
}

/// The classic RPC server that stands for Houdini.
struct Houdini {
    process: Running,
    port: String,
}

impl Studio {
    fn start_houdini(&self) -> Result<Houdini> {
        heading("Houdini's RPC server, with a small scene, on loopback");
        let mut command = python(&self.server_python, "hrpyc_server.py");
        self.show(&command);
        let process = Running::start(&mut command)?;
        let line = process.wait_for_line(Stream::Out, "listening on ")?;
        println!("{line}");
        let (_, port) = line.rsplit_once(':').unwrap_or_default();
        let port = port.to_owned();
        Ok(Houdini { process, port })
    }

    fn start_guard(&self, houdini: &Houdini) -> Result<Guard> {
        heading("The guard in front of it, on a workstation that never had one");
        let upstream = format!("127.0.0.1:{}", houdini.port);
        let mut command = self.trial.guard_command("127.0.0.1:0", &upstream, &[])?;
        self.show(&command);
        let guard = Guard::start(&mut command)?;
        print!("{}", self.shortened(&guard.process.text(Stream::Out)));
        Ok(guard)
    }

    fn bring_alice_in(&self, guard: &Guard) -> Result<()> {
        heading("IT invites Alice");
        let address = guard.address.to_string();
        let mut invite = self.trial.certs_command()?;
        invite.args(["invite", "alice", "--role", "full", "--guard", &address]);
        let invited = self.shown(&mut invite, "")?.success()?;
        let code = invited
            .stdout
            .split_whitespace()
            .find(|word| word.starts_with("hrpyc1-"))
            .ok_or_else(|| Failure::new("the invitation has no code"))?;

        heading("Alice joins; she pastes the code, so that it is in no history");
        let mut join = self.trial.agent_command("alice")?;
        self.shown(join.args(["join", "-"]), code)?.success()?;

        heading("The code is worth nothing to the next who finds it");
        let mut join = self.trial.agent_command("mallory")?;
        let refused = self.shown(join.args(["join", "-"]), code)?.with_code(1)?;
        check_text("the second use is refused", &refused.stderr, "used")
    }

    fn start_agent(&self) -> Result<Agent> {
        heading("Alice's agent, in place of Houdini's port on her machine");
        let mut command = self.trial.agent_command("alice")?;
        command.args(["connect", "--listen", "127.0.0.1:0"]);
        self.show(&command);
        let agent = Agent::start(&mut command)?;
        print!("{}", agent.process.text(Stream::Out));
        Ok(agent)
    }

    fn run_the_example(&self, houdini: &Houdini, agent: &Agent) -> Result<()> {
        heading("The example of Houdini's manual, through agent and guard");
        check(self.scale(houdini)? == "1.0", "the scale is 1.0 before")?;
        print!("{}", code_of(&python_dir().join("example.py"))?);
        let mut example = python(&self.artist_python, "example.py");
        let ran = self.shown(example.arg(agent.address.port().to_string()), "")?;
        check_text(
            "it ran",
            &ran.success()?.stdout,
            "/obj/sphere1/scale is now 2.0",
        )?;
        println!("And asked of the server directly, past agent and guard:");
        check(self.scale(houdini)? == "2.0", "the scale is 2.0 after")
    }

    fn run_the_package(&self, houdini: &Houdini) -> Result<()> {
        heading("The same in the Python package: no agent, no port, one changed line");
        let mut say = |sentence: &str| println!("{sentence}");
        say("building the wheel of the package, and installing it for rpyc 5.3.1");
        let wheel = Wheel::build(&mut say)?;
        let installed = Venv::PACKAGE.with_wheel(&wheel, &mut say)?;
        let python_with = installed.ok_or_else(|| Failure::new("there is no Python for it"))?;
        print!("{}", code_of(&python_dir().join("example_package.py"))?);
        let mut example = python(&python_with, "example_package.py");
        let ran = self.shown(example.arg(self.trial.config_dir("alice")), "")?;
        check_text(
            "it ran",
            &ran.success()?.stdout,
            "/obj/sphere1/scale is now 3.0",
        )?;
        check(self.scale(houdini)? == "3.0", "the scale is 3.0 after")
    }

    /// Reads the scale from the server without anything in between.
    fn scale(&self, houdini: &Houdini) -> Result<String> {
        let script = format!(
            "import rpyc; print(rpyc.classic.connect(\"127.0.0.1\", {}).modules.hou.parm(\"/obj/sphere1/scale\").eval())",
            houdini.port
        );
        let mut command = Command::new(&self.artist_python);
        let read = self.shown(command.args(["-c", &script]), "")?.success()?;
        Ok(read.stdout.trim().to_owned())
    }

    fn turn_a_stranger_away(&self, guard: &Guard) -> Result<()> {
        heading("A stranger with a stock rpyc knocks at the guard's port");
        let refused = self.knock(guard.address.port())?;
        check_text("the stranger is told why", &refused.stderr, "plain-rpyc")
    }

    /// Connects with a stock rpyc, and must be refused.
    fn knock(&self, port: u16) -> Result<Finished> {
        let mut command = python(&self.artist_python, "knock.py");
        let refused = self.shown(command.arg(port.to_string()), "")?;
        check_text("it is refused", &refused.stderr, "PermissionError: ")?;
        refused.with_code(1)
    }

    fn revoke_alice_at_work(&self, agent: &Agent) -> Result<()> {
        heading("Alice is at work, and IT revokes her");
        let port = agent.address.port().to_string();
        let mut turntable = python(&self.artist_python, "turntable.py");
        self.show(turntable.arg(&port));
        let mut working = Running::start(&mut turntable)?;
        println!("{}", working.wait_for_line(Stream::Out, "working")?);

        let mut revoke = self.trial.certs_command()?;
        revoke.args(["revoke", "alice", "--why", "the show has wrapped"]);
        self.shown(&mut revoke, "")?.success()?;
        let revoked = Instant::now();
        let told = working.wait_for_line(Stream::Out, "Error: ")?;
        let after = revoked.elapsed();
        working.wait()?;
        for line in working.lines(Stream::Out).iter().skip(1) {
            println!("{line}");
        }
        println!("({after:.0?} after the command had returned)");
        check_text("Alice is told why", &told, "PermissionError")?;
        check(after <= CUT, "the session ends within one second")?;

        println!("\nHer next try:");
        let refused = self.knock(agent.address.port())?;
        check_text("she is told again", &refused.stderr, "revoked")
    }

    fn show_the_audit(&self) -> Result<()> {
        heading("What the audit says");
        println!("$ cat guard/audit/connections.jsonl   # shown here in columns");
        self.trial
            .wait_for_record(|r| r["event"] == "refused" && r["identity"].is_string())?;
        let records = self.trial.audit()?;
        for record in &records {
            println!("{}", readable(record));
        }
        let opened = sessions(&records, "opened");
        check(opened.len() == 3, "three sessions were opened")?;
        check(sessions(&records, "closed") == opened, "each has its end")?;
        let has = |field: &str, value: &str| records.iter().any(|r| r[field] == value);
        check(has("code", "plain-rpyc"), "the stranger is in it")?;
        check(has("reason", "session-revoked"), "the cut is in it")
    }

    fn show(&self, command: &Command) {
        println!("$ {}", self.shortened(&typed(command)));
    }

    /// Shows a command, runs it, and shows what it prints.
    fn shown(&self, command: &mut Command, input: &str) -> Result<Finished> {
        self.show(command);
        let finished = run_with_input(command, input)?;
        print!("{}", self.shortened(&finished.stdout));
        print!("{}", self.shortened(&finished.stderr));
        Ok(finished)
    }

    /// All commands run in the folder of the trial, so its path need not be shown.
    fn shortened(&self, text: &str) -> String {
        let folder = format!("{}/", self.trial.folder().display());
        let scripts = format!("{}/", python_dir().display());
        text.replace(&folder, "").replace(&scripts, "")
    }
}

fn stop(agent: &mut Running, guard: &mut Running, mut houdini: Running) -> Result<()> {
    heading("Everything ends");
    for process in [agent, guard] {
        process.terminate();
        let status = process.wait()?;
        check(status.success(), "it ends in order when asked to")
            .map_err(|e| Failure::new(format!("{e}: {} {status}", process.title())))?;
    }
    houdini.kill();
    println!("agent and guard ended in order; the server was stopped");
    Ok(())
}

/// One of the Python programs of the tests.
fn python(interpreter: &Path, script: &str) -> Command {
    let mut command = Command::new(interpreter);
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(python_dir().join(script));
    command
}

fn python_dir() -> PathBuf {
    workspace().join("tests").join("python")
}

/// A script without the text at its top.
fn code_of(script: &Path) -> Result<String> {
    let text = std::fs::read_to_string(script).map_err(|e| Failure::io(script.display(), &e))?;
    let code = text.splitn(3, "\"\"\"").last().unwrap_or_default().trim();
    Ok(code.lines().map(|line| format!("  | {line}\n")).collect())
}

fn sessions(records: &[Value], event: &str) -> Vec<String> {
    let of_event = records.iter().filter(|record| record["event"] == event);
    let mut ids: Vec<_> = of_event
        .map(|record| record["session"].to_string())
        .collect();
    ids.sort();
    ids
}

/// An audit record as one line for people.
fn readable(record: &Value) -> String {
    let text = |field: &str| record[field].as_str().unwrap_or_default().to_owned();
    let time = text("time")
        .split('T')
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    let time = time.get(..8).unwrap_or(&time).to_owned();
    let who = match text("identity") {
        identity if identity.is_empty() => text("peer"),
        identity => identity,
    };
    let mut line = format!("{time}  {:<9} {who:<44}", text("event"));
    for field in ["code", "role", "upstream", "reason"] {
        let value = text(field);
        if !value.is_empty() {
            line.push_str(&format!(" {field}={value}"));
        }
    }
    for field in ["bytes_up", "bytes_down"] {
        if record[field].is_number() {
            line.push_str(&format!(" {field}={}", record[field]));
        }
    }
    if let Some(seconds) = record["seconds"].as_f64() {
        line.push_str(&format!(" seconds={seconds:.3}"));
    }
    line.trim_end().to_owned()
}

fn heading(sentence: &str) {
    println!("\n=== {sentence}");
}

fn check(holds: bool, promise: &str) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Failure::new(format!("this does not hold: {promise}")))
}

fn check_text(promise: &str, text: &str, part: &str) -> Result<()> {
    check(text.contains(part), promise)
        .map_err(|e| Failure::new(format!("{e}; {part:?} is not in {text:?}")))
}
