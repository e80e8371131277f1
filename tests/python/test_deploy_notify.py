"""What the guard tells a service manager, and that it needs none."""

import re
import signal
import socket
import sys
import time

import pytest

import harness

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs unix sockets")


@pytest.fixture
def manager(site, monkeypatch):
    """A service manager's socket, as a function that gives the next message."""
    path = site.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.settimeout(harness.DEADLINE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))

        def message(but="STATUS"):
            """The next one that says more than how it goes."""
            while True:
                lines = listening.recv(4096).decode().splitlines()
                words = dict(line.split("=", 1) for line in lines)
                if set(words) != {but}:
                    return words

        message.socket = listening
        yield message


def test_a_guard_says_when_it_is_ready_reloads_and_stops(machine, site, manager):
    """Each word comes when it is true, and in its order."""
    with machine.server("4.1.0") as server:
        guard = site.start_guard("127.0.0.1:%d" % server.port, "--drain-timeout", "5s")
        ready = manager()
        assert ready == {"READY": "1",
                         "STATUS": "listening on %s; live sessions: 0" % guard.address}
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        guard.process.send_signal(signal.SIGHUP)
        reloading, again = manager(), manager()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert reloading["RELOADING"] == "1" and "READY" not in reloading
        assert before <= int(reloading["MONOTONIC_USEC"]) <= after
        assert again["READY"] == "1"
        guard.line("the configuration was read anew", "err")
        guard.process.terminate()
        stopping = manager()
        assert stopping["STOPPING"] == "1"
        assert int(stopping["EXTEND_TIMEOUT_USEC"]) == (5 + 30) * 1000000
        assert guard.wait() == 0


def test_ready_is_said_when_connections_are_taken_and_not_before(site, manager):
    """The one that hears it can connect at once; a guard that cannot listen never says it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [site.machine.program("hrpyc-guard"), "--state-dir", site.state, "--listen"]
        refused = [*command, "127.0.0.1:%d" % taken.getsockname()[1]]
        with harness.Program(refused, env=site.env()) as guard:
            assert guard.wait() == 1, guard.printed()
    manager.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.socket.recv(4096)
    manager.socket.settimeout(harness.DEADLINE)
    with harness.Program([*command, "127.0.0.1:0"], env=site.env()):
        port = re.search(r"listening on 127\.0\.0\.1:(\d+);", manager()["STATUS"]).group(1)
        socket.create_connection(("127.0.0.1", int(port)), harness.DEADLINE).close()


def test_a_guard_serves_without_a_service_manager_and_with_one_that_is_gone(
        machine, site, monkeypatch):
    """A manager that cannot be told is a warning, and only one."""
    with machine.server("4.1.0") as server:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
        site.start_guard("127.0.0.1:%d" % server.port)
        agent = site.bring_in("alice")
        with machine.artist("5.3.1", "arriving", agent.port) as artist:
            assert artist.result()["value"] == 42
        assert site.guard.terminate() == 0
        assert "NOTIFY_SOCKET" not in site.guard.printed()
        monkeypatch.setenv("NOTIFY_SOCKET", str(site.folder / "nobody"))
        guard = site.restart_guard()
        guard.line("NOTIFY_SOCKET", "err")
        with machine.artist("5.3.1", "arriving", agent.port) as artist:
            assert artist.result()["value"] == 42
        assert guard.terminate() == 0
        assert guard.printed().count("NOTIFY_SOCKET") == 1
