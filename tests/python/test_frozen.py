"""Each part stands still for a while under 100 busy sessions, and goes on."""

import contextlib
import time

import pytest

import busy
import harness

SESSIONS = 100

#: What the agent may take to tell a new client that the guard does not answer.
TOLD = 9.0

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
    assert {r["reason"] for r in sessions.site.audit("closed")} == {"client-closed"}
    shown.append("%s frozen for %.0f s: %d sessions went on, the longest call took %.1f s" % (
        name, seconds, SESSIONS, slowest))


def test_a_houdini_that_cooks_is_busy_and_not_down(sessions, shown):
    """Who comes meanwhile waits for it, or is told that it is busy; nobody is cut."""
    with contextlib.ExitStack() as stack:
        with frozen(sessions.server) as began:
            coming = [stack.enter_context(sessions.arriving()) for _ in range(20)]
            sessions.site.wait_for_record("refused", code="upstream-timeout")
            sessions.site.wait_for_record("opened", client=None) if False else None
            seconds = time.monotonic() - began
        found = [artist.result() for artist in coming]
    answered = [result for result in found if result["class"] is None]
    told = [result for result in found if result["class"] is not None]
    assert answered and told, found
    assert {result["value"] for result in answered} == {42}
    for result in told:
        assert result["class"] == "ConnectionError", result
        assert "upstream-timeout" in result["text"] and "cooking" in result["text"], result
    codes = {record["code"] for record in sessions.site.audit("refused")}
    assert codes == {"upstream-timeout"}
    assert_went_on(sessions, shown, "upstream", seconds)


def test_a_guard_that_stands_still_is_named_in_time(sessions, shown):
    """New connections are told within seconds, a hundred at once too; old ones go on."""
    with frozen(sessions.guard) as began:
        with sessions.arriving() as artist:
            alone = artist.result()
            took = time.monotonic() - began
        assert alone["class"] == "ConnectionError", alone
        assert "hint:" in alone["text"] and "guard" in alone["text"], alone
        assert took < TOLD
        seconds = time.monotonic() - began
    shown.append("guard frozen: a new client was told after %.1f s" % took)
    assert_went_on(sessions, shown, "guard", seconds)


def test_an_agent_that_stands_still_loses_nothing(sessions, shown):
    """Who connects meanwhile is served when it goes on."""
    with sessions.arriving() as artist:
        artist.result()
    with frozen(sessions.agent) as began:
        artist = sessions.arriving()
        time.sleep(3)
        seconds = time.monotonic() - began
    with artist:
        assert artist.result()["value"] == 42
    assert_went_on(sessions, shown, "agent", seconds)
