"""Asks a server of real rpyc for a while, and prints what came of it as JSON.

Usage: rpyc_client.py PORT MILLISECONDS [CERTIFICATE KEY AUTHORITY]

With certificate, key and authority it connects with rpyc's own TLS, else with bare TCP.
"""

import json
import random
import statistics
import struct
import sys
import time

import rpyc

LARGE = 1 << 20
HOST = "127.0.0.1"


def blob():
    """A MiB as geometry has it: coordinates in single precision."""
    source = random.Random(1)
    return struct.pack("<%df" % (LARGE // 4), *(source.uniform(-1, 1) for _ in range(LARGE // 4)))


class Server:
    """How the server is reached."""

    def __init__(self, arguments):
        self._port = int(arguments[0])
        self._tls = arguments[2:]

    def connect(self):
        """A new connection."""
        if self._tls:
            certificate, key, authority = self._tls
            return rpyc.classic.ssl_connect(
                HOST, self._port, keyfile=key, certfile=certificate, ca_certs=authority
            )
        return rpyc.classic.connect(HOST, self._port)


def first_answer(server):
    """Milliseconds of what ``hrpyc.import_remote_module`` does, up to a first answer."""
    begun = time.perf_counter()
    connection = server.connect()
    connection.modules["hou"].frame()
    took = time.perf_counter() - begun
    connection.close()
    return took * 1000


def rate(act, seconds):
    """How often a second ``act`` is done."""
    act()
    count = 0
    begun = time.perf_counter()
    now = begun
    while now < begun + seconds:
        act()
        count += 1
        now = time.perf_counter()
    return count / (now - begun)


def main():
    """Measures one thing after the other."""
    server = Server(sys.argv[1:])
    seconds = int(sys.argv[2]) / 1000
    first_answer(server)
    answers = [first_answer(server) for _ in range(9)]
    connection = server.connect()
    parm = connection.modules.hou.node("/obj/sphere1").parm("scale")
    value = blob()
    connection.namespace["value"] = value
    length = connection.builtins.len
    found = {
        "rpyc-first-answer": statistics.median(answers),
        "rpyc-calls": rate(lambda: parm.set(2.0), seconds),
        "rpyc-up": rate(lambda: length(value), seconds),
        "rpyc-down": rate(lambda: connection.eval("value"), seconds),
    }
    connection.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
