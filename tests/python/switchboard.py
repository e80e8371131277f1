"""Leads connections that went through agent and guard on to any server of this machine.

The guard has fixed upstreams, and the tests of rpyc start servers anywhere, many of them for a
single connection, which the guard's question for their version would use up. So the guard has
lanes for its upstreams, which are ports of this program. Whoever wants to go to a server asks
the switchboard for the agent's port of a lane that leads there.
"""

import contextlib
import itertools
import json
import socket
import threading

import harness

#: Connections that may be under way to being made at a time.
LANES = 64


class Switchboard:
    """Use it in a ``with`` statement, and give it ``agents`` before anyone asks."""

    def __init__(self, default):
        #: The server that answers the guard's question on each lane.
        self._default = default
        self._lanes = adjacent_listeners(LANES)
        self._targets = [None] * LANES
        self._known = set()
        self._next = itertools.cycle(range(LANES))
        self._turn = threading.Lock()
        #: The agent's port for each lane.
        self.agents = []
        #: How many connections were led on to where they wanted to go.
        self.led = 0
        self._questions = socket.create_server(("127.0.0.1", 0))
        self.port = self._questions.getsockname()[1]
        for number, lane in enumerate(self._lanes):
            start(self._accept, lane, self._lead, number)
        start(self._accept, self._questions, self._answer)

    @property
    def ports(self):
        """The guard's upstreams."""
        return [lane.getsockname()[1] for lane in self._lanes]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for listener in [*self._lanes, self._questions]:
            # Wakes the accepting thread, which a mere close would not.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, listener, serve, *more):
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            start(serve, peer, *more)

    def _answer(self, peer):
        with peer, peer.makefile() as question:
            wanted = json.loads(question.readline())
            with self._turn:
                number = next(self._next)
                self._introduce(number)
                self._targets[number] = wanted
            peer.sendall(b"%d\n" % self.agents[number])

    def _introduce(self, number):
        """Has the guard ask who listens on a lane, once."""
        if number in self._known:
            return
        with socket.create_connection(("127.0.0.1", self.agents[number])) as sock:
            sock.settimeout(harness.DEADLINE)
            sock.sendall(harness.ping(b"who"))
            wanted = harness.pong(b"who")
            answer = sock.recv(len(wanted), socket.MSG_WAITALL)
            assert answer == wanted, answer
        self._known.add(number)

    def _lead(self, guard, number):
        wanted = self._targets[number]
        with guard:
            try:
                server = dial(wanted) if wanted else socket.create_connection(self._default)
            except OSError:
                # The guard has accepted by now: it sees a server that hangs up.
                return
            self.led += wanted is not None
            with server:
                back = start(pour, server, guard)
                pour(guard, server)
                back.join()


def dial(wanted):
    """Connects to where a test wanted to go."""
    if "path" in wanted:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(wanted["path"])
        return sock
    return socket.create_connection((wanted["host"], wanted["port"]))


def pour(source, sink):
    """All that one says to the other, and the end of it."""
    with contextlib.suppress(OSError):
        while True:
            some = source.recv(1 << 16)
            if not some:
                break
            sink.sendall(some)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def start(work, *arguments):
    """A thread that nobody waits for."""
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread


def adjacent_listeners(count):
    """Listeners on ports that follow each other, as the guard's ranges have them.

    They lie below those that a system hands out by itself.
    """
    for first in range(20000, 32000, count):
        made = []
        try:
            for port in range(first, first + count):
                made.append(socket.create_server(("127.0.0.1", port)))
        except OSError:
            for listener in made:
                listener.close()
            continue
        return made
    raise AssertionError("there are no %d ports that follow each other" % count)
