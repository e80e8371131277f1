"""Each part stands still for a while under 100 busy sessions, and goes on."""

import contextlib
import hashlib
import os
import socket
import time

import pytest

import busy
import harness

SESSIONS = 100

#: When the agent takes a guard for vanished, and the guard in one of these tests a client.
VANISHED_AFTER = 20
PEER_TIMEOUT = 4

#: More than all the systems on the way keep.
SIZE = 32 << 20

#: What the agent may take to tell a new client that the guard does not answer.
TOLD = 10.0

#: What it may take when more ask at once than it asks for at a time.
ALL_TOLD = 21.0


@pytest.fixture
def sessions(machine, site):
    """Busy sessions."""
    with contextlib.ExitStack() as stack:
        yield busy.Busy(machine, site, stack, SESSIONS)


@contextlib.contextmanager
def frozen(part):
    """Stands still inside the ``with`` statement."""
    part.freeze()
    try:
        yield time.monotonic()
    finally:
        part.thaw()


def assert_went_on(sessions, shown, name, seconds):
    """All sessions work, none has seen an error, nothing is left over."""
    errors, slowest = sessions.until_all_work()
    assert not errors, errors[:3]
    sessions.assert_no_more_held()
    sessions.stop()
    reasons = {record["reason"] for record in sessions.site.audit("closed")}
    # When rpyc says goodbye, either side may be the first to close.
    assert reasons <= {"client-closed", "upstream-closed"}, reasons
    shown.append("%s frozen for %.0f s: %d sessions went on, the longest call took %.1f s" % (
        name, seconds, SESSIONS, slowest))


def test_a_houdini_that_cooks_is_busy_and_not_down(sessions, shown):
    """Who comes meanwhile waits for it; nobody is cut, refused or told that it is down."""
    with contextlib.ExitStack() as stack:
        with frozen(sessions.server) as began:
            coming = [stack.enter_context(sessions.arriving()) for _ in range(5)]
            harness.until("the new sessions", lambda: (
                len(sessions.site.audit("opened")) >= 1 + SESSIONS + len(coming)))
            time.sleep(3)
            seconds = time.monotonic() - began
        assert [artist.result()["value"] for artist in coming] == [42] * len(coming)
    assert not sessions.site.audit("refused")
    assert_went_on(sessions, shown, "upstream", seconds)


def test_a_large_object_waits_for_a_houdini_that_cooks(machine, site, shown):
    """Longer than the agent waits for a machine that has vanished: this one has not."""
    with machine.server("4.1.0") as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        agent = site.bring_in("alice")
        with machine.artist("5.3.1", "pushing", agent.port, size=SIZE) as pushing:
            pushing.said("ready")
            with frozen(server):
                time.sleep(VANISHED_AFTER + 3)
            result = pushing.result(60)
    assert result["class"] is None and result["same"], result
    shown.append("upstream frozen: a large object was under way for %.1f s and arrived" % (
        result["seconds"]))


def test_a_client_that_takes_nothing_for_a_while_has_not_vanished(site):
    """Longer than the guard waits for a machine that has vanished."""
    config = site.folder / "guard.toml"
    config.write_text("[limits]\npeer_timeout = '%ds'\n" % PEER_TIMEOUT, encoding="utf-8")
    answer = harness.pong(os.urandom(SIZE))

    def serve(peer):
        if peer.recv(1):
            peer.sendall(answer)
            harness.read_all(peer)

    with harness.RawUpstream(serve) as upstream:
        site.start_guard(upstream.address, "--config", config, *harness.OPAQUE)
        agent = site.bring_in("alice")
        with socket.create_connection(("127.0.0.1", agent.port)) as client:
            client.settimeout(harness.DEADLINE)
            client.sendall(harness.ping(b""))
            time.sleep(PEER_TIMEOUT + 3)
            client.shutdown(socket.SHUT_WR)
            came = hashlib.sha256(harness.read_all(client)).hexdigest()
        assert came == hashlib.sha256(answer).hexdigest()


def test_a_guard_that_stands_still_is_named_in_time(sessions, shown):
    """New connections are told within seconds, a hundred at once too; old ones go on."""
    with frozen(sessions.guard) as began, sessions.arriving() as first:
        with sessions.machine.artist(
            "5.3.1", "arriving_together", sessions.agent.port, count=100
        ) as artist:
            alone = first.result()
            took = time.monotonic() - began
            together = artist.result(60)["found"]
        seconds = time.monotonic() - began
    assert_named(alone)
    assert took < TOLD
    for result in together:
        assert_named(result)
    worst = max(result["seconds"] for result in together)
    shown.append("guard frozen: one client was told after %.1f s, the last of 100 after %.1f s" % (
        took, worst))
    assert worst < ALL_TOLD
    assert_went_on(sessions, shown, "guard", seconds)


def assert_named(result):
    """The exception names the guard and says what to do."""
    assert result["class"] == "ConnectionError", result
    assert "guard ws12" in result["message"] and "hint:" in result["message"], result


def test_an_agent_that_stands_still_loses_nothing(sessions, shown):
    """Who connects meanwhile is served when it goes on."""
    with contextlib.ExitStack() as stack:
        with frozen(sessions.agent) as began:
            artist = stack.enter_context(sessions.arriving())
            time.sleep(2)
            seconds = time.monotonic() - began
        assert artist.result()["value"] == 42
    assert_went_on(sessions, shown, "agent", seconds)
