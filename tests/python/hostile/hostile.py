"""What a hostile server does with what a client hands it.

A client asks ``attack(name, path, things...)``; the attack tries its luck in the client, through
the client's own connection, and says what came of it. ``path`` is a file that the client must
not make.
"""

import functools
import os
import struct
import zlib

import rpyc
from rpyc.core import brine, consts, netref

ATTACKS = {}

#: Of ``consts``, by the names that they have there.
PING, GETROOT = consts.HANDLE_PING, consts.HANDLE_GETROOT
GETATTR, SETATTR, DELATTR = consts.HANDLE_GETATTR, consts.HANDLE_SETATTR, consts.HANDLE_DELATTR
CALL, CALLATTR, CMP = consts.HANDLE_CALL, consts.HANDLE_CALLATTR, consts.HANDLE_CMP
PICKLE, DEL, OLDSLICING = consts.HANDLE_PICKLE, consts.HANDLE_DEL, consts.HANDLE_OLDSLICING


class Client(object):
    """The client, asked by hand and not through the manners of netrefs."""

    def __init__(self, path, callback, thing, items, generator, kind):
        self.path = path
        self.callback = callback
        self.thing = thing
        self.items = items
        self.generator = generator
        self.kind = kind
        self.conn = object.__getattribute__(callback, "____conn__")
        self.expression = "open(%r, 'w').close()" % path

    def ask(self, handler, *args):
        """A request, whatever is in it."""
        return self.conn.sync_request(handler, *args)

    def get(self, thing, *names):
        """Attributes."""
        for name in names:
            thing = self.ask(GETATTR, thing, name)
        return thing

    def call(self, function, *args):
        """A call."""
        return self.ask(CALL, function, args, ())

    def operator(self, thing, name, *args):
        """A method of two underscores."""
        return self.ask(CALLATTR, thing, name, args, ())

    def item(self, thing, key):
        """An item."""
        return self.operator(thing, "__getitem__", key)


def add(function, name=None):
    """Makes an attack known."""
    ATTACKS[name or function.__name__] = function
    return function


def attack(name, path, callback, thing, items, generator, kind):
    """Tries an attack. Gives what came of it, as plain values."""
    client = Client(path, callback, thing, items, generator, kind)
    try:
        return ("got", repr(ATTACKS[name](client))[:200])
    except Exception as error:
        if getattr(type(error), "__module__", "").startswith("telltale"):
            raise
        return ("refused", type(error).__name__, str(error)[:300])


def names():
    """All attacks."""
    return tuple(ATTACKS)


for _what, _names in [
    ("callback", ["__globals__", "__code__", "__closure__", "__class__", "__call__", "__get__",
                  "__dict__", "__reduce__", "__builtins__", "__defaults__"]),
    ("thing", ["__class__", "__dict__", "__init__", "__reduce__", "__reduce_ex__", "_private",
               "__getattribute__", "__setattr__", "__format__", "__subclasshook__", "__dir__"]),
    ("kind", ["__subclasses__", "__mro__", "__bases__", "__base__", "__init__", "__dict__"]),
    ("items", ["__class__", "__reduce_ex__", "__init__"]),
    ("generator", ["__class__", "__del__"]),
]:
    for _name in _names:
        add(lambda client, what=_what, name=_name: (
            str(type(client.ask(GETATTR, getattr(client, what), name)))
        ), "attribute_%s_of_the_%s" % (_name, _what))


@add
def globals_of_a_callback(client):
    builtins = client.item(client.get(client.callback, "__globals__"), "__builtins__")
    return client.call(client.get(builtins, "eval"), client.expression)


@add
def owner_of_a_method(client):
    return str(type(client.get(client.thing, "poke", "__self__")))


@add
def function_of_a_method(client):
    return str(type(client.get(client.thing, "poke", "__func__")))


@add
def attribute_in_bytes(client):
    return client.ask(GETATTR, client.thing, b"_private")


@add
def handler_as_a_float(client):
    return client.ask(float(GETATTR), client.thing, "_private")


class Lengthened(object):
    """A channel that puts bytes behind what it sends, which rpyc does not look at."""

    def __init__(self, channel, behind):
        self._channel = channel
        self._behind = behind

    def send(self, data):
        """Sends it, and more."""
        return self._channel.send(data + self._behind)

    def __getattr__(self, name):
        return getattr(self._channel, name)


def lengthened(client, behind, *request):
    """A request with bytes behind it."""
    channel = client.conn._channel
    client.conn._channel = Lengthened(channel, behind)
    try:
        return client.ask(*request)
    finally:
        client.conn._channel = channel


#: Great when it is inflated, and small as it travels; and great on the way too.
FAR, GREAT = b"\x00" * (20 << 20), os.urandom(2 << 20)


@add
def bytes_behind_the_message(client):
    return lengthened(client, b"\x00", GETATTR, client.thing, "value")


@add
def a_request_that_inflates_far(client):
    root = lengthened(client, FAR, GETROOT)
    return client.call(client.get(root, "eval"), client.expression)


@add
def a_great_request(client):
    root = lengthened(client, GREAT, GETROOT)
    return client.call(client.get(root, "eval"), client.expression)


@add
def a_great_value_for_an_attribute(client):
    return client.ask(SETATTR, client.thing, "value", GREAT) is None


@add
def a_value_for_an_attribute_that_inflates_far(client):
    return client.ask(SETATTR, client.thing, "value", FAR) is None


class Padded(object):
    """A channel that sends small messages in great frames: zlib has blocks that inflate to
    nothing."""

    def __init__(self, channel):
        self._channel = channel

    def send(self, data):
        """Sends it in a frame of more than a mebibyte."""
        stream = zlib.compressobj(1)
        body = stream.compress(data) + stream.flush(zlib.Z_FULL_FLUSH)
        body += b"\x00\x00\x00\xff\xff" * 250000 + stream.flush()
        self._channel.stream.write(struct.pack("!LB", len(body), 1) + body + b"\n")

    def __getattr__(self, name):
        return getattr(self._channel, name)


def in_great_frames(name):
    """An attack that is known, with each of its requests in a great frame."""

    def run(client):
        channel = client.conn._channel
        client.conn._channel = Padded(channel)
        try:
            return ATTACKS[name](client)
        finally:
            client.conn._channel = channel

    add(run, name + "_in_great_frames")


for _name, _args in [("__getattribute__", ("_private",)), ("__setattr__", ("planted", 1)),
                     ("__reduce_ex__", (2,)), ("__dir__", ()), ("__delattr__", ("other",)),
                     ("__format__", ("",)), ("__init__", ()), ("__sizeof__", ())]:
    add(lambda client, name=_name, args=_args: str(client.operator(client.thing, name, *args)),
        "operator_%s" % _name)


@add
def pickled_list(client):
    return client.ask(PICKLE, client.items, 2)


@add
def pickled_thing(client):
    return client.ask(PICKLE, client.thing, 2)


@add
def pickled_text(client):
    return client.ask(PICKLE, "text", 2)


def compare(name, what, other):
    """``CMP`` with another name than that of a comparison."""

    def run(client):
        found = client.ask(CMP, getattr(client, what), other, name)
        if found is NotImplemented:
            raise AttributeError("no such comparison")
        return str(found)

    add(run, "comparison_%s" % name)


compare("__getattribute__", "thing", "_private")
compare("__delattr__", "thing", "third")
compare("__format__", "thing", "")
compare("__reduce_ex__", "thing", 2)
compare("__getitem__", "items", 0)


@add
def format_on_a_text(client):
    return client.operator("{0.__globals__}", "format", client.callback)


@add
def format_on_a_text_by_a_comparison(client):
    return client.ask(CMP, "{0.__globals__}", client.callback, "format")


@add
def slicing_with_a_name_to_fall_back_to(client):
    return client.ask(OLDSLICING, client.thing, "none", "poke", "a", "b", ())


@add
def service(client):
    return str(type(client.ask(GETROOT)))


@add
def evaluate(client):
    return client.call(client.get(client.ask(GETROOT), "eval"), client.expression)


@add
def execute(client):
    return client.call(client.get(client.ask(GETROOT), "execute"), client.expression)


@add
def getmodule(client):
    module = client.call(client.get(client.ask(GETROOT), "getmodule"), "os")
    return client.call(client.get(module, "mkdir"), client.path)


@add
def set_an_attribute(client):
    client.ask(SETATTR, client.thing, "value", 666)
    return client.get(client.thing, "value")


@add
def set_a_function(client):
    client.ask(SETATTR, client.thing, "poke", attack)
    return True


@add
def delete_an_attribute(client):
    return client.ask(DELATTR, client.thing, "fourth") is None


@add
def set_the_code_of_a_callback(client):
    client.ask(SETATTR, client.callback, "__defaults__", (1,))
    return True


@add
def an_id_that_was_never_passed(client):
    """No client knows it either, so this shows only what the guard makes of it."""
    pack = object.__getattribute__(client.callback, "____id_pack__")
    pack = (pack[0], pack[1], pack[2] + 16)
    return client.call(netref.class_factory(pack, ())(client.conn, pack))


@add
def a_module_that_a_thing_has(client):
    return client.call(client.get(client.thing, "module", "mkdir"), client.path)


@add
def a_module_of_a_thing_by_a_ping(client):
    module = client.get(client.thing, "module")
    module = client.ask(PING, module)
    return client.call(client.get(module, "mkdir"), client.path)


@add
def a_module_of_a_thing_in_a_tuple_by_a_ping(client):
    module = client.get(client.thing, "module")
    (module,) = client.ask(PING, (module,))
    return client.call(client.get(module, "mkdir"), client.path)


@add
def a_module_of_a_thing_by_a_list(client):
    module = client.get(client.thing, "module")
    client.call(client.get(client.items, "append"), module)
    return client.call(client.get(client.item(client.items, -1), "mkdir"), client.path)


@add
def a_module_of_a_thing_by_a_callback(client):
    module = client.call(client.callback, client.get(client.thing, "module"))
    return client.call(client.get(module, "mkdir"), client.path)


@add
def what_an_attribute_leads_to(client):
    return client.call(client.get(client.thing, "owner", "run"), client.expression)


@add
def what_an_attribute_leads_to_by_a_ping(client):
    owner = client.ask(PING, client.get(client.thing, "owner"))
    return client.call(client.get(owner, "run"), client.expression)


@add
def what_an_attribute_leads_to_by_a_callback(client):
    owner = client.call(client.callback, client.get(client.thing, "owner"))
    return client.call(client.get(owner, "run"), client.expression)


@add
def what_an_attribute_leads_to_by_a_list(client):
    """The attribute is let go of before it comes again, as an item."""
    client.call(client.get(client.items, "append"), client.get(client.thing, "owner"))
    return client.call(client.get(client.item(client.items, -1), "run"), client.expression)


@add
def frame_of_a_generator(client):
    found = client.get(client.generator, "gi_frame", "f_builtins")
    return client.call(client.item(found, "eval"), client.expression)


@add
def frame_of_a_generator_by_a_ping(client):
    frame = client.ask(PING, client.get(client.generator, "gi_frame"))
    found = client.get(frame, "f_builtins")
    return client.call(client.item(found, "eval"), client.expression)


@add
def frame_of_a_generator_by_a_list(client):
    client.call(client.get(client.items, "append"), client.get(client.generator, "gi_frame"))
    found = client.get(client.item(client.items, -1), "f_builtins")
    return client.call(client.item(found, "eval"), client.expression)


@add
def frame_of_a_generator_by_a_callback(client):
    frame = client.call(client.callback, client.get(client.generator, "gi_frame"))
    found = client.get(frame, "f_builtins")
    return client.call(client.item(found, "eval"), client.expression)


@add
def classes_of_a_class(client):
    found = client.call(client.get(client.kind, "mro"))
    return str(client.call(client.get(client.item(found, 1), "__subclasses__")))[:80]


@add
def globals_by_a_list_of_methods(client):
    client.call(client.get(client.items, "append"), client.get(client.thing, "poke"))
    return str(type(client.get(client.item(client.items, -1), "__globals__")))


@add
def drop_more_than_were_passed(client):
    return client.ask(DEL, client.thing, 5)


@add
def drop_less_than_none(client):
    return client.ask(DEL, client.thing, -3)


@add
def an_exception_that_names_a_module(_client):
    raise type("Boom", (Exception,), {"__module__": "telltale_raised"})("boom")


@add
def an_unasked_exception_that_names_a_module(client):
    body = (("telltale_unasked", "Boom"), (), (), "")
    if str(rpyc.__version__).startswith("6"):
        payload = b"\x03" + brine.dump((4711, body))
    else:
        payload = brine.dump((3, 4711, body))
    client.conn._channel.send(payload)
    return client.ask(PING, "x")


@add
def an_exception_that_names_a_module_and_inflates_far(client):
    client.conn._channel = Lengthened(client.conn._channel, FAR)
    raise type("Boom", (Exception,), {"__module__": "telltale_far"})("boom")


@add
def a_great_exception_that_names_a_module(_client):
    raise type("Boom", (Exception,), {"__module__": "telltale_great"})(GREAT)


@add
def an_exception_that_names_a_module_in_a_package(_client):
    raise type("Boom", (Exception,), {"__module__": "telltale_nested.deep"})("boom")


for _name in ["evaluate", "attribute__private_of_the_thing", "globals_of_a_callback", "pickled_list",
              "set_an_attribute", "what_an_attribute_leads_to_by_a_callback"]:
    in_great_frames(_name)


# What honest scripts need.


def give(function, data):
    """Calls back with great values, where one came beside the callback."""
    return (function(data), function(GREAT), function(FAR))


def plain(function, *args, **kwargs):
    """Calls back."""
    return function(*args, **kwargs)


def fill(items):
    """Does with a list what servers do."""
    items.append(4)
    items.extend((5, 6))
    items[0] = "first"
    del items[1]
    return (len(items), [str(one) for one in items], 5 in items, items[-1], items.index(6),
            bool(items), str(items[1:3]), list(reversed(items))[0])


def read(mapping):
    """Does with a dict what servers do."""
    mapping["new"] = 1
    return (sorted(mapping.keys()), sorted(mapping.items()), mapping.get("none", 7), "a" in mapping)


def consume(generator):
    """Sums up what a client yields."""
    return sum(generator)


def look(thing):
    """Reads an object of the client."""
    return (thing.value, thing.poke("x"), str(thing), repr(thing), thing == thing, hash(thing) != 0,
            hasattr(thing, "value"), hasattr(thing, "none"), callable(thing.poke))


def caught(function):
    """What a callback raises, as the server sees it."""
    try:
        function()
    except ZeroDivisionError as error:
        return ("caught", type(error).__name__)
    return None


def raises(name):
    """Raises one of Python's own."""
    raise {"KeyError": KeyError("k"), "ValueError": ValueError("v", 1), "OSError": OSError(2, "o"),
           "StopIteration": StopIteration()}[name]


def within(manager):
    """Uses a context manager of the client."""
    with manager as found:
        return found


def partly(function):
    """A callback within Python's own machinery."""
    return list(map(functools.partial(function, 1), (1, 2, 3))) + sorted((3, 1, 2), key=function)
