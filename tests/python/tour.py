"""All that rpyc offers to a script, one stop after another, with nothing but a stock rpyc.

Run with the Python of an environment that has rpyc::

    python tour.py PORT

It prints one JSON object: for each stop what was found there. Nothing in it differs from run to
run, so that the tour of one way to a server can be compared with that of another.
"""

import contextlib
import gc
import hashlib
import io
import json
import os
import sys
import tempfile
import threading
import time

import rpyc

STOPS = []

#: What the stops call in the server.
SERVED = """
import hashlib, weakref

def greet(name, greeting='hello', *more, **named):
    return '%s %s %r %r' % (greeting, name, more, sorted(named.items()))

def numbers(n):
    for i in range(n):
        yield i

def digest(data):
    return hashlib.sha256(data).hexdigest()

def fetched(give):
    return digest(give())

def added(first, data, more):
    return sum(first) + sum(more) + len(data)

def counted(give):
    data, others = give()
    return len(data) + len(others)

class Box(object):
    'Holds a value.'
    made = 0

    def __init__(self, value, label='box'):
        self.value, self.label = value, label
        type(self).made += 1
    def grown(self, by=1):
        return Box(self.value + by, self.label)
    def __add__(self, other):
        return Box(self.value + getattr(other, 'value', other), self.label)
    def __eq__(self, other):
        return self.value == getattr(other, 'value', other)
    def __lt__(self, other):
        return self.value < getattr(other, 'value', other)
    def __hash__(self):
        return hash(self.value)
    def __len__(self):
        return self.value
    def __bool__(self):
        return self.value != 0
    def __call__(self, *args, **named):
        return (self.value, args, sorted(named.items()))
    def __repr__(self):
        return '<Box %r>' % (self.value,)
    def __str__(self):
        return 'box of %r' % (self.value,)

class Guarded(object):
    def __init__(self, swallows):
        self.swallows, self.log = swallows, []
    def __enter__(self):
        self.log.append('enter')
        return self
    def __exit__(self, kind, value, trace):
        self.log.append(getattr(kind, '__name__', None) if kind else None)
        return self.swallows

class SceneError(Exception):
    def __init__(self, message, code=7):
        Exception.__init__(self, message)
        self.code = code

def fails(kind, *args):
    raise kind(*args)

def fails_in(depth):
    return fails(KeyError, 'deep down', 7) if depth == 0 else fails_in(depth - 1)
"""


def stop(function):
    """Adds a stop to the tour. It is given a connection, and gives a dict."""
    STOPS.append(function)
    return function


def raised(function, *args, **named):
    """What a call raises: class and first line, without what rpyc adds to it."""
    try:
        function(*args, **named)
    except Exception as error:
        return in_a_line(error)
    return None


def tried(function, *args):
    """What a call gives or raises."""
    try:
        return function(*args)
    except Exception as error:
        return in_a_line(error)


def in_a_line(error):
    """An exception in one line."""
    message = str(error).split("\n\n====")[0].strip().split("\n")[0]
    return "%s: %s" % (type(error).__name__, message)


@stop
def values(conn):
    """Plain data is the same on the other side."""
    plain = [None, True, False, 0, -48, -49, 159, 160, 2**31, -(2**70), 1.5, -0.0, float("inf"),
             1 + 2j, "", "ä€😀", "x" * 300, b"", b"\x00", b"\x00\xff" * 200, (), (1,), tuple("abcde"),
             (1, ("two", (3.0, None))), Ellipsis, NotImplemented, frozenset(["a"]),
             slice(1, None, 2)]
    echo = conn.eval("lambda value: value")
    shown = conn.eval("repr")
    return {
        "back": [value for value in plain if repr(echo(value)) != repr(value)],
        "there": [value for value in plain if shown(value) != repr(value)],
        "many": len(echo(tuple(range(1000)))),
    }


@stop
def calls(conn):
    """Positional and keyword arguments, modules, text that is run."""
    greet = conn.namespace["greet"]
    conn.namespace["kept"] = 5
    return {
        "positional": greet("ann"),
        "keyword": greet("ann", greeting="bye", z=1, a=2),
        "both": greet("ann", "hi", 1, 2, b=None),
        "expanded": greet(*("ann", "hi"), **{"ä": 1, "of": (1, 2)}),
        "module": conn.modules.os.path.join("a", "b"),
        "dotted": conn.modules["os.path"].basename("/a/b"),
        "eval": conn.eval("6 * 7"),
        "kept": conn.eval("kept + 1"),
        "attribute": conn.modules.sys.byteorder,
        "builtin": conn.builtin.len((1, 2, 3)),
        "ping": conn.ping(),
        "wrong": raised(greet, greeting="no name"),
    }


@stop
def objects(conn):
    """Attributes, operators, classes, and what Python's own functions make of an object."""
    Box = conn.namespace["Box"]
    box = Box(3, label="b")
    grown = box.grown(by=2)
    box.extra = (1, 2)
    had = hasattr(box, "extra")
    del box.extra
    ordered = conn.modules.collections.OrderedDict()
    ordered["k"] = 1
    ordered["l"] = 2
    del ordered["k"]
    listed = conn.builtins.list((3, 1, 2))
    listed.sort(reverse=True)
    listed[0:1] = (9, 8)
    listed.extend((7,))
    return {
        "read": [box.value, box.label, grown.value, Box.made >= 2, Box.__doc__, Box.__name__],
        "written": [had, hasattr(box, "extra")],
        "default": getattr(box, "none", "default"),
        "texts": [repr(box), str(box), format(listed)],
        "operators": [(box + 4).value, (box + grown).value, box == 3, box != 3, box < grown,
                      box == Box(3), max(box, grown).value],
        "functions": [len(box), bool(box), bool(Box(0)), hash(box) == hash(3), callable(box)],
        "called": repr(box(1, two=2)),
        "instance": [isinstance(box, Box), isinstance(listed, list), isinstance(ordered, Box)],
        "kind": type(box).__name__,
        "listing": [name for name in dir(box) if not name.startswith("_")],
        "ordered": [list(ordered.items()), "l" in ordered, len(ordered), ordered.get("k")],
        "listed": [repr(listed), listed[-1], list(listed[1:3]), list(reversed(listed))],
        "identity": [box.grown.__name__, conn.eval("lambda a, b: a is b")(box, box)],
    }


@stop
def iteration(conn):
    """Generators, views, files, buffered iteration, unpacking."""
    big = conn.builtins.range(200)
    over = iter(conn.builtins.list((1,)))
    next(over)
    return {
        "range": sum(big),
        "generator": sum(conn.namespace["numbers"](50)),
        "view": sorted(conn.eval("{'a': 1, 'b': 2}").items()),
        "buffered": sum(rpyc.utils.helpers.buffiter(conn.builtins.range(5000), chunk=500)),
        "sliced": list(conn.eval("list(range(10))")[2:8:2]),
        "unpacked": [*conn.eval("('x', 'y')")],
        "zipped": list(zip(conn.eval("['p', 'q']"), range(2))),
        "over": raised(next, over),
        "default": next(over, "default"),
        "nodes": [node.name() for node in conn.modules.hou.node("/obj").children()][:3],
    }


@stop
def contexts(conn):
    """Context managers of the server, with and without an exception in them."""
    Guarded = conn.namespace["Guarded"]
    calm, strict, mild = Guarded(False), Guarded(False), Guarded(True)
    with calm as entered:
        same = entered.log[0]
    caught = None
    try:
        with strict:
            raise ValueError("mine")
    except ValueError as error:
        caught = str(error)
    with mild:
        raise KeyError("swallowed")
    with conn.modules.tempfile.TemporaryFile("w+") as file:
        file.write("one\ntwo\n")
        file.seek(0)
        lines = list(file)
    return {"same": same, "caught": caught, "lines": lines, "closed": file.closed,
            "logs": [list(each.log) for each in (calm, strict, mild)]}


@stop
def exceptions(conn):
    """Python's own exceptions keep class, arguments, attributes and the remote traceback."""
    fails, fails_in = conn.namespace["fails"], conn.namespace["fails_in"]
    try:
        fails_in(3)
    except KeyError as error:
        key = [list(error.args), str(error).count("in fails_in"), "Remote Traceback" in str(error)]
    try:
        fails(conn.builtins.OSError, 28, "No space left", "/full")
    except OSError as error:
        full = [error.errno, error.strerror, error.filename]
    return {
        "key": key,
        "system": full,
        "zero": raised(conn.eval, "1 // 0"),
        "syntax": raised(conn.execute, "if"),
        "attribute": raised(getattr, conn.modules.os, "no_such_name"),
        "import": raised(lambda: conn.modules["no_such_module"]),
        "type": raised(conn.modules.hou.parm("/obj/sphere1/tx").set, "text"),
        "unicode": raised(conn.eval, "b'\\xff'.decode('utf-8')"),
        "stop": raised(conn.eval, "next(iter(()))"),
        "after": conn.eval("40 + 2"),
    }


@stop
def exceptions_of_modules(conn):
    """Those of the server's modules, which this Python has or has not."""
    def caught(function, *args):
        try:
            function(*args)
        except Exception as error:
            return error
        return None

    created = caught(conn.modules.hou.node("/obj").createNode, "nothing")
    own = caught(conn.namespace["fails"], conn.namespace["SceneError"], "of the scene")
    standard = caught(conn.modules.json.loads, "{")
    return {
        "scene": [type(created).__name__.rsplit(".")[-1], str(created).split("\n")[0],
                  list(created.args), "createNode" in str(created)],
        "own": [type(own).__name__.rsplit(".")[-1], str(own).split("\n")[0], own.code],
        "standard": [type(standard).__name__.rsplit(".")[-1], standard.pos],
        "scene_module": type(created).__module__,
        "standard_is_caught": isinstance(standard, json.JSONDecodeError),
    }


class Mine(object):
    """What this script hands to the server."""

    def __init__(self, value):
        self.value = value
        self.inner = [value]
        self._private = "private"

    def twice(self, plus=0):
        """Twice the value."""
        return self.value * 2 + plus

    def other(self):
        """Another one."""
        return Mine(self.value + 1)

    def __repr__(self):
        return "<Mine %r>" % (self.value,)

    def __len__(self):
        return 4

    def __enter__(self):
        self.value += 1
        return self

    def __exit__(self, *_):
        self.value += 10


@stop
def callbacks(conn):
    """The server calls functions, and uses objects, that it was handed."""
    down = conn.eval("lambda other, depth: 0 if depth == 0 else 1 + other(depth - 1)")

    def up(depth):
        return 0 if depth == 0 else 1 + down(up, depth - 1)

    def named(*args, **kwargs):
        return repr((args, sorted(kwargs.items())))

    seen = []
    node = conn.modules.hou.node("/obj").createNode("geo", "toured")
    kind = conn.modules.hou.nodeEventType.ParmTupleChanged

    def changed(node, event_type, parm_tuple):
        seen.append([event_type.name(), parm_tuple[0].name(), parm_tuple[0].eval()])

    node.addEventCallback((kind,), changed)
    node.parm("tx").set(1.5)
    node.destroy()
    mine = Mine(5)

    def use(text):
        return conn.eval("lambda mine: " + text)

    mapping, items = {"a": 1}, [1, 2]
    conn.execute("def enter(mine):\n    with mine as entered:\n        return entered.value\n"
                 "def change(mapping, items):\n"
                 "    mapping['b'] = 2\n    del mapping['a']\n    items.append(3)\n    items[0] = 9\n"
                 "def catch(function):\n"
                 "    try:\n        function()\n"
                 "    except ZeroDivisionError as error:\n        return 'caught'\n")
    conn.namespace["change"](mapping, items)
    text = io.StringIO()
    conn.eval("lambda file: print('printed there', file=file)")(text)
    return {
        "nested": down(up, 20),
        "named": conn.eval("lambda f: f(1, *(2,), three=3, **{'four': (4,)})")(named),
        "seen": seen,
        "mapped": list(conn.builtins.map(lambda x: x * x, (1, 2, 3))),
        "sorted": list(conn.builtins.sorted(["ccc", "a", "bb"], key=len)),
        "generator": conn.builtins.sum(n for n in range(50)),
        "joined": conn.eval("','.join")(["a", "b"]),
        "copied": repr(conn.builtins.sorted([2, 3, 1])),
        "read": use("[mine.value, mine.twice(plus=1), mine.other().other().value]")(mine)[1],
        "shown": [use(text)(mine) for text in ("repr(mine)", "str(mine)", "len(mine)", "bool(mine)")],
        "class": tried(use("mine(6).twice()"), Mine),
        "listing": use("'twice' in dir(mine)")(mine),
        "entered": [conn.namespace["enter"](mine), mine.value],
        "changed": [mapping, items],
        "printed": text.getvalue(),
        "raised": raised(use("mine()"), lambda: 1 // 0),
        "caught": conn.namespace["catch"](lambda: 1 // 0),
        "kept": conn.eval("lambda mine: mine")(mine) is mine,
        "same": use("mine == mine")(mine),
        "is_a": [use("isinstance(mine, list)")(items), use("isinstance(mine, dict)")(items)],
    }


@stop
def reaching_back(conn):
    """What the server does with objects of this script beyond calling and reading them."""
    conn.execute("def written(mine):\n    mine.value = 6\n    return mine.value\n"
                 "def deleted(mine):\n    del mine.value\n    return 'gone'\n"
                 "from rpyc.utils.classic import obtain\n")

    def use(text, *mine):
        return tried(conn.eval("lambda mine: " + text), *(mine or (Mine(5),)))

    return {
        "private": use("mine._private"),
        "globals": use("bool(mine.__globals__)", raised),
        "dictionary": use("mine.__dict__['value']"),
        "written": use("written(mine)"),
        "deleted": use("deleted(mine)"),
        "inner": use("mine.inner.index(5)"),
        "obtained": use("repr(obtain(mine))", [1, 2]),
        "service": use("mine.eval('1 + 1')", conn._local_root),
        "asked": tried(conn.eval("lambda conn: conn.root.eval('1 + 1')"), conn.root.getconn()),
    }


def noise(size):
    """Bytes that do not compress, the same in each run."""
    blocks = (hashlib.sha256(b"%d" % number).digest() for number in range(-(-size // 32)))
    return b"".join(blocks)[:size]


def there_and_back(conn, sizes):
    """What is changed on the way there or on the way back: noise, and what compresses well."""
    digest, echo = conn.namespace["digest"], conn.eval("lambda data: data")
    wrong = []
    for size in sizes:
        for kind, data in (("noise", noise(size)), ("even", b"houdini!" * (size // 8))):
            if digest(data) != hashlib.sha256(data).hexdigest():
                wrong.append("%s of %d there" % (kind, size))
            if echo(data) != data:
                wrong.append("%s of %d back" % (kind, size))
    return wrong


@stop
def large(conn):
    """Bytes, texts and tuples on both sides of 3000 bytes, where rpyc begins to compress."""
    return {
        "bytes": there_and_back(conn, (2900, 2990, 3010, 3100, 70000, 300000)),
        "text": conn.builtins.len("ä" * 200000),
        "tuple": conn.builtins.len(tuple(range(20000))),
        "items": [len(conn.eval("tuple(str(i) for i in range(20000))")),
                  len(conn.eval("tuple([] for _ in range(300))"))],
        "raised": len(str(raised(conn.eval, "int('x' * 5000)"))),
    }


def given(conn, data):
    """Whether a callback is given what it should be, and its answer comes."""
    took = []
    back = conn.eval("lambda take, data: take(data)")(lambda got: took.append(got) or len(got), data)
    return [took == [data], back]


@stop
def great(conn):
    """Bytes of megabytes, also such as take little room on the way, asked for by either side."""
    data = noise(1 << 20)
    return {
        "bytes": there_and_back(conn, (1 << 20,)),
        "even": [conn.builtins.len(b"houdini!" * (20 << 17)),
                 len(conn.eval("b'houdini!' * (20 << 17)"))],
        "fetched": conn.namespace["fetched"](lambda: data) == hashlib.sha256(data).hexdigest(),
        "given": given(conn, data),
        "beside_others": conn.namespace["added"]([1, 2], data, more=[3]),
        "with_others": conn.namespace["counted"](lambda: (data, [1, 2])),
    }


@stop
def buffers(conn):
    """Files that are moved, and buffers that are read piece by piece."""
    data = hashlib.sha256(b"file").digest() * 3000
    with tempfile.TemporaryDirectory() as folder:
        here, there, again = (os.path.join(folder, name) for name in ("here", "there", "again"))
        with open(here, "wb") as file:
            file.write(data)
        rpyc.classic.upload(conn, here, there)
        rpyc.classic.download(conn, there, again)
        with open(again, "rb") as file:
            moved = file.read() == data
    buffer = conn.modules.io.BytesIO(data)
    view = conn.builtins.memoryview(data)
    pieces = []
    while True:
        piece = buffer.read(10000)
        if not piece:
            break
        pieces.append(piece)
    array = conn.builtins.bytearray(b"abc")
    array.extend(b"def")
    packed = conn.modules.struct.pack("!HI", 1, 2)
    return {
        "moved": moved,
        "pieces": [len(pieces), b"".join(pieces) == data],
        "view": [len(view), view.nbytes, view[5], view[2:4].tobytes() == data[2:4]],
        "array": [array.decode(), len(array)],
        "packed": list(packed),
        "client_buffer": raised(conn.modules.io.BytesIO(b"12345").readinto, bytearray(3)),
    }


def teleported(a, b=2):
    """Runs in the server."""
    import os
    return "%s %s %s" % (a, b, os.path.basename("/x/y"))


@stop
def moved(conn):
    """Objects and functions that are copied to the other side."""
    table = conn.eval("{'a': [1, 2, {'b': (3.5, None)}], 'c': 'text'}")
    there = rpyc.classic.deliver(conn, [1, {"two": [3]}])
    return {
        "obtained": rpyc.classic.obtain(table),
        "great": len(rpyc.classic.obtain(conn.eval("list(range(30000))"))),
        "unpicklable": raised(rpyc.classic.obtain, conn.eval("(_ for _ in ())")),
        "delivered": [repr(there), there[1]["two"][0]],
    }


@stop
def teleport(conn):
    """Functions that are sent as bytecode."""
    return {"called": conn.teleport(teleported)("one", b="two"),
            "defined": conn.namespace["teleported"]("again")}


@stop
def asynchronous(conn):
    """Calls that are not waited for, their results and their errors."""
    slow = conn.eval("lambda seconds, value: (__import__('time').sleep(seconds), value)[1]")
    later = rpyc.async_(slow)
    pending = [later(0.005, n) for n in range(5)]
    told, events = [], threading.Event()
    watched = later(0.02, "told")

    def tell(result):
        told.append(result.value)
        events.set()

    watched.add_callback(tell)
    failing = rpyc.async_(conn.eval)("1 // 0")
    failing.wait()
    late = later(0.1, "late")
    late.set_expiry(0.02)
    expired = raised(late.wait)
    counted = []
    background = rpyc.BgServingThread(conn)
    conn.execute("import threading\n"
                 "def count(function):\n"
                 "    def work():\n        for n in range(3):\n            function(n)\n"
                 "    threading.Thread(target=work).start()\n")
    conn.namespace["count"](counted.append)
    end = time.monotonic() + 20
    while len(counted) < 3 and time.monotonic() < end:
        time.sleep(0.005)
    events.wait(20)
    background.stop()
    return {
        "values": [each.value for each in pending],
        "told": told,
        "error": [failing.ready, failing.error, raised(lambda: failing.value)],
        "expired": expired.split(":")[0],
        "from_a_thread_there": counted,
        "timed": rpyc.utils.helpers.timed(conn.builtins.len, 20)((1, 2)).value,
    }


@stop
def threads(conn):
    """Many threads share the connection; each gets its own answers and exceptions."""
    double, fails = conn.eval("lambda value: value * 2"), conn.namespace["fails_in"]
    Box, wrong = conn.namespace["Box"], []
    start = threading.Barrier(16)

    def work(number):
        try:
            start.wait(20)
            for turn in range(4):
                n = number * 100 + turn
                if double(n) != 2 * n or Box(n).grown(3).value != n + 3:
                    wrong.append("%d got another's answer" % number)
                if not str(raised(fails, 0)).startswith("KeyError"):
                    wrong.append("%d got no exception" % number)
        except Exception as error:
            wrong.append(repr(error).split("\n")[0])

    running = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in running:
        thread.start()
    # A thread of rpyc whose answer another one has taken can wait for the next message, up to
    # 30 seconds: there is always a next one.
    while any(thread.is_alive() for thread in running):
        conn.ping()
        time.sleep(0.02)
    return {"wrong": wrong}


@stop
def redirected(conn):
    """What the server prints comes out here."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), rpyc.classic.redirected_stdio(conn):
        conn.execute("print('from there', 1)")
    return {"printed": text.getvalue()}


@stop
def lifetimes(conn):
    """The server lets go of what the client has let go, and of nothing before."""
    conn.execute("kept_alive = []\n"
                 "def watched(n):\n"
                 "    made = [Box(i) for i in range(n)]\n"
                 "    kept_alive[:] = [weakref.ref(each) for each in made]\n"
                 "    return tuple(made)\n"
                 "def alive():\n    return sum(ref() is not None for ref in kept_alive)\n")
    alive = conn.namespace["alive"]
    boxes = conn.namespace["watched"](20)
    before = alive()
    half = boxes[:10]
    total = sum(box.value for box in boxes)
    del boxes
    gc.collect()
    end = time.monotonic() + 20
    while alive() > 10 and time.monotonic() < end:
        time.sleep(0.005)
    return {"before": before, "total": total, "half": alive(), "used": [b.value for b in half]}


@stop
def ended(conn):
    """Closing is clean."""
    other = rpyc.classic.connect("127.0.0.1", PORT)
    value = other.eval("1 + 1")
    other.close()
    conn.close()
    return {"value": value, "closed": [other.closed, conn.closed],
            "after": raised(lambda: conn.eval("1")).split(":")[0]}


PORT = int(sys.argv[1]) if __name__ == "__main__" else None


def connect():
    """Connects as scripts do, and puts into the server what the stops call."""
    conn = rpyc.classic.connect("127.0.0.1", PORT)
    conn.execute(SERVED)
    return conn


def main():
    """Goes to all stops over one connection, or over a new one after a stop that failed."""
    conn = connect()
    found = {}
    for each in STOPS:
        try:
            found[each.__name__] = each(conn)
        except Exception as error:
            found[each.__name__] = {"failed": in_a_line(error)}
            conn.close()
            conn = connect()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
