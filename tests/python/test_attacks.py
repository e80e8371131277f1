"""Clients that want more than their role gives, against real servers.

Each attack is tried twice in each version of rpyc: on a server that nothing protects, where it
must succeed (otherwise it would prove nothing), and through agent and guard in both narrow
roles, where it must be denied and written down, or end its session with a reason, and where
nothing may have happened in the server. ``control="none"`` marks what rpyc refuses by itself.
"""

import collections
import contextlib
import itertools
import json
import struct
import time
import zlib

import pytest

import attack
import harness
import needs
from attack import Boxed, Ended, Mine, Raw, Ref, Refused, Session

VERSIONS = ["4.1.0", "4.1.5", "5.3.1", "6.0.2"]
#: One of each family.
FAMILIES = ["4.1.0", "6.0.2"]
ROLES = ["read-only", "read-numeric"]

#: A module that the server could import, and which tells that it was.
TELLTALE = "import os\nopen(os.environ['TELLTALE'], 'w').close()\n"

#: What the state of the server is known by. A change that an attack has made shows here.
STATE = """(lambda hou: repr((
    sorted(vars(hou)), hou._root.name(), hou._context.frame, hou.hipFile._saved, hou.hipFile._path,
    [(n.path(), sorted(vars(n)), len(n._callbacks), [(p.path(), p._value) for p in n.parms()])
     for n in (lambda walk: walk(walk, hou._root))(
         lambda walk, n: [n] + [m for c in n.children() for m in walk(walk, c)])],
    [sorted(vars(c)) for c in (hou.Node, hou.ObjNode, hou.Parm, hou.HipFile)],
)))(__import__('hou'))"""

Attack = collections.namedtuple("Attack", "run outcome control roles versions")
ATTACKS = {}


def attack_of(name=None, outcome="denied", control="works", roles=None, versions=None):
    """Adds an attack. It gives something true when it has reached what it wanted."""

    def add(function):
        key = name or function.__name__
        assert key not in ATTACKS, key
        ATTACKS[key] = Attack(function, outcome, control, roles or ROLES, versions or VERSIONS)
        return function

    return add


class Aim:
    """What an attack wants: that a file is made by the server."""

    def __init__(self, path):
        self.path = str(path)
        self.expression = "open(%r, 'w').close()" % self.path
        self._file = path

    def reached(self):
        """Is the file there?"""
        return self._file.exists()


# The service.


@attack_of()
def execute(s, aim):
    s.call(s.held("execute"), aim.expression)
    return aim.reached()


@attack_of()
def evaluate(s, aim):
    s.call(s.held("eval"), aim.expression)
    return aim.reached()


@attack_of()
def evaluate_by_its_operator(s, aim):
    s.operator(s.held("eval"), "__call__", aim.expression)
    return aim.reached()


@attack_of()
def execute_asked_of_the_service_in_one(s, aim):
    s.operator(s.root(), "execute", aim.expression)
    return aim.reached()


@attack_of()
def getmodule_asked_of_the_service_in_one(s, aim):
    s.method(s.operator(s.root(), "getmodule", "os"), "mkdir", aim.path)
    return aim.reached()


@attack_of()
def module_os(s, aim):
    s.method(s.module("os"), "mkdir", aim.path)
    return aim.reached()


@attack_of(control="none")
def module_os_as_a_tuple(s, aim):
    s.method(s.module(("os",)), "mkdir", aim.path)
    return aim.reached()


@attack_of()
def module_os_by_keyword(s, aim):
    s.method(s.call(s.held("getmodule"), kwargs=(("name", "os"),)), "mkdir", aim.path)
    return aim.reached()


@attack_of(outcome="either")
def module_os_after_hou_by_keyword_twice(s, aim):
    pairs = (("name", "hou"), ("name", "os"))
    s.method(s.call(s.held("getmodule"), kwargs=pairs), "mkdir", aim.path)
    return aim.reached()


@attack_of()
def module_os_by_the_operator_of_getmodule(s, aim):
    s.method(s.operator(s.held("getmodule"), "__call__", "os"), "mkdir", aim.path)
    return aim.reached()


@attack_of()
def the_globals_of_getmodule(s, aim):
    opener = s.chain(s.held("getmodule"), "__func__", "__globals__", "[__builtins__]", "[open]")
    s.call(opener, aim.path, "w")
    return aim.reached()


@attack_of()
def builtins_that_may_be_held(s, aim):
    s.call(s.get(s.module("builtins"), "open"), aim.path, "w")
    return aim.reached()


@attack_of()
def getconn(s, aim):
    return s.method(s.root(), "getconn")


@attack_of()
def conn_of_the_service(s, aim):
    s.method(s.chain(s.root(), "_conn", "_local_root"), "execute", aim.expression)
    return aim.reached()


@attack_of()
def config_of_the_connection(s, aim):
    return s.chain(s.root(), "_conn", "_config", "[allow_pickle]") is True


@attack_of()
def class_of_the_service(s, aim):
    return s.chain(s.root(), "__class__", "__init__", "__globals__")


@attack_of()
def namespace_item(s, aim):
    s.operator(s.held("namespace"), "__setitem__", "mine", 1)
    return s.operator(s.held("namespace"), "__getitem__", "mine") == 1


@attack_of()
def namespace_attribute(s, aim):
    return s.method(s.held("namespace"), "clear") is None


@attack_of()
def namespace_in_pieces(s, aim):
    s.ask(attack.BUFFITER, s.held("namespace"), 10)
    return True


@attack_of()
def eval_held_against_a_node(s, aim):
    s.ask(attack.CMP, s.node(), s.held("eval"), "__eq__")
    return True


@attack_of()
def eval_as_an_event_callback(s, aim):
    node = s.node()
    s.method(node, "addEventCallback", (), s.held("eval"))
    s.method(node, "removeAllEventCallbacks")
    return True


@attack_of()
def eval_by_a_ping(s, aim):
    s.call(s.ask(attack.PING, s.held("eval")), aim.expression)
    return aim.reached()


@attack_of()
def eval_in_a_tuple_by_a_ping(s, aim):
    s.call(s.ask(attack.PING, ("x", (s.held("eval"), 1)))[1][0], aim.expression)
    return aim.reached()


# Python behind an object.

for _name in ["__class__", "__init__", "__reduce__", "__reduce_ex__", "__getattribute__",
              "__dict__", "__module__", "__setattr__", "__subclasshook__", "__dir__",
              "__format__", "__init_subclass__", "__weakref__", "__new__", "_parent"]:
    attack_of("attribute_%s_of_a_node" % _name)(
        lambda s, aim, name=_name: s.ask(attack.GETATTR, s.node(), name) or True
    )
for _name in ["__globals__", "__code__", "__builtins__", "__closure__", "__defaults__", "__call__",
              "__get__", "__class__", "__dict__", "__kwdefaults__", "__wrapped__"]:
    attack_of("attribute_%s_of_a_function" % _name,
              control="none" if _name == "__wrapped__" else "works")(
        lambda s, aim, name=_name: s.ask(attack.GETATTR, s.get(s.hou(), "node"), name) or True
    )
for _name in ["__func__", "__self__", "__class__", "__reduce__"]:
    attack_of("attribute_%s_of_a_method" % _name)(
        lambda s, aim, name=_name: s.get(s.get(s.node(), "path"), name)
    )
for _name in ["__subclasses__", "__mro__", "mro", "__bases__", "__base__", "__dict__",
              "__init__", "__new__", "__call__"]:
    attack_of("attribute_%s_of_a_class" % _name)(
        lambda s, aim, name=_name: s.get(s.get(s.hou(), "Node"), name)
    )


@attack_of()
def globals_of_a_function(s, aim):
    node = s.get(s.hou(), "node")
    opener = s.chain(node, "__globals__", "[__builtins__]", "[open]")
    s.call(opener, aim.path, "w")
    return aim.reached()


@attack_of()
def builtins_of_hou(s, aim):
    s.call(s.chain(s.hou(), "__builtins__", "[open]"), aim.path, "w")
    return aim.reached()


@attack_of()
def dict_of_hou(s, aim):
    s.call(s.chain(s.hou(), "__dict__", "[__builtins__]", "[open]"), aim.path, "w")
    return aim.reached()


@attack_of()
def a_module_that_hou_has(s, aim):
    system = s.chain(s.hou(), "threading", "_sys", "modules", "[os]")
    s.method(system, "mkdir", aim.path)
    return aim.reached()


@attack_of()
def loader_of_hou(s, aim):
    s.method(s.get(s.hou(), "__loader__"), "get_data", s.get(s.hou(), "__file__"))
    return True


@attack_of()
def subclasses_of_object(s, aim):
    base = s.chain(s.node(), "__class__", "__base__", "__base__")
    return s.method(base, "__subclasses__")


@attack_of()
def unbound_method_of_a_class(s, aim):
    setter = s.chain(s.hou(), "Parm", "set")
    parm = s.parm("/obj/box1/ty")
    s.call(setter, parm, 7.5)
    return s.method(parm, "eval") == 7.5


@attack_of()
def a_class_is_called(s, aim):
    return s.call(s.chain(s.hou(), "HipFile"))


# Operators with names.

for _name, _args in [("__getattribute__", ("_parent",)), ("__reduce_ex__", (2,)), ("__dir__", ()),
                     ("__setattr__", ("planted", 1)), ("__class__", ()), ("__format__", ("",)),
                     ("__sizeof__", ()), ("createNode", ("geo",)), ("__init_subclass__", ())]:
    attack_of("operator_%s" % _name, control="none" if _name == "__class__" else "works")(
        lambda s, aim, name=_name, args=_args: (
            s.operator(s.node("/obj"), name, *args) or True
        )
    )


@attack_of(outcome="either")
def format_on_a_text(s, aim):
    return "module" in s.operator("{0.__init__.__globals__}", "format", s.node())


@attack_of(outcome="either")
def format_on_a_text_by_a_comparison(s, aim):
    text = s.ask(attack.CMP, "{0.__init__.__globals__[threading]}", s.node(), "format")
    return "module" in text


@attack_of(outcome="either")
def format_map_on_a_text(s, aim):
    with contextlib.suppress(Refused):
        s.operator("{mine}", "format_map", Mine())
    return bool(s.asked)


@attack_of(outcome="either")
def attribute_of_a_text(s, aim):
    return s.get("text", "format")


@attack_of(outcome="either")
def attribute_of_a_number_that_is_a_class(s, aim):
    return s.chain(1, "__class__", "__base__")


for _name, _other in [("__getattribute__", "_parent"), ("__format__", ""),
                      ("__delattr__", "_type_name"),
                      ("__reduce_ex__", 2), ("createNode", "geo"), ("addEventCallback", None)]:
    attack_of("comparison_%s" % _name, outcome="either",
              control="none" if _other is None else "works")(
        lambda s, aim, name=_name, other=_other: (
            s.ask(attack.CMP, s.node("/obj"), other, name) is not Ellipsis
        )
    )


@attack_of(outcome="either")
def comparison_that_calls(s, aim):
    s.ask(attack.CMP, s.held("eval"), aim.expression, "__call__")
    return aim.reached()


@attack_of(outcome="either")
def comparison_that_gets_an_item(s, aim):
    return s.ask(attack.CMP, s.get(s.hou(), "__all__"), 0, "__getitem__") == "Error"


@attack_of(outcome="either")
def slicing_with_a_name_to_fall_back_to(s, aim):
    namespace = s.held("namespace")
    builtins = s.module("builtins")
    s.ask(attack.OLDSLICING, builtins, "none", "exec", aim.expression, namespace, ())
    return aim.reached()


@attack_of(outcome="either")
def slicing_of_a_node(s, aim):
    s.ask(attack.OLDSLICING, s.node("/obj"), "none", "createNode", "geo", "sliced", ())
    return True


@attack_of()
def pickled_node(s, aim):
    return isinstance(s.ask(attack.PICKLE, s.node(), 2), bytes)


@attack_of(outcome="either")
def pickled_text(s, aim):
    return isinstance(s.ask(attack.PICKLE, "text", 2), bytes)


@attack_of()
def names_of_eval(s, aim):
    return s.ask(attack.DIR, s.held("eval"))


@attack_of()
def text_of_the_namespace(s, aim):
    return s.ask(attack.REPR, s.held("namespace"))


@attack_of()
def ten_billion_items(s, aim):
    method = s.get(s.node("/obj"), "children")
    s.ask(attack.BUFFITER, s.get(s.hou(), "__all__"), 10**10)
    return method


# Objects of the client.


def gives(wrap):
    """Gives a method that may be called an object of the client, as ``wrap`` has it."""

    def run(s, aim):
        try:
            wrap(s, s.get(s.hou(), "node"))
        except Refused as error:
            if error.by_guard and not s.asked:
                raise
        except Ended:
            if not s.asked:
                raise
        # Whatever the server said of it: it has got it.
        return True

    return run


attack_of("a_dict_of_the_client")(gives(lambda s, f: s.method(s.node(), "setParms", Mine())))
attack_of("a_function_of_the_client_as_a_callback")(
    gives(lambda s, f: s.method(
        s.node(), "addEventCallback", (), Mine(("builtins.function", 1, 2))))
)
attack_of("an_object_of_the_client_held_against_a_node")(
    gives(lambda s, f: s.ask(attack.CMP, s.node(), Mine(("hou.Node", 1, 2)), "__eq__"))
)
attack_of("an_exception_of_the_client_at_an_exit")(
    gives(lambda s, f: s.ask(attack.CTXEXIT, s.node(), Mine(("builtins.ValueError", 1, 2))))
)
attack_of("an_object_of_the_client_by_a_ping")(gives(lambda s, f: s.ask(attack.PING, Mine())))
attack_of("an_object_of_the_client")(gives(lambda s, f: s.call(f, Mine())))
attack_of("an_object_of_the_client_in_a_tuple")(gives(lambda s, f: s.call(f, (1, Mine()))))
attack_of("an_object_of_the_client_five_tuples_down")(
    gives(lambda s, f: s.call(f, (((((Mine(),),),),),)))
)
attack_of("an_object_of_the_client_by_keyword")(
    gives(lambda s, f: s.call(f, kwargs=(("path", Mine()),)))
)
attack_of("a_function_as_argument")(gives(lambda s, f: s.call(f, f)))
attack_of("eval_as_argument")(gives(lambda s, f: s.call(f, s.held("eval"))))
attack_of("eval_five_tuples_down_as_argument")(
    gives(lambda s, f: s.call(f, (((((s.held("eval"),),),),),)))
)
attack_of("eval_behind_a_plain_tuple_as_argument")(
    gives(lambda s, f: s.call(f, ((1, 2), ((3, 4), (5, s.held("eval"))))))
)
attack_of("a_class_as_argument")(gives(lambda s, f: s.call(f, s.get(s.hou(), "Node"))))
attack_of("arguments_that_are_an_object_of_the_client", outcome="either")(
    gives(lambda s, f: s.ask(attack.CALL, f, Mine(("builtins.tuple", 1, 2)), ()))
)
attack_of("keywords_that_are_an_object_of_the_client", outcome="either")(
    gives(lambda s, f: s.ask(attack.CALL, f, ("/obj",), Mine(("builtins.tuple", 1, 2))))
)
attack_of("arguments_that_are_an_object_of_the_server", outcome="either")(
    gives(lambda s, f: s.ask(attack.CALL, f, s.get(s.hou(), "__all__"), ()))
)


# Attributes.


@attack_of()
def set_an_attribute_of_hou(s, aim):
    s.ask(attack.SETATTR, s.hou(), "planted", 1)
    return s.get(s.hou(), "planted") == 1


@attack_of()
def replace_a_function_of_hou(s, aim):
    s.ask(attack.SETATTR, s.hou(), "OperationFailed", Mine(("builtins.function", 1, 2)))
    return True


@attack_of()
def set_an_attribute_of_a_node(s, aim):
    s.ask(attack.SETATTR, s.node(), "_type_name", "other")
    return s.method(s.node(), "type") == "other"


@attack_of()
def delete_an_attribute_of_hou(s, aim):
    s.ask(attack.DELATTR, s.hou(), "ObjectWasDeleted")
    return True


@attack_of(control="none")
def set_an_attribute_of_the_service(s, aim):
    s.ask(attack.SETATTR, s.root(), "planted", 1)
    return True


# Writing.


@attack_of(roles=["read-only"])
def write_a_number(s, aim):
    parm = s.parm("/obj/sphere1/tx")
    s.method(parm, "set", 4.5)
    return s.method(parm, "eval") == 4.5


@attack_of(roles=["read-only"])
def write_a_number_by_the_operator(s, aim):
    parm = s.parm("/obj/sphere1/tx")
    s.operator(parm, "set", 5.5)
    return s.method(parm, "eval") == 5.5


@attack_of(outcome="either", roles=["read-only"])
def write_a_number_by_a_comparison(s, aim):
    parm = s.parm("/obj/sphere1/tx")
    s.ask(attack.CMP, parm, 6.5, "set")
    return s.method(parm, "eval") == 6.5


@attack_of()
def write_a_text(s, aim):
    parm = s.parm("/obj/sphere1/note")
    s.method(parm, "set", "`rm`")
    return s.method(parm, "eval") == "`rm`"


@attack_of()
def write_a_text_by_keyword(s, aim):
    parm = s.parm("/obj/sphere1/note")
    s.call(s.get(parm, "set"), kwargs=(("value", "keyword"),))
    return s.method(parm, "eval") == "keyword"


def writes_twice(first, second):
    """Gives ``set`` the same keyword twice. Python takes the last."""

    def run(s, aim):
        parm = s.parm("/obj/sphere1/note")
        s.call(s.get(parm, "set"), kwargs=(("value", first), ("value", second)))
        return s.method(parm, "eval") == second

    return run


attack_of("write_a_text_by_keyword_behind_a_number", outcome="either")(writes_twice(2.0, "twice"))


@attack_of(control="none")
def write_a_text_in_a_tuple(s, aim):
    return s.method(s.parm("/obj/sphere1/note"), "set", (1.0, "text")) or True



@attack_of(control="none")
def write_bytes(s, aim):
    return s.method(s.parm("/obj/sphere1/note"), "set", b"text") or True


@attack_of(outcome="either", control="none")
def write_a_text_by_a_keyword_in_bytes(s, aim):
    parm = s.parm("/obj/sphere1/note")
    s.call(s.get(parm, "set"), kwargs=((b"value", "bytes"),))
    return s.method(parm, "eval") == "bytes"


@attack_of()
def create_a_node(s, aim):
    return s.method(s.node("/obj"), "createNode", "geo")


@attack_of()
def destroy_a_node(s, aim):
    return s.method(s.node("/obj/cam1"), "destroy") is None


@attack_of()
def rename_a_node(s, aim):
    return s.method(s.node("/obj/box1"), "setName", "box1_renamed") is None


@attack_of()
def save_the_scene(s, aim):
    return s.method(s.get(s.hou(), "hipFile"), "save", "other.hip") is None


@attack_of()
def move_the_time(s, aim):
    return s.method(s.hou(), "setFrame", 24.0) is None


@attack_of()
def private_function_of_hou(s, aim):
    return s.method(s.hou(), "_syncCounts")


# Names that look like others.

for _name in ["path ", " path", "path.", "path\0", "pat\u04bb", "\uff50ath", "path\u200b", "",
              "__class__ ",
              "node.__globals__", "path\n", "PATH", "\ufeffpath", "_\u005fclass__\u0301"]:
    attack_of("name_%s" % ascii(_name), control="none")(
        lambda s, aim, name=_name: s.get(s.node(), name)
    )
for _name in ["hou ", "hou.", ".hou", "HOU", "h\u03bfu", "\uff48ou", "hou\0", "os.path",
              "hou.session",
              "hou.threading", "hou/../os", "builtins.open", "importlib", "importlib.util.os", ""]:
    attack_of("module_%s" % ascii(_name),
              control="works" if _name in ("os.path", "importlib") else "none")(
        lambda s, aim, name=_name: s.module(name)
    )


# Names, labels and numbers of other types.


def altered(make, **options):
    """A request that asks for ``hou.__builtins__`` in a form that no client sends."""

    def run(s, aim):
        hou = s.hou()
        s.send(make(s, hou, s.next_seq()))
        return s.answer(s.seq)

    return attack_of(outcome="ends", **options)(run)


def number(text):
    """A number as rpyc reads it, in digits of one's own."""
    text = text.encode() if isinstance(text, str) else text
    return Raw(b"\x16" + bytes([len(text)]) + text)


def getattr_as(s, hou, seq, handler=attack.GETATTR, tuple_label=attack.TUPLE, ref=attack.LOCAL,
               value=attack.VALUE, pack=None, name="__builtins__"):
    """``GETATTR`` of ``hou``, with each part to be replaced."""
    pack = hou.pack if pack is None else pack
    return s.payload(attack.REQUEST, seq, (
        handler, (tuple_label, ((ref, pack), (value, name)))))


ODD = [
    ("float", float),
    ("plus", lambda value: number("+%d" % value)),
    ("blank", lambda value: number(" %d " % value)),
    ("zero", lambda value: number("0%d" % value)),
    ("long", lambda value: Raw(b"\x17" + struct.pack("!I", len(str(value))) + str(value).encode())),
    ("digits", lambda value: number("%d" % value)),
    ("score", lambda value: number("0_%d" % value)),
    ("complex", lambda value: complex(value, 0)),
]

for _name, _odd in ODD:
    altered(lambda s, hou, seq, odd=_odd: getattr_as(s, hou, seq, handler=odd(attack.GETATTR)),
            name="handler_as_%s" % _name)
    altered(lambda s, hou, seq, odd=_odd: getattr_as(s, hou, seq, ref=odd(attack.LOCAL)),
            name="label_as_%s" % _name)

for _name, _odd in ODD:
    if _name in ("digits", "zero"):
        # That is how an id is written.
        continue

    def _id(s, hou, seq, odd=_odd):
        if odd is float and any(int(float(field)) != field for field in hou.pack[1:]):
            odd = complex
        return getattr_as(s, hou, seq, pack=(hou.pack[0], odd(hou.pack[1]), odd(hou.pack[2])))

    altered(_id, name="id_as_%s" % _name)

altered(lambda s, hou, seq: getattr_as(s, hou, seq, value=True), name="label_as_true")
altered(lambda s, hou, seq: getattr_as(s, hou, seq, name=b"__builtins__"), name="name_as_bytes")
altered(lambda s, hou, seq: s.message(attack.CALLATTR, hou, b"__getattribute__",
                                      ("__builtins__",), (), seq=seq),
        name="operator_as_bytes", control="none")
altered(lambda s, hou, seq: s.message(attack.GETATTR, Boxed(attack.LOCAL, hou.pack[:2]),
                                      "__builtins__", seq=seq), name="id_of_two", control="none")
altered(lambda s, hou, seq: s.message(attack.GETATTR, Boxed(attack.LOCAL, hou.pack[2]),
                                      "__builtins__", seq=seq), name="id_of_the_old_family",
        control="none")
altered(lambda s, hou, seq: s.message(attack.GETATTR, Boxed(5, hou.pack), "__builtins__", seq=seq),
        name="label_unknown", control="none")
altered(lambda s, hou, seq: s.message(21, hou, "__builtins__", seq=seq), name="handler_unknown",
        control="none")
altered(lambda s, hou, seq: s.message(attack.GETATTR, hou, "__builtins__", None, seq=seq),
        name="one_argument_too_many", control="none")
altered(lambda s, hou, seq: s.message(attack.GETATTR, hou, "__builtins__", seq=seq) + b"\x00",
        name="bytes_behind_the_message")
altered(lambda s, hou, seq: s.message(attack.GETATTR, hou,
                                      Raw(b"\x08\x0f\x00\x00\x00\x0c__builtins__"), seq=seq),
        name="a_text_longer_than_needed")
altered(lambda s, hou, seq: s.message(attack.GETATTR, hou, Raw(b"\x08\x0e\x0c__builtins__"),
                                      seq=float(seq)), name="number_as_float")


@attack_of(outcome="ends", versions=["4.1.0", "4.1.5", "5.3.1"])
def kind_as_float(s, aim):
    hou = s.hou()
    seq = s.next_seq()
    request = (attack.GETATTR, (attack.TUPLE, ((attack.LOCAL, hou.pack), (1, "__builtins__"))))
    s.send(attack.dump((1.0, seq, request)))
    return s.answer(seq)


@attack_of(outcome="ends")
def bytes_behind_the_zlib_stream(s, aim):
    request = s.message(attack.GETATTR, s.hou(), "__builtins__")
    s.send(request, packed=True, tail=b"\x01\x02\x03")
    return s.answer(s.seq)


@attack_of(outcome="ends")
def a_second_zlib_stream(s, aim):
    request = s.message(attack.GETATTR, s.hou(), "__builtins__")
    s.send(request, packed=True, tail=zlib.compress(b"more"))
    return s.answer(s.seq)


@attack_of(outcome="ends")
def a_flag_of_two(s, aim):
    data = zlib.compress(s.message(attack.GETATTR, s.hou(), "__builtins__"))
    s.write(struct.pack("!LB", len(data), 2) + data + b"\n")
    return s.answer(s.seq)


@attack_of(outcome="ends")
def another_flush_byte(s, aim):
    data = s.message(attack.GETATTR, s.hou(), "__builtins__")
    s.write(struct.pack("!LB", len(data), 0) + data + b"\0")
    return s.answer(s.seq)


@attack_of(outcome="ends")
def the_same_number_twice(s, aim):
    hou = s.hou()
    seq = s.next_seq()
    first = s.message(attack.GETATTR, hou, "frame", seq=seq)
    second = s.message(attack.GETATTR, hou, "hipFile", seq=seq)
    s.send(first, second)
    s.answer(seq)
    return s.answer(seq)


@attack_of(outcome="ends")
def a_number_again(s, aim):
    hou = s.hou()
    seq = s.seq
    s.send(s.message(attack.GETATTR, hou, "frame", seq=seq))
    return s.answer(seq)


# Answers that nobody has asked for.


def unasked(body, kind):
    """Sends an answer, and a ping behind it."""

    def run(s, aim):
        s.root()
        answer = s.payload(kind, 77, body(aim))
        with contextlib.suppress(Ended, Refused):
            s.send(answer)
            s.ask(attack.PING, "x")
        if aim.reached() or s.asked:
            return True
        s.ask(attack.PING, "x")
        return False

    return run


def naming(module):
    """An exception of a module."""
    return lambda aim: ((module, "Boom"), (), (), "")


attack_of("an_exception_that_names_a_module", outcome="ends")(
    unasked(naming("telltale"), attack.EXCEPTION)
)
attack_of("an_answer_with_an_object", outcome="ends")(
    unasked(lambda aim: (attack.REMOTE, ("other.Thing", 3, 4)), attack.REPLY)
)
attack_of("an_answer_that_nobody_awaits", outcome="ends", control="none")(
    unasked(lambda aim: (attack.VALUE, 1), attack.REPLY)
)


# Objects that are no more, or never were.


def reuse(hurried, count=30, rounds=60):
    """Has methods that may be called freed, and hopes that ``eval`` gets the id of one.

    ``hurried`` calls them before the guard has seen what became of them.
    """

    def run(s, aim):
        node, root = s.node(), s.root()
        refused = None
        for turn in range(rounds):
            methods = [s.get(node, "path") for _ in range(count)]
            drops = [s.message(attack.DEL, method, 1) for method in methods]
            first = s.seq + 1
            fetches = [s.message(attack.GETATTR, root, "eval") for _ in methods]
            s.send(*drops, *fetches)
            if not hurried:
                found = [s.answer(seq).pack for seq in range(first, first + count)]
                methods = [method for method in methods if method.pack in found]
            first = s.seq + 1
            s.send(*[s.message(attack.CALL, one, (aim.expression,), ()) for one in methods])
            for seq in range(first, first + len(methods)):
                refused = denial(s, seq) or refused
            if aim.reached():
                return True
            if refused is not None and turn >= 5:
                raise refused
        return False

    return run


def denial(s, seq):
    """The guard's denial of a request, if it is one."""
    try:
        s.answer(seq)
    except Refused as error:
        return error if error.by_guard else None
    return None


attack_of("a_freed_id", outcome="either")(reuse(False))
attack_of("a_freed_id_before_the_answer", outcome="either")(reuse(True))


@attack_of(outcome="either", control="none")
def an_id_freed_before_the_guard_has_seen_it(s, aim):
    """Guesses which id a method will have, and drops it before the answer is there."""
    node, root = s.node(), s.root()
    seen, refused, count = collections.Counter(), None, 16
    for _ in range(25):
        guesses = [pack for pack, _ in seen.most_common(count)]
        fetches = [s.message(attack.GETATTR, node, "path") for _ in range(count)]
        first = s.seq - count + 1
        drops = [s.message(attack.DEL, Ref(pack), 1) for pack in guesses]
        forbidden = [s.message(attack.GETATTR, root, "eval") for _ in range(count)]
        calls = [s.message(attack.CALL, Ref(pack), (aim.expression,), ()) for pack in guesses]
        s.send(*fetches)
        s.send(*drops, *forbidden)
        got = [s.answer(seq).pack for seq in range(first, first + count)]
        s.send(*calls)
        for seq in range(first + count, s.seq + 1):
            refused = denial(s, seq) or refused
        if aim.reached():
            return True
        for pack in got:
            seen[pack] += 1
            if pack not in guesses:
                with contextlib.suppress(Refused):
                    s.ask(attack.DEL, Ref(pack), 1)
    if refused is not None:
        raise refused
    return False


@attack_of(outcome="either", control="none")
def a_freed_object(s, aim):
    node = s.node()
    method = s.get(node, "path")
    s.ask(attack.DEL, method, 1)
    return s.call(method)


for _count in [0, -1, -(2**70), 2, 10**6, 2**70, 1.0, True, None, "1"]:
    def _drop(s, aim, count=_count):
        node = s.node()
        s.ask(attack.DEL, node, count)
        return True

    attack_of("drop_%s" % repr(_count).strip("'"), outcome="ends",
              control="none" if _count in (None, "1", 2**70) else "works")(_drop)


@attack_of(outcome="either", control="none")
def drop_what_was_never_given(s, aim):
    return s.ask(attack.DEL, Ref(("hou.ObjNode", 1, 2)), 1) is None


@attack_of(outcome="either", control="none")
def an_id_that_was_never_given(s, aim):
    return s.get(Ref(("hou.ObjNode", 94000000000000, 140000000000000)), "path")


@attack_of(outcome="either", control="none")
def inspect_what_was_never_given(s, aim):
    return s.ask(attack.INSPECT, ("hou.ObjNode", 94000000000000, 140000000000000))


@attack_of(outcome="either", control="none")
def the_id_of_an_object_with_another_class(s, aim):
    function = s.held("eval")
    return s.call(Ref(("builtins.function",) + tuple(function.pack[1:])), aim.expression)


@attack_of(outcome="either", control="none")
def an_id_of_another_session(s, aim):
    with Session(s.sock.getpeername()[1], s.six) as other:
        node = other.node()
        return s.method(node, "path")


# No rpyc.


def sends(data, alone=False):
    """Sends bytes in the middle of a session; ``alone`` closes the sending half behind them."""

    def run(s, aim):
        s.root()
        s.write(data)
        end = time.monotonic() + attack.PATIENCE
        while time.monotonic() < end:
            s._receive()
        return True

    return run


for _name, _data in [
    ("tls", bytes.fromhex("16030100c8010000c40303") + bytes(189)),
    ("http", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b"x" * 64),
    ("noise", bytes((i * 37 + 11) % 251 for i in range(400))),
    ("an_empty_frame", b"\0\0\0\0\0\n"),
    ("a_frame_of_garbage", attack.frame(b"\xff" * 40)),
    ("no_zlib", struct.pack("!LB", 40, 1) + b"\xff" * 40 + b"\n"),
    ("deep_nesting", attack.frame(b"\x12\x51\x51" + b"\x10" * 90000 + b"\x00")),
    ("deep_nesting_of_rpyc_6", attack.frame(b"\x01\x11\x51" + b"\x10" * 90000 + b"\x00")),
    ("a_tuple_of_four_billion", attack.frame(b"\x12\x51\x51\x15\xff\xff\xff\xff\x00")),
    ("a_text_of_four_billion", attack.frame(b"\x12\x51\x51\x11\x51\x0f\xff\xff\xff\xffx")),
    ("a_number_of_a_million_digits",
     attack.frame(b"\x12\x51\x17" + struct.pack("!I", 900000) + b"9" * 900000)),
]:
    attack_of("bytes_of_%s" % _name, outcome="ends", control="none")(sends(_data))


@attack_of(outcome="ends", control="none")
def the_other_family_in_the_middle(s, aim):
    s.root()
    s.six = not s.six
    return s.ask(attack.GETROOT)


@attack_of(outcome="ends", control="none")
def threads_in_the_middle(s, aim):
    s.root()
    s.send(struct.pack("!QQ", 1, 0) + s.message(attack.GETROOT))
    return s.answer(s.seq)


# Requests within requests, and at once.


@attack_of()
def many_at_once(s, aim):
    hou = s.hou()
    first = s.seq + 1
    s.send(*[s.message(attack.GETATTR, hou, "__builtins__") for _ in range(50)])
    found = 0
    refused = None
    for seq in range(first, first + 50):
        try:
            s.answer(seq)
            found += 1
        except Refused as error:
            refused = error
    if refused is not None and not found:
        raise refused
    return found == 50


@attack_of()
def a_guess_before_the_answer(s, aim):
    """Uses an object before the guard can know what it is."""
    root = s.root()
    function = s.get(root, "eval")
    s.send(
        s.message(attack.GETATTR, root, "eval"),
        s.message(attack.CALL, function, (aim.expression,), ()),
    )
    s.answer(s.seq - 1)
    s.answer(s.seq)
    return aim.reached()


# The tests.


class Target:
    """A server behind a guard, another that nothing protects, and an eye on each."""

    def __init__(self, machine, version, folder):
        self.six = version.startswith("6")
        self.folder = folder
        self._numbers = itertools.count(1)
        self._stack = contextlib.ExitStack()
        (folder / "telltale.py").write_text(TELLTALE, encoding="utf-8")
        self.bare = self._server(machine, version, "bare")
        self.server = self._server(machine, version, "guarded")
        self.site = self._stack.enter_context(harness.Site(machine))
        self.site.start_guard("127.0.0.1:%d" % self.server.port)
        self.agents = {role: self.site.bring_in(role, role=role) for role in ROLES}
        self.honest = self._stack.enter_context(self.session(ROLES[0]))
        self.eye = self._stack.enter_context(Session(self.server.port, self.six))
        self.eval = self.eye.held("eval")
        self.state = self.look()

    def _server(self, machine, version, name):
        moved = machine.moved(
            "env", "PYTHONPATH=%s" % self.folder, "PYTHONDONTWRITEBYTECODE=1",
            "TELLTALE=%s" % self.telltale(name))
        return self._stack.enter_context(moved.server(version))

    def telltale(self, name):
        """The file that the telltale module writes."""
        return self.folder / ("telltale-" + name)

    def look(self):
        """The state of the server behind the guard."""
        return self.eye.call(self.eval, STATE)

    def aim(self, name=None):
        """A file that is not there yet."""
        if name is not None:
            return Aim(self.telltale(name))
        return Aim(self.folder / ("reached-%d" % next(self._numbers)))

    def bare_session(self):
        """A session with the server that nothing protects."""
        return Session(self.bare.port, self.six)

    def session(self, role):
        """A session with the guarded one."""
        return Session(self.agents[role].port, self.six)

    def audited(self):
        """How much of the log of calls there is, in whole lines."""
        path = self.site.seen_state / "audit" / "calls.jsonl"
        return path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0

    def calls_since(self, offset):
        """Records of calls after that."""
        path = self.site.seen_state / "audit" / "calls.jsonl"
        if not path.exists():
            return []
        with open(path, "rb") as file:
            file.seek(offset)
            lines = file.read().splitlines(keepends=True)
        found = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return [record for record in found if record["event"] == "call"]

    def close(self):
        """Ends all of it."""
        self._stack.close()


@pytest.fixture(scope="module")
def targets(request, machine, tmp_path_factory):
    """Makes a target for each version, once."""
    made = {}

    def get(version):
        if version not in made:
            made[version] = Target(machine, version, tmp_path_factory.mktemp("target"))
            request.addfinalizer(made[version].close)
        return made[version]

    return get


CASES = [
    pytest.param(version, name, id="%s-%s" % (version, name))
    for version in VERSIONS
    for name, one in ATTACKS.items()
    # What rpyc refuses by itself is the same in all of a family.
    if version in one.versions and (one.control == "works" or version in FAMILIES)
]


@pytest.mark.parametrize(("version", "name"), CASES)
def test_an_attack_is_refused_and_written_down(targets, version, name):
    """It succeeds on a bare server, and in no narrow role."""
    target, one = targets(version), ATTACKS[name]
    wants_module = "names_a_module" in name
    if one.control == "works":
        with target.bare_session() as session:
            aim = target.aim("bare" if wants_module else None)
            assert one.run(session, aim), "it does not work without a guard either"
    for role in one.roles:
        refused(target, one, role, target.aim("guarded" if wants_module else None))


def refused(target, one, role, aim):
    """Tries an attack in a role."""
    before = target.audited()
    ends_before = len(target.site.audit("closed"))
    with target.session(role) as session:
        error = None
        try:
            assert not one.run(session, aim), "it has worked in %s" % role
        except (Refused, Ended) as raised:
            error = raised
        assert not aim.reached(), "it has worked in %s" % role
        if isinstance(error, Refused):
            assert one.outcome in ("denied", "either"), "the session goes on: %s" % error
            assert error.by_guard, "the server has answered: %s" % error
            assert error.name in ("PermissionError", "AttributeError"), error
            assert_written(target, before, role, error)
            # The connection lives on.
            assert session.method(session.node(), "path") == "/obj/sphere1"
        else:
            assert one.outcome in ("ends", "either"), "%r, and not a denial" % error
            assert isinstance(error, Ended), "nothing came of it"
            assert_ended(target, ends_before, role)
    assert not target.telltale("guarded").exists()
    assert target.look() == target.state, "the server was changed"
    # And the guard is there for others.
    assert target.honest.ask(attack.PING, "honest") == "honest"


def assert_written(target, before, role, error):
    """The denials of an attack are in the audit, with what the client was told."""

    def find():
        records = [r for r in target.calls_since(before) if r["outcome"] == "denied"]
        return records if any(r["ref"] in error.message for r in records) else None

    records = harness.until("a record of %s" % error.message, find)
    for record in records:
        assert record["identity"].endswith("/" + role), record
        assert (record["role"], record["direction"]) == (role, "to-houdini"), record
        assert record["rule"] and record["call"], record
    told = [r for r in records if r["ref"] in error.message][0]
    assert told["rule"] in error.message and "/%s may" % role in "/" + error.message, error.message


def assert_ended(target, before, role):
    """A session has ended for what was sent in it."""
    log = target.site

    def find():
        ends = log.audit("closed")[before:]
        return [r for r in ends if r["role"] == role and r["reason"] == "session-protocol"]

    records = harness.until("the end of the session in the audit", find, 10)
    assert any(record.get("sentence") for record in records), records


# What takes memory and time.

MIB = 1 << 20


@pytest.fixture(scope="module", params=FAMILIES)
def target(request, targets):
    """A target of each family."""
    needs.linux()
    return targets(request.param)


def assert_well(target, before, most):
    """The guard has taken no more memory than that, and is there for others."""
    grown = attack.memory(target.site.guard.pid) - before
    assert grown < most, "the guard grew by %.1f MiB" % (grown / MIB)
    assert target.honest.method(target.honest.node(), "path") == "/obj/sphere1"
    with target.session("read-numeric") as session:
        assert session.ask(attack.PING, "honest") == "honest"


def test_a_bomb_is_not_inflated(target):
    """200 KB become 200 MB in a server, and end the session in the guard."""
    size = 200 * MIB
    with target.bare_session() as session:
        session.root()
        before = attack.weighed(target.bare.pid)
        session.send(bomb(session, size))
        session.answer(session.seq)
        assert attack.memory(target.bare.pid) - before > size / 2, "no bomb"
    before = attack.weighed(target.site.guard.pid)
    ends = len(target.site.audit("closed"))
    for role in ROLES:
        with target.session(role) as session:
            session.root()
            with pytest.raises(Ended):
                session.send(bomb(session, size))
                session.answer(session.seq)
    assert_ended(target, ends, "read-only")
    assert_ended(target, ends, "read-numeric")
    # It may inflate 16 MiB, in two sessions, and the memory allocator may keep it.
    assert_well(target, before, 48 * MIB)


def bomb(session, size):
    """A ping with that many zeros."""
    return session.message(attack.PING, Raw(b"\x0f" + struct.pack("!I", size) + bytes(size)))


def test_a_request_over_a_mebibyte_is_denied_and_not_kept(target):
    """64 MiB of it go by, and the session lives on."""
    before, audited = attack.weighed(target.site.guard.pid), target.audited()
    with target.session("read-only") as session:
        session.root()
        data = session.message(attack.PING, bytes(64 * MIB))
        session.write(struct.pack("!LB", len(data), 0) + data + b"\n")
        with pytest.raises(Refused) as denied:
            session.answer(session.seq)
        assert denied.value.by_guard, denied.value
        assert_written(target, audited, "read-only", denied.value)
        assert session.method(session.node(), "path") == "/obj/sphere1"
    assert_well(target, before, 8 * MIB)


def test_a_request_that_announces_four_gibibytes_takes_none(target):
    """It is denied when its head is there; what follows is not kept."""
    before, audited = attack.weighed(target.site.guard.pid), target.audited()
    with target.session("read-only") as session:
        session.root()
        data = session.message(attack.PING, bytes(8 * MIB))
        session.write(struct.pack("!LB", 0xFFFFFFFF, 0) + data)
        with pytest.raises((Refused, Ended)) as denied:
            session.answer(session.seq)
        if isinstance(denied.value, Refused):
            assert_written(target, audited, "read-only", denied.value)
    assert_well(target, before, 8 * MIB)


def test_halves_of_frames_take_no_more_than_their_own_size(target):
    """Thirty sessions that each begin a frame of a mebibyte and go no further."""
    before = attack.weighed(target.site.guard.pid)
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            session = stack.enter_context(target.session("read-only"))
            session.root()
            data = session.message(attack.PING, bytes(MIB - 64))
            session.write(struct.pack("!LB", len(data), 0) + data[: MIB // 2])
        time.sleep(0.2)
        assert_well(target, before, 30 * 2 * MIB)


def test_a_slow_frame_holds_up_nobody_and_is_judged(target):
    """One byte each 100 ms. What it asks is denied when it is there, and not before."""
    audited = target.audited()
    with target.session("read-only") as session:
        hou = session.hou()
        data = attack.frame(session.message(attack.GETATTR, hou, "__builtins__"))
        session.write(data[:-6])
        for byte in data[-6:]:
            assert target.honest.method(target.honest.node(), "path") == "/obj/sphere1"
            assert session.seq not in session.answers
            time.sleep(0.1)
            session.write(bytes([byte]))
        with pytest.raises(Refused) as denied:
            session.answer(session.seq)
        assert_written(target, audited, "read-only", denied.value)


def test_a_client_that_does_not_read_fills_no_memory(target):
    """Denials wait at the client's end, and then the guard takes no more requests."""
    before = attack.weighed(target.site.guard.pid)
    with target.session("read-only") as session:
        hou = session.hou()
        many = b"".join(
            attack.frame(session.message(attack.GETATTR, hou, "__builtins__"))
            for _ in range(2000)
        )
        session.sock.settimeout(0.5)
        with contextlib.suppress(OSError):
            for _ in range(100):
                session.sock.sendall(many)
                many = b"".join(
                    attack.frame(session.message(attack.GETATTR, hou, "__builtins__"))
                    for _ in range(2000)
                )
    assert_well(target, before, 16 * MIB)


def test_a_client_whose_calls_wait_for_their_records_fills_no_memory(site):
    """A session may have 1024 records that are not complete. Then nothing more is taken of it."""
    needs.linux()

    def serve(peer):
        while peer.recv(65536):
            pass

    with harness.RawUpstream(serve) as upstream:
        site.start_guard(upstream.address)
        agent = site.bring_in("alice")
        with Session(agent.port) as session:
            asked = Ref(("builtins.object", 1, 2))
            calls = [attack.frame(session.message(attack.STR, asked)) for _ in range(1100)]
            before = attack.weighed(site.guard.pid)
            session.write(b"".join(calls))
            session.sock.settimeout(1)
            rest = attack.frame(session.message(attack.PING, bytes(MIB // 2)), packed=False)
            with pytest.raises(OSError):
                for _ in range(128):
                    session.sock.sendall(rest)
            grown = attack.memory(site.guard.pid) - before
            assert grown < 16 * MIB, "the guard grew by %.1f MiB" % (grown / MIB)
