"""What an artist's scripts do, with nothing but a stock rpyc.

Run with the Python of an environment that has rpyc::

    python artist.py TASK PORT [ARGUMENT in JSON]

Each task prints JSON, one object a line; the last line is its result. The tests run a task
directly against a server and again through agent and guard, and compare.
"""

import gc
import hashlib
import json
import os
import re
import sys
import threading
import time
import traceback

import rpyc

import hrpyc_client

TASKS = {}


def task(function):
    """Makes a function callable by its name from the command line."""
    TASKS[function.__name__] = function
    return function


def say(**values):
    """Prints one JSON object."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def connect(port):
    """Connects as scripts do, without an option."""
    return rpyc.classic.connect("127.0.0.1", port)


def described(error):
    """An exception as JSON."""
    return {
        "class": type(error).__name__,
        "bases": sorted(base.__name__ for base in type(error).__mro__),
        # rpyc writes the remote traceback into the text of the exception.
        "message": str(error).split("\n\n====")[0],
        "text": str(error),
        "traceback": getattr(error, "_remote_tb", None) and str(error._remote_tb),
        "monotonic": time.monotonic(),
        "wall": time.time(),
    }


def raised(function, *args):
    """The exception that a call ends in, without what differs from run to run."""
    try:
        function(*args)
    except Exception as error:
        found = described(error)
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        return {
            "class": found["class"],
            "bases": found["bases"],
            "message": found["message"],
            "remote": re.findall(r'File ".*?([^/"]+)", line (\d+), in (\S+)', str(error)),
            "traceback": "Remote Traceback" in text,
        }
    return None


@task
def calls(port):
    """Values, names, keyword arguments, modules, evaluated text, a module moved over."""
    conn = connect(port)
    conn.execute("def greet(name, greeting='hello', *more, **named):\n"
                 "    return '%s %s %r %r' % (greeting, name, more, sorted(named.items()))")
    greet = conn.namespace["greet"]
    values = [None, True, 0, -48, 159, 160, 2**31, -(2**70), 1.5, float("inf"), 1 + 2j, "", "ä€😀",
              b"", b"\x00\xff" * 150, (), (1, ("two", (3.0, None))), Ellipsis]
    echo = conn.eval("lambda value: value")
    listed = conn.builtins.list((3, 1, 2))
    listed.sort()
    remote = conn.modules.collections.OrderedDict()
    remote["key"] = "value"
    result = {
        "positional": greet("ann"),
        "keyword": greet("ann", greeting="bye", z=1, a=2),
        "both": greet("ann", "hi", 1, 2, b=None),
        "values": [repr(echo(value)) == repr(value) for value in values],
        "module": conn.modules.os.path.join("a", "b"),
        "eval": conn.eval("6 * 7"),
        "sorted": repr(listed),
        "item": remote["key"],
        "length": len(remote),
        "contains": "key" in remote,
        "moved": rpyc.classic.obtain(listed),
        "delivered": repr(rpyc.classic.deliver(conn, [1, {"two": 3}])),
        "attribute": conn.modules.sys.byteorder,
        "async": rpyc.async_(echo)("later").value,
    }
    conn.ping()
    conn.close()
    result["closed"] = conn.closed
    return result


@task
def scene(port):
    """The manual's example and more of the scene, through the wrapped module."""
    connection, hou = hrpyc_client.import_remote_module(port=port)
    before = [int(count) for count in hou._syncCounts()]
    node = hou.node("/obj/sphere1")
    node.parm("scale").set(2.0)
    after = [int(count) for count in hou._syncCounts()]
    made = hou.node("/obj").createNode("geo", node_name="made")
    made.setParms({"tx": 3.0, "note": "by the artist"})
    result = {
        "scale": node.parm("scale").eval(),
        "synced": [b - a for a, b in zip(before, after)],
        "same": node.path() == hou.node("/obj/sphere1").path(),
        "children": [child.path() for child in node.children()],
        "parms": [parm.name() for parm in made.parms()],
        "note": hou.parm(made.path() + "/note").eval(),
        "absent": hou.node("/obj/none") is None,
        "hip": hou.hipFile.name(),
    }
    hou.setFrame(24)
    result["frame"] = hou.frame()
    hou.setFrame(1)
    made.destroy()
    connection.close()
    return result


@task
def callbacks(port):
    """The server calls what the client handed it, while the client waits, and deeper."""
    connection, hou = hrpyc_client.import_remote_module(port=port)
    seen = []

    def changed(node, event_type, **details):
        seen.append([node.path(), event_type.name(), details["parm_tuple"][0].eval()])

    node = hou.node("/obj").createNode("geo", "watched")
    node.addEventCallback((hou.nodeEventType.ParmTupleChanged,), changed)
    node.parm("tx").set(1.5)
    node.parm("ty").set(2.5)
    node.removeAllEventCallbacks()
    node.destroy()
    conn = connection
    down = conn.eval("lambda other, depth: 0 if depth == 0 else 1 + other(depth - 1)")

    def up(depth):
        return 0 if depth == 0 else 1 + down(up, depth - 1)

    mapped = conn.builtins.map(lambda x: x * x, conn.builtins.range(5))
    result = {
        "seen": seen,
        "nested": down(up, 20),
        "mapped": list(mapped),
        "sorted": list(conn.builtins.sorted(["ccc", "a", "bb"], key=len)),
        "raised": raised(conn.eval("lambda function: function()"), lambda: 1 // 0)["class"],
    }
    connection.close()
    return result


@task
def exceptions(port):
    """Exceptions keep class, message and the remote traceback."""
    connection, hou = hrpyc_client.import_remote_module(port=port)
    conn = connection
    conn.execute("def deep(n):\n"
                 "    if n == 0:\n        raise KeyError('deep down', 7)\n"
                 "    return deep(n - 1)")
    result = {
        "operation": raised(hou.node("/obj").createNode, "nothing"),
        "key": raised(conn.namespace["deep"], 3),
        "zero": raised(conn.eval, "1 // 0"),
        "syntax": raised(conn.execute, "if"),
        "attribute": raised(getattr, conn.modules.os, "no_such_name"),
        "type": raised(hou.node("/obj/sphere1").parm("tx").set, "text"),
        "import": raised(lambda: conn.modules["no_such_module"]),
        "stop": raised(next, iter(conn.builtins.list(()))),
        "exit": raised(conn.eval, "(_ for _ in ()).throw(OSError(28, 'No space left'))"),
    }
    deleted = hou.node("/obj").createNode("geo")
    deleted.destroy()
    result["deleted"] = raised(deleted.path)
    # An error harms nothing but the call that it was raised in.
    result["after"] = conn.eval("40 + 2")
    connection.close()
    return result


@task
def iteration(port):
    """Sequences, generators, files and context managers of the server."""
    conn = connect(port)
    conn.execute("def numbers(n):\n    for i in range(n):\n        yield i\n")
    big = conn.builtins.range(1000)
    with conn.modules.tempfile.TemporaryFile("w+") as remote:
        remote.write("one\ntwo\nthree\n")
        remote.seek(0)
        lines = [line for line in remote]
    result = {
        "range": sum(big),
        "generator": [number for number in conn.namespace["numbers"](300)],
        "dict": sorted(conn.eval("{'a': 1, 'b': 2}").items()),
        "buffered": sum(rpyc.utils.helpers.buffiter(big, chunk=64)),
        "lines": lines,
        "sliced": list(conn.eval("list(range(10))")[2:8:2]),
        "unpacked": [*conn.eval("('x', 'y')")],
        "nodes": [node.name() for node in conn.modules.hou.node("/obj").children()],
    }
    conn.close()
    return result


@task
def large(port, sizes, kinds=("noise", "even"), chunk=None):
    """Bytes both ways, those that compress and those that do not; says how long it took.

    rpyc copies what is left of an object each time it has handed some of it to the system,
    which takes minutes for large ones: with ``chunk``, either side hands over that much.
    """
    conn = connect(port)
    if chunk is not None:
        text = "import rpyc\nrpyc.core.stream.SocketStream.MAX_IO_CHUNK = %d" % chunk
        exec(text, {})
        conn.execute(text)
    conn.execute("import hashlib, os\n"
                 "def digest(data):\n    return hashlib.sha256(data).hexdigest()\n"
                 "def noise(n):\n    return os.urandom(n)\n"
                 "def even(n):\n    return b'houdini!' * (n // 8)\n")
    found, seconds = [], []
    for size in sizes:
        for kind in kinds:
            began = time.monotonic()
            there = conn.namespace[kind](size)
            down = time.monotonic() - began
            digest = conn.namespace["digest"](there)
            seconds.append([down, time.monotonic() - began - down])
            found.append([kind, len(there), hashlib.sha256(there).hexdigest(), digest])
    conn.close()
    return {"found": found, "seconds": seconds}


@task
def threads(port, count):
    """Many threads over one connection; each gets its own answers."""
    conn = connect(port)
    double = conn.eval("lambda value: value * 2")
    start = threading.Barrier(count)
    wrong = []

    def work(number):
        start.wait()
        try:
            for turn in range(3):
                if double(number * 10 + turn) != (number * 10 + turn) * 2:
                    wrong.append("%d got another's answer" % number)
        except Exception as error:
            wrong.append(repr(error))

    run_all(work, count)
    conn.close()
    return {"wrong": wrong}


@task
def great_in_threads(port, sizes, server):
    """One thread for each size: by turns it sets a parm to so many bytes, asks for a great name,
    and for a small one. What came of each, by threads. ``server`` is past the guard.
    """
    past = connect(server)
    past.execute("import hou\nhou.node('/obj/sphere1')._name = 'x' * (20 << 20)")
    conn = connect(port)
    hou = conn.modules["hou"]
    parm, node = hou.parm("/obj/sphere1/scale"), hou.node("/obj/sphere1")
    start = threading.Barrier(len(sizes))
    found = [[] for _ in sizes]

    def work(number):
        start.wait()
        for _ in range(3):
            found[number].append([
                raised(parm.set, os.urandom(sizes[number])), raised(node.name), parm.name()])

    run_all(work, len(sizes))
    return {"bound": conn._config["bind_threads"], "found": found}


@task
def connections(port, count):
    """Many connections, all open at once; each works."""
    all_open = threading.Barrier(count)
    wrong = []

    def work(number):
        try:
            conn = connect(port)
            square = conn.eval("lambda value: value * value")
            all_open.wait(120)
            if square(number) != number * number:
                wrong.append("%d got another's answer" % number)
            conn.close()
        except Exception as error:
            all_open.abort()
            wrong.append(repr(error))

    run_all(work, count)
    return {"wrong": wrong}


def run_all(work, count):
    """Runs ``work(number)`` in ``count`` threads and waits for all."""
    running = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


@task
def waiting(port, seconds):
    """Makes one call that takes long, and says what ends it."""
    conn = connect(port)
    conn._config["sync_request_timeout"] = None
    conn.execute("import time\ndef work(begun, seconds):\n    begun()\n    time.sleep(seconds)")
    work = conn.namespace["work"]
    try:
        # The server says that it has begun: then the call is pending for certain.
        work(lambda: say(ready=True), seconds)
    except Exception as error:
        return described(error)
    conn.close()
    return {"class": None}


@task
def pouring(port, direction):
    """Moves a large object again and again, and says what ends it."""
    conn = connect(port)
    size = 4 << 20
    if direction == "down":
        conn.execute("import os\ndata = os.urandom(%d)\ndef move():\n    return data" % size)
        move = conn.namespace["move"]
    else:
        data, length = os.urandom(size), conn.builtins.len

        def move():
            return length(data)

    move()
    say(ready=True)
    try:
        while True:
            move()
    except Exception as error:
        return described(error)


@task
def pushing(port, size):
    """Moves one large object to the server, which may take its time.

    Without rpyc's own limits of 30 s for an answer and of 3 s for the system to take some of
    what is sent.
    """
    conn = connect(port)
    conn._config["sync_request_timeout"] = None
    conn._channel.stream.sock.settimeout(None)
    type(conn._channel.stream).MAX_IO_CHUNK = 4 << 20
    data = os.urandom(size)
    conn.execute("import hashlib\ndef digest(data):\n    return hashlib.sha256(data).hexdigest()")
    digest = conn.namespace["digest"]
    say(ready=True)
    began = time.monotonic()
    try:
        there = digest(data)
    except Exception as error:
        return described(error)
    same = there == hashlib.sha256(data).hexdigest()
    return {"class": None, "same": same, "seconds": time.monotonic() - began}


@task
def idle(port):
    """Connects, says nothing until asked, and then makes a call."""
    conn = connect(port)
    say(ready=conn.eval("1 + 1"))
    sys.stdin.readline()
    try:
        return {"class": None, "value": conn.eval("20 + 22")}
    except Exception as error:
        return described(error)


@task
def arriving(port):
    """Connects and makes one call, as somebody whose access may be over."""
    try:
        return {"class": None, "value": connect(port).eval("20 + 22")}
    except Exception as error:
        return described(error)


@task
def arriving_together(port, count):
    """As many at once, each with what came of it and after how many seconds."""
    found = []

    def work(_number):
        began = time.monotonic()
        result = arriving(port)
        found.append(dict(result, seconds=time.monotonic() - began))

    run_all(work, count)
    return {"found": found}


@task
def busy(_port, ports):
    """One session for each port, with calls all the time; says what ends each."""
    ready = threading.Semaphore(0)

    def work(number):
        try:
            conn = connect(ports[number])
            conn.execute("import time\n"
                         "def work(data):\n    time.sleep(0.02)\n    return data")
            call = conn.namespace["work"]
            call(b"")
        except Exception as error:
            say(number=number, early=True, **described(error))
            return
        finally:
            ready.release()
        try:
            while True:
                call(b"x" * 1024)
        except Exception as error:
            say(number=number, early=False, **described(error))

    running = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(len(ports))]
    for thread in running:
        thread.start()
    for thread in running:
        ready.acquire()
    say(ready=True)
    for thread in running:
        thread.join()
    return {"ended": True}


@task
def stubborn(port, count, pause=0.05):
    """Keeps many sessions busy, comes back after each error, and reports when asked.

    Each call takes ``pause`` seconds in the server.
    """
    lock = threading.Lock()
    over = threading.Event()
    state = {"calls": [0] * count, "errors": [], "slowest": 0.0}

    def session(number):
        conn = connect(port)
        try:
            conn.execute("import time\n"
                         "def work(data):\n    time.sleep(%r)\n    return data" % pause)
            work = conn.namespace["work"]
            while not over.is_set():
                began = time.monotonic()
                work(b"x" * 512)
                with lock:
                    state["calls"][number] += 1
                    state["slowest"] = max(state["slowest"], time.monotonic() - began)
        finally:
            conn.close()

    def keep_going(number):
        while not over.is_set():
            began = time.monotonic()
            try:
                session(number)
            except Exception as error:
                with lock:
                    state["errors"].append(dict(described(error), session=number,
                                                seconds=time.monotonic() - began))
                time.sleep(0.05)

    running = [threading.Thread(target=keep_going, args=(n,)) for n in range(count)]
    for thread in running:
        thread.start()
    for line in sys.stdin:
        if line.strip() == "stop":
            break
        # rpyc leaves a connection that could not be made to the garbage collector.
        gc.collect()
        with lock:
            report, errors = dict(state), state["errors"]
            state.update(calls=[0] * count, errors=[], slowest=0.0)
        say(**dict(report, errors=errors))
    over.set()
    for thread in running:
        thread.join()
    return {"ended": True}


def main():
    """Runs the task that the command line names."""
    name, port = sys.argv[1], int(sys.argv[2])
    arguments = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    say(**TASKS[name](port, **arguments))


if __name__ == "__main__":
    main()
