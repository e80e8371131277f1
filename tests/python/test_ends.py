"""How a session ends: half-close, and the death of either side."""

import hashlib
import queue
import signal
import socket
import struct
import time

import pytest

import attack
import harness

#: A pending call must not wait for longer than this when its server has died. rpyc's own
#: limit is 30 s.
QUICKLY = 10.0


def raw_way(site, upstream):
    """Agent and guard in front of a server that speaks bare TCP."""
    site.start_guard(upstream.address, *harness.OPAQUE)
    return site.bring_in("alice")


def test_what_the_server_sends_after_the_clients_last_byte_arrives(site):
    """The client closes its sending half; everything still comes back to it."""
    answer = b"".join(harness.pong(b"answer" * 10_000, n) for n in range(100))
    received = queue.Queue()

    def serve(peer):
        received.put(harness.read_all(peer))
        peer.sendall(answer)

    with harness.RawUpstream(serve) as upstream:
        agent = raw_way(site, upstream)
        question = b"".join(harness.ping(b"question" * 10_000, n) for n in range(100))
        with socket.create_connection(("127.0.0.1", agent.port)) as client:
            client.settimeout(harness.DEADLINE)
            client.sendall(question)
            client.shutdown(socket.SHUT_WR)
            back = harness.read_all(client)
        assert hashlib.sha256(back).digest() == hashlib.sha256(answer).digest()
        # The guard's own look at the upstream came first and brought something else.
        assert harness.until("the question", lambda: question in drained(received))
        record = site.wait_for_record("closed")
        assert record["bytes_down"] == len(answer)
        assert record["bytes_up"] == len(question)


def test_what_the_client_sends_after_the_servers_last_byte_arrives(site):
    """The server closes its sending half; it still gets everything."""
    received = queue.Queue()

    def serve(peer):
        first = peer.recv(1)
        if not first:
            return
        peer.sendall(harness.pong(b"the end"))
        peer.shutdown(socket.SHUT_WR)
        received.put(first + harness.read_all(peer))

    with harness.RawUpstream(serve) as upstream:
        agent = raw_way(site, upstream)
        first, rest = harness.ping(b"first"), harness.pong(b"rest" * 250_000, 2)
        with socket.create_connection(("127.0.0.1", agent.port)) as client:
            client.settimeout(harness.DEADLINE)
            client.sendall(first)
            assert harness.read_all(client) == harness.pong(b"the end")
            client.sendall(rest)
            client.shutdown(socket.SHUT_WR)
            assert harness.until("the rest", lambda: first + rest in drained(received))


def drained(received):
    """What has come until now, which stays there."""
    found = []
    while not received.empty():
        found.append(received.get())
    for item in found:
        received.put(item)
    return found


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1", "6.0.2"])
def test_a_pending_call_fails_with_a_reason_when_the_server_dies(machine, site, version):
    """SIGKILL to the server: the call says so quickly, and the next server is reached."""
    with machine.server(version) as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        agent = site.bring_in("alice")
        with machine.artist(version, "waiting", agent.port, seconds=600) as artist:
            artist.said("ready")
            server.kill()
            killed = time.monotonic()
            error = artist.result()
        assert error["class"] in ("EOFError", "ConnectionError"), error
        assert "Houdini" in error["text"], error
        assert error["monotonic"] - killed < QUICKLY
        site.assert_each_session_has_its_end()
        # While it is away a new connection is told so, too.
        with machine.artist(version, "arriving", agent.port) as artist:
            assert "upstream-down" in artist.result()["text"]
        with machine.server(version, server.port):
            with machine.artist(version, "arriving", agent.port) as artist:
                assert artist.result()["value"] == 42


def test_a_dead_client_leaves_nothing_behind(machine, site):
    """SIGKILL to the artist's script: server, guard and agent let go of the session."""
    with machine.server("4.1.0") as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        agent = site.bring_in("alice")
        with machine.artist("5.3.1", "arriving", agent.port) as artist:
            assert artist.result()["value"] == 42
        site.wait_for_record("closed")
        programs = (server, site.guard, agent)
        before = [program.descriptors() for program in programs]
        with machine.artist("5.3.1", "idle", agent.port) as artist:
            artist.said("ready")
            artist.kill()
        for program, count in zip(programs, before):
            harness.until(
                "the end of the session in `%s`" % program.command[0],
                lambda program=program, count=count: program.descriptors() <= count,
            )
        closed = harness.until("the second end", lambda: site.audit("closed")[1:])[0]
        assert closed["reason"] == "client-closed"
        site.assert_each_session_has_its_end()


def test_a_client_that_resets_its_connection_has_closed_it(machine, site):
    """As a script does that dies with something unread: the guard does not take it for lost."""
    with machine.server("4.1.0") as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        agent = site.bring_in("alice")
        with socket.create_connection(("127.0.0.1", agent.port)) as client:
            client.settimeout(harness.DEADLINE)
            client.sendall(harness.ping(b"here" * 100))
            assert client.recv(1), "the session is open"
            # With linger 0 the kernel resets.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert site.wait_for_record("closed")["reason"] == "client-closed"
        agent.line("session closed by the client", "err")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_a_script_that_ends_in_a_call_leaves_the_session_until_its_answer_or_a_revocation(
    machine, site, how
):
    """Houdini is busy with the call all the same, and what came of it is written down."""
    with machine.server("4.1.0") as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        agent = site.bring_in("alice")

        def end_in_a_call(seconds, count):
            began = time.monotonic()
            with machine.artist("5.3.1", "waiting", agent.port, seconds=seconds) as artist:
                artist.said("ready")
                # The answer to the callback has reached the server: the call itself is under way.
                attack.wait_for_call(site, count, direction="to-client")
                artist.process.send_signal(how)
                artist.wait()
            return began

        began = end_in_a_call(3, 1)
        site.wait_for_record("closed", reason="client-closed")
        assert time.monotonic() - began >= 3
        (work,) = attack.wait_for_call(site, call="namespace['work']")
        assert work["outcome"] == "ok" and work["us"] >= 3_000_000, work
        end_in_a_call(600, 2)
        returned = site.revoke("alice")
        site.wait_for_record("closed", reason="session-revoked")
        assert time.monotonic() - returned < 1
