"""``docs/first-five-minutes.md`` is true: every step is taken as it stands there, and timed."""

import os
import pathlib
import shutil
import socket
import tempfile

import pytest

import harness
import walk

PROJECT = harness.HERE.parent.parent
PAGE = PROJECT / "docs" / "first-five-minutes.md"

#: The firewall's rules, and the users in them, who are others on each workstation.
RULES = "deploy/nftables/hrpyc-guard.nft"
USERS = "{ root, hrpyc-guard, artist }"

#: All steps together take less than this, so that the five minutes are for reading.
LIMIT = 60.0


@pytest.fixture
def world(machine, request):
    """A workstation and the machine of an artist, both this one."""
    with World(machine, request.config.getoption("--package-venvs")) as made:
        yield made


def test_the_first_five_minutes_are_as_the_page_says(world, shown):
    """Each step works as it stands there, shows what it shows, and all are quick."""
    text = PAGE.read_text(encoding="utf-8")
    with walk.Walker(world) as walker:
        walker.walk(text)
    shown.append("the first five minutes:")
    for prompt, title, took in walker.times:
        took = "%.2f s" % took if isinstance(took, float) else "not run: " + took
        shown.append("| `%s` | `%s` | %s |" % (prompt, title, took))
    taken = [took for _, _, took in walker.times if isinstance(took, float)]
    assert len(taken) > 10, walker.times
    assert sum(taken) < LIMIT, walker.times
    walked = [(prompt, title) for prompt, title, _ in walker.times]
    assert table(text, "step") == walked, "the table of times on the page has other steps"


def test_what_the_test_does_otherwise_than_the_page_is_on_the_page(world):
    """The table of substitutes names each of them."""
    rows = table(PAGE.read_text(encoding="utf-8"), "on the page")
    assert [name for name, _ in rows] == [name for name, _ in world.substitutes()]


@pytest.mark.parametrize(
    "page",
    [
        "```console\nalice$ hrpyc-agent status\nws12\n```",
        "```console\nalice$ hrpyc-agent status\n```",
        "```console\nalice$ hrpyc-agent --version\nerror: of another kind\n```",
        "```console\nalice$ hrpyc-agent connect\nlistening on …\n```",
        "```python x.py\nprint(1)\n```\n```console\nalice$ python x.py\n2\n```",
    ],
)
def test_a_page_that_is_not_true_is_found(world, page):
    """Other output, no output, an error, a server that does not start."""
    with walk.Walker(world) as walker, pytest.raises(AssertionError, match="the page shows"):
        walker.walk(page)


def test_a_page_that_is_true_is_walked_through(world):
    """The same with what is really seen."""
    page = (
        "```python x.py\nprint('one\\ntwo\\nthree')\n```\n"
        "```console\nalice$ python x.py\no…e\n…\nthree\n"
        "alice$ hrpyc-agent doctor\nerror: there is no profile yet\nhint: …\n```"
    )
    with walk.Walker(world) as walker:
        walker.walk(page)
    assert [title for _, title, _ in walker.times] == ["python x.py", "hrpyc-agent doctor"]


def table(text, heading):
    """The first two columns of the table under ``heading``, without backticks."""
    rows = []
    inside = False
    for line in text.splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif heading in cells[:2]:
            inside = True
        elif inside and not cells[0].startswith("--"):
            rows.append((cells[0], cells[1]))
    return rows


class World:
    """Where the page is walked through. Nothing of this machine's user is seen or changed."""

    def __init__(self, machine, package_venvs):
        self.machine = machine
        self.package_venvs = package_venvs
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hrpyc-"))
        self.homes = {name: self.folder / name for name in ("ws12", "alice")}
        for home in self.homes.values():
            home.mkdir()
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

    def as_on_page(self, text):
        """What was seen, in the names of the page."""
        for name, here in self.substitutes():
            if here is not None:
                text = text.replace(here, name)
        return text.replace("127.0.0.1:%d" % self.agent, "127.0.0.1:18811")

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
        for name, here in self.substitutes():
            if here is not None:
                words = [word.replace(name, here) for word in words]
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
            if words[0] in ("hrpyc-guard", "hrpyc-certs") and os.geteuid() == 0:
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
