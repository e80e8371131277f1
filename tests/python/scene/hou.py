"""A small scene that behaves like Houdini's ``hou`` module.

The RPC server of the demo and of the tests serves it in place of Houdini. It has the
shape that scripts meet (nodes, parms, a hip file, events, errors that carry a message of
their own) and none of the work behind it.
"""

import itertools
import threading

__all__ = [
    "Error",
    "HipFile",
    "Node",
    "ObjNode",
    "ObjectWasDeleted",
    "OperationFailed",
    "Parm",
    "SopNode",
    "frame",
    "hipFile",
    "node",
    "nodeEventType",
    "parm",
    "setFrame",
]


class Error(Exception):
    """The base of what the scene raises. The message is for the artist."""

    def __init__(self, message=""):
        Exception.__init__(self, message)
        self._message = message

    def exceptionTypeName(self):
        """The name of the class, as text."""
        return type(self).__name__

    def description(self):
        """What kind of error this is."""
        return (type(self).__doc__ or "").strip().splitlines()[0]

    def instanceMessage(self):
        """What went wrong this time."""
        return self._message


class OperationFailed(Error):
    """The attempted operation failed."""


class ObjectWasDeleted(Error):
    """Attempt to access an object that no longer exists."""


class EnumValue(object):
    """One value of an enumeration such as ``nodeEventType``."""

    def __init__(self, enumeration, name):
        self._enumeration = enumeration
        self._name = name

    def name(self):
        """The name of the value."""
        return self._name

    def __repr__(self):
        return "%s.%s" % (self._enumeration, self._name)


class nodeEventType(object):
    """What can happen to a node."""

    BeingDeleted = EnumValue("nodeEventType", "BeingDeleted")
    ChildCreated = EnumValue("nodeEventType", "ChildCreated")
    NameChanged = EnumValue("nodeEventType", "NameChanged")
    ParmTupleChanged = EnumValue("nodeEventType", "ParmTupleChanged")


class Parm(object):
    """A parameter of a node: one value with a name."""

    def __init__(self, owner, name, value):
        self._owner = owner
        self._name = name
        self._value = value

    def name(self):
        """The name, such as ``tx``."""
        return self._name

    def path(self):
        """The path of the node and the name."""
        return "%s/%s" % (self._owner.path(), self._name)

    def node(self):
        """The node that has this parameter."""
        return self._owner

    def eval(self):
        """The value."""
        self._owner._check()
        return self._value

    def set(self, value):
        """Changes the value. It must be of a kind that the parameter can hold."""
        self._owner._check()
        if isinstance(self._value, str) != isinstance(value, str):
            raise TypeError("%s holds %s" % (self.path(), type(self._value).__name__))
        self._value = value if isinstance(value, str) else type(self._value)(value)
        self._owner._emit(nodeEventType.ParmTupleChanged, parm_tuple=(self,))

    def __repr__(self):
        return "<hou.Parm %s in %s>" % (self._name, self._owner.path())


class Node(object):
    """A node of the tree."""

    #: Type name of a child to its class and its parameters.
    _child_types = {}

    def __init__(self, parent, type_name, name, values=None):
        self._parent = parent
        self._type_name = type_name
        self._name = name
        self._alive = True
        self._children = {}
        self._callbacks = []
        self._parms = {}
        for parm_name, value in (values or {}).items():
            self._parms[parm_name] = Parm(self, parm_name, value)

    def name(self):
        """The name among its siblings."""
        self._check()
        return self._name

    def setName(self, name):
        """Renames the node."""
        self._check()
        if name in self._parent._children:
            raise OperationFailed("There is a node named %s already." % name)
        del self._parent._children[self._name]
        self._name = name
        self._parent._children[name] = self
        self._emit(nodeEventType.NameChanged)

    def path(self):
        """The path from the root."""
        self._check()
        if self._parent is None:
            return "/"
        return "%s/%s" % (self._parent.path().rstrip("/"), self._name)

    def type(self):
        """The name of the type."""
        return self._type_name

    def parent(self):
        """The node above, or None for the root."""
        return self._parent

    def children(self):
        """The nodes below, in the order in which they were made."""
        self._check()
        return tuple(self._children.values())

    def node(self, path):
        """The node at a path that starts here, or at the root. None if there is none."""
        self._check()
        found = _root if path.startswith("/") else self
        for part in path.split("/"):
            if part in ("", "."):
                continue
            found = found._parent if part == ".." else found._children.get(part)
            if found is None:
                return None
        return found

    def parm(self, name):
        """The parameter of that name, or None."""
        self._check()
        return self._parms.get(name)

    def parms(self):
        """All parameters."""
        self._check()
        return tuple(self._parms.values())

    def setParms(self, values):
        """Changes several parameters at once."""
        for name, value in values.items():
            found = self.parm(name)
            if found is None:
                raise OperationFailed("%s has no parameter %s." % (self.path(), name))
            found.set(value)

    def createNode(self, node_type_name, node_name=None):
        """Makes a node below this one. A name that is taken gets a number."""
        self._check()
        if node_type_name not in self._child_types:
            raise OperationFailed("Invalid node type name: %s" % node_type_name)
        node_class, values = self._child_types[node_type_name]
        name = self._free_name(node_name or node_type_name + "1")
        made = node_class(self, node_type_name, name, values)
        self._children[name] = made
        self._emit(nodeEventType.ChildCreated, child_node=made)
        return made

    def destroy(self):
        """Removes the node and all below it."""
        self._check()
        for child in self.children():
            child.destroy()
        self._emit(nodeEventType.BeingDeleted)
        del self._parent._children[self._name]
        self._alive = False

    def addEventCallback(self, event_types, callback):
        """Has ``callback(node=, event_type=, ...)`` called when one of these happens."""
        self._check()
        self._callbacks.append((tuple(event_types), callback))

    def removeAllEventCallbacks(self):
        """Forgets what ``addEventCallback`` was given."""
        self._callbacks = []

    def _free_name(self, name):
        stem = name.rstrip("0123456789")
        numbers = itertools.count(1)
        while name in self._children:
            name = "%s%d" % (stem, next(numbers))
        return name

    def _emit(self, event_type, **details):
        for event_types, callback in list(self._callbacks):
            if any(wanted.name() == event_type.name() for wanted in event_types):
                callback(node=self, event_type=event_type, **details)

    def _check(self):
        if not self._alive:
            raise ObjectWasDeleted("%s was deleted." % self._name)

    def __repr__(self):
        return "<hou.%s of type %s at %s>" % (
            type(self).__name__,
            self._type_name,
            self.path(),
        )


class SopNode(Node):
    """A node that makes geometry."""


class ObjNode(Node):
    """A node that stands for an object of the scene."""

    _child_types = {
        "box": (SopNode, {"sizex": 1.0, "sizey": 1.0, "sizez": 1.0}),
        "sphere": (SopNode, {"radx": 1.0, "rady": 1.0, "radz": 1.0, "rows": 13}),
        "xform": (SopNode, {"tx": 0.0, "ty": 0.0, "tz": 0.0, "scale": 1.0}),
    }


class _ObjectManager(Node):
    """The node ``/obj``."""

    _child_types = {
        "geo": (
            ObjNode,
            {"tx": 0.0, "ty": 0.0, "tz": 0.0, "scale": 1.0, "display": 1, "note": ""},
        ),
        "cam": (ObjNode, {"tx": 0.0, "ty": 0.0, "tz": 5.0, "focal": 50.0}),
    }


class HipFile(object):
    """The file that the scene is kept in. Nothing is written."""

    def __init__(self):
        self._path = "untitled.hip"
        self._new = True
        self._saved = 0

    def name(self):
        """The path of the file."""
        return self._path

    def path(self):
        """The path of the file."""
        return self._path

    def basename(self):
        """The last part of the path."""
        return self._path.replace("\\", "/").rsplit("/", 1)[-1]

    def isNewFile(self):
        """Whether the scene was never saved."""
        return self._new

    def setName(self, name):
        """Changes the path without saving."""
        self._path = name

    def save(self, file_name=None):
        """Pretends to save."""
        if file_name is not None:
            self._path = file_name
        if not self._path.endswith((".hip", ".hiplc", ".hipnc")):
            raise OperationFailed("%s is not the name of a hip file." % self._path)
        self._new = False
        self._saved += 1

    def saveCount(self):
        """How often the scene was saved."""
        return self._saved


class _MainContext(object):
    """Whose time and variables a call from another thread sees.

    In Houdini the calls of an RPC server's thread are bracketed by a copy from the main
    thread and one back to it. Here each thread has a frame of its own in between.
    """

    def __init__(self):
        self.frame = 1.0
        self.from_main = 0
        self.to_main = 0
        self.lock = threading.Lock()
        self.own = threading.local()


_context = _MainContext()
_root = Node(None, "root", "")
_root._children["obj"] = _ObjectManager(_root, "obj", "obj")
_root._children["obj"].createNode("geo", "sphere1").createNode("sphere", "sphere1")
_root._children["obj"].createNode("geo", "box1").createNode("box", "box1")
_root._children["obj"].createNode("cam", "cam1")
hipFile = HipFile()


def node(path):
    """The node at a path, or None if there is none."""
    return _root.node(path)


def parm(path):
    """The parameter at a path, or None if there is none."""
    owner, _, name = path.rpartition("/")
    found = _root.node(owner or "/")
    return found.parm(name) if found is not None else None


def frame():
    """The current frame as the calling thread sees it."""
    return getattr(_context.own, "frame", _context.frame)


def setFrame(value):
    """Moves the calling thread to a frame."""
    _context.own.frame = float(value)


def _syncFromMainContext():
    """Gives the calling thread the frame of the main thread."""
    with _context.lock:
        _context.from_main += 1
        _context.own.frame = _context.frame


def _syncToMainContext():
    """Gives the main thread the frame of the calling thread."""
    with _context.lock:
        _context.to_main += 1
        _context.frame = frame()


def _syncCounts():
    """How often each of the two was called."""
    return _context.from_main, _context.to_main
