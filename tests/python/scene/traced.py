"""A scene that writes down what is called in it, to be compared with what others say of it.

As in Houdini, each look-up makes a new Python object for the same node: objects come and go, and
Python gives the ids of those that are gone to new ones.
"""

import functools
import json
import threading
import time

__all__ = ["Failure", "Node", "Parm", "node"]

_lock = threading.Lock()
_trace = []


def _shown(value):
    """A value as JSON; of an object its path."""
    if isinstance(value, _Thing):
        return {"path": value._path}
    if isinstance(value, tuple):
        return {"tuple": [_shown(item) for item in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return {"other": True}


def _traced(function):
    """Writes down each call of a function or method, and how it ended."""
    @functools.wraps(function)
    def call(*args, **named):
        own, rest = (args[0], args[1:]) if isinstance(args[0], _Thing) else (None, args)
        record = {
            "path": own._path if own is not None else None,
            "id": id(own) if own is not None else None,
            "class": type(own).__name__ if own is not None else None,
            "method": function.__name__,
            "args": [_shown(value) for value in rest],
            "named": {name: _shown(value) for name, value in named.items()},
            "exception": None,
        }
        began = time.perf_counter()
        try:
            return function(*args, **named)
        except Exception as error:
            record["exception"] = "%s.%s" % (type(error).__module__, type(error).__name__)
            raise
        finally:
            record["us"] = int((time.perf_counter() - began) * 1e6)
            with _lock:
                _trace.append(record)
    return call


class Failure(Exception):
    """What the scene raises."""


class _Thing(object):
    """What has a path.

    Nothing else here is as large, so that the room of one that is gone, which is its id, goes to
    the next one and not to what is written down.
    """

    __slots__ = ("_path", *("_room%d" % number for number in range(30)))

    def __init__(self, path):
        self._path = path


class Parm(_Thing):
    """A parameter."""

    __slots__ = ()

    @_traced
    def eval(self, *args):
        """A number."""
        return len(self._path)

    @_traced
    def set(self, value, *more, **named):
        """Takes anything."""

    @_traced
    def node(self):
        """The node that has it."""
        return Node(self._path.rpartition("/")[0])


class Node(_Thing):
    """A node."""

    __slots__ = ()

    @_traced
    def path(self):
        """The path."""
        return self._path

    @_traced
    def node(self, path):
        """A node below."""
        return Node("%s/%s" % (self._path, path))

    @_traced
    def parm(self, name):
        """A parameter."""
        return Parm("%s/%s" % (self._path, name))

    @_traced
    def children(self):
        """Three nodes, and a number between them."""
        below = [Node("%s/c%d" % (self._path, number)) for number in range(3)]
        return (below[0], 1.5, below[1], below[2])

    @_traced
    def createNode(self, type_name, node_name=None):
        """Pretends to make a node."""
        return Node("%s/%s" % (self._path, node_name or type_name))

    @_traced
    def setInput(self, index, other, *more):
        """Takes nodes."""

    @_traced
    def same(self):
        """This very object."""
        return self

    @_traced
    def fails(self, kind, number):
        """Raises."""
        raise {"value": ValueError, "key": KeyError, "own": Failure}[kind](number)

    @_traced
    def cooks(self, number, seconds):
        """Takes time."""
        time.sleep(seconds)

    @_traced
    def tells(self, number, function):
        """Calls back."""
        return function(number, self)

    @property
    @_traced
    def label(self):
        """A value that is read without a call."""
        return "label"

    @_traced
    def __len__(self):
        return 3

    @_traced
    def __getitem__(self, name):
        return Parm("%s/%s" % (self._path, name))

    @_traced
    def __contains__(self, name):
        return True


@_traced
def node(path):
    """The node at a path."""
    return Node(path)


def _taken():
    """What was written down so far, as JSON."""
    with _lock:
        return json.dumps(_trace)
