"""rpyc by hand, for clients that keep to no rule of it.

It leans on no rpyc: what the tests send is what stands here, byte for byte, and an attack can
say what no client of rpyc would.
"""

import json
import socket
import struct
import time
import zlib

import harness

REQUEST, REPLY, EXCEPTION = 1, 2, 3
VALUE, TUPLE, LOCAL, REMOTE = 1, 2, 3, 4
(PING, CLOSE, GETROOT, GETATTR, DELATTR, SETATTR, CALL, CALLATTR, REPR, STR, CMP, HASH, DIR,
 PICKLE, DEL, INSPECT, BUFFITER, OLDSLICING, CTXEXIT, INSTANCECHECK) = range(1, 21)

#: How long a server may take for an answer, in seconds. What inflates far is looked at for a while.
PATIENCE = harness.DEADLINE


class Refused(Exception):
    """An exception came in answer."""

    def __init__(self, name, message):
        super().__init__("%s: %s" % (name, message))
        self.name = name
        self.message = message

    @property
    def by_guard(self):
        """Whether it is a denial of the guard's, and not the server's own."""
        return "in the role" in self.message and "reference" in self.message


class Ended(Exception):
    """The connection was ended by the other side."""


class Raw:
    """Bytes that take the place of a value in brine."""

    def __init__(self, data):
        self.data = data


class Ref:
    """An object of the server, by the three fields of its id."""

    def __init__(self, pack):
        self.pack = pack


class Mine:
    """An object of this client."""

    def __init__(self, pack=("builtins.dict", 4711, 4712)):
        self.pack = pack


class Boxed:
    """A label and what follows it, sent as they are."""

    def __init__(self, label, value):
        self.label = label
        self.value = value


def dump(value):
    """Brine."""
    kind = type(value)
    if kind is Raw:
        return value.data
    if value is None:
        return b"\x00"
    if kind is bool:
        return b"\x03" if value else b"\x04"
    if kind is int:
        if -48 <= value < 160:
            return bytes([value + 0x50])
        digits = str(value).encode()
        return b"\x16" + bytes([len(digits)]) + digits
    if kind is float:
        return b"\x18" + struct.pack("!d", value)
    if kind is complex:
        return b"\x1b" + struct.pack("!dd", value.real, value.imag)
    if kind is bytes:
        if not value:
            return b"\x01"
        if len(value) <= 4:
            return bytes([0x09 + len(value)]) + value
        if len(value) < 256:
            return b"\x0e" + bytes([len(value)]) + value
        return b"\x0f" + struct.pack("!I", len(value)) + value
    if kind is str:
        return b"\x08" + dump(value.encode("utf-8"))
    if kind is tuple:
        items = b"".join(map(dump, value))
        if not value:
            return b"\x02"
        if len(value) <= 4:
            return bytes([0x0F + len(value)]) + items
        return b"\x14" + bytes([len(value)]) + items
    raise TypeError(kind)


class Reader:
    """Reads brine. It is strict about nothing: what it reads comes from a real server."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, count):
        """The next bytes."""
        self.at += count
        return self.data[self.at - count : self.at]

    def value(self):
        """The next value; what no attack looks into is ``Ellipsis``."""
        tag = self.take(1)[0]
        if 0x20 <= tag <= 0xEF:
            return tag - 0x50
        if tag in (0x00, 0x01, 0x02, 0x03, 0x04):
            return (None, b"", (), True, False)[tag]
        if tag in (0x05, 0x06):
            return Ellipsis
        if tag == 0x08:
            return self.value().decode("utf-8")
        if 0x0A <= tag <= 0x0F:
            return self.take(self._length(tag, 0x0E, 0x0F, tag - 0x09))
        if 0x10 <= tag <= 0x15:
            return tuple(self.value() for _ in range(self._length(tag, 0x14, 0x15, tag - 0x0F)))
        if tag in (0x16, 0x17):
            return int(self.take(self._length(tag, 0x16, 0x17, 0)))
        if tag == 0x18:
            return struct.unpack("!d", self.take(8))[0]
        if tag == 0x1B:
            self.take(16)
            return Ellipsis
        if tag in (0x19, 0x1A):
            self.value()
            return Ellipsis
        raise AssertionError("brine tag %#x" % tag)

    def _length(self, tag, short, long, own):
        if tag == short:
            return self.take(1)[0]
        if tag == long:
            return struct.unpack("!I", self.take(4))[0]
        return own


def box(value):
    """A value as rpyc labels it."""
    if isinstance(value, Boxed):
        return value.label, value.value
    if isinstance(value, Ref):
        return LOCAL, value.pack
    if isinstance(value, Mine):
        return REMOTE, value.pack
    if type(value) is tuple and not plain(value):
        return TUPLE, tuple(box(item) for item in value)
    return VALUE, value


def plain(value):
    """Whether a value goes without a reference in it."""
    if type(value) is tuple:
        return all(map(plain, value))
    return not isinstance(value, (Ref, Mine, Boxed))


def frame(payload, packed=None, tail=b""):
    """A frame around a payload. ``packed`` says whether it is compressed."""
    if packed is None:
        packed = len(payload) > 3000
    if packed:
        payload = zlib.compress(payload, 1)
    payload += tail
    return struct.pack("!LB", len(payload), int(packed)) + payload + b"\n"


class Peer:
    """The other end of a socket, and what it says."""

    def __init__(self, sock):
        self.sock = sock
        self._rest = b""

    def receive(self):
        """The next message without its frame."""
        length, packed = struct.unpack("!LB", self.take(5))
        payload = self.take(length + 1)[:-1]
        return zlib.decompress(payload) if packed else payload

    def put_back(self, data):
        """Bytes that come before what is still to be taken."""
        self._rest = data + self._rest

    def take(self, count):
        """So many bytes."""
        while len(self._rest) < count:
            try:
                part = self.sock.recv(65536)
            except socket.timeout:
                raise AssertionError("nothing came within %s s" % PATIENCE) from None
            except OSError as error:
                raise Ended(str(error)) from None
            if not part:
                raise Ended("the other side has closed")
            self._rest += part
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken


class Session(Peer):
    """A connection that speaks rpyc by hand.

    ``six`` says that the family is that of rpyc 6. What the server asks in return is kept in
    ``asked`` and answered with an exception; the ids of this client's objects that the other
    side gives back are kept in ``dropped``.
    """

    def __init__(self, port, six=False):
        self.six = six
        self.seq = 0
        self.asked = []
        self.dropped = []
        self.answers = {}
        super().__init__(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def payload(self, kind, seq, args):
        """A message without its frame."""
        if self.six:
            return bytes([kind]) + dump((seq, args))
        return dump((kind, seq, args))

    def next_seq(self):
        """A number for a request."""
        self.seq += 1
        return self.seq

    def message(self, handler, *args, seq=None):
        """A request without its frame."""
        seq = self.next_seq() if seq is None else seq
        return self.payload(REQUEST, seq, (handler, box(tuple(args))))

    def write(self, data):
        """Sends bytes as they are."""
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Ended(str(error)) from None

    def send(self, *payloads, **framing):
        """Sends payloads, in one go."""
        self.write(b"".join(frame(payload, **framing) for payload in payloads))

    def ask(self, handler, *args):
        """A request and the value of its answer."""
        self.send(self.message(handler, *args))
        return self.answer(self.seq)

    def answer(self, seq, limit=PATIENCE):
        """Waits for the answer to a request."""
        end = time.monotonic() + limit
        while seq not in self.answers:
            assert time.monotonic() < end, "no answer to %d within %s s" % (seq, limit)
            self._receive()
        kind, value = self.answers.pop(seq)
        if kind == EXCEPTION:
            if value == 1:
                raise Refused("StopIteration", "")
            (_, name), args, _, _ = value
            message = str(args[0]) if args else ""
            ended = ("hrpyc-guard ended the session", "the session with Houdini")
            if name == "EOFError" and message.startswith(ended):
                # That is the guard or the agent, of each call that gets no answer.
                raise Ended(message)
            raise Refused(name, message)
        return unbox(value)

    def _receive(self):
        payload = self.receive()
        if self.six:
            kind, (seq, args) = payload[0], Reader(payload[1:]).value()
        else:
            kind, seq, args = Reader(payload).value()
        if kind == REQUEST:
            if args[0] == DEL:
                # The guard gives back what it did not pass on.
                self.dropped.append(args[1][1][0][1])
            else:
                self.asked.append(args)
            told = (("builtins", "ValueError"), ("this is no honest client",), (), "")
            self.send(self.payload(EXCEPTION, seq, told))
        else:
            assert seq not in self.answers, "two answers to %d" % seq
            self.answers[seq] = (kind, args)

    # What a classic client does while it connects.

    def root(self):
        """The service."""
        return self.ask(GETROOT)

    def held(self, name):
        """Something of the service that every client fetches, such as ``eval``."""
        return self.get(self.root(), name)

    def module(self, name):
        """A module, as ``conn.modules[name]`` asks for it."""
        return self.call(self.held("getmodule"), name)

    def hou(self):
        """The scene's module."""
        return self.module("hou")

    def node(self, path="/obj/sphere1"):
        """A node of the scene."""
        return self.method(self.hou(), "node", path)

    def parm(self, path="/obj/sphere1/scale"):
        """A parm of the scene."""
        return self.method(self.hou(), "parm", path)

    def get(self, thing, name):
        """An attribute."""
        return self.ask(GETATTR, thing, name)

    def call(self, function, *args, kwargs=()):
        """A call."""
        return self.ask(CALL, function, args, kwargs)

    def method(self, thing, name, *args):
        """A method, fetched and called."""
        return self.call(self.get(thing, name), *args)

    def operator(self, thing, name, *args):
        """A method of two underscores, in one request."""
        return self.ask(CALLATTR, thing, name, args, ())

    def chain(self, thing, *names):
        """Attributes, and items where a name stands in brackets."""
        for name in names:
            if name.startswith("["):
                thing = self.operator(thing, "__getitem__", name[1:-1])
            else:
                thing = self.get(thing, name)
        return thing

    def evaluate(self, text):
        """The value of some Python at the server; for the tests' own eyes."""
        return self.call(self.held("eval"), text)


def unbox(package):
    """What a server has sent."""
    label, value = package
    if label == VALUE:
        return value
    if label == TUPLE:
        return tuple(map(unbox, value))
    if label == REMOTE:
        return Ref(value)
    return Mine(value)


def calls(site):
    """The records of ``calls.jsonl``, without checkpoints."""
    path = site.seen_state / "audit" / "calls.jsonl"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
    records = [json.loads(line) for line in whole]
    return [record for record in records if record["event"] == "call"]


def wait_for_call(site, count=1, limit=harness.DEADLINE, **fields):
    """Waits until so many records of calls have these fields, and gives them."""

    def find():
        found = [
            record
            for record in calls(site)
            if all(record.get(name) == value for name, value in fields.items())
        ]
        return found if len(found) >= count else None

    try:
        return harness.until("%d records of calls with %s" % (count, fields), find, limit)
    except AssertionError as error:
        last = "\n".join(json.dumps(record) for record in calls(site)[-8:])
        raise AssertionError("%s; the last are\n%s" % (error, last)) from None


def memory(pid):
    """The most memory that a process has had, in bytes, since it was last ``weighed``."""
    with open("/proc/%d/status" % pid, encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise AssertionError("the memory of %d is not told" % pid)


def weighed(pid):
    """Has the kernel forget the most of a process, and gives what it has now."""
    with open("/proc/%d/clear_refs" % pid, "w", encoding="ascii") as file:
        file.write("5")
    return memory(pid)
