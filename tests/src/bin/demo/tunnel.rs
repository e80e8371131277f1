//! From an invite to a script that runs, and who does not get in.

use std::time::{Duration, Instant};

use e2e::programs::{Agent, Failure, Finished, Guard, Result, Running, Stream};
use e2e::venv::Venv;
use e2e::wheel::Wheel;

use crate::studio::{
    Houdini, Studio, check, check_text, code_in, code_of, heading, python, python_dir,
};

/// How long a session may live on after `revoke` has returned.
const CUT: Duration = Duration::from_secs(1);

/// Whom an assistant that was denied something can ask.
pub(crate) const CONTACT: &str = "pipeline@studio.example";

impl Studio {
    pub(crate) fn start_houdini(&self) -> Result<Houdini> {
        heading("Houdini's RPC server, with a small scene, on loopback");
        let mut command = python(&self.server_python, "hrpyc_server.py");
        // The tool of the second part.
        command.env("PYTHONPATH", python_dir().join("hostile"));
        self.show(&command);
        let process = Running::start(&mut command)?;
        let line = process.wait_for_line(Stream::Out, "listening on ")?;
        println!("{line}");
        let (_, port) = line.rsplit_once(':').unwrap_or_default();
        let port = port.to_owned();
        Ok(Houdini { process, port })
    }

    pub(crate) fn start_guard(&self, houdini: &Houdini) -> Result<Guard> {
        heading("The guard in front of it, on a workstation that never had one");
        let policy = format!("[role.read-only]\ncontact = \"{CONTACT}\"\n");
        let path = self.trial.folder().join("policy.toml");
        std::fs::write(&path, policy).map_err(|e| Failure::io(path.display(), &e))?;
        let upstream = format!("127.0.0.1:{}", houdini.port);
        let more = ["--policy", "policy.toml"];
        let mut command = self.trial.guard_command("127.0.0.1:0", &upstream, &more)?;
        self.show(&command);
        let guard = Guard::start(&mut command)?;
        print!("{}", self.shortened(&guard.process.text(Stream::Out)));
        Ok(guard)
    }

    pub(crate) fn bring_alice_in(&self, guard: &Guard) -> Result<()> {
        heading("IT invites Alice");
        let mut invite = self.invite_command(guard)?;
        let invited = self
            .shown(invite.args(["alice", "--role", "full"]), "")?
            .success()?;
        let code = code_in(&invited)?;

        heading("Alice joins; she pastes the code, so that it is in no history");
        let mut join = self.trial.agent_command("alice")?;
        self.shown(join.args(["join", "-"]), code)?.success()?;

        heading("The code is worth nothing to the next who finds it");
        let mut join = self.trial.agent_command("mallory")?;
        let refused = self.shown(join.args(["join", "-"]), code)?.with_code(1)?;
        check_text("the second use is refused", &refused.stderr, "used")
    }

    pub(crate) fn run_the_example(&self, houdini: &Houdini, agent: &Agent) -> Result<()> {
        heading("The example of Houdini's manual, through agent and guard");
        self.scale_is(houdini, "1.0")?;
        print!("{}", code_of("example.py")?);
        let ran = self.shown(&mut self.script("example.py", agent.address.port()), "")?;
        let wanted = "/obj/sphere1/scale is now 2.0";
        check_text("it ran", &ran.success()?.stdout, wanted)?;
        self.scale_is(houdini, "2.0")
    }

    pub(crate) fn run_the_package(&self, houdini: &Houdini) -> Result<()> {
        heading("The same in the Python package: no agent, no port, one changed line");
        let mut say = |sentence: &str| println!("{sentence}");
        say("building the wheel of the package, and installing it for rpyc 5.3.1");
        let wheel = Wheel::build(&mut say)?;
        let installed = Venv::PACKAGE.with_wheel(&wheel, &mut say)?;
        let python_with = installed.ok_or_else(|| Failure::new("there is no Python for it"))?;
        print!("{}", code_of("example_package.py")?);
        let mut example = python(&python_with, "example_package.py");
        let ran = self.shown(example.arg(self.trial.config_dir("alice")), "")?;
        let wanted = "/obj/sphere1/scale is now 3.0";
        check_text("it ran", &ran.success()?.stdout, wanted)?;
        self.scale_is(houdini, "3.0")
    }

    pub(crate) fn turn_a_stranger_away(&self, guard: &Guard) -> Result<()> {
        heading("A stranger with a stock rpyc knocks at the guard's port");
        let refused = self.knock(guard.address.port())?;
        check_text("the stranger is told why", &refused.stderr, "plain-rpyc")
    }

    /// Connects with a stock rpyc, and must be refused.
    fn knock(&self, port: u16) -> Result<Finished> {
        let refused = self.shown(&mut self.script("knock.py", port), "")?;
        check_text("it is refused", &refused.stderr, "PermissionError: ")?;
        refused.with_code(1)
    }

    pub(crate) fn revoke_alice_at_work(&self, agent: &Agent) -> Result<()> {
        heading("Alice is at work, and IT revokes her");
        let port = agent.address.port();
        let mut turntable = self.script("turntable.py", port);
        self.show(&turntable);
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
        let refused = self.knock(port)?;
        check_text("she is told again", &refused.stderr, "revoked")
    }
}
