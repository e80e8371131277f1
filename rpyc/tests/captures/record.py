"""Records real sessions: what a client and a server of one rpyc version say to each other.

Run it with a Python that has the rpyc version in question::

    python record.py FOLDER

It starts a classic server with the scene of the Python tests, a relay that writes down
each frame in the order in which it passes, and a client that does what scripts do. It
writes ``FOLDER/VERSION.capture.gz``, and for rpyc 5 and later, with
``RPYC_BIND_THREADS=true``, ``FOLDER/VERSION-bound.capture.gz``. Tracebacks in there name the
files that ran: run a copy of this repository in a neutral place.

A capture, once unpacked, is a line ``rpyc VERSION`` and then, for each frame, ``>`` (from
the client) or ``<`` (from the server), the number of bytes (``!L``) and the bytes, from the
frame's header to its flush byte.
"""

import gzip
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import rpyc
from rpyc.core.service import SlaveService
from rpyc.utils.server import ThreadedServer

VERSION = ".".join(str(part) for part in rpyc.version.version)
HERE = os.path.dirname(os.path.abspath(__file__))
SCENE = os.path.join(HERE, "..", "..", "..", "tests", "python", "scene", "hou.py")


def serve():
    """The server, in a process of its own so that no id is the same at both ends."""
    server = ThreadedServer(SlaveService, hostname="127.0.0.1", port=0, auto_register=False)
    server.logger.disabled = True
    server._listen()
    print(server.port, flush=True)
    server.start()


class Recorder(object):
    """A relay for one connection that keeps every frame."""

    def __init__(self, upstream_port):
        self._lock = threading.Lock()
        self.records = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._upstream_port = upstream_port
        self._threads = [threading.Thread(target=self._run, daemon=True)]
        self._threads[0].start()

    def _run(self):
        client, _ = self._listener.accept()
        server = socket.create_connection(("127.0.0.1", self._upstream_port))
        for mark, source, sink in ((b">", client, server), (b"<", server, client)):
            thread = threading.Thread(target=self._copy, args=(mark, source, sink), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _copy(self, mark, source, sink):
        stream = source.makefile("rb")
        while True:
            header = stream.read(5)
            if len(header) < 5:
                break
            frame = header + stream.read(struct.unpack("!LB", header)[0] + 1)
            # One at a time, so that the order kept is one that both ends can have seen.
            with self._lock:
                self.records.append((mark, frame))
                try:
                    sink.sendall(frame)
                except OSError:
                    break
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def write(self, path):
        """Waits for the end and writes the capture."""
        while self._threads:
            self._threads.pop(0).join()
        with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, 0) as out:
            out.write(b"rpyc %s\n" % VERSION.encode())
            for mark, frame in self.records:
                out.write(mark + struct.pack("!L", len(frame)) + frame)


def raises(kind, function, *args, **kwargs):
    """Calls what must fail."""
    try:
        function(*args, **kwargs)
    except Exception as error:
        # The class of a module that is not there has the module in its name.
        assert type(error).__name__.rsplit(".", 1)[-1] == kind, error
        return
    raise AssertionError("no %s" % kind)


def scene(connection):
    """A script of an artist. The tests know the readable name of every call in here."""
    hou = connection.modules["hou"]
    hou.node("/obj/sphere1").parm("scale").set(2.0)
    hou.node("/obj/sphere1").parm("scale").set(2.0)
    box = hou.node("/obj/box1")
    assert box.path() == "/obj/box1"
    parm = box.parm("tx")
    assert parm.eval() == 0.0
    assert hou.node("/obj/missing") is None
    assert [child.name() for child in hou.node("/obj").children()] == ["sphere1", "box1", "cam1"]
    raises("OperationFailed", hou.node("/obj").createNode, "nope", node_name="it's")
    raises("AttributeError", getattr, hou.hipFile, "notThere")
    assert hou.hipFile.basename() == "untitled.hip"
    assert box == hou.node("/obj/box1")
    assert not box != hou.node("/obj/box1")
    assert isinstance(hash(box), int)
    assert repr(box).startswith("<hou.ObjNode")
    assert str(box).startswith("<hou.ObjNode")
    assert "parm" in dir(box)
    hou.spare = 7
    assert hou.spare == 7
    del hou.spare
    hou._syncFromMainContext()
    hou.setFrame(24)
    assert hou.frame() == 24.0
    hou._syncToMainContext()


def callbacks(connection):
    """The server calls what the client has passed, and is called back from there."""
    hou = connection.modules["hou"]
    seen = []

    def changed(node, event_type, **details):
        seen.append((node.path(), event_type.name(), sorted(details)))

    box = hou.node("/obj/box1")
    box.addEventCallback((hou.nodeEventType.ParmTupleChanged,), changed)
    box.parm("tx").set(3.0)
    assert seen == [("/obj/box1", "ParmTupleChanged", ["parm_tuple"])]
    box.setParms({"tx": 1.5, "note": "hello"})
    assert len(seen) == 3

    def failing(**details):
        raise KeyError("no", 1, b"bytes", object)

    box.addEventCallback((hou.nodeEventType.NameChanged,), failing)
    raises("KeyError", box.setName, "box2")
    box.removeAllEventCallbacks()
    box.setName("box1")
    identity = connection.eval("lambda *given, **named: (given, sorted(named))")
    assert identity(changed, 1, [2], box, key=changed, word="w")[0][0] is changed


def classic(connection):
    """What assistants and tools use of a classic server."""
    connection.execute("x = [n * n for n in range(30)]\nclass Boom(Exception): pass")
    assert connection.eval("x[3]") == 9
    connection.namespace["y"] = 5
    assert connection.namespace["y"] == 5
    assert connection.modules.os.path.join("a", "b") == "a/b"
    assert connection.builtins.len("four") == 4
    assert connection.root.getmodule("math").floor(2.5) == 2
    assert not connection.root.getconn().closed
    squares = connection.eval("x")
    assert len(squares) == 30 and 9 in squares and squares[2:4][0] == 4
    squares[0] = 11
    del squares[1]
    squares += [1000]
    assert sum(1 for _ in squares) == 30
    assert list(rpyc.buffiter(squares))[0] == 11
    iterator = connection.builtins.iter(squares)
    assert next(iterator) == 11
    assert squares < connection.eval("[12]") and squares >= connection.eval("[11]")
    raises("StopIteration", next, connection.eval("iter(())"))
    isinstance(squares, connection.builtins.list)
    isinstance(squares, connection.builtins.dict)
    with connection.modules.threading.Lock():
        pass

    def raise_in_a_block():
        with connection.modules.threading.Lock():
            raise ValueError("passed by reference to what ends the block")

    raises("ValueError", raise_in_a_block)
    raises("Boom", connection.execute, "raise Boom('é', 1.5, (1, b'x'), x)")
    raises("ZeroDivisionError", connection.eval, "1/0")
    assert rpyc.classic.obtain(squares)[:2] == [11, 4]
    assert rpyc.classic.deliver(connection, {"a": [1]})["a"][0] == 1
    try:
        connection.teleport(lambda left, right: left + right)(1, 2)
    except Exception as error:
        # 4.1 cannot make code objects on newer Pythons; what it says counts here.
        assert VERSION.startswith("4."), error
    connection.ping()
    connection.ping(b"x" * 5000)


def values(connection):
    """Every kind of plain data there and back."""
    echo = connection.eval("lambda *given, **named: given[0] if given else named['value']")
    for value in [
        None, True, False, NotImplemented, Ellipsis, 0, 1, -48, -49, 159, 160, 2**31, -(2**63),
        2**63, 2**64, 10**300, -(10**300), 0.0, -0.0, 2.5, float("inf"), 1e300, 1.5 + 2.5j,
        b"", b"a", b"abcd", b"abcde", b"x" * 255, b"x" * 256, "", "é", "x" * 4, "x" * 70000,
        (), (1,), (1, 2, 3, 4), tuple(range(5)), tuple(range(300)), ((1, (2, (3, ()))), "x"),
        slice(1, None, 2), frozenset(), frozenset([1, "a", (2, 3)]),
    ]:
        assert echo(value) == value
        assert echo(value=value) == value
    assert echo(float("nan")) != 0
    assert echo((echo, (1, echo), ())) == (echo, (1, echo), ())


def later(connection):
    """Requests that nobody waits for at once."""
    hou = connection.modules["hou"]
    node = rpyc.async_(hou.node)
    results = [node("/obj/box1"), node("/obj/cam1"), node("/obj")]
    assert [result.value.name() for result in results] == ["box1", "cam1", "obj"]
    nap = rpyc.async_(connection.modules.time.sleep)
    result = nap(0.05)
    assert not result.ready
    result.wait()
    failing = rpyc.async_(hou.node("/obj").createNode)("nope")
    failing.wait()
    assert failing.error


def threads(connection):
    """Two threads over one connection, each with a call back."""
    call = connection.eval("lambda function: function()")
    failures = []

    def work(number):
        try:
            for _ in range(4):
                assert call(lambda: number) == number
        except Exception as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures, failures


def record(folder, bound):
    """One session of all parts."""
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    # A traceback names the file; a neutral place says nothing about this machine.
    place = tempfile.mkdtemp(prefix="scene-")
    shutil.copy(SCENE, place)
    environment["PYTHONPATH"] = os.pathsep.join([place, environment.get("PYTHONPATH", "")])
    server = subprocess.Popen(
        [sys.executable, os.path.abspath(__file__), "--serve"],
        env=environment, stdout=subprocess.PIPE, universal_newlines=True, cwd=place)
    try:
        recorder = Recorder(int(server.stdout.readline()))
        connection = rpyc.classic.connect("127.0.0.1", recorder.port)
        parts = [scene, callbacks, classic, values, later]
        for part in [callbacks, threads] if bound else parts:
            part(connection)
        connection.close()
        name = VERSION + ("-bound" if bound else "")
        recorder.write(os.path.join(folder, name + ".capture.gz"))
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(place)


def main():
    """Serves, or records one session; a bound one needs a fresh process."""
    if sys.argv[1] == "--serve":
        serve()
        return
    bound = os.environ.get("RPYC_BIND_THREADS") == "true"
    record(sys.argv[1], bound)
    if not bound and int(VERSION.split(".")[0]) >= 5:
        environment = dict(os.environ, RPYC_BIND_THREADS="true")
        subprocess.check_call([sys.executable, *sys.argv], env=environment)


if __name__ == "__main__":
    main()
