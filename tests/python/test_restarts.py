"""Each part is killed and started again under 100 busy sessions."""

import contextlib
import time

import pytest

import busy
import harness

SESSIONS = 100

#: How long a part is frozen before it is killed, in seconds.
FROZEN = 1.0


@pytest.fixture
def sessions(machine, site):
    """Busy sessions."""
    with contextlib.ExitStack() as stack:
        yield busy.Busy(machine, site, stack, SESSIONS)


@pytest.mark.parametrize("how", ["killed", "frozen-and-killed"])
@pytest.mark.parametrize("part", ["guard", "agent", "server"])
def test_sessions_come_back_after_a_part_was_killed(sessions, shown, part, how):
    """SIGKILL and a new start: clear errors, all sessions again, nothing left over."""
    victim = sessions.parts[part]
    if how == "frozen-and-killed":
        victim.freeze()
        time.sleep(FROZEN)
    victim.kill()
    killed = time.monotonic()
    errors = sessions.first_errors()
    if part == "server":
        # Those that had a call under way were told what became of it.
        assert any("Houdini" in error["text"] for error in errors), errors[:3]
    sessions.restart(part)
    more, slowest = sessions.until_all_work()
    took = time.monotonic() - killed
    errors += more
    assert {error["class"] for error in errors} <= busy.ERRORS, errors[:3]
    assert max(error["seconds"] for error in errors) < harness.DEADLINE
    sessions.assert_no_more_held()
    sessions.stop(threads=part == "server" and how == "killed")
    opened, closed = sessions.site.audit("opened"), sessions.site.audit("closed")
    assert len(opened) >= 2 * SESSIONS
    reasons = [record["reason"] for record in closed]
    if part == "guard":
        assert reasons.count("guard-killed") >= SESSIONS, reasons
    else:
        assert "guard-killed" not in reasons
    shown.append("%s %s: %d sessions worked again after %.1f s, the longest call took %.1f s" % (
        part, how, SESSIONS, took, slowest))


def test_a_guard_that_is_asked_to_stop_ends_its_sessions_in_order(sessions):
    """SIGTERM twice: the sessions end, each is recorded, the exit code is 0."""
    sessions.guard.process.terminate()
    sessions.guard.line("second signal", "err")
    sessions.guard.process.terminate()
    assert sessions.guard.wait() == 0, sessions.guard.printed()
    sessions.site.assert_each_session_has_its_end()
    assert {r["reason"] for r in sessions.site.audit("closed")} >= {"session-drained"}
    sessions.restart("guard")
    sessions.until_all_work()
