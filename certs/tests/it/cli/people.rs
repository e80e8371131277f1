//! Letting people in, seeing who is in, and putting them out.

use super::*;

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
