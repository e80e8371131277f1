"""An artist's scripts against a server that may be hostile.

    python victim.py attacks|kept PORT|CONFIG FOLDER

Instead of a port on this machine, the configuration folder of a profile: the script opens its
tunnel itself, with the package.

``attacks`` lets the server try each of its attacks, on a connection of its own, and prints what
came of it; ``kept`` does what honest scripts do with an honest server.
"""

import contextlib
import json
import os
import sys

import rpyc


def connect(where):
    """A connection, to a port or by a profile."""
    if where.isdigit():
        return rpyc.classic.connect("127.0.0.1", int(where))
    import hrpyc_guard

    return hrpyc_guard.connect(config_dir=where)


class Application(object):
    """What runs the artist's tools; nobody hands it over."""

    def run(self, text):
        """Runs a line of a script."""
        return eval(text, {})


class Thing(object):
    """What an artist might hand over."""

    module = os
    owner = Application()

    def __init__(self):
        self.value = 1
        self.other = 2
        self.third = 3
        self.fourth = 4
        self._private = "private"

    def poke(self, *args):
        """A method that the server may call."""
        return args

    def __repr__(self):
        return "<thing>"


def callback(value=None, *_more, **_named):
    """What the server may call."""
    return value


def numbers():
    """A generator."""
    for number in range(5):
        yield number


def state(thing, items):
    """What must not have changed."""
    return [sorted(vars(thing).items()), callback.__defaults__ == (None,), len(items)]


def attacks(where, folder):
    """One line for each attack."""
    sys.path.insert(0, folder)
    conn = connect(where)
    names = list(conn.modules.hostile.names())
    conn.close()
    for name in names:
        path = os.path.join(folder, "reached-" + name)
        said = {"attack": name}
        try:
            conn = connect(where)
            hostile = conn.modules.hostile
            thing, items, generator = Thing(), [1, 2], numbers()
            next(generator)
            before = state(thing, items)
            result = hostile.attack(name, path, callback, thing, items, generator, Thing)
            said["result"] = list(result)
            said["same"] = state(thing, items) == before
            callback.__defaults__ = (None,)
            said["after"] = conn.eval("40 + 2")
            conn.close()
        except Exception as error:
            said["error"] = [type(error).__name__, str(error).split("\n\n====")[0][:300]]
            with contextlib.suppress(Exception):
                conn.close()
        said["reached"] = os.path.exists(path)
        said["told"] = sorted(one for one in os.listdir(folder) if one.startswith("told-"))
        for one in said["told"]:
            os.unlink(os.path.join(folder, one))
        print(json.dumps(said))
    sys.stdout.flush()


def raised(function, *args):
    """The class of what a call raises, and what it says."""
    try:
        return ["value", function(*args)]
    except Exception as error:
        return [type(error).__name__, str(error).split("\n\n====")[0]]


def kept(where, folder):
    """One object with all that honest scripts do."""
    conn = connect(where)
    hostile, hou = conn.modules.hostile, conn.modules.hou
    seen, items, mapping, written = [], [1, 2, 3], {"a": 1}, []

    class Out(object):
        """A stream."""

        def write(self, text):
            """Keeps it."""
            written.append(text)

        def flush(self):
            """Nothing to do."""

    class Manager(object):
        """A context manager."""

        def __enter__(self):
            seen.append("in")
            return 5

        def __exit__(self, *exc):
            seen.append("out")

    def changed(node, event_type, **details):
        seen.append([node.path(), event_type.name(), details["parm_tuple"][0].eval()])

    node = hou.node("/obj").createNode("geo", "kept")
    node.addEventCallback((hou.nodeEventType.ParmTupleChanged,), changed)
    node.parm("tx").set(1.5)
    node.removeAllEventCallbacks()
    node.destroy()
    with rpyc.classic.redirected_stdio(conn):
        conn.execute("print('from the server')")
    stream = Out()
    conn.namespace["stream"] = stream
    conn.execute("import contextlib\nwith contextlib.redirect_stdout(stream):\n    print('caught')")
    found = {
        "plain": hostile.plain(callback, 7),
        "keywords": hostile.plain(lambda a, b=2: a + b, 1, b=5),
        "list": repr(hostile.fill(items)),
        "items": repr(items),
        "dict": repr(hostile.read(mapping)),
        "mapping": repr(mapping),
        "generator": hostile.consume(number * 2 for number in range(5)),
        "thing": repr(hostile.look(Thing())),
        "caught": repr(hostile.caught(lambda: 1 // 0)),
        "within": hostile.within(Manager()),
        "partly": repr(hostile.partly(lambda *args: sum(args))),
        "raised": [raised(hostile.raises, name)
                   for name in ("KeyError", "ValueError", "OSError", "StopIteration")],
        "through": raised(hostile.plain, lambda: 1 // 0),
        "method": hostile.plain(Thing().poke, 1, "two"),
        "class": repr(hostile.plain(dict, a=1)),
        "delivered": repr(rpyc.classic.deliver(conn, [1, {"two": 3}])),
        "moved": rpyc.classic.obtain(conn.eval("[1, {'two': 3}]")),
        "great": hostile.give(lambda data: len(data), os.urandom(2 << 20)),
        "written": "".join(written),
        "seen": seen,
    }
    print(json.dumps(found))
    # A refusal that comes back through the server's Python, as its own exception.
    print(json.dumps({
        "isinstance": raised(conn.eval("lambda thing: isinstance(thing, int)"), Thing()),
        "globals": raised(conn.eval("lambda function: function.__globals__"), callback),
        "private": raised(conn.eval("lambda thing: thing._private"), Thing()),
    }, default=repr))
    conn.close()


if __name__ == "__main__":
    {"attacks": attacks, "kept": kept}[sys.argv[1]](sys.argv[2], sys.argv[3])
