//! Where the demo takes place, and how it shows and checks what happens there.

use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::programs::{
    Agent, Failure, Finished, Guard, Result, Running, Trial, run_with_input, typed, workspace,
};

/// Where the demo takes place.
pub(crate) struct Studio {
    pub(crate) trial: Trial,
    pub(crate) server_python: PathBuf,
    pub(crate) artist_python: PathBuf,
}

/// The classic RPC server that stands for Houdini.
pub(crate) struct Houdini {
    pub(crate) process: Running,
    pub(crate) port: String,
}

impl Studio {
    /// Shows a command.
    pub(crate) fn show(&self, command: &Command) {
        println!("$ {}", self.shortened(&typed(command)));
    }

    /// Shows a command, runs it, and shows what it prints.
    pub(crate) fn shown(&self, command: &mut Command, input: &str) -> Result<Finished> {
        self.show(command);
        let finished = run_with_input(command, input)?;
        print!("{}", self.shortened(&finished.stdout));
        print!("{}", self.shortened(&finished.stderr));
        Ok(finished)
    }

    /// All commands run in the folder of the trial, so its path need not be shown.
    pub(crate) fn shortened(&self, text: &str) -> String {
        let folder = format!("{}/", self.trial.folder().display());
        let scripts = format!("{}/", python_dir().display());
        text.replace(&folder, "").replace(&scripts, "")
    }

    /// `hrpyc-certs invite`, to which the name and the role are to be added.
    pub(crate) fn invite_command(&self, guard: &Guard) -> Result<Command> {
        let mut invite = self.trial.certs_command()?;
        invite.args(["invite", "--guard", &guard.address.to_string()]);
        Ok(invite)
    }

    /// Somebody's agent, shown.
    pub(crate) fn start_agent(&self, who: &str, sentence: &str) -> Result<Agent> {
        heading(sentence);
        let mut command = self.trial.agent_command(who)?;
        command.args(["connect", "--listen", "127.0.0.1:0"]);
        self.show(&command);
        let agent = Agent::start(&mut command)?;
        println!("listening on {}", agent.address);
        Ok(agent)
    }

    /// One of the scripts beside the tests, with an artist's Python, on a port.
    pub(crate) fn script(&self, name: &str, port: u16) -> Command {
        let mut command = python(&self.artist_python, name);
        command.arg(port.to_string());
        command
    }

    /// Asks the server for the scale, past agent and guard, and checks that it is this.
    pub(crate) fn scale_is(&self, houdini: &Houdini, wanted: &str) -> Result<()> {
        let script = format!(
            "import rpyc; print(rpyc.classic.connect(\"127.0.0.1\", {}).modules.hou.parm(\"/obj/sphere1/scale\").eval())",
            houdini.port
        );
        let mut command = Command::new(&self.artist_python);
        let read = run_with_input(command.args(["-c", &script]), "")?.success()?;
        let scale = read.stdout.trim();
        println!("(asked directly, past agent and guard, Houdini says {scale})");
        check(scale == wanted, &format!("the scale is {wanted}"))
    }
}

/// The code in what `hrpyc-certs invite` has printed.
pub(crate) fn code_in(invited: &Finished) -> Result<&str> {
    let mut words = invited.stdout.split_whitespace();
    words
        .find(|word| word.starts_with("hrpyc1-"))
        .ok_or_else(|| Failure::new("the invitation has no code"))
}

/// Has programs end in order.
pub(crate) fn stop<const N: usize>(running: [&mut Running; N]) -> Result<()> {
    for process in running {
        process.terminate();
        let status = process.wait()?;
        check(status.success(), "it ends in order when asked to")
            .map_err(|e| Failure::new(format!("{e}: {} {status}", process.title())))?;
    }
    Ok(())
}

/// One of the Python programs of the tests.
pub(crate) fn python(interpreter: &Path, script: &str) -> Command {
    let mut command = Command::new(interpreter);
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(python_dir().join(script));
    command
}

/// The folder of the Python programs.
pub(crate) fn python_dir() -> PathBuf {
    workspace().join("tests").join("python")
}

/// A script without the text at its top.
pub(crate) fn code_of(script: &str) -> Result<String> {
    let path = python_dir().join(script);
    let text = std::fs::read_to_string(&path).map_err(|e| Failure::io(path.display(), &e))?;
    let code = text.splitn(3, "\"\"\"").last().unwrap_or_default().trim();
    Ok(code
        .lines()
        .map(|line| format!("  | {line}").trim_end().to_owned() + "\n")
        .collect())
}

/// The beginning of a part of the story.
pub(crate) fn part(title: &str) {
    println!("\n--- Part {title} ---");
}

/// The beginning of a step.
pub(crate) fn heading(sentence: &str) {
    println!("\n=== {sentence}");
}

/// Ends the demo unless what was promised holds.
pub(crate) fn check(holds: bool, promise: &str) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Failure::new(format!("this does not hold: {promise}")))
}

/// As [`check`], of a text that must have a part.
pub(crate) fn check_text(promise: &str, text: &str, part: &str) -> Result<()> {
    check(text.contains(part), promise)
        .map_err(|e| Failure::new(format!("{e}; {part:?} is not in {text:?}")))
}
