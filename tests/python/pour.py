"""Sends rpyc requests without reading an answer, until nothing more is taken.

    python pour.py PORT MEBIBYTES

Prints how many bytes were taken when none was for a second.
"""

import json
import socket
import sys

import harness


def main():
    """Pours as much as the command line says."""
    port, most = int(sys.argv[1]), int(sys.argv[2]) << 20
    request, sent = harness.ping(bytes(2000)), 0
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(1)
        data = request * 100
        try:
            while sent < most:
                sent += sock.send(data[sent % len(data):])
        except socket.timeout:
            pass
        sys.stdout.write(json.dumps({"held": sent}) + "\n")
        sys.stdout.flush()
        sys.stdin.readline()


if __name__ == "__main__":
    main()
