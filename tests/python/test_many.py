"""The largest objects arrive whole; ``test_calls.py`` has the many connections and threads."""

import hashlib
import os
import queue
import socket

import harness

#: 4.1.0 at both ends, which is what Houdini ships and the slowest with large objects.
VERSION = "4.1.0"

#: How much rpyc hands to the system at a time. With its own 8000 bytes, 64 MiB take minutes.
CHUNK = 4 << 20


def test_64_mib_arrive_whole_in_both_directions(machine, site, shown):
    """What the direct connection can move goes through agent and guard."""
    wanted = dict(sizes=[64 << 20], kinds=["noise"], chunk=CHUNK)
    with machine.server(VERSION) as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        agent = site.bring_in("alice")
        took = {}
        for way, port in (("directly", server.port), ("guarded", agent.port)):
            with machine.artist(VERSION, "large", port, **wanted) as artist:
                result = artist.result(120)
            (_, length, here, there), = result["found"]
            assert length == 64 << 20 and here == there
            took[way] = result["seconds"][0]
        for way, (down, up) in took.items():
            shown.append("64 MiB %s: %.1f s to the client, %.1f s to the server" % (way, down, up))
        closed = site.wait_for_record("closed")
        assert closed["bytes_up"] > 64 << 20 and closed["bytes_down"] > 64 << 20


def test_64_mib_go_through_a_half_closed_session(site):
    """Either side says that it has sent its last byte, and gets all that the other sends."""
    received = queue.Queue()
    # Nobody begins with 64 MiB, and the agent would not take that for rpyc.
    question = harness.ping(b"first") + harness.ping(os.urandom(64 << 20), 2)
    answer = harness.pong(b"first") + harness.pong(os.urandom(64 << 20), 2)

    def serve(peer):
        received.put(hashlib.sha256(harness.read_all(peer)).digest())
        peer.sendall(answer)

    with harness.RawUpstream(serve) as upstream:
        site.start_guard(upstream.address, *harness.OPAQUE)
        agent = site.bring_in("alice")
        with socket.create_connection(("127.0.0.1", agent.port)) as client:
            client.settimeout(harness.DEADLINE)
            client.sendall(question)
            client.shutdown(socket.SHUT_WR)
            back = harness.read_all(client)
        assert hashlib.sha256(back).digest() == hashlib.sha256(answer).digest()
        # The guard's own look at the upstream brings something else.
        wanted = hashlib.sha256(question).digest()
        while received.get(timeout=harness.DEADLINE) != wanted:
            pass
        record = site.wait_for_record("closed")
        assert (record["bytes_up"], record["bytes_down"]) == (len(question), len(answer))
