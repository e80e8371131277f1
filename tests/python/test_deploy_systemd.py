"""The systemd units: looked at by systemd's own tools, and started by a real systemd."""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import tempfile

import pytest

import booted
import harness
import namespaces
import needs

DEPLOY = harness.HERE.parents[1] / "deploy"
UNITS = DEPLOY / "systemd"
GUARD_UNIT, AGENT_UNIT = UNITS / "hrpyc-guard.service", UNITS / "hrpyc-agent.service"

#: The most that ``systemd-analyze security`` may find exposed, of 10.
EXPOSED = 2.5


def analyze(*words):
    """Runs ``systemd-analyze``: exit code and all that it prints."""
    needs.linux()
    needs.programs("systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", *(str(word) for word in words)], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, encoding="utf-8", timeout=harness.DEADLINE, check=False,
        env={"PATH": needs.PATH, "XDG_RUNTIME_DIR": "/run", "SYSTEMD_COLORS": "0"},
    )
    return done.returncode, done.stdout.strip()


def with_built_programs(machine, unit, folder):
    """A copy of a unit that starts the built programs, which are not installed here."""
    text = unit.read_text(encoding="utf-8").replace("/usr/local/bin", str(machine.programs.resolve()))
    path = folder / unit.name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("unit, scope", [(GUARD_UNIT, []), (AGENT_UNIT, ["--user"])])
def test_systemd_has_nothing_to_say_against_the_units(machine, tmp_path, unit, scope):
    """No error and no warning; a unit with a wrong word shows that there would be one."""
    path = with_built_programs(machine, unit, tmp_path)
    assert analyze(*scope, "verify", path) == (0, "")
    path.write_text(path.read_text(encoding="utf-8").replace("Type=", "Tyqe="), encoding="utf-8")
    assert "Tyqe" in analyze(*scope, "verify", path)[1]


def exposure(unit):
    """What ``systemd-analyze security`` makes of a unit, of 10."""
    said = analyze("security", "--offline=true", "--no-pager", unit)[1]
    return float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", said).group(1))


def test_the_guards_unit_is_closed_as_far_as_systemd_can_close_it(tmp_path, shown):
    """The score of systemd's own look; without the settings it is much higher."""
    score = exposure(GUARD_UNIT)
    shown.append("systemd-analyze security hrpyc-guard.service: %.1f of 10" % score)
    assert score < EXPOSED
    bare = tmp_path / "bare.service"
    bare.write_text("[Service]\nUser=hrpyc-guard\nExecStart=/bin/true\n", encoding="utf-8")
    assert exposure(bare) > 7


class System:
    """A workstation that systemd has booted, with the guard's unit and Houdini's server."""

    def __init__(self, machine, folder, stack):
        self.machine = machine
        self.folder = folder
        self.network = stack.enter_context(namespaces.Namespace("workstation"))
        self.studio = stack.enter_context(namespaces.Namespace("studio"))
        namespaces.cable(self.network, ["10.77.1.1/24"], self.studio, ["10.77.1.2/24"])
        self.server = stack.enter_context(self.start_server())
        shipped = (DEPLOY / "guard.toml").read_text(encoding="utf-8")
        self.system = stack.enter_context(booted.Booted(
            machine, self.network, folder, [(GUARD_UNIT, "system")],
            {"etc/hrpyc-guard/guard.toml": shipped},
        ))
        self.config = self.system.root / "etc/hrpyc-guard/guard.toml"
        self.state = self.system.root / "var/lib/hrpyc-guard"

    def start_server(self):
        """Houdini's server, as root, on all addresses as the maker's function has it."""
        command = [self.machine.python("4.1.0"), harness.HERE / "hrpyc_server.py"]
        command += ["--host", "0.0.0.0", "--port", "18811"]
        return harness.Listener(self.network.inside(command))

    def guard(self):
        """The properties of the guard's service."""
        return self.system.show("hrpyc-guard.service")

    def certs(self, *args):
        """Runs ``hrpyc-certs`` there as the guard's user, as the manual says."""
        code, out, err = self.system.run(
            "hrpyc-certs", "--state-dir", "/var/lib/hrpyc-guard", "--json", *args, user=booted.GUARD
        )
        assert code == 0, (out, err)
        return json.loads(out)

    def invite(self, name, guard):
        """A code for somebody."""
        return self.certs("invite", name, "--role", "full", "--guard", guard)["code"]

    def audit(self, event):
        """The records of one kind."""
        path = self.state / "audit/connections.jsonl"
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [record for record in records if record["event"] == event]

    def reload(self, extra):
        """Adds lines to the shipped configuration, has it read, and waits until it is."""
        before = self.system.console().count("the configuration was read anew")
        shipped = (DEPLOY / "guard.toml").read_text(encoding="utf-8")
        self.config.write_text(extra + shipped, encoding="utf-8")
        code, _, err = self.system.run("systemctl", "reload", "hrpyc-guard.service")
        assert code == 0, err

        def read():
            said = self.system.console().count("the configuration was read anew")
            return said == before + 1 and self.guard()["SubState"] == "running"

        self.system.wait_for("the new configuration", read)


@pytest.fixture(scope="module")
def workstation(machine):
    """The workstation, booted once for all tests."""
    booted.need()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hrpyc-"))
        path = pathlib.Path(folder)
        # The guard's user must get through.
        path.chmod(0o755)
        yield System(machine, path, stack)


class Remote:
    """An artist in the studio."""

    def __init__(self, workstation, name):
        self._machine = workstation.machine
        self._studio = workstation.studio
        self._agent = [workstation.machine.program("hrpyc-agent"), "--config-dir"]
        self._agent += [workstation.folder / ("agent-" + name)]
        code = workstation.invite(name, "10.77.1.1:18812")
        self._studio.run([*self._agent, "join", "-"], given=code)

    def connect(self):
        """The agent. Use it in a ``with`` statement."""
        command = [*self._agent, "connect", "--listen", "127.0.0.1:0"]
        return harness.Listener(self._studio.inside(command))

    def task(self, name, agent):
        """Starts a task of ``artist.py``."""
        script = [self._machine.python("5.3.1"), harness.HERE / "artist.py", name, agent.port, "{}"]
        return harness.Artist(self._studio.inside(script))


@pytest.fixture(scope="module")
def alice(workstation):
    """Alice, with her agent running."""
    remote = Remote(workstation, "alice")
    with remote.connect() as agent:
        yield lambda task="arriving": remote.task(task, agent)


def test_systemd_starts_the_guard_which_says_that_it_is_ready_and_serves(workstation, alice):
    """From the unit file to an artist's call, with a first start and what it makes."""
    guard = workstation.guard()
    assert (guard["ActiveState"], guard["SubState"]) == ("active", "running"), guard
    assert (guard["Type"], guard["NRestarts"]) == ("notify", "0")
    # Only the guard itself can have said this.
    assert guard["StatusText"] == "listening on 0.0.0.0:18812; live sessions: 0"
    with alice() as script:
        assert script.result()["value"] == 42
    assert workstation.state.stat().st_mode & 0o777 == 0o700
    # The guard sees whose the port is, and on which addresses, through its sandbox.
    workstation.system.wait_for(
        "the warning", lambda: "DANGER" in workstation.system.console()
    )
    assert "it runs as root" in workstation.system.console()
    assert not any(record.get("shares_user") for record in workstation.audit("opened"))


def test_the_guard_runs_without_privileges_and_sees_only_what_it_needs(workstation):
    """What the kernel says of the process, and what is to be seen from where it is."""
    system = workstation.system
    process = system.process("hrpyc-guard.service")
    status = system.status(process)
    assert os.readlink("/proc/%d/exe" % process) == "/usr/local/bin/hrpyc-guard"
    assert status["Uid"].split() == ["961"] * 4 and status["Gid"].split() == ["961"] * 4
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    for which in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
        assert int(status[which], 16) == 0, which
    # As root, so that it is the sandbox and not the mode of a file which forbids.
    for place in ("/etc/hrpyc-guard", "/usr/local/bin", "/var/lib", "/root", "/"):
        touched = system.run("touch", place + "/mark", process=process)
        assert touched[0] == 1 and re.search("Read-only|Permission|denied", touched[2]), touched
    assert system.run("touch", "/var/lib/hrpyc-guard/mark", process=process)[0] == 0
    (workstation.state / "mark").unlink()
    # The same without the sandbox, so that the above can fail.
    assert system.run("touch", "/etc/hrpyc-guard/mark")[0] == 0
    (system.root / "etc/hrpyc-guard/mark").unlink()
    secret = "/" + booted.SECRET
    assert system.run("cat", secret)[1] == "secret\n"
    assert system.run("cat", secret, process=process)[0] != 0
    visible = [name for name in system.run("ls", "/proc", process=process)[1].split()]
    assert "meminfo" not in visible and "self" in visible
    assert "meminfo" in system.run("ls", "/proc")[1].split()


def test_a_reload_takes_the_new_configuration_and_keeps_the_guard_running(workstation, alice):
    """A rule that refuses comes and goes by reloads; a wrong file changes nothing."""
    process = workstation.guard()["MainPID"]
    with alice("idle") as kept:
        kept.said("ready")
        workstation.reload('upstream_user = "artist"\n')
        with alice() as script:
            error = script.result()
        assert "upstream-owner" in error["message"] and "not to artist" in error["message"], error
        workstation.reload("")
        with alice() as script:
            assert script.result()["value"] == 42
        kept.tell("still there?")
        assert kept.result()["value"] == 42
    guard = workstation.guard()
    assert (guard["MainPID"], guard["ActiveState"]) == (process, "active")
    workstation.config.write_text("upstrem = 1\n", encoding="utf-8")
    workstation.system.run("systemctl", "reload", "hrpyc-guard.service")
    workstation.system.wait_for(
        "the refusal", lambda: "the new configuration is not used" in workstation.system.console()
    )
    assert workstation.guard()["ActiveState"] == "active"
    workstation.reload("")


#: Takes Houdini's port as another user. What it needs is loaded before it is that user.
AS_USER = """
import os, socket, sys, threading
os.setuid(int(sys.argv[1]))
listener = socket.create_server(("127.0.0.1", 18811))
print("listening on 127.0.0.1:18811", flush=True)
def hear(peer):
    print("heard %d bytes" % len(peer.recv(1)), flush=True)
while True:
    # As rpyc's threaded server: each connection has a thread of its own.
    threading.Thread(target=hear, args=[listener.accept()[0]], daemon=True).start()
"""


def test_the_unit_refuses_a_houdini_of_the_guards_own_user_and_knows_others_apart(
        workstation, alice):
    """Whatever the configuration says: the unit's own command line has the rule.

    Another user's program on the port is that user's, also seen from inside the sandbox.
    """
    assert "refuse_own_user" not in re.sub("#.*", "", workstation.config.read_text("utf-8"))
    workstation.server.kill()
    try:
        python = workstation.machine.python("4.1.0")
        squatter = workstation.network.inside([python, "-c", AS_USER, booted.GUARD])
        with harness.Listener(squatter) as listener:
            with alice() as script:
                error = script.result()
            assert "hrpyc-guard, the guard's own user" in error["message"], error
            assert listener.line("heard") == "heard 0 bytes"
        assert workstation.audit("refused")[-1]["code"] == "upstream-owner"
        workstation.reload('upstream_user = "artist"\n')
        artists = workstation.network.inside([python, "-c", AS_USER, booted.ARTIST])
        with harness.Listener(artists) as listener, alice():
            assert listener.line("heard") == "heard 1 bytes"
        workstation.reload("")
    finally:
        workstation.server = workstation.start_server()
    with workstation.server, alice() as script:
        assert script.result()["value"] == 42
    workstation.server = workstation.start_server()


#: Runs ``artist.py`` as another user. That user need not be able to read this Python.
AS_ARTIST = """
import os, sys
import rpyc, rpyc.core.netref, rpyc.utils.classic, encodings.idna, threading
sys.path.insert(0, sys.argv[1])
import artist
os.setuid(int(sys.argv[2]))
del sys.argv[1:3]
artist.main()
"""


def test_the_artists_own_systemd_starts_the_agent_which_serves_her_programs(workstation):
    """The user unit, in a real user's manager on another machine, up to a call of that user."""
    machine, artist = workstation.machine, booted.ARTIST
    with tempfile.TemporaryDirectory(prefix="hrpyc-") as folder:
        path = pathlib.Path(folder)
        path.chmod(0o755)
        units = [(AGENT_UNIT, "user")]
        with booted.Booted(machine, workstation.studio, path, units, {}) as system:
            code = workstation.invite("carol", "10.77.1.1:18812")
            join = system.run("sh", "-c", "echo %s | hrpyc-agent join -" % code, user=artist)
            assert join[0] == 0, join
            # As at a login: the manager starts what is enabled.
            started = system.run("systemctl", "start", "user.service")
            assert started[0] == 0, (started, system.console())
            unit = "hrpyc-agent.service"
            system.wait_for(
                "the agent", lambda: workstation.studio.knock("127.0.0.1", 18811) == "open"
            )
            agent = system.show(unit, user=artist)
            assert (agent["ActiveState"], agent["NRestarts"]) == ("active", "0"), agent
            status = system.status(system.process(unit, user=artist))
            assert status["Uid"].split() == [str(artist)] * 4
            assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")

            def script_of(user):
                script = [machine.python("5.3.1"), "-c", AS_ARTIST, harness.HERE, user]
                return harness.Artist(workstation.studio.inside([*script, "arriving", 18811]))

            with script_of(artist) as hers:
                assert hers.result()["value"] == 42
            # The sandbox leaves the agent what it takes to tell whose program that is.
            with script_of(artist + 1) as foreign:
                assert "value" not in foreign.result()
            stopped = system.run("systemctl", "--user", "stop", unit, user=artist)
            assert stopped[0] == 0, stopped
            assert system.show(unit, user=artist)["Result"] == "success"


def test_a_stop_lets_live_sessions_end_and_is_told_to_systemd(workstation, alice):
    """``systemctl stop`` under a live session; then ``start`` serves again."""
    system = workstation.system
    with alice("idle") as live:
        live.said("ready")
        system.systemctl("stop", "--no-block", "hrpyc-guard.service")
        system.wait_for("the end", lambda: workstation.guard()["StatusText"].startswith("stopping"))
        guard = workstation.guard()
        assert guard["ActiveState"] == "deactivating", guard
        assert guard["StatusText"] == "stopping: 1 live sessions may end by themselves"
        live.tell("still there?")
        assert live.result()["value"] == 42
    system.wait_for("the end", lambda: workstation.guard()["ActiveState"] == "inactive")
    guard = workstation.guard()
    assert (guard["Result"], guard["ExecMainStatus"]) == ("success", "0"), guard
    assert workstation.audit("closed")[-1]["reason"] == "client-closed"
    assert workstation.audit("stopped")
    code, _, err = system.run("systemctl", "start", "hrpyc-guard.service")
    assert code == 0, err
    with alice() as script:
        assert script.result()["value"] == 42
