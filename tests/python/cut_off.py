"""Scripts whose session the guard ends, and what each of their calls sees of it.

    python cut_off.py TASK PORT-OR-WAY [ARGUMENTS in JSON]

With a port it is a stock rpyc that connects there. Otherwise it holds the keyword arguments of
``hrpyc_guard.connect`` in JSON. Each task prints JSON, one object a line; the last line is its
result.
"""

import copy
import json
import struct
import sys
import threading

import rpyc

TASKS = {}

#: What the server runs. ``babble`` waits until so many more requests have come than it serves,
#: writes bytes to the connection that it is called over, and is then busy for a while.
THERE = """
import gc, socket, struct, time
from rpyc.core.protocol import Connection

def babble(data, behind=0):
    for found in gc.get_objects():
        if type(found) is Connection and not found.closed:
            sock = found._channel.stream.sock
            while unread(sock) < behind:
                time.sleep(0.01)
            sock.sendall(data)
    time.sleep(5)

def babble_at_length(head, length, end):
    babble(head + bytes(length - len(head)) + end)

def unread(sock):
    data, frames = sock.recv(1 << 20, socket.MSG_PEEK) if readable(sock) else b"", 0
    while len(data) >= 5:
        data = data[6 + struct.unpack("!L", data[:4])[0]:]
        frames += 1
    return frames

def readable(sock):
    import select
    return select.select([sock], [], [], 0)[0]

def work(begun, seconds):
    if begun:
        begun()
    time.sleep(seconds)

def through(function, *args):
    return function(*args)
"""


def task(function):
    """Makes a function callable by its name from the command line."""
    TASKS[function.__name__] = function
    return function


def say(**values):
    """Prints one JSON object."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def connect(way):
    """The connection, with what the tasks call over there."""
    if way.isdigit():
        conn = rpyc.classic.connect("127.0.0.1", int(way))
    else:
        import hrpyc_guard

        conn = hrpyc_guard.connect(**json.loads(way))
    conn._config["sync_request_timeout"] = 60
    conn.execute(THERE)
    return conn


def outcome(function, *args):
    """What a call ends in."""
    try:
        return {"value": repr(function(*args))}
    except Exception as error:
        return {
            "class": type(error).__name__,
            "module": type(error).__module__,
            "bases": [base.__name__ for base in type(error).__mro__],
            "first": error.args[0] if error.args else None,
            "sentence": getattr(error, "sentence", None),
            "hint": getattr(error, "hint", None),
            "code": getattr(error, "code", None),
            "text": str(error),
        }


@task
def babbling(way, data):
    """Calls a server that babbles, then calls again."""
    conn = connect(way)
    babble, after = conn.namespace["babble"], conn.namespace["through"]
    return {"call": outcome(babble, bytes.fromhex(data)), "after": outcome(after, len, "")}


@task
def babbling_at_length(way, length, end):
    """The answer to a call is a great message that does not end as one does."""
    conn = connect(way)
    babble = conn.namespace["babble_at_length"]
    seq = next(copy.copy(conn._seqcounter))
    # A reply with that number and the beginning of many bytes, in brine.
    is_six = int(rpyc.version.version[0]) >= 6
    reply = bytes([0x02, 0x11, 0x50 + seq] if is_six else [0x12, 0x52, 0x50 + seq])
    reply += b"\x11\x51\x0f"
    head = struct.pack("!LB", length, 0) + reply + struct.pack("!L", length - len(reply) - 4)
    return {"call": outcome(lambda: len(babble(head, length + 5, bytes.fromhex(end))))}


@task
def babbling_within(way, data):
    """The same from within a callback of the server, and from within another of that."""
    conn = connect(way)
    babble, through = conn.namespace["babble"], conn.namespace["through"]
    seen = []

    def innermost():
        seen.append(outcome(babble, bytes.fromhex(data)))
        raise RuntimeError("out of the callback")

    def middle():
        seen.append(outcome(through, innermost))
        raise RuntimeError("out of the callback")

    return {"call": outcome(through, middle), "within": seen}


@task
def babbling_beside(way, data, count):
    """Other threads wait for their calls on the same connection."""
    conn = connect(way)
    babble, work = (rpyc.async_(conn.namespace[name]) for name in ("babble", "work"))
    pending = [babble(bytes.fromhex(data), count)]
    pending += [work(None, 30) for _ in range(count)]
    found = []

    def wait(result):
        found.append(outcome(lambda: result.value))

    threads = [threading.Thread(target=wait, args=(result,)) for result in pending]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"calls": found}


@task
def garbling(way, data):
    """A call waits when the script itself sends what is no rpyc."""
    conn = connect(way)
    begun = threading.Event()
    found = {}

    def wait():
        found.update(outcome(conn.namespace["work"], begun.set, 30))

    waiting = threading.Thread(target=wait)
    waiting.start()
    begun.wait()
    conn._channel.stream.sock.sendall(bytes.fromhex(data))
    waiting.join()
    return {"call": found}


@task
def asking_oddly(way, handler, args):
    """A request of a kind that no rpyc has."""
    conn = connect(way)
    return {"call": outcome(conn.sync_request, handler, *args)}


@task
def asking_much(way, count, seconds):
    """More calls at once than the guard has room to write down, one after the other."""
    conn = connect(way)
    work = rpyc.async_(conn.namespace["work"])
    pending = [work(None, seconds) for _ in range(count)]
    return {"calls": [outcome(lambda result=result: result.value) for result in pending]}


@task
def waiting(way, seconds):
    """One call that takes long."""
    conn = connect(way)
    return {"call": outcome(conn.namespace["work"], lambda: say(ready=True), seconds)}


def main():
    """Runs the task that the command line names."""
    name, way = sys.argv[1:3]
    arguments = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    say(**TASKS[name](way, **arguments))


if __name__ == "__main__":
    main()
