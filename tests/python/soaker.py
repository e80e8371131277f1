"""What many scripts do for hours, with nothing but a stock rpyc.

Run with the Python of an environment that has rpyc::

    python soaker.py ROLE THREADS PORT...

Each thread connects to one of the ports, works in the scene for a while, ends its session in one
of the ways that scripts end, and begins anew. A line on its input brings a report in JSON; ``stop``
ends it when the sessions are over. Whatever does not go as it should is an error of the report.
"""

import gc
import json
import os
import random
import sys
import threading
import time

import rpyc

#: Bytes that rpyc cannot compress, and which travel as a great message.
NOISE = os.urandom(3 << 19)


class Wrong(Exception):
    """Something else came than what should."""


def expect(found, wanted):
    """Raises unless both are the same."""
    if found != wanted:
        raise Wrong("%.200r, and not %.200r" % (found, wanted))


class Session:
    """One session, and what can be done in it."""

    def __init__(self, port, name):
        self.conn = rpyc.classic.connect("127.0.0.1", port)
        self.hou = self.conn.modules.hou
        self.name = name

    def reads(self, _):
        """Values, and how long one takes."""
        expect(self.hou.parm("/obj/cam1/focal").eval(), 50.0)
        expect([child.name() for child in self.hou.node("/obj/sphere1").children()], ["sphere1"])

    def finds_nothing(self, _):
        """An answer that is no object."""
        expect(self.hou.node("/obj/none") is None, True)

    def is_denied(self, _):
        """A denial, which leaves the session as it was."""
        try:
            self.hou.node("/obj").createNode("geo")
        except PermissionError:
            return
        raise Wrong("it was not denied")

    def makes(self, number):
        """A node of its own, with all that can be done to it."""
        node = self.hou.node("/obj").createNode("geo", "%s_%d_" % (self.name, number))
        node.parm("tx").set(number)
        expect(node.parm("tx").eval(), number)
        node.setParms({"ty": 2.0, "note": "soaked"})
        expect(node.parm("note").eval(), "soaked")
        node.destroy()

    def raises(self, number):
        """An exception of the scene's."""
        try:
            self.hou.node("/obj").createNode("nothing%d" % number)
        except Exception as error:
            expect(type(error).__name__.split(".")[-1], "OperationFailed")
        else:
            raise Wrong("nothing was raised")

    def is_called_back(self, number):
        """A function of the script's is called, with a great value too."""
        double = self.conn.eval("lambda call, value: call(value)")
        expect(double(lambda value: value * 2, number), number * 2)
        expect(double(len, NOISE), len(NOISE))

    def moves(self, number):
        """Great values, compressed and not."""
        size = (number % 5 + 1) << 19
        expect(len(self.conn.eval("b'%d' * %d" % (number % 10, size))), size)
        expect(self.conn.builtins.len(NOISE), len(NOISE))

    def iterates(self, number):
        """A generator of the server's."""
        count = number % 40
        expect(sum(self.conn.eval("(n for n in range(%d))" % count)), sum(range(count)))

    def waits(self, number):
        """An asynchronous call."""
        later = rpyc.async_(self.conn.eval("lambda n: n + 1"))(number)
        later.wait()
        expect(later.value, number + 1)


READS = [Session.reads] * 4 + [Session.finds_nothing, Session.is_denied]
ALL = [Session.reads] * 4 + [
    Session.finds_nothing, Session.makes, Session.raises, Session.is_called_back, Session.moves,
    Session.iterates, Session.waits]
STEPS = {"read-only": READS, "full": ALL}


class Soaker:
    """Threads, and what they have to report."""

    def __init__(self, role, ports):
        self.steps = STEPS[role]
        self.ports = ports
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.clear()

    def clear(self):
        """Begins a new report."""
        self.sessions, self.took, self.errors = 0, [], []

    def report(self):
        """What there was since the last one."""
        gc.collect()
        with self.lock:
            report = {"sessions": self.sessions, "took": self.took, "errors": self.errors}
            self.clear()
        return report

    def run(self, seed):
        """One thread's sessions."""
        chance = random.Random(seed)
        while not self.over.is_set():
            step = "connecting"
            try:
                session = Session(chance.choice(self.ports), "s%d" % seed)
                for number in range(chance.randrange(1, 60)):
                    if self.over.is_set():
                        break
                    does = chance.choice(self.steps)
                    step = does.__name__
                    began = time.monotonic()
                    does(session, number)
                    if does is Session.reads:
                        with self.lock:
                            self.took.append(time.monotonic() - began)
                    self.over.wait(chance.random() * 0.2)
                with self.lock:
                    self.sessions += 1
                if chance.random() < 0.8:
                    session.conn.close()
                else:
                    # As a script that just ends: the socket goes, and nobody says goodbye.
                    session.conn._channel.close()
                del session
            except Exception as error:
                with self.lock:
                    self.errors.append([step, type(error).__name__, str(error)[:300]])
                self.over.wait(1)


def main():
    """Works until told to stop."""
    role, threads, ports = sys.argv[1], int(sys.argv[2]), list(map(int, sys.argv[3:]))
    soaker = Soaker(role, ports)
    seed = os.getpid() * 1000
    running = [threading.Thread(target=soaker.run, args=(seed + n,)) for n in range(threads)]
    for thread in running:
        thread.start()
    for line in sys.stdin:
        if line.strip() == "stop":
            break
        sys.stdout.write(json.dumps(soaker.report()) + "\n")
        sys.stdout.flush()
    soaker.over.set()
    for thread in running:
        thread.join()
    sys.stdout.write(json.dumps(soaker.report()) + "\n")


if __name__ == "__main__":
    main()
