"""What the tests of the installed package share: its environments, and places to work at."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import harness

HERE = pathlib.Path(__file__).resolve().parent
SCRIPTS = HERE / "scripts"

#: The rpyc that most scripts and assistants have, and the one of Houdini.
CLIENT = "5.3.1"
SERVER = "4.1.0"

#: Other Pythons that one wheel must serve.
PYTHONS = ("3.9", "3.10", "3.12", "3.13")

#: The codes that say that somebody was revoked.
REVOKED = {"grant-revoked", "certificate-revoked", "token-revoked", "session-revoked"}


class Package:
    """The environments in which the wheel is installed. They have rpyc and nothing else."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()

    def python(self, key=CLIENT):
        """The Python with this version of rpyc, or ``pyX.Y``."""
        path = self.folder / ("package-" + key) / "bin" / "python"
        assert path.exists(), "%s is not there" % path
        return path

    def has(self, key):
        """Whether there is such an environment."""
        return (self.folder / ("package-" + key) / "bin" / "python").exists()

    def installed(self, key=CLIENT):
        """The folder of the installed package."""
        found = list((self.folder / ("package-" + key)).glob("lib/python*/site-packages"))
        assert len(found) == 1, found
        return found[0] / "hrpyc_guard"

    def wheel(self):
        """The wheel that was installed, from pip's own record of where it came from, or
        the one that lies beside the environments. None when it is not there any more."""
        record = self.installed().parent.glob("hrpyc_guard-*.dist-info/direct_url.json")
        for path in record:
            url = json.loads(path.read_text(encoding="utf-8"))["url"]
            file = pathlib.Path(url.partition("file://")[2])
            if file.is_file():
                return file
        return next(iter(sorted(self.folder.glob("hrpyc_guard-*.whl"))), None)


class Desk:
    """An empty folder where somebody runs scripts, far from this project's files.

    What runs here has a home of its own and nothing on ``PYTHONPATH``.
    """

    def __init__(self, package):
        self.package = package
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="desk-"))
        self.home = self.folder / "home"
        self.work = self.folder / "work"
        self.home.mkdir(mode=0o700)
        self.work.mkdir()
        self._running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in self._running:
            program.kill()
        shutil.rmtree(self.folder)

    def env(self, **more):
        """An environment in which nothing of this machine's user can be found."""
        kept = {
            name: value for name, value in os.environ.items()
            if not name.startswith(("XDG_", "PYTHON", "VIRTUAL_ENV", "RUST_", "PYTEST_"))
        }
        return dict(kept, HOME=str(self.home), PYTHONDONTWRITEBYTECODE="1", **more)

    def put(self, source, name=None):
        """Copies a file to the desk, and gives its path there."""
        target = self.work / (name or pathlib.Path(source).name)
        shutil.copyfile(source, target)
        return target

    def put_client(self):
        """Copies ``client.py`` and its tasks to the desk."""
        self.put(SCRIPTS / "client.py")
        tasks = "client_tasks"
        shutil.copytree(SCRIPTS / tasks, self.work / tasks, dirs_exist_ok=True)

    def start(self, python, script, *args, env=None):
        """Starts a script that lies on the desk."""
        command = [python, self.work / script, *args]
        program = harness.Artist(command, env=env or self.env(), cwd=self.work)
        self._running.append(program)
        return program

    def client(self, task, key=CLIENT, env=None, **arguments):
        """Starts a task of ``client.py`` with the installed package."""
        self.put_client()
        python = self.package.python(key)
        return self.start(python, "client.py", task, json.dumps(arguments), env=env)

    def result(self, task, key=CLIENT, limit=harness.DEADLINE, **arguments):
        """Runs a task to its end and gives its result. It may not complain on the way."""
        program = self.client(task, key, **arguments)
        result = program.result(limit)
        assert_quiet(program)
        return result

    def run(self, python, *args, given="", env=None, limit=harness.DEADLINE):
        """Runs Python to its end."""
        return subprocess.run(
            [str(python), *(str(word) for word in args)], input=given, capture_output=True,
            encoding="utf-8", timeout=limit, env=env or self.env(), cwd=self.work, check=False)


def assert_quiet(program):
    """Nothing went wrong behind the script's back, in a destructor or in native code."""
    errors = "\n".join(program.lines["err"])
    for sign in ("Traceback", "Exception ignored", "Fatal", "panicked", "Error"):
        assert sign not in errors, program.printed()


def join(site, name, config_dir, profile=None, invite=(), guard=None):
    """Invites somebody and uses the invite up, under a profile's name if one is given."""
    guard = guard or site.guard.address
    code = site.certs("invite", name, "--role", "full", "--guard", guard, *invite)["code"]
    extra = ("--profile", profile) if profile else ()
    site.run("hrpyc-agent", "--config-dir", config_dir, "join", *extra, "-", given=code)


def join_at(desk, site, name):
    """Joins as the desk's user, into the folder where profiles are without any option."""
    code = site.certs("invite", name, "--role", "full", "--guard", site.guard.address)["code"]
    program = str(site.machine.program("hrpyc-agent"))
    done = subprocess.run([program, "join", "-"], input=code, capture_output=True, check=False,
                          encoding="utf-8", env=desk.env(), cwd=desk.work,
                          timeout=harness.DEADLINE)
    assert done.returncode == 0, done


def way(site, name, **more):
    """The keyword arguments that lead to the site for somebody who has joined."""
    return dict(config_dir=str(site.config(name)), **more)


def assert_error(found, cls, also=None, codes=None, sentence=None):
    """An outcome is an error of the package, complete in all its parts."""
    error = found.get("error", found)
    assert error.get("class") == cls, found
    assert error["module"].split(".")[0] == "hrpyc_guard", error
    assert "GuardError" in error["bases"], error
    if also is not None:
        assert also in error["bases"], error
    assert isinstance(error["sentence"], str) and error["sentence"], error
    assert error["sentence"] in error["text"], error
    if error["hint"]:
        assert error["hint"] in error["text"], error
    if codes is None:
        assert error["code"] is None, error
    else:
        assert error["code"] in codes, error
    if sentence is not None:
        assert sentence in error["text"], error
    return error


def identities(site, event):
    """The names of those whom records of a kind are about."""
    return [record["identity"].rsplit("/", 1)[1] for record in site.audit(event)]


def sessions(site, name):
    """Who of somebody's sessions was opened and how each ended."""
    opened = [r["session"] for r in site.audit("opened") if r["identity"].endswith("/" + name)]
    ends = {r["session"]: r["reason"] for r in site.audit("closed")}
    return {session: ends.get(session) for session in opened}


#: How a session ends that the script has closed. rpyc says good-bye first, and then it is open
#: whether the guard sees the end of the script or of the server sooner.
IN_ORDER = ("client-closed", "upstream-closed")


def wait_for_ends(site, name, reasons=IN_ORDER, count=None, limit=10.0):
    """Waits until all sessions of somebody have ended, and how; gives how many there were."""
    def complete():
        return None not in sessions(site, name).values()

    harness.until("the end of each session of %s" % name, complete, limit)
    found = sessions(site, name)
    assert set(found.values()) <= set(reasons), found
    assert count is None or len(found) == count, found
    return len(found)
