"""Each part is killed and started again under 20 busy sessions."""

import contextlib
import time

import pytest

import harness

SESSIONS = 20

#: The longest that a call may take around a restart. rpyc's own limit is 30 s, so a hang
#: would show.
LONGEST_CALL = 15.0

#: What scripts may see. Each says what happened; a timeout or a wrong answer would not.
ERRORS = {"EOFError", "ConnectionError", "ConnectionRefusedError", "ConnectionResetError",
          "BrokenPipeError"}


class Busy:
    """A server, guard and agent with busy sessions through them."""

    def __init__(self, machine, site, stack):
        self.machine = machine
        self.site = site
        self.stack = stack
        self.server = stack.enter_context(machine.server("4.1.0"))
        self.guard = site.start_guard("127.0.0.1:%d" % self.server.port)
        self.agent = site.bring_in("alice")
        self.artist = stack.enter_context(
            machine.artist("5.3.1", "stubborn", self.agent.port, count=SESSIONS)
        )
        self.until_all_work()
        self.before = self.descriptors()

    def descriptors(self):
        """Open file descriptors by part."""
        return {
            "server": self.server.descriptors(),
            "guard": self.site.guard.descriptors(),
            "agent": self.agent.descriptors(),
        }

    def until_all_work(self):
        """Waits until each session has made a call; gives the errors until then."""
        errors = []
        working = set()

        def attempt():
            report = self.artist.ask("report")
            errors.extend(report["errors"])
            assert report["slowest"] < LONGEST_CALL, report
            working.update(n for n, calls in enumerate(report["calls"]) if calls)
            return len(working) == SESSIONS

        # The first report tells of what went before.
        attempt()
        working.clear()
        harness.until("a call of each session", attempt)
        return errors

    def first_errors(self):
        """Waits until some session has noticed, and gives what it saw."""
        return harness.until("errors", lambda: self.artist.ask("report")["errors"])

    def assert_recovered(self, killed, errors):
        """All sessions work again; errors were clear; nothing is left over."""
        errors = errors + self.until_all_work()
        took = time.monotonic() - killed
        assert {error["class"] for error in errors} <= ERRORS, errors[:3]
        assert max(error["seconds"] for error in errors) < harness.DEADLINE
        for part, count in self.before.items():
            harness.until(
                "%s with %d descriptors" % (part, count),
                lambda part=part, count=count: self.descriptors()[part] <= count,
            )
        self.artist.tell("stop")
        self.artist.result()
        self.site.assert_each_session_has_its_end()
        opened = self.site.audit("opened")
        assert len(opened) >= 2 * SESSIONS
        return took


@pytest.fixture
def sessions(machine, site):
    """Busy sessions."""
    with contextlib.ExitStack() as stack:
        yield Busy(machine, site, stack)


def test_sessions_come_back_after_the_guard_was_killed(sessions, shown):
    """SIGKILL and a new start of the guard."""
    sessions.guard.kill()
    killed = time.monotonic()
    errors = sessions.first_errors()
    sessions.site.restart_guard()
    took = sessions.assert_recovered(killed, errors)
    shown.append("guard killed: %d sessions worked again after %.1f s" % (SESSIONS, took))


def test_sessions_come_back_after_the_agent_was_killed(sessions, shown):
    """SIGKILL and a new start of the agent, on the same port."""
    sessions.agent.kill()
    killed = time.monotonic()
    errors = sessions.first_errors()
    sessions.agent = sessions.site.connect("alice", sessions.agent.port)
    took = sessions.assert_recovered(killed, errors)
    shown.append("agent killed: %d sessions worked again after %.1f s" % (SESSIONS, took))


def test_sessions_come_back_after_the_upstream_was_killed(sessions, shown):
    """SIGKILL and a new start of the server, on the same port."""
    sessions.server.kill()
    killed = time.monotonic()
    errors = sessions.first_errors()
    server = sessions.machine.server("4.1.0", sessions.server.port)
    sessions.server = sessions.stack.enter_context(server)
    # Those that had a call under way were told what became of it.
    assert any("Houdini" in error["text"] for error in errors), errors[:3]
    took = sessions.assert_recovered(killed, errors)
    shown.append("upstream killed: %d sessions worked again after %.1f s" % (SESSIONS, took))


def test_a_guard_that_is_asked_to_stop_ends_its_sessions_in_order(sessions):
    """SIGTERM twice: the sessions end, each is recorded, the exit code is 0."""
    sessions.guard.process.terminate()
    sessions.guard.line("second signal", "err")
    sessions.guard.process.terminate()
    assert sessions.guard.wait() == 0, sessions.guard.printed()
    sessions.site.assert_each_session_has_its_end()
    assert {r["reason"] for r in sessions.site.audit("closed")} >= {"session-drained"}
    sessions.site.restart_guard()
    sessions.until_all_work()
