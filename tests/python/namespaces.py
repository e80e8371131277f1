"""Machines with a network of their own, on this machine: network namespaces and cables.

Each has its own loopback, addresses and firewall; nothing of this machine's own network is
touched.
"""

import contextlib
import itertools
import json
import os
import shutil
import subprocess

import pytest

import harness
import needs

_numbers = itertools.count()


class Namespace:
    """One such machine. Use it in a ``with`` statement."""

    def __init__(self, name):
        self.name = "hrpyc-%d-%d-%s" % (os.getpid(), next(_numbers), name)

    def __enter__(self):
        made = _run(["ip", "netns", "add", self.name])
        if made.returncode != 0:
            pytest.skip("needs network namespaces: %s" % made.stderr.strip())
        self.ip("link", "set", "lo", "up")
        return self

    def __exit__(self, *_):
        _run(["ip", "netns", "delete", self.name])

    def ip(self, *words):
        """Runs ``ip`` inside."""
        done = _run(["ip", "-n", self.name, *words])
        assert done.returncode == 0, (words, done.stderr)

    def inside(self, command, user=None):
        """A command that runs another one inside, as a user's number if one is given."""
        enter = ["nsenter", "--net=/run/netns/" + self.name, "--"]
        if user is not None:
            enter += ["setpriv", "--reuid=%d" % user, "--regid=%d" % user, "--clear-groups", "--"]
        return [*enter, *(str(word) for word in command)]

    def run(self, command, user=None, given="", code=0):
        """Runs a command inside to its end, and gives what it printed."""
        done = _run(self.inside(command, user), given)
        assert done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def knock(self, host, port, user=None):
        """What comes of a TCP connection from inside: ``open``, ``refused`` or ``silent``."""
        command = ["timeout", "3", "bash", "-c", "exec 3<>/dev/tcp/$0/$1", host, str(port)]
        done = _run(self.inside(command, user))
        if done.returncode == 0:
            return "open"
        if done.returncode == 124:
            return "silent"
        assert "Connection refused" in done.stderr, done
        return "refused"


def cable(one, one_end, other, other_end):
    """Puts a cable between two machines. An end is a list of addresses with their networks."""
    number = next(_numbers)
    names = ["v%d-%d" % (os.getpid() % 100000, number), "w%d-%d" % (os.getpid() % 100000, number)]
    one.ip("link", "add", names[0], "type", "veth", "peer", names[1], "netns", other.name)
    for machine, name, addresses in ((one, names[0], one_end), (other, names[1], other_end)):
        for address in addresses:
            # Nobody else can have the address, so it need not be asked for.
            words = ["nodad"] if ":" in address else []
            machine.ip("address", "add", address, "dev", name, *words)
        machine.ip("link", "set", name, "up")


class Workstation:
    """A guard and its state in a namespace, run as a user who is not root, and artists elsewhere."""

    def __init__(self, machine, namespace, folder, user):
        self.machine = machine
        self.namespace = namespace
        self.user = user
        self.folder = folder
        # Of everybody: the guard's user must reach it. The state itself is closed.
        folder.chmod(0o755)
        self.programs = folder / "bin"
        self.programs.mkdir()
        for name in ("hrpyc-guard", "hrpyc-certs", "hrpyc-agent"):
            shutil.copy(machine.program(name), self.programs / name)
        home = folder / "guard"
        home.mkdir(0o700)
        os.chown(home, user, user)
        self.state = home / "state"
        self.env = {"PATH": needs.PATH, "HOME": str(folder)}

    def start_guard(self, listen, upstream, *extra):
        """Starts the guard. Use what it gives in a ``with`` statement."""
        command = [self.programs / "hrpyc-guard", "--listen", listen, "--upstream", upstream]
        command += ["--state-dir", self.state, "--name", "ws12", *extra]
        return harness.Listener(
            self.namespace.inside(command, self.user), env=self.env, cwd=self.folder
        )

    def certs(self, *args):
        """Runs ``hrpyc-certs`` as the guard's user, and gives the object that it prints."""
        command = [self.programs / "hrpyc-certs", "--state-dir", self.state, "--json", *args]
        return json.loads(self.namespace.run(command, self.user))

    def audit(self, event):
        """The records of one kind."""
        path = self.state / "audit" / "connections.jsonl"
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [record for record in records if record["event"] == event]


class Artist:
    """Somebody's agent in a namespace."""

    def __init__(self, workstation, namespace, name):
        self.machine = workstation.machine
        self.namespace = namespace
        self.folder = workstation.folder
        self._agent = [workstation.programs / "hrpyc-agent", "--config-dir"]
        self._agent += [workstation.folder / ("agent-" + name)]

    def join(self, code):
        """Uses up an invite."""
        self.namespace.run([*self._agent, "join", "-"], given=code)

    def doctor(self, code):
        """What ``doctor`` prints, and the exit code that it must have."""
        return self.namespace.run([*self._agent, "doctor"], code=code)

    def connect(self):
        """Starts the agent. Use what it gives in a ``with`` statement."""
        command = [*self._agent, "connect", "--listen", "127.0.0.1:0"]
        return harness.Listener(self.namespace.inside(command), cwd=self.folder)

    def task(self, name, port):
        """Starts a task of ``artist.py``."""
        script = [self.machine.python("5.3.1"), harness.HERE / "artist.py", name, port, "{}"]
        return harness.Artist(self.namespace.inside(script))


def _run(command, given=""):
    with contextlib.suppress(FileNotFoundError):
        return subprocess.run(
            command,
            input=given,
            capture_output=True,
            encoding="utf-8",
            timeout=harness.DEADLINE,
            env=dict(os.environ, PATH=needs.PATH),
            check=False,
        )
    raise AssertionError("%s is not installed" % command[0])
