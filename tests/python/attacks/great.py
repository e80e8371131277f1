"""Requests in frames that are too great to be taken whole, or that inflate to as much.

What they ask for is small: rpyc looks at no byte behind it, and zlib has blocks that inflate to
nothing.
"""

import os
import struct
import zlib

import attack
from attacks import attack_of

MIB = 1 << 20

#: It takes little room on its way, and inflates to more than is taken whole.
FAR = bytes(20 * MIB)


def plain(payload):
    """A frame that is not compressed."""
    return attack.frame(payload, packed=False)


def packed(payload):
    """A frame that is."""
    return attack.frame(payload, packed=True)


def padded(payload, length):
    """A frame of at least that length, of which the payload is all that it inflates to."""
    stream = zlib.compressobj(1)
    body = stream.compress(payload) + stream.flush(zlib.Z_FULL_FLUSH)
    body += b"\0\0\0\xff\xff" * (length // 5) + stream.flush()
    return struct.pack("!LB", len(body), 1) + body + b"\n"


def framed(name, frame, outcome):
    """A request for ``hou.__builtins__`` in a frame of one's own."""

    def run(s, aim):
        request = s.message(attack.GETATTR, s.hou(), "__builtins__")
        s.write(frame(request))
        return s.answer(s.seq)

    attack_of(name, outcome=outcome)(run)


framed("padded_and_taken_whole", lambda request: padded(request, MIB // 2), "denied")
framed("padded_and_great", lambda request: padded(request, 2 * MIB), "denied")
framed("padded_to_the_bound", lambda request: padded(request, MIB), "denied")
framed("zeros_behind_it_that_inflate_far", lambda request: packed(request + FAR), "ends")
framed("noise_behind_it", lambda request: plain(request + os.urandom(2 * MIB)), "ends")
framed("noise_behind_it_compressed", lambda request: packed(request + os.urandom(2 * MIB)), "ends")


@attack_of()
def a_great_text_to_execute(s, aim):
    s.call(s.held("execute"), "%s\n#%s" % (aim.expression, os.urandom(MIB).hex()))
    return aim.reached()


@attack_of()
def a_text_to_execute_that_inflates_far(s, aim):
    s.call(s.held("execute"), "%s\n#%s" % (aim.expression, "x" * (20 * MIB)))
    return aim.reached()


@attack_of()
def behind_a_great_request_in_one_go(s, aim):
    """The frame that follows is judged from its own beginning."""
    execute = s.held("execute")
    great = s.message(attack.PING, os.urandom(2 * MIB))
    seq = s.seq
    s.write(plain(great) + plain(s.message(attack.CALL, execute, (aim.expression,), ())))
    try:
        s.answer(seq)
    except attack.Refused:
        pass
    s.answer(s.seq)
    return aim.reached()


@attack_of(control="none")
def within_a_great_request(s, aim):
    """Frames in the data of another, which who has lost count would take for requests."""
    hidden = plain(s.message(attack.CALL, s.held("execute"), (aim.expression,), ()))
    s.write(plain(s.message(attack.PING, hidden * (2 * MIB // len(hidden)))))
    s.answer(s.seq)
    return aim.reached()
