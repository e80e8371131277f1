"""Forms that rpyc takes and no client sends, and what is no rpyc at all."""

import struct
import time
import zlib

import attack
from attack import Boxed, Raw
from attacks import attack_of

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


# No rpyc.


def sends(data, alone=False):
    """Sends bytes in the middle of a session; ``alone`` closes the sending half behind them."""

    def run(s, aim):
        s.root()
        s.write(data)
        end = time.monotonic() + attack.PATIENCE
        while time.monotonic() < end:
            s._receive()
            # What is told may be an answer, behind which the next call is told as well.
            for seq in list(s.answers):
                s.answer(seq)
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
