//! What people read and what scripts rely on.

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
fn an_invite_is_a_code_on_standard_output_and_the_rest_beside_it() {
    let cli = Cli::new();
    assert_snapshot!(cli.run("invite alice --role full --guard ws12.studio.example:18812 --access-until 2099-12-31 --from 10.1.0.0/16 --upstream main"), @r"
    exit 0
    --- stdout
    [CODE]
    --- stderr
    alice has access when the code is used: role full, until Thu 31 Dec 2099 23:59:59 UTC, from 10.1.0.0/16, to main.
    The code works once, until [DATE], at ws12.studio.example:18812. Whoever has it can use it: send it over a channel that you trust.
    There, type: hrpyc-agent join
    and paste the code. The fingerprint shown must be [FINGERPRINT]
    To take it back: hrpyc-certs revoke [INVITE] --why TEXT
    ");
    assert_snapshot!(cli.run("invite guard/ws13 --guard ws12.studio.example:18812 --valid 1h"), @r"
    exit 0
    --- stdout
    [CODE]
    --- stderr
    guard/ws13 may join when the code is used.
    The code works once, until [DATE], at ws12.studio.example:18812. Whoever has it can use it: send it over a channel that you trust.
    There, type: hrpyc-guard join --advertise HOST:PORT
    and paste the code. The fingerprint shown must be [FINGERPRINT]
    To take it back: hrpyc-certs revoke [INVITE] --why TEXT
    ");
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

#[test]
fn a_role_that_is_not_built_in_can_be_given_and_what_it_needs_is_said() {
    let cli = Cli::new();
    cli.with_alice();
    let output = cli.output("grant alice --role lookdev");
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("lookdev is not a built-in role"), "{said}");
    assert!(cli.ok("show alice").contains("lookdev"));
    for built_in in ["read-only", "read-numeric", "full"] {
        let output = cli.output(&format!("grant alice --role {built_in}"));
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{built_in}"
        );
    }
}

#[test]
fn an_invite_that_changes_a_grant_says_so() {
    let cli = Cli::new();
    cli.with_alice();
    assert_snapshot!(cli.run("invite alice --guard ws12:18812"), @r"
    exit 0
    --- stdout
    [CODE]
    --- stderr
    alice has access already; the code adds a device.
    The code works once, until [DATE], at ws12:18812. Whoever has it can use it: send it over a channel that you trust.
    There, type: hrpyc-agent join
    and paste the code. The fingerprint shown must be [FINGERPRINT]
    To take it back: hrpyc-certs revoke [INVITE] --why TEXT
    ");
    assert_snapshot!(cli.run("invite alice --guard ws12:18812 --role full --access-until '2099-12-31 18:00' --from 10.0.0.0/8 --from 192.168.0.0/16"), @r"
    exit 0
    --- stdout
    [CODE]
    --- stderr
    alice has access already, which was changed now: access until Thu 31 Dec 2099 18:00 UTC instead of further notice; from 10.0.0.0/8, 192.168.0.0/16 instead of any. The code adds a device.
    The code works once, until [DATE], at ws12:18812. Whoever has it can use it: send it over a channel that you trust.
    There, type: hrpyc-agent join
    and paste the code. The fingerprint shown must be [FINGERPRINT]
    To take it back: hrpyc-certs revoke [INVITE] --why TEXT
    ");
}

#[test]
fn a_grant_is_changed_in_words() {
    let cli = Cli::new();
    cli.with_alice();
    assert_snapshot!(cli.run("grant alice --access-until '2099-12-31 18:00' --upstream main --upstream fx"), @r"
    exit 0
    --- stdout
    alice now has access until Thu 31 Dec 2099 18:00 UTC instead of further notice; upstreams main, fx instead of any.
    --- stderr
    ");
    assert_snapshot!(cli.run("grant alice --access-until '2099-12-31 18:00'"), @r"
    exit 0
    --- stdout
    alice has that already.
    --- stderr
    ");
    assert_snapshot!(cli.run("grant alice --access-until never --upstream any --json"), @r#"
    exit 0
    --- stdout
    {"changes":["access until further notice instead of Thu 31 Dec 2099 18:00 UTC","upstreams any instead of main, fx"],"effect":"changed","grant":{"access_until":null,"from":[],"generation":2,"identity":"spiffe://studio.example/artist/alice","revoked":null,"role":"full","upstreams":[]},"identity":"spiffe://studio.example/artist/alice"}
    --- stderr
    "#);
    assert_snapshot!(cli.run("grant alice"), @r"
    exit 2
    --- stdout
    --- stderr
    error: nothing to change was given
    hint: add --role, --access-until, --from or --upstream; see what holds now with: hrpyc-certs show NAME
    ");
    assert_snapshot!(cli.run("grant bob --role full"), @r"
    exit 1
    --- stdout
    --- stderr
    error: bob has no access
    hint: let them in with: hrpyc-certs invite bob --role full
    ");
    cli.ok("invite bob --role full --guard ws12:18812");
    assert_snapshot!(cli.run("grant bob --role full"), @r"
    exit 1
    --- stdout
    --- stderr
    error: bob is invited and has no access yet, so there is no grant to change
    hint: revoke the invite and make another: hrpyc-certs revoke bob --why TEXT, then hrpyc-certs invite bob ...
    ");
}

#[test]
fn list_and_show_tell_who_is_here() {
    let cli = Cli::new();
    assert_snapshot!(cli.run("list"), @r"
    exit 0
    --- stdout
    Authority of studio.example, [FINGERPRINT]
    Guard guard/ws12 at an address not yet known

    Nobody has been invited.
    --- stderr
    ");
    cli.with_alice();
    cli.ok("invite service/farm --role full --guard ws12:18812");
    cli.ok("grant alice --access-until '2099-12-31 18:00'");
    cli.ok("revoke alice --why 'left the show'");
    cli.write("bob.csr", Machine::new().request);
    cli.ok("issue bob --role full --csr bob.csr");
    assert_snapshot!(cli.run("list"), @r"
    exit 0
    --- stdout
    Authority of studio.example, [FINGERPRINT]
    Guard guard/ws12 at an address not yet known

    NAME          ROLE  STATE       ACCESS UNTIL               DEVICES  OPEN INVITES
    alice         full  revoked     Thu 31 Dec 2099 18:00 UTC  0        0
    bob           full  has access  no end                     1        0
    service/farm  full  invited     no end                     0        1
    --- stderr
    ");
    assert_snapshot!(cli.run("show alice"), @r"
    exit 0
    --- stdout
    spiffe://studio.example/artist/alice
      state         revoked
      revoked       [DATE]: left the show
      role          full
      access until  Thu 31 Dec 2099 18:00 UTC
      upstreams     any
      from          any
      since         [DATE]
      device        laptop, certificate [SERIAL], revoked [DATE]: left the show
      token         [TOKEN ID], revoked: left the show
    --- stderr
    ");
    assert_snapshot!(cli.run("show bob"), @r"
    exit 0
    --- stdout
    spiffe://studio.example/artist/bob
      state         has access
      role          full
      access until  no end
      upstreams     any
      from          any
      since         [DATE]
      device        issued by hand, certificate [SERIAL], valid until [DATE]
      token         [TOKEN ID], admits until [DATE]
    --- stderr
    ");
    assert_snapshot!(cli.run("show service/farm"), @r"
    exit 0
    --- stdout
    spiffe://studio.example/service/farm
      state         invited
      invite        [INVITE], role full, open until [DATE]
    --- stderr
    ");
    assert_snapshot!(cli.run("show carol"), @r"
    exit 1
    --- stdout
    --- stderr
    error: nothing here is called carol: no name, certificate serial, token id or invite id
    hint: see who is here with: hrpyc-certs list
    ");
    let list = cli.json("list");
    assert_eq!(list["entries"][0]["state"], "revoked");
    assert_eq!(list["alarm"], Value::Null);
    assert_eq!(cli.json("show bob")["devices"].as_array().unwrap().len(), 1);
}

#[test]
fn revoking_says_what_ended() {
    let cli = Cli::new();
    cli.with_alice();
    assert_snapshot!(cli.run("revoke alise --why typo"), @r"
    exit 1
    --- stdout
    --- stderr
    error: nothing here is called alise: no name, certificate serial, token id or invite id
    hint: see who is here with: hrpyc-certs list
    ");
    assert_snapshot!(cli.run("revoke alice"), @r"
    exit 2
    --- stdout
    --- stderr
    error: the following required arguments were not provided:
      --why <TEXT>

    Usage: hrpyc-certs revoke --why <TEXT> <NAME|SERIAL|TOKEN>

    For more information, try '--help'.
    ");
    assert_snapshot!(cli.run("revoke alice --why ' '"), @r#"
    exit 1
    --- stdout
    --- stderr
    error: a reason of one to 400 characters must be given
    hint: write --why "left the show", for example
    "#);
    let token = std::fs::read_to_string(cli.path("alice.jwt")).unwrap();
    assert_snapshot!(cli.run(&format!("revoke {token} --why leaked")), @r"
    exit 0
    --- stdout
    Revoked token [TOKEN ID] of alice. Live sessions end within a second. What ran in Houdini before is not undone.
    --- stderr
    ");
    assert_snapshot!(cli.run("revoke alice --why 'left the show'"), @r"
    exit 0
    --- stdout
    Revoked alice. That ends 1 certificate, 0 open invites and every token. Live sessions end within a second. What ran in Houdini before is not undone.
    --- stderr
    ");
    assert_snapshot!(cli.run("revoke alice --why again"), @r"
    exit 0
    --- stdout
    alice was revoked already, on [DATE]: left the show
    --- stderr
    ");
    assert_snapshot!(cli.run("revoke guard/ws12 --why test"), @r"
    exit 1
    --- stdout
    --- stderr
    error: guard/ws12 is this authority's own guard, which cannot be revoked by name
    hint: revoke its certificate by serial instead, and the guard makes itself a new key; the serial is shown by: hrpyc-certs show guard/ws12
    ");
    let invite = cli.json("invite bob --role full --guard ws12:18812");
    let id = invite["invite"].as_str().unwrap();
    assert_snapshot!(cli.run(&format!("revoke {id} --why typo")), @r"
    exit 0
    --- stdout
    Revoked invite [INVITE] of bob. Nobody can use its code.
    --- stderr
    ");
}

#[test]
fn a_device_is_shown_and_revoked_with_its_renewals() {
    let cli = Cli::new();
    let machine = Machine::new();
    cli.write("alice.csr", &machine.request);
    cli.ok("issue alice --role full --csr alice.csr --device laptop");
    cli.ok("issue alice --csr alice.csr --device laptop");
    assert_eq!(
        cli.json("list")["entries"][0]["devices"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_snapshot!(cli.run("show alice"), @r"
    exit 0
    --- stdout
    spiffe://studio.example/artist/alice
      state         has access
      role          full
      access until  no end
      upstreams     any
      from          any
      since         [DATE]
      device        laptop, certificate [SERIAL], valid until [DATE]
                    earlier: certificate [SERIAL], valid until [DATE]
      token         [TOKEN ID], admits until [DATE]
      token         [TOKEN ID], admits until [DATE]
    --- stderr
    ");
    assert!(cli.ok("list").contains("no end        1        0"));
    let serial = cli.json("show alice")["devices"][0]["serial"].clone();
    let serial = serial.as_str().unwrap();
    assert_snapshot!(cli.run(&format!("revoke {serial} --why stolen")), @r"
    exit 0
    --- stdout
    Revoked the device laptop of alice (certificate [SERIAL]). That ends 2 certificates of this device, renewed ones as well, and their tokens; its key is never certified again. Live sessions end within a second. What ran in Houdini before is not undone.
    --- stderr
    ");
    assert_snapshot!(cli.run(&format!("revoke {serial} --why again")), @r"
    exit 0
    --- stdout
    the device laptop of alice (certificate [SERIAL]) was revoked already, on [DATE]: stolen
    --- stderr
    ");
    assert_snapshot!(cli.run("list"), @r"
    exit 0
    --- stdout
    Authority of studio.example, [FINGERPRINT]
    Guard guard/ws12 at an address not yet known

    NAME   ROLE  STATE       ACCESS UNTIL  DEVICES  OPEN INVITES
    alice  full  has access  no end        0        0
    --- stderr
    ");
    assert_snapshot!(cli.run("show alice"), @r"
    exit 0
    --- stdout
    spiffe://studio.example/artist/alice
      state         has access
      role          full
      access until  no end
      upstreams     any
      from          any
      since         [DATE]
      device        laptop, certificate [SERIAL], revoked [DATE]: stolen
                    earlier: certificate [SERIAL], revoked [DATE]: stolen
      token         [TOKEN ID], revoked: stolen
      token         [TOKEN ID], revoked: stolen
    --- stderr
    ");
    assert_snapshot!(cli.run("issue alice --csr alice.csr"), @r"
    exit 1
    --- stdout
    --- stderr
    error: the key of the certificate request was revoked with its device at [TIME]: stolen
    hint: if the device may come back, it needs a new key: hrpyc-certs invite NAME, or a request made with a new key
    ");
}

#[test]
fn issuing_by_hand_names_each_file_and_its_end() {
    let cli = Cli::new();
    cli.write("alice.csr", Machine::new().request);
    cli.write("short", "hunter2\n");
    cli.write("passphrase", "correct horse\n");
    assert_snapshot!(cli.run("issue alice --csr alice.csr --out alice.crt"), @r"
    exit 1
    --- stdout
    --- stderr
    error: alice has no access yet, so a role must be given
    hint: add --role full
    ");
    assert_snapshot!(cli.run("issue alice --role full --csr alice.csr --out alice.crt --token-out alice.jwt"), @r"
    exit 0
    --- stdout
    --- stderr
    The certificate is in alice.crt, valid until [DATE].
    The token is in alice.jwt, valid until [DATE].
    ");
    assert_snapshot!(cli.run("issue alice --csr alice.csr --out alice.crt"), @r"
    exit 1
    --- stdout
    --- stderr
    error: alice.crt exists already
    hint: give another name, or move it away; nothing is overwritten
    ");
    assert_snapshot!(cli.run("issue alice --csr passphrase"), @r"
    exit 1
    --- stdout
    --- stderr
    error: the certificate request cannot be used: it is not a certificate request in DER (PKCS #10)
    hint: make one with: openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout NAME.key -subj / -out NAME.csr
    ");
    assert_snapshot!(cli.run("issue alice --bundle alice.pem --passphrase-file short"), @r"
    exit 1
    --- stdout
    --- stderr
    error: the passphrase is shorter than 8 characters
    hint: choose a longer one: whoever gets the file can try as many as they like
    ");
    assert_snapshot!(cli.run("issue alice --bundle alice.pem"), @r"
    exit 2
    --- stdout
    --- stderr
    error: a passphrase is needed, and there is no terminal to ask at
    hint: give it with --passphrase-file FILE, or --passphrase-file - on standard input
    ");
    assert_snapshot!(cli.run("issue alice --bundle alice.pem --passphrase-file passphrase"), @r"
    exit 0
    --- stdout
    --- stderr
    The key with its certificates is in alice.pem, valid until [DATE].
    ");
    assert_snapshot!(cli.run("issue alice"), @r"
    exit 2
    --- stdout
    --- stderr
    error: the following required arguments were not provided:
      <--csr <FILE>|--bundle <FILE>>

    Usage: hrpyc-certs issue <--csr <FILE>|--bundle <FILE>> <NAME>

    For more information, try '--help'.
    ");
    #[cfg(unix)]
    for name in ["alice.crt", "alice.jwt", "alice.pem"] {
        assert_eq!(mode(&cli.path(name)), 0o600);
    }
    let certificate = cli.ok("issue alice --csr alice.csr");
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
}

#[test]
fn nothing_is_issued_that_cannot_be_written_down() {
    let cli = Cli::new();
    cli.write("alice.csr", Machine::new().request);
    cli.write("passphrase", "correct horse\n");
    for line in [
        "--csr alice.csr --out nodir/alice.crt",
        "--csr alice.csr --out alice.crt --token-out nodir/alice.jwt",
        "--csr alice.csr --out alice.crt --token-out alice.crt",
        "--bundle nodir/alice.pem --passphrase-file passphrase",
        "--bundle alice.pem --token-out nodir/alice.jwt --passphrase-file passphrase",
    ] {
        let output = cli.output(&format!("issue alice --role full {line}"));
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert_eq!(cli.json("list")["entries"], serde_json::json!([]), "{line}");
    }
    // Nor is an empty file left when nothing is issued.
    let output = cli.output("issue alice --csr alice.csr --out alice.crt");
    assert_eq!(output.status.code(), Some(1));
    for name in ["alice.crt", "alice.pem"] {
        assert!(!cli.path(name).exists(), "{name}");
    }
}

#[test]
fn tokens_and_lists_go_to_standard_output() {
    let cli = Cli::new();
    assert_snapshot!(cli.run("token alice"), @r"
    exit 1
    --- stdout
    --- stderr
    error: alice has no access
    hint: let them in with: hrpyc-certs invite alice --role full
    ");
    cli.with_alice();
    assert_snapshot!(cli.run("token alice"), @r"
    exit 0
    --- stdout
    [TOKEN]
    --- stderr
    A token for alice, which admits until [DATE], together with its certificate.
    ");
    assert_snapshot!(cli.run("token guard/ws12"), @r"
    exit 2
    --- stdout
    --- stderr
    error: guard/ws12 is a guard, and guards have no token
    hint: give the name of an artist or a service
    ");
    assert_snapshot!(cli.run("token alice --serial 00ff"), @r"
    exit 1
    --- stdout
    --- stderr
    error: the certificate is not known here
    hint: the device must join anew: hrpyc-certs invite NAME
    ");
    assert!(cli.ok("crl").starts_with("-----BEGIN X509 CRL-----"));
    assert!(cli.json("crl")["crl"].is_string());
}

#[test]
fn a_backup_comes_back() {
    let cli = Cli::new();
    cli.with_alice();
    cli.write("passphrase", "correct horse\n");
    cli.write("wrong", "wrong horse\n");
    assert_snapshot!(cli.run("backup all.json --passphrase-file passphrase"), @r"
    exit 0
    --- stdout
    The backup is in all.json. It is worth nothing without its passphrase.
    --- stderr
    ");
    assert_snapshot!(cli.run("backup all.json --passphrase-file passphrase"), @r"
    exit 1
    --- stdout
    --- stderr
    error: all.json exists already
    hint: give another name, or move it away; nothing is overwritten
    ");
    assert_snapshot!(cli.run("backup clear.json --no-passphrase"), @r"
    exit 0
    --- stdout
    The backup is in clear.json. It holds the keys in clear: whoever reads it can let anybody in.
    --- stderr
    ");
    cli.ok("revoke alice --why 'left the show'");
    assert_snapshot!(cli.run("restore all.json --passphrase-file wrong"), @r"
    exit 1
    --- stdout
    --- stderr
    error: all.json cannot be decrypted: the passphrase is wrong, or the file was changed
    hint: try the passphrase given when the backup was made
    ");
    assert_snapshot!(cli.run("restore passphrase"), @r"
    exit 1
    --- stdout
    --- stderr
    error: passphrase is not a backup of hrpyc-guard: line 1 column 1
    hint: give a file made by: hrpyc-certs backup FILE
    ");
    assert_snapshot!(cli.run("restore all.json --passphrase-file passphrase"), @r"
    exit 0
    --- stdout
    Put back the backup of [DATE] in [DIR]/state.
    Revocations made since and kept: 1.
    Nothing is issued yet, because what else was changed since the backup is lost here.
    Those who have access now:
      nobody
    Look through them, revoke who should be out, then type:
      hrpyc-certs --state-dir [DIR]/state restore --accept-rollback --why TEXT
    --- stderr
    ");
    assert_snapshot!(cli.run("token alice"), @r"
    exit 1
    --- stdout
    --- stderr
    error: the store was rolled back to an older state, so nothing is issued
    hint: see what happened with: hrpyc-certs list; then repeat revocations that may be lost, and go on with: hrpyc-certs restore --accept-rollback --why TEXT
    ");
    assert_snapshot!(cli.run("list"), @r"
    exit 0
    --- stdout
    Authority of studio.example, [FINGERPRINT]
    Guard guard/ws12 at an address not yet known

    NAME   ROLE  STATE    ACCESS UNTIL  DEVICES  OPEN INVITES
    alice  full  revoked  no end        0        0
    --- stderr
    warning: nothing is issued since [DATE], because a backup of [TIME] was put back
    hint: see what happened with: hrpyc-certs list; then repeat revocations that may be lost, and go on with: hrpyc-certs restore --accept-rollback --why TEXT
    ");
    assert_snapshot!(cli.run("restore --accept-rollback"), @r"
    exit 2
    --- stdout
    --- stderr
    error: the following required arguments were not provided:
      --why <TEXT>

    Usage: hrpyc-certs restore --accept-rollback --why <TEXT> [FILE]

    For more information, try '--help'.
    ");
    assert_snapshot!(cli.run("restore --accept-rollback --why 'disk replaced'"), @r"
    exit 0
    --- stdout
    Certificates and tokens are issued again. What had stopped it: a backup of [TIME] was put back.
    Those who have access now:
      nobody
    --- stderr
    ");
    assert_snapshot!(cli.run("restore --accept-rollback --why 'disk replaced'"), @r"
    exit 1
    --- stdout
    --- stderr
    error: no rollback was noticed, so there is nothing to accept
    hint: nothing needs to be done
    ");
    std::fs::write(cli.path("state/store.db"), "rubbish").unwrap();
    assert_snapshot!(cli.run("list"), @r"
    exit 1
    --- stdout
    --- stderr
    error: the store [DIR]/state/store.db is damaged: file is not a database
    hint: put it back from a backup with: hrpyc-certs --state-dir [DIR]/state restore FILE; the revocations in the journal are kept
    ");
    assert_snapshot!(cli.run("restore all.json --passphrase-file passphrase"), @r"
    exit 0
    --- stdout
    Put back the backup of [DATE] in [DIR]/state.
    Revocations made since and kept: 1.
    What was damaged there is now [DIR]/state/[SET ASIDE].
    Nothing is issued yet, because what else was changed since the backup is lost here.
    Those who have access now:
      nobody
    Look through them, revoke who should be out, then type:
      hrpyc-certs --state-dir [DIR]/state restore --accept-rollback --why TEXT
    --- stderr
    ");
}

#[test]
fn a_current_backup_needs_no_accepting() {
    let cli = Cli::new();
    cli.ok("invite bob --role full --guard ws12:18812");
    cli.ok("backup all.json --no-passphrase");
    let line = "restore all.json --accept-rollback --why test";
    assert_snapshot!(cli.run(line), @r"
    exit 0
    --- stdout
    Put back the backup of [DATE] in [DIR]/state.
    It is current, so certificates and tokens go on being issued.
    --- stderr
    ");
    let invited = cli.json("show bob");
    assert_eq!(invited["state"], "invited");
    assert!(invited["alarm"].is_null());
    cli.with_alice();
    assert_snapshot!(cli.run("restore all.json"), @r"
    exit 0
    --- stdout
    Put back the backup of [DATE] in [DIR]/state.
    Nothing is issued yet, because what else was changed since the backup is lost here.
    Those who have access now:
      nobody
    Open invites, which may have been used since and are revoked when you go on:
      [INVITE] for bob, until [DATE]
    Look through them, revoke who should be out, then type:
      hrpyc-certs --state-dir [DIR]/state restore --accept-rollback --why TEXT
    --- stderr
    ");
    assert!(cli.json("show bob")["alarm"]["why"].is_string());
    assert_snapshot!(cli.run(line), @r"
    exit 0
    --- stdout
    Put back the backup of [DATE] in [DIR]/state.
    Certificates and tokens are issued again. What had stopped it: a backup of [TIME] was put back.
    Open invites revoked, because they may have been used before: 1.
    Those who have access now:
      nobody
    --- stderr
    ");
    assert_eq!(cli.json("show bob")["state"], "revoked");
}

#[test]
fn help_says_what_a_restore_keeps() {
    let help = Cli::empty().ok("restore --help");
    for said in ["every revocation", "open invite", "The guard may run"] {
        assert!(help.contains(said), "{said}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_before_anything_is_done() {
    let cli = Cli::new();
    assert_snapshot!(cli.run("invite Alice --role full --guard ws12:18812"), @r#"
    exit 2
    --- stdout
    --- stderr
    error: "Alice" is not a name: use up to 64 lower-case letters, digits, dots, dashes and underscores, starting with a letter or digit
    hint: write alice for an artist, service/farm for a program, guard/ws13 for a workstation
    "#);
    assert_snapshot!(cli.run("invite alice --role full --guard ws12"), @r#"
    exit 2
    --- stdout
    --- stderr
    error: invalid value 'ws12' for '--guard <HOST:PORT>': "ws12" is not an address: write HOST:PORT, such as ws12.studio.example:18812

    For more information, try '--help'.
    "#);
    assert_snapshot!(cli.run("invite alice --role full --guard ws12:18812 --valid soon"), @r#"
    exit 2
    --- stdout
    --- stderr
    error: invalid value 'soon' for '--valid <DURATION>': "soon" is not a duration: write 30m, 24h or 3d

    For more information, try '--help'.
    "#);
    assert_snapshot!(cli.run("invite alice --role full --guard ws12:18812 --valid 90d"), @r"
    exit 1
    --- stdout
    --- stderr
    error: an invite must be valid for some time, and for 30 days at most
    hint: write --valid 24h, for example
    ");
    assert_snapshot!(cli.run("invite alice --role full --guard ws12:18812 --access-until tomorrow"), @r#"
    exit 2
    --- stdout
    --- stderr
    error: invalid value 'tomorrow' for '--access-until <DATE>': "tomorrow" is not a date: write 2026-12-31 (its whole day), "2026-12-31 18:00" (local time), 2026-12-31T18:00+01:00, or never

    For more information, try '--help'.
    "#);
    assert_snapshot!(cli.run("invite alice --role full --guard ws12:18812 --access-until 2001-01-01"), @r"
    exit 1
    --- stdout
    --- stderr
    error: [DATE] is in the past
    hint: give a moment in the future, or end access now with: hrpyc-certs revoke NAME --why TEXT
    ");
    assert_snapshot!(cli.run("invite alice --role full --guard ws12:18812 --from office"), @r#"
    exit 2
    --- stdout
    --- stderr
    error: invalid value 'office' for '--from <CIDR>': "office" is not a network: write an address such as 10.1.2.3, or a range such as 10.1.0.0/16

    For more information, try '--help'.
    "#);
    assert_snapshot!(cli.run("invite alice --role full"), @r"
    exit 1
    --- stdout
    --- stderr
    error: it is not known at which address artists reach this guard
    hint: say it with --guard HOST:PORT, or start the guard once with --advertise HOST:PORT
    ");
    assert_snapshot!(cli.run("invite alice --role Full --guard ws12:18812"), @r#"
    exit 1
    --- stdout
    --- stderr
    error: "Full" is no name of a role
    hint: write --role full (any Python, as Houdini's user), --role read-only, --role read-numeric, or a role of the guard's policy file
    "#);
    assert_snapshot!(cli.run("invite alice --guard ws12:18812"), @r"
    exit 1
    --- stdout
    --- stderr
    error: alice has no access yet, so a role must be given
    hint: add --role full
    ");
    assert_snapshot!(cli.run("invite guard/ws13 --role full --guard ws12:18812"), @r"
    exit 1
    --- stdout
    --- stderr
    error: guard/ws13 is a guard, and guards have no role
    hint: leave --role out
    ");
    assert_snapshot!(cli.run("invite guard/ws12 --guard ws12:18812"), @r"
    exit 1
    --- stdout
    --- stderr
    error: guard/ws12 is this authority's own guard; another machine with its name could pose as it
    hint: choose another name for the other guard
    ");
    assert_snapshot!(cli.run("list"), @r"
    exit 0
    --- stdout
    Authority of studio.example, [FINGERPRINT]
    Guard guard/ws12 at an address not yet known

    Nobody has been invited.
    --- stderr
    ");
}

#[cfg(unix)]
#[test]
fn a_state_directory_that_is_not_in_order_is_refused_with_what_to_type() {
    use std::os::unix::fs::PermissionsExt as _;

    let cli = Cli::empty();
    assert_snapshot!(cli.run("list"), @r"
    exit 1
    --- stdout
    --- stderr
    error: there is no state directory at [DIR]/state
    hint: make an authority with: hrpyc-certs --state-dir [DIR]/state init
    ");
    cli.ok("init --domain studio.example --name ws12");
    let set = |name: &str, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(cli.path(name), mode).unwrap();
    };
    set("state", 0o755);
    assert_snapshot!(cli.run("list"), @r"
    exit 1
    --- stdout
    --- stderr
    error: [DIR]/state has mode 0755, so that other users can get at it; it must be 0700
    hint: if nobody else has read it, type: chmod 700 [DIR]/state
    ");
    set("state", 0o700);
    set("state/authority.key", 0o644);
    assert_snapshot!(cli.run("list"), @r"
    exit 1
    --- stdout
    --- stderr
    error: [DIR]/state/authority.key has mode 0644, so that other users can get at it; it must be 0600
    hint: if nobody else has read it, type: chmod 600 [DIR]/state/authority.key
    ");
    set("state/authority.key", 0o600);
    std::fs::remove_file(cli.path("state/token.key")).unwrap();
    assert_snapshot!(cli.run("list"), @r"
    exit 1
    --- stdout
    --- stderr
    error: [DIR]/state/token.key is missing: it is the private key that signs tokens
    hint: nothing is made anew here, because every artist would have to join again; put it back from a backup with: hrpyc-certs --state-dir [DIR]/state restore FILE
    ");
}

/// Root may write anywhere, so the program runs as somebody else then.
#[cfg(unix)]
#[test]
fn a_read_only_directory_is_an_error_and_nothing_is_lost() {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    use std::os::unix::process::CommandExt as _;

    let cli = Cli::new();
    cli.with_alice();
    let before = std::fs::read(cli.path("state/store.db")).unwrap();
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let program = cli.path("hrpyc-certs");
    std::fs::copy(env!("CARGO_BIN_EXE_hrpyc-certs"), &program).unwrap();
    set(cli.directory.path(), 0o755);
    let mut command = Command::new(&program);
    if rustix::process::geteuid().is_root() {
        chown(cli.path("state"), Some(65534), Some(65534)).unwrap();
        for entry in std::fs::read_dir(cli.path("state")).unwrap() {
            chown(entry.unwrap().path(), Some(65534), Some(65534)).unwrap();
        }
        command.uid(65534).gid(65534);
    }
    set(&cli.path("state"), 0o500);
    let output = command
        .args(["--state-dir".as_ref(), cli.path("state").as_os_str()])
        .args(["revoke", "alice", "--why", "test"])
        .output()
        .unwrap();
    set(&cli.path("state"), 0o700);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("cannot be written") && error.contains("hint: make"),
        "{error}"
    );
    assert_eq!(std::fs::read(cli.path("state/store.db")).unwrap(), before);
}

/// A limit on the size of files stands for a full disk, which a test cannot have.
#[cfg(unix)]
#[test]
fn a_disk_that_takes_no_more_is_an_error_and_nothing_is_lost() {
    let cli = Cli::new();
    cli.with_alice();
    let limited = |limit: u32| {
        Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -f {limit}; trap '' XFSZ; exec \"$@\""))
            .arg("sh")
            .arg(env!("CARGO_BIN_EXE_hrpyc-certs"))
            .args(["--state-dir".as_ref(), cli.path("state").as_os_str()])
            .args(["revoke", "alice", "--why", "test"])
            .output()
            .unwrap()
    };
    for limit in [0, 1, 4, 8] {
        let output = limited(limit);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.contains("error: ") && error.contains("hint: "),
            "{error}"
        );
        assert_eq!(cli.json("show alice")["state"], "live", "{error}");
    }
    let journal = std::fs::read(cli.path("state/revocations.jsonl")).unwrap();
    assert!(journal.is_empty());
    cli.ok("revoke alice --why test");
}
