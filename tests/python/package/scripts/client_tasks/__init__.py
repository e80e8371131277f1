"""Tasks of ``client.py``, and what they share.

``to`` among the arguments of a task holds the keyword arguments for ``connect``.
"""

import json
import os
import sys
import time
import traceback

import hrpyc_guard

TASKS = {}

#: How long Houdini is busy after a script has ended, in seconds. Its session lasts as long.
BUSY = 6

#: What a call over there that takes long looks like.
SLOW = "lambda begun, seconds: (begun(), __import__('time').sleep(seconds), 'slept')[2]"


def task(function):
    """Makes a function callable by its name from the command line."""
    TASKS[function.__name__] = function
    return function


def say(**values):
    """Prints one JSON object."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def told(error):
    """An exception of the package, or another, as JSON."""
    return {
        "class": type(error).__name__,
        "module": type(error).__module__,
        "bases": [base.__name__ for base in type(error).__mro__],
        "sentence": getattr(error, "sentence", None),
        "hint": getattr(error, "hint", None),
        "code": getattr(error, "code", None),
        "text": str(error),
        "trace": "".join(traceback.format_exception(type(error), error, error.__traceback__)),
        "monotonic": time.monotonic(),
    }


def outcome(function, *args, **kwargs):
    """What a call gives or raises, and how long it took."""
    began = time.monotonic()
    try:
        found = {"value": function(*args, **kwargs)}
    except Exception as error:
        found = {"error": told(error)}
    return dict(found, seconds=time.monotonic() - began)


def answer_of(to):
    """Opens a connection, asks something, closes."""
    connection = hrpyc_guard.connect(**to)
    value = connection.eval("40 + 2")
    connection.close()
    return value


def tell():
    """Waits for a line of the test."""
    return sys.stdin.readline().strip()


def open_descriptors():
    """What this process has open."""
    return len(os.listdir("/proc/self/fd"))


def os_threads():
    """Threads of this process, those of native code too."""
    return len(os.listdir("/proc/self/task"))


def resident():
    """Resident memory in KiB."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def listening():
    """Sockets of this process that take connections, of any kind."""
    own = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            own.add(os.readlink("/proc/self/fd/" + number))
        except FileNotFoundError:
            pass
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6", "unix"):
        with open("/proc/self/net/" + table) as lines:
            for line in list(lines)[1:]:
                words = line.split()
                if table == "unix":
                    takes, inode = int(words[3], 16) & 0x10000, words[6]
                elif table.startswith("tcp"):
                    takes, inode = words[3] == "0A", words[9]
                else:
                    takes, inode = True, words[9]
                if takes and "socket:[%s]" % inode in own:
                    found.append([table, words])
    return found
