"""Where pages are walked through: a workstation and an artist's machine, both this one."""

import os
import pathlib
import re
import shutil
import socket
import tempfile

import harness

PROJECT = harness.HERE.parent.parent

#: The firewall's rules, and the users in them, who are others on each workstation.
RULES = "deploy/nftables/hrpyc-guard.nft"
USERS = "{ root, hrpyc-guard, artist }"

PASSPHRASE = "four words of no sense"


class World:
    """Where the page is walked through. Nothing of this machine's user is seen or changed."""

    def __init__(self, machine, package_venvs):
        self.machine = machine
        self.package_venvs = package_venvs
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hrpyc-"))
        self.homes = {name: self.folder / name for name in ("ws12", "alice")}
        for home in self.homes.values():
            home.mkdir()
        (self.folder / "backup").mkdir()
        (self.folder / "passphrase").write_text(PASSPHRASE + "\n", encoding="utf-8")
        self._code = self._serial = None
        self.guard, self.server, self.agent = free_ports(3)
        self._houdini = None
        self._namespace = None
        client = (harness.HERE / "hrpyc_client.py").read_text(encoding="utf-8")
        assert "port=18811" in client
        client = client.replace("port=18811", "port=%d" % self.agent)
        (self.homes["alice"] / "hrpyc.py").write_text(client, encoding="utf-8")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in (self._houdini, self._namespace):
            if program is not None:
                program.kill()
        shutil.rmtree(self.folder)

    def substitutes(self):
        """What stands on the page, and what the test takes instead. ``None`` is done below."""
        return [
            ("ws12.studio.example:18812", "localhost:%d" % self.guard),
            ("0.0.0.0:18812", "127.0.0.1:%d" % self.guard),
            ("127.0.0.1:18811", "127.0.0.1:%d" % self.server),
            ("hrpyc-agent connect", None),
            ("hrpyc.start_server()", None),
            ("python", None),
            ("pip install", None),
            (RULES, str(self.folder / "rules.nft")),
            ("/var/lib/hrpyc-guard", None),
        ]

    def answers(self, step):
        """What is asked after a command, and what is answered."""
        passphrase = [q for q in ("Passphrase: ", "Once more: ") if q.rstrip() in step.text()]
        if "Paste the invite code:" in step.text():
            return [("Paste the invite code: ", self._code)]
        return [(question, PASSPHRASE) for question in passphrase]

    def saw(self, text):
        """Keeps what is copied from one command to the next."""
        for code in re.findall(r"hrpyc1-\S+", text):
            self._code = code
        for serial in re.findall(r"certificate ([0-9a-f]{40})", text):
            self._serial = serial

    def as_on_page(self, text):
        """What was seen, in the names of the page."""
        for name, here in self.all_substitutes():
            text = text.replace(here, name)
        return text.replace("127.0.0.1:%d" % self.agent, "127.0.0.1:18811")

    def all_substitutes(self):
        """Those, and what only other pages name."""
        more = [
            ("/backup/", "%s/backup/" % self.folder),
            ("/etc/hrpyc-guard/passphrase", str(self.folder / "passphrase")),
            ("/etc/hrpyc-guard/guard.toml", str(PROJECT / "deploy" / "guard.toml")),
        ]
        return [(name, here) for name, here in self.substitutes() + more if here is not None]

    def houdini(self, code):
        """Starts the server that stands for Houdini's."""
        assert code == "import hrpyc\nhrpyc.start_server()\n", code
        self._houdini = self.machine.server("4.1.0", self.server)

    def save(self, name, code):
        """Saves a script of the artist's."""
        (self.homes["alice"] / name).write_text(code, encoding="utf-8")

    def package_missing(self):
        """Why the Python package cannot be used; ``None`` when it can."""
        return None if self.package_venvs else "no --package-venvs was given"

    def cannot(self, step):
        """Why a step cannot be taken here; ``None`` when it can."""
        if step.prompt.endswith("#"):
            if not (PROJECT / RULES).exists():
                return "%s is not there" % RULES
            if shutil.which("nft") is None:
                return "there is no nft here"
            if self._namespace is None and not self._enter_namespace():
                return "this user may not make a network namespace"
            rules = (PROJECT / RULES).read_text(encoding="utf-8")
            assert USERS in rules
            rules = rules.replace(USERS, "{ root, nobody }")
            (self.folder / "rules.nft").write_text(rules, encoding="utf-8")
        return None

    def command(self, step, words, package):
        """What to run for a step: words, environment, folder."""
        for name, here in self.all_substitutes():
            words = [word.replace(name, here) for word in words]
        words = [self._serial if word == "SERIAL" else word for word in words]
        if step.prompt.endswith("#"):
            return [*self._inside(), *words], dict(os.environ), PROJECT
        home = self.homes[step.prompt[:-1]]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")}
        kept.pop("RUST_LOG", None)
        kept.pop("PYTHONPATH", None)
        env = dict(kept, HOME=str(home), PYTHONDONTWRITEBYTECODE="1", TERM="dumb")
        if words[0] == "python":
            package_python = "%s/package-5.3.1/bin/python" % self.package_venvs
            words[0] = package_python if package else self.machine.python("5.3.1")
        else:
            if words[:2] == ["hrpyc-agent", "connect"]:
                words += ["--listen", "127.0.0.1:%d" % self.agent]
            has_state = words[0] in ("hrpyc-guard", "hrpyc-certs") and words[1:2] != ["config"]
            if has_state and os.geteuid() == 0:
                words += ["--state-dir", str(home / "state")]
            words[0] = self.machine.program(words[0])
        return [str(pathlib.Path(words[0]).absolute()), *words[1:]], env, home

    def _enter_namespace(self):
        """A network of its own, which lives as long as a process in it."""
        own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        command = ["unshare", "--net", *own, "sh", "-c", "echo ready; exec cat"]
        try:
            self._namespace = harness.Program(command)
            self._namespace.line("ready")
        except (AssertionError, OSError):
            return False
        return True

    def _inside(self):
        own = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--net", *own, "--target", str(self._namespace.pid)]


def free_ports(count):
    """Ports that nobody has at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [made.getsockname()[1] for made in sockets]
    for made in sockets:
        made.close()
    return ports
