//! What a role lets through, and what Houdini may not do to a script.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::programs::{Agent, Failure, Guard, Result, poll, run};

use crate::studio::{Houdini, Studio, check, check_text, code_in, code_of, heading};
use crate::tunnel::CONTACT;

/// The attacks that `handed.py` lets a tool try.
const ATTACKS: usize = 3;

impl Studio {
    /// Alice's assistant gets an identity of its own, and a role that reads.
    pub(crate) fn bring_the_assistant_in(&self, guard: &Guard) -> Result<Agent> {
        heading("IT invites Alice's AI assistant, which may only read");
        let mut invite = self.invite_command(guard)?;
        invite.args(["service/assistant", "--role", "read-only"]);
        self.show(&invite);
        let invited = run(&mut invite)?.success()?;
        let code = code_in(&invited)?;
        let granted = invited
            .stderr
            .lines()
            .find(|line| line.contains("role read-only"));
        let granted = granted.ok_or_else(|| Failure::new("the invite does not say its role"))?;
        println!("{granted}");
        self.trial.join("assistant", code)?;
        self.start_agent("assistant", "It has joined likewise, and has an agent")
    }

    /// In the role `full`, the script does what it says.
    pub(crate) fn run_as_alice(&self, houdini: &Houdini, agent: &Agent) -> Result<()> {
        heading("A short script, run by Alice in the role full");
        print!("{}", code_of("adjust.py")?);
        let ran = self.shown(&mut self.script("adjust.py", agent.address.port()), "")?;
        let printed = ran.success()?.stdout;
        let wanted = "the scale is 3.0\nthe scale is 6.0\n";
        check_text("Alice changes the scene", &printed, wanted)?;
        self.scale_is(houdini, "6.0")
    }

    /// In the role `read-only`, it is denied what changes the scene, and goes on. Gives the
    /// reference that the denial names.
    pub(crate) fn run_as_the_assistant(&self, houdini: &Houdini, agent: &Agent) -> Result<String> {
        heading("The same script, run by the assistant in the role read-only");
        let ran = self.shown(&mut self.script("adjust.py", agent.address.port()), "")?;
        let printed = ran.success()?.stdout;
        for part in [
            "scale.set(2 * scale.eval())",
            "service/assistant may not do this in the role read-only: hou.Parm.set",
            "(rule default, reference ",
            &format!("hint: ask {CONTACT}"),
        ] {
            check_text(
                "the denial says who, what, why and whom to ask",
                &printed,
                part,
            )?;
        }
        let lines: Vec<&str> = printed.lines().collect();
        let reads = [lines.first(), lines.last()];
        let reads = reads.iter().all(|line| *line == Some(&"the scale is 6.0"));
        check(reads, "it reads before the denial and after it")?;
        println!(
            "(the denial was a PermissionError; the connection lives on, as the last line shows)"
        );
        self.scale_is(houdini, "6.0")?;
        let (_, rest) = printed.split_once("reference ").unwrap_or_default();
        let (reference, _) = rest.split_once(')').unwrap_or_default();
        Ok(reference.to_owned())
    }

    /// rpyc lets a server run code in its client. First it is shown that it does.
    pub(crate) fn stop_a_hostile_tool(&self, houdini: &Houdini, agent: &Agent) -> Result<()> {
        heading("A tool in Houdini is hostile: past the guard, it runs code in Alice's Python");
        let port = houdini.port.parse().unwrap_or_default();
        let (past, printed) = self.hand_over(port, "past")?;
        let ran = printed.matches(" RAN\n").count();
        check(
            ran == ATTACKS && made(&past)? == ATTACKS,
            "it does without a guard",
        )?;

        heading("Through agent and guard it runs nothing there, and callbacks work as before");
        let (guarded, printed) = self.hand_over(agent.address.port(), "guarded")?;
        let refused = printed.matches("hrpyc-guard did not pass this on").count();
        check(refused == ATTACKS, "each attack is refused in words")?;
        check(made(&guarded)? == 0, "nothing ran")?;
        check_text("the callback works", &printed, "done(7) gives 7")?;

        let audit = self.trial.state_dir();
        let log = audit.join("audit").join("calls.jsonl");
        poll("the records of the refusals", || {
            let written = fs::read_to_string(&log).ok()?;
            (written.matches("reverse-calls").count() == ATTACKS).then_some(())
        })?;
        let search = ["search", "reverse-calls"];
        let found = self.shown(&mut self.trial.audit_command(&audit, &search)?, "")?;
        let denied = found
            .success()?
            .stdout
            .matches("DENIED by reverse-calls")
            .count();
        check(denied == ATTACKS, "each is in the audit")
    }

    /// Hands a function to the tool. Gives the folder that it wants to make files in, and
    /// what was printed.
    fn hand_over(&self, port: u16, folder: &str) -> Result<(PathBuf, String)> {
        let path = self.trial.folder().join(folder);
        fs::create_dir(&path).map_err(|e| Failure::io(path.display(), &e))?;
        let mut script = self.script("handed.py", port);
        script.arg(folder).current_dir(self.trial.folder());
        let ran = self.shown(&mut script, "")?.success()?;
        Ok((path, ran.stdout))
    }
}

/// How many files there are in a folder.
fn made(folder: &Path) -> Result<usize> {
    let files = fs::read_dir(folder).map_err(|e| Failure::io(folder.display(), &e))?;
    Ok(files.count())
}
