"""rpyc's own brine, for a comparison with the guard's. Runs where rpyc is.

``dump SEED COUNT`` writes so many values as lines of hexadecimal digits. ``load`` reads such
lines and writes for each ``!`` and the exception, or a description in which no two different
values look the same, a space, and the digits of the value written again.
"""

import random
import struct
import sys

from rpyc.core import brine

#: A NaN among others, infinities, both zeros, numbers where int and float meet.
FLOATS = [0.0, -0.0, 1.0, 2.5, float("inf"), -float("inf"), float("nan"), 2.0**53, 1e300, 5e-324]

INTS = [0, 1, -1, -48, -49, 159, 160, 2**31, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64]


def value(rng, depth):
    """Any value that rpyc takes for plain data."""
    kind = rng.randrange(18 if depth else 13)
    if kind < 4:
        return [None, NotImplemented, Ellipsis, rng.random() < 0.5][kind]
    if kind < 6:
        return rng.choice(INTS) if rng.random() < 0.5 else rng.randrange(-1000, 1000)
    if kind == 6:
        return rng.choice([-1, 1]) * rng.randrange(10 ** rng.choice([18, 19, 20, 40, 254, 255, 300]))
    if kind == 7:
        return rng.choice(FLOATS)
    if kind == 8:
        return complex(rng.choice(FLOATS), rng.choice(FLOATS))
    if kind < 11:
        return bytes(rng.randrange(256) for _ in range(length(rng)))
    if kind < 13:
        return "".join(rng.choice(u"a/'\n\u00e9\u4e2d\U0001f600") for _ in range(length(rng)))
    if kind == 13:
        return slice(value(rng, depth - 1), value(rng, depth - 1), value(rng, depth - 1))
    if kind == 14:
        found = []
        for _ in range(rng.randrange(6)):
            item = value(rng, depth - 1)
            try:
                hash(item)
            except TypeError:
                continue
            # From Python 3.12 on a slice has a hash. The guard takes none in a set.
            if "[" not in describe(item):
                found.append(item)
        return frozenset(found)
    return tuple(value(rng, depth - 1) for _ in range(length(rng) % 300 if rng.random() < 0.1
                                                     else rng.randrange(7)))


def length(rng):
    """Lengths at which the form changes."""
    return rng.choice([0, 1, 2, 3, 4, 5, 6, 20, 254, 255, 256, 257])


def describe(item):
    """The description; ``rpyc/examples/understand.rs`` has the same."""
    if item is None:
        return "N"
    if item is NotImplemented:
        return "I"
    if item is Ellipsis:
        return "E"
    kind = type(item)
    if kind is bool:
        return "T" if item else "F"
    if kind is int:
        return "i%d" % item
    if kind is float:
        return "f" + struct.pack("!d", item).hex()
    if kind is complex:
        return "c" + struct.pack("!dd", item.real, item.imag).hex()
    if kind is bytes:
        return "b" + item.hex()
    if kind is str:
        return "s" + item.encode("utf-8").hex()
    if kind is tuple:
        return "(%s)" % ",".join(map(describe, item))
    if kind is slice:
        return "[%s]" % ",".join(map(describe, (item.start, item.stop, item.step)))
    if kind is frozenset:
        return "{%s}" % ",".join(sorted(map(describe, item)))
    raise TypeError(kind)


def main():
    """Does what the first argument says."""
    if sys.argv[1] == "dump":
        rng = random.Random(int(sys.argv[2]))
        for _ in range(int(sys.argv[3])):
            print(brine.dump(value(rng, 3)).hex())
        return
    for line in sys.stdin:
        try:
            item = brine.load(bytes.fromhex(line.strip()))
            print(describe(item), brine.dump(item).hex())
        except Exception as error:
            print("!%s" % type(error).__name__)


if __name__ == "__main__":
    main()
