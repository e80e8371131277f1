"""Starts and stops what the tests need: rpyc servers, guard, agents, artists' scripts.

Everything that waits has a deadline and fails with what the program had printed.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent

#: Nothing takes this long when all is well, not even on a machine with much to do.
DEADLINE = 30.0

#: Arguments of a guard that lets bytes go by whatever they are, as bare upstreams need it.
OPAQUE = ("--policy", HERE.parent / "src" / "forge" / "opaque.toml")

#: Server and client version of each way through that must work.
PAIRS = [("4.1.0", "4.1.0"), ("5.3.1", "5.3.1"), ("6.0.2", "6.0.2"), ("4.1.0", "5.3.1")]


def until(what, attempt, limit=DEADLINE):
    """Tries ``attempt`` until it gives something true, and gives that."""
    end = time.monotonic() + limit
    while True:
        found = attempt()
        if found:
            return found
        assert time.monotonic() < end, "%s: not within %s s" % (what, limit)
        time.sleep(0.005)


class Program:
    """A started program with all that it prints. Use it in a ``with`` statement."""

    def __init__(self, command, env=None, cwd=None):
        self.command = [str(word) for word in command]
        self.lines = {"out": [], "err": []}
        self._changed = threading.Condition()
        self._ended = {"out": False, "err": False}
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd=cwd,
        )
        self._readers = []
        for name, pipe in (("out", self.process.stdout), ("err", self.process.stderr)):
            reader = threading.Thread(target=self._read, args=(name, pipe), daemon=True)
            reader.start()
            self._readers.append(reader)

    def _read(self, name, pipe):
        for line in pipe:
            with self._changed:
                self.lines[name].append(line.decode("utf-8", "replace").rstrip("\r\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended[name] = True
            self._changed.notify_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    @property
    def pid(self):
        """The process id."""
        return self.process.pid

    def printed(self):
        """Everything printed so far, for messages."""
        return "`%s` printed\n%s" % (
            " ".join(self.command),
            "\n".join(self.lines["out"] + self.lines["err"]),
        )

    def line(self, part, stream="out", after=0, limit=DEADLINE):
        """The first line with ``part`` in it, not counting the first ``after`` ones."""
        end = time.monotonic() + limit
        with self._changed:
            while True:
                for line in self.lines[stream][after:]:
                    if part in line:
                        return line
                left = end - time.monotonic()
                if self._ended[stream] or left <= 0:
                    raise AssertionError("%r did not come; %s" % (part, self.printed()))
                self._changed.wait(left)

    def tell(self, text):
        """Writes a line to the standard input."""
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def terminate(self):
        """Asks it to end in order, and gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        """SIGKILL, and waits until it is gone."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        for reader in self._readers:
            reader.join(2)

    def wait(self, limit=DEADLINE):
        """Waits for the end and for all that was printed; gives the exit code."""
        try:
            code = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise AssertionError("no end within %s s; %s" % (limit, self.printed())) from None
        for reader in self._readers:
            reader.join(2)
        return code

    def freeze(self):
        """SIGSTOP: it keeps all that it has and does nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def threads(self):
        """How many threads it has."""
        return len(os.listdir("/proc/%d/task" % self.pid))

    def descriptors(self):
        """How many file descriptors it has open, without those of its database.

        The guard keeps some connections to its database for the next session. How many
        depends on how busy it has been; that there is a bound to it is asserted here.
        """
        links = []
        for number in os.listdir("/proc/%d/fd" % self.pid):
            with contextlib.suppress(FileNotFoundError):
                links.append(os.readlink("/proc/%d/fd/%s" % (self.pid, number)))
        others = [link for link in links if "/store.db" not in link]
        assert len(links) - len(others) <= 32, links
        return len(others)


class Listener(Program):
    """A program that says on which address it listens."""

    def __init__(self, command, **options):
        super().__init__(command, **options)
        try:
            line = self.line("listening on ")
        except BaseException:
            self.kill()
            raise
        self.address = line.split("listening on ")[1].split()[0]
        self.port = int(self.address.rsplit(":", 1)[1])


class Machine:
    """The built programs and the Python environments."""

    def __init__(self, programs, venvs, inside=()):
        self.programs = pathlib.Path(programs)
        self.venvs = pathlib.Path(venvs)
        self.inside = tuple(inside)

    def moved(self, *inside):
        """The same, with its servers and artists started behind these words."""
        return Machine(self.programs, self.venvs, inside)

    def program(self, name):
        """The path of a built program."""
        path = self.programs / name
        assert path.exists(), "%s is not there; build it: cargo build --workspace --bins" % path
        return path

    def python(self, version):
        """The Python that has this version of rpyc."""
        path = self.venvs / ("rpyc-" + version) / "bin" / "python"
        assert path.exists(), "%s is not there; run: cargo verify python" % path
        return path

    def server(self, version, port=0, host="127.0.0.1", service="SlaveService"):
        """Starts an rpyc server with the scene."""
        command = [self.python(version), HERE / "hrpyc_server.py", "--port", port, "--host", host]
        command += ["--service", service]
        return Listener([*self.inside, *command])

    def script(self, version, name, *arguments):
        """Starts a script that lies beside this file."""
        return Artist([*self.inside, self.python(version), HERE / name, *arguments])

    def artist(self, version, task, port, **arguments):
        """Starts a task of ``artist.py``."""
        command = [self.python(version), HERE / "artist.py", task, port, json.dumps(arguments)]
        return Artist([*self.inside, *command])


class Artist(Program):
    """A script of an artist, which prints JSON."""

    def said(self, key, after=0, limit=DEADLINE):
        """The first object printed that has this key."""
        return json.loads(self.line('"%s":' % key, after=after, limit=limit))

    def result(self, limit=DEADLINE):
        """Waits for the end; gives the last object printed."""
        code = self.wait(limit)
        assert code == 0 and self.lines["out"], self.printed()
        return json.loads(self.lines["out"][-1])

    def ask(self, text):
        """Writes a line, and gives the object that is printed in return."""
        before = len(self.lines["out"])
        self.tell(text)
        return json.loads(self.line("{", after=before))


class Site:
    """One guard's state and its artists' configurations, in a folder that goes away.

    ``at_guard`` and ``at_agent`` are written before the commands of either side;
    ``guard_env`` and ``agent_env`` are added to the environments in which they go on running.
    """

    def __init__(self, machine, at_guard=(), at_agent=()):
        self.machine = machine
        self.at_guard, self.at_agent = tuple(at_guard), tuple(at_agent)
        self.guard_env, self.agent_env = {}, {}
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hrpyc-"))
        self.state = self.folder / "guard"
        #: Where this program finds what the guard finds in ``state``.
        self.seen_state = self.state
        self.guard = None
        self._extra = ()
        self._upstream = None
        self._agents = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in [*self._agents, self.guard]:
            if program is not None:
                program.kill()
        shutil.rmtree(self.folder)

    def env(self):
        """An environment in which nothing of this machine's user can be found."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")}
        kept.pop("RUST_LOG", None)
        return dict(kept, HOME=str(self.folder))

    def start_guard(self, upstream, *extra, listen="127.0.0.1:0"):
        """Starts the guard on a free port. Without an upstream, its file names them."""
        self._upstream, self._extra = upstream, extra
        return self._start_guard(listen)

    def restart_guard(self):
        """Starts the guard once more, on the port that it had."""
        return self._start_guard(self.guard.address)

    def _start_guard(self, listen):
        command = [self.machine.program("hrpyc-guard"), "--listen", listen]
        command += ["--state-dir", self.state, "--name", "ws12"]
        if self._upstream is not None:
            command += ["--upstream", self._upstream]
        command = [*self.at_guard, *command, *self._extra]
        env = dict(self.env(), **self.guard_env)
        self.guard = Listener(command, env=env, cwd=self.folder)
        return self.guard

    def run(self, name, *args, given="", code=0):
        """Runs one of the programs to its end and gives what it printed."""
        before = self.at_agent if name == "hrpyc-agent" else self.at_guard
        done = subprocess.run(
            [*before, str(self.machine.program(name)), *(str(word) for word in args)],
            input=given,
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE,
            env=self.env(),
            cwd=self.folder,
            check=False,
        )
        assert done.returncode == code, (name, args, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def certs(self, *args):
        """Runs ``hrpyc-certs`` and gives the object that it prints."""
        return json.loads(self.run("hrpyc-certs", "--state-dir", self.state, "--json", *args))

    def revoke(self, name):
        """Revokes somebody. Gives the time at which the command had returned."""
        self.certs("revoke", name, "--why", "the show has wrapped")
        return time.monotonic()

    def join(self, name, *extra, role="full", reverse_calls="guarded"):
        """Invites somebody and uses up the invite."""
        guard = self.guard.address
        code = self.certs("invite", name, "--role", role, "--guard", guard, *extra)["code"]
        words = ("join", "-", "--reverse-calls", reverse_calls)
        self.run("hrpyc-agent", "--config-dir", self.config(name), *words, given=code)

    def config(self, name):
        """The configuration directory of somebody's agent."""
        return self.folder / ("agent-" + name)

    def connect(self, name, port=0):
        """Starts somebody's agent."""
        return self._connect(name, "--listen", "127.0.0.1:%d" % port)

    def connect_to(self, name, upstreams):
        """Starts somebody's agent for several upstreams. Gives the port of each."""
        agent = self._connect(name, *("ws12/%s=0" % upstream for upstream in upstreams))
        ports = {}
        for upstream in upstreams:
            agent.line(", to %s" % upstream if not upstream.isdigit() else ", to port " + upstream)
        lines = agent.lines["out"]
        for before, line in zip(lines, lines[1:]):
            if ", to " in line:
                upstream = line.split(", to ")[1].split(",")[0].removeprefix("port ")
                ports[upstream] = int(before.rsplit(":", 1)[1])
        return ports

    def _connect(self, name, *options):
        command = [self.machine.program("hrpyc-agent"), "--config-dir", self.config(name)]
        command += ["connect", *options]
        env = dict(self.env(), **self.agent_env)
        agent = Listener([*self.at_agent, *command], env=env, cwd=self.folder)
        self._agents.append(agent)
        return agent

    def bring_in(self, name, *extra, role="full"):
        """Invite, join and connect."""
        self.join(name, *extra, role=role)
        return self.connect(name)

    def audit_bytes(self):
        """The files of the audit, one behind the other."""
        folder = self.seen_state / "audit"
        paths = [*sorted(folder.glob("connections-*.jsonl")), folder / "connections.jsonl"]
        return b"".join(path.read_bytes() for path in paths)

    def audit(self, event=None):
        """The records of the audit so far, all or those of one kind."""
        text = self.audit_bytes().decode("utf-8", "replace")
        whole = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        records = [json.loads(line) for line in whole]
        return [r for r in records if event is None or r["event"] == event]

    def wait_for_record(self, event, **fields):
        """Waits for a record with these fields."""

        def find():
            for record in self.audit(event):
                if all(record.get(name) == value for name, value in fields.items()):
                    return record
            return None

        try:
            return until("a record %s %s" % (event, fields), find)
        except AssertionError as error:
            raise AssertionError("%s; there are\n%s" % (error, self.audit_text())) from None

    def audit_text(self):
        """All records, for messages."""
        return "\n".join(json.dumps(record) for record in self.audit())

    def assert_each_session_has_its_end(self):
        """Waits until each ``opened`` has exactly one ``closed``."""

        def ids(event):
            return sorted(record["session"] for record in self.audit(event))

        def complete():
            return ids("opened") == ids("closed")

        try:
            until("the end of each session in the audit", complete, 10)
        except AssertionError as error:
            opened, closed = ids("opened"), ids("closed")
            missing = [session for session in opened if closed.count(session) != 1]
            raise AssertionError(
                "%s: %d opened, %d closed, not exactly one end: %s" % (
                    error, len(opened), len(closed), missing)
            ) from None


class RawUpstream:
    """A server that speaks bare TCP in place of rpyc, one handler call a connection."""

    def __init__(self, handler):
        self._handler = handler
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        with peer, contextlib.suppress(OSError):
            self._handler(peer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Wakes the accepting thread, which a mere close would not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def ping(data, sequence=1):
    """A request in rpyc 4.1 and 5: a ping that carries ``data``."""
    # (1, sequence, (1, (1, (data,)))) in brine.
    return frame(b"\x12\x51" + bytes([0x50 + sequence]) + b"\x11\x51\x11\x51\x10", data)


def pong(data, sequence=1):
    """The reply to it."""
    # (2, sequence, (1, data)) in brine.
    return frame(b"\x12\x52" + bytes([0x50 + sequence]) + b"\x11\x51", data)


def frame(head, data):
    """An rpyc frame around a message that ends in some bytes."""
    brine = head + tagged(data)
    return struct.pack("!LB", len(brine), 0) + brine + b"\n"


def tagged(data):
    """Bytes in brine, in the shortest form, as rpyc writes them."""
    if not data:
        return b"\x01"
    if len(data) <= 4:
        return bytes([0x09 + len(data)]) + data
    if len(data) < 256:
        return b"\x0e" + bytes([len(data)]) + data
    return b"\x0f" + struct.pack("!I", len(data)) + data


def read_all(sock):
    """Everything until the other end has nothing more to say."""
    parts = []
    while True:
        part = sock.recv(65536)
        if not part:
            return b"".join(parts)
        parts.append(part)
