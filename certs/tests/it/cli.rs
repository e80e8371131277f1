//! What people read and what scripts rely on.

mod backups;
mod issuing;
mod people;
mod refusals;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use insta::assert_snapshot;
use serde_json::Value;

use crate::redact::redact;
use crate::studio::Machine;

struct Cli {
    directory: tempfile::TempDir,
}

impl Cli {
    /// A directory with nothing in it.
    fn empty() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// A directory with an authority in `state`.
    fn new() -> Self {
        let cli = Self::empty();
        cli.ok("init --domain studio.example --name ws12");
        cli
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hrpyc-certs"));
        command
            .args(["--state-dir".as_ref(), self.path("state").as_os_str()])
            .args(words(line))
            .current_dir(self.directory.path())
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        command
    }

    fn output(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// Exit code, standard output and standard error, without what differs from run to run.
    fn run(&self, line: &str) -> String {
        let output = self.output(line);
        let text = format!(
            "exit {}\n--- stdout\n{}--- stderr\n{}",
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap()
        );
        redact(&text, self.directory.path().to_str().unwrap())
    }

    fn ok(&self, line: &str) -> String {
        let output = self.output(line);
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("--json {line}"))).unwrap()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Alice, with a certificate and a token by hand.
    fn with_alice(&self) {
        self.write("alice.csr", Machine::new().request);
        self.ok("issue alice --role full --csr alice.csr --out alice.crt --token-out alice.jwt --device laptop");
    }
}

/// Splits a line as a shell would, with `'` as the only quote.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn init_says_what_it_made_and_what_comes_next() {
    let cli = Cli::empty();
    assert_snapshot!(cli.run("init --domain studio.example --name ws12"), @r"
    exit 0
    --- stdout
    Made the authority of studio.example in [DIR]/state, valid until [DATE].
    Its fingerprint: [FINGERPRINT]
    The guard here is guard/ws12.
    Keep a backup of it: hrpyc-certs --state-dir [DIR]/state backup FILE
    Let somebody in: hrpyc-certs --state-dir [DIR]/state invite NAME --role full --guard HOST:PORT
    --- stderr
    ");
    assert_snapshot!(cli.run("init"), @r"
    exit 1
    --- stdout
    --- stderr
    error: [DIR]/state exists already: it is not empty
    hint: an authority is only made where there is nothing; look at what is there with: hrpyc-certs --state-dir [DIR]/state list
    ");
}

#[test]
fn help_names_every_command() {
    let cli = Cli::empty();
    assert_snapshot!(cli.run("help"), @r"
    exit 0
    --- stdout
    Who may reach Houdini, and until when: the authority of hrpyc-guard

    Usage: hrpyc-certs [OPTIONS] <COMMAND>

    Commands:
      init     Make an authority where there is none
      invite   Make a one-time code that lets somebody in, or adds a device
      grant    Change what somebody may do; live sessions feel it
      issue    Issue a certificate by hand, for a machine that cannot join by itself
      token    Print a fresh token for somebody's newest certificate
      list     List everybody
      show     Show all that is known of somebody
      revoke   Take access back; live sessions end within a second
      crl      Print the revocation list (X.509, PEM)
      backup   Write keys, store and journal into one file
      restore  Put a backup back, or go on after a rollback was noticed
      help     Print this message or the help of the given subcommand(s)

    Options:
          --state-dir <DIR>  The state directory of the authority
          --json             Print one JSON object instead of text
      -h, --help             Print help
      -V, --version          Print version
    --- stderr
    ");
    assert_snapshot!(cli.run("help invite"), @r#"
    exit 0
    --- stdout
    Make a one-time code that lets somebody in, or adds a device

    Usage: hrpyc-certs invite [OPTIONS] <NAME>

    Arguments:
      <NAME>  Whom: alice, service/farm, or guard/ws13 for a workstation that joins

    Options:
          --role <ROLE>          What they may do: full, read-only, read-numeric, or a role of the
                                 guard's policy file
          --state-dir <DIR>      The state directory of the authority
          --access-until <DATE>  The end of access: 2026-12-31, "2026-12-31 18:00",
                                 2026-12-31T18:00+01:00, or never
          --json                 Print one JSON object instead of text
          --from <CIDR>          A network to come from, such as 10.1.0.0/16; repeat it for more, "any"
                                 for all
          --upstream <NAME>      The name of an upstream they may reach; repeat it for more, "any" for
                                 all
          --guard <HOST:PORT>    Where they reach the guard of this authority: HOST:PORT [default: as it
                                 advertises]
          --valid <DURATION>     How long the code can be used [default: 24h]
      -h, --help                 Print help
    --- stderr
    "#);
}

#[test]
fn scripts_get_one_object_with_the_code() {
    let cli = Cli::new();
    let made = cli.json("invite alice --role full --guard ws12.studio.example:18812");
    let code: wire::invite::Invite = made["code"].as_str().unwrap().parse().unwrap();
    assert_eq!(code.address, "ws12.studio.example:18812");
    assert_eq!(made["identity"], "spiffe://studio.example/artist/alice");
    assert_eq!(made["grant"], "new");
    // And one with the error for what makes no sense as a command.
    for line in [
        "--json invite",
        "--json nonsense",
        "invite a --valid soon --json",
    ] {
        let output = cli.output(line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        let error: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(!error["error"].as_str().unwrap().is_empty(), "{line}");
        assert!(error["hint"].as_str().unwrap().contains("--help"), "{line}");
        assert!(!output.stderr.is_empty(), "{line}");
    }
    assert!(cli.output("nonsense").stdout.is_empty());
    assert!(cli.output("--json help").status.success());
    // Global flags may stand behind as well.
    let output = cli.ok("invite bob --role full --guard ws12:18812 --json");
    assert!(serde_json::from_str::<Value>(&output).unwrap()["code"].is_string());
    let output = cli.output("--json invite eve --role Admin --guard ws12:18812");
    assert_eq!(output.status.code(), Some(1));
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(error["error"].as_str().unwrap().contains("Admin"));
}
