"""What is shipped fits together: ports, users, paths, flags, and the programs themselves."""

import json
import re
import shlex

import pytest
import yaml

import harness

ROOT = harness.HERE.parents[1]
DEPLOY = ROOT / "deploy"
CONTAINER = DEPLOY / "container"
PROGRAMS = {"hrpyc-guard", "hrpyc-certs", "hrpyc-agent"}


def read(path):
    """The text of a shipped file."""
    return (DEPLOY / path).read_text(encoding="utf-8")


def ports_of(text):
    """The ports in a list of ports and ranges."""
    found = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        found.update(range(int(first), int(last or first) + 1))
    return found


def test_the_example_configuration_is_right_and_is_the_one_of_unit_and_image(site):
    """The guard itself reads it; it keeps its state where unit and image have it."""
    said = site.run("hrpyc-guard", "config", "check", "--config", DEPLOY / "guard.toml")
    assert re.search(r"state +/var/lib/hrpyc-guard\n", said), said
    assert "StateDirectory=hrpyc-guard\n" in read("systemd/hrpyc-guard.service")
    for path in ("systemd/hrpyc-guard.service", "container/Dockerfile", "container/compose.yaml"):
        assert "/etc/hrpyc-guard/guard.toml" in read(path)
    broken = site.folder / "guard.toml"
    broken.write_text(read("guard.toml").replace("listen =", "lisen ="), encoding="utf-8")
    site.run("hrpyc-guard", "config", "check", "--config", broken, code=1)


def test_all_agree_on_the_ports():
    """Launch script, both firewalls, example and image: the same ports of Houdini and guard."""
    launch = {}
    exec(read("houdini/scripts/python/hrpyc_guard_launch.py"), launch)
    guard = launch["GUARD_PORT"]
    houdinis = set(launch["PORTS"]) - {guard}
    rules = read("nftables/hrpyc-guard.nft")
    assert ports_of(re.search("(?m)^define houdini_ports = (.*)$", rules).group(1)) == houdinis
    assert ports_of(re.search("(?m)^define guard_port = (.*)$", rules).group(1)) == {guard}
    windows = read("windows/firewall.ps1")
    assert ports_of(re.search(r"(?m)^\$houdiniPorts = (.*)$", windows).group(1)) == houdinis
    assert ports_of(re.search(r"(?m)^\$guardPort = (.*)$", windows).group(1)) == {guard}
    assert re.search(r'(?m)^listen = ".*:%d"$' % guard, read("guard.toml"))
    assert "\nEXPOSE %d\n" % guard in read("container/Dockerfile")


def starts(site, program, arguments):
    """Starts a program as a file has it, but with what is of this test's own."""
    config = site.folder / "shipped.toml"
    config.write_text(read("guard.toml"), encoding="utf-8")
    words = [config if word == "/etc/hrpyc-guard/guard.toml" else word for word in arguments]
    assert config in words
    own = ["--listen", "127.0.0.1:0", "--state-dir", site.state]
    command = [site.machine.program(program), *words, *own]
    return harness.Program(command, env=site.env(), cwd=site.folder)


@pytest.mark.parametrize("part", ["unit", "image"])
def test_the_guard_starts_with_the_arguments_that_unit_and_image_give_it(site, part):
    """The built program with the real words; one that it does not know is noticed."""
    if part == "unit":
        line = re.search("(?m)^ExecStart=(.*)$", read("systemd/hrpyc-guard.service")).group(1)
        program, *arguments = shlex.split(line)
    else:
        steps = dict(instructions())
        (program,) = json.loads(steps["ENTRYPOINT"])
        arguments = json.loads(steps["CMD"])
    assert program == "/usr/local/bin/hrpyc-guard"
    with starts(site, "hrpyc-guard", arguments) as guard:
        guard.line("listening on 127.0.0.1:")
    with starts(site, "hrpyc-guard", [*arguments, "--no-such-word"]) as guard:
        assert guard.wait() == 2


def test_the_agent_knows_the_arguments_that_its_unit_gives_it(site):
    """It gets as far as to find that nobody has joined."""
    line = re.search("(?m)^ExecStart=(.*)$", read("systemd/hrpyc-agent.service")).group(1)
    program, *arguments = shlex.split(line)
    assert program == "/usr/local/bin/hrpyc-agent"
    empty = ["--config-dir", site.folder / "nobody"]
    site.run("hrpyc-agent", *empty, *arguments, code=1)
    site.run("hrpyc-agent", *empty, *arguments, "--no-such-word", code=2)


def instructions():
    """The instructions of the Dockerfile: name and rest."""
    text = re.sub(r"(?m)^#.*\n", "", read("container/Dockerfile")).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def test_the_image_is_built_from_what_is_there_and_runs_as_nobody_in_particular():
    """Paths, packages, the compiler's version and the user."""
    stages, users, programs = [], [], set()
    for name, rest in instructions():
        if name == "FROM":
            stages.append(rest.split(" AS ")[-1])
            users.append("root")
        elif name == "USER":
            users[-1] = rest
        elif name == "COPY":
            *sources, _ = [word for word in rest.split() if not word.startswith("--")]
            if "--from=" not in rest:
                assert all((ROOT / source).exists() for source in sources), rest
                continue
            assert re.search("--from=(.*?) ", rest).group(1) in stages
            for source in sources:
                folder, program = source.rsplit("/", 1)
                assert folder == "/src/target/release"
                programs.add(program)
    assert programs and programs <= PROGRAMS
    packages = set(re.findall(r"--package (\S+)", read("container/Dockerfile")))
    names = {re.search('(?m)^name = "(.*)"', manifest.read_text("utf-8")).group(1)
             for manifest in ROOT.glob("*/Cargo.toml")}
    assert packages == programs and packages <= names
    workspace = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    version = re.search('(?m)^rust-version = "(.*)"$', workspace).group(1)
    assert dict(instructions()[:1])["FROM"].startswith("rust:%s-" % version)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]), users
    # Not what was built here, nor the history.
    assert read("container/Dockerfile.dockerignore").split() == [".git", "**/target"]


def test_the_container_has_no_more_rights_than_it_needs():
    """The compose file, as a machine reads it."""
    (guard,) = yaml.safe_load(read("container/compose.yaml"))["services"].values()
    assert guard["read_only"] is True and guard["cap_drop"] == ["ALL"]
    assert guard["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "ipc", "devices", "ports"} & set(guard)
    steps = dict(instructions())
    assert guard["user"] == steps["USER"] and guard["user"] != "0:0"
    # The upstream is the machine's own loopback.
    assert guard["network_mode"] == "host"
    state, config = guard["volumes"]
    assert state == "state:" + steps["VOLUME"]
    assert config["read_only"] is True
    assert (CONTAINER / config["source"]).resolve() == DEPLOY / "guard.toml"
    context = (CONTAINER / guard["build"]["context"]).resolve()
    assert context == ROOT and (context / guard["build"]["dockerfile"]).is_file()


#: What the script calls. All are cmdlets of Windows PowerShell 5.1.
CMDLETS = {
    "Get-NetFirewallRule", "New-NetFirewallRule", "Remove-NetFirewallRule",
    "Get-NetFirewallProfile", "Get-NetFirewallPortFilter", "Get-NetFirewallApplicationFilter",
    "Set-StrictMode", "Where-Object", "ForEach-Object", "Write-Warning", "Out-Null",
}


def test_the_script_for_windows_is_whole():
    """No PowerShell is at hand here: brackets, quotes, names, and what must be in it."""
    text = re.sub("(?s)<#.*?#>", "", read("windows/firewall.ps1"))
    code = re.sub("(?m)^#Requires.*$|(?<!`)#.*$", "", text)
    bare = re.sub(r'"[^"\n]*"|\'[^\'\n]*\'', "''", code)
    for left, right in ("()", "{}", "[]"):
        assert bare.count(left) == bare.count(right), left
    assert bare.count("'") % 2 == 0 and '"' not in bare
    called = set(re.findall(r"\b[A-Z][A-Za-z]+-[A-Z][A-Za-z]+\b", bare))
    assert called == CMDLETS
    assert not re.search(r"`[ \t]+$", code, re.MULTILINE), "a blank after a continuation"
    assert "#Requires -RunAsAdministrator" in read("windows/firewall.ps1")
    blocks, allows = re.findall(r"New-NetFirewallRule (?:[^\n]*`\n)*[^\n]*", text)
    assert "-LocalPort $houdiniPorts -RemoteAddress Any -Action Block" in blocks
    assert "-LocalPort $guardPort -RemoteAddress $Network" in allows and "-Action Allow" in allows


def test_the_manual_names_every_file_and_no_other():
    """``deploy/README.md`` and the folder."""
    manual = read("README.md")
    files = {str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*")
             if path.is_file() and "__pycache__" not in path.parts}
    files = {re.sub(r"python3\.\d+libs", "python3.*libs", path) for path in files} - {"README.md"}
    assert set(re.findall(r"(?m)^\| `([^`]+)` \|", manual)) == files
