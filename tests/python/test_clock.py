"""The clock of either machine is wrong, and jumps while sessions run."""

import contextlib
import datetime
import os
import pathlib
import time

import pytest

import harness

#: What a part may compute in a second in which nobody asks anything of it.
AT_REST = 0.5

#: How often the guard looks at its own certificate, and what that may take.
HOUSEKEEPING = 20.0

#: The promise about an access that has ended.
CUT = 1.0


class Clock:
    """A clock for one program, which can be moved while the program runs."""

    def __init__(self, folder, name):
        found = sorted(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not found:
            pytest.skip("libfaketime is not installed (the Debian package faketime)")
        self._path = folder / (name + ".clock")
        self.set("+0")
        self.env = {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, offset):
        """Moves it so far from the right time, such as ``+2h`` or ``-3d``."""
        new = self._path.with_suffix(".new")
        new.write_text(offset + "\n", encoding="utf-8")
        os.replace(new, self._path)


class Clocks:
    """A server, a guard and an agent, each of the two with a clock of its own."""

    def __init__(self, machine, site, stack):
        self.machine, self.site, self.stack = machine, site, stack
        self.guard_clock = Clock(site.folder, "guard")
        self.agent_clock = Clock(site.folder, "agent")
        site.guard_env, site.agent_env = self.guard_clock.env, self.agent_clock.env
        self.server = stack.enter_context(machine.server("4.1.0"))
        site.start_guard("127.0.0.1:%d" % self.server.port)
        self.agent = site.bring_in("alice")
        self.asking = stack.enter_context(
            machine.artist("5.3.1", "stubborn", self.agent.port, count=5)
        )
        self.assert_sessions_work()

    def arrive(self):
        """Connects, makes one call, and gives what came of it."""
        with self.machine.artist("5.3.1", "arriving", self.agent.port) as artist:
            return artist.result()

    def assert_sessions_work(self):
        """All sessions get answers, and have seen no error."""
        working = set()

        def attempt():
            report = self.asking.ask("report")
            assert not report["errors"], report["errors"][0]
            working.update(n for n, calls in enumerate(report["calls"]) if calls)
            return len(working) == 5

        attempt()
        working.clear()
        harness.until("a call of each session", attempt)

    def assert_at_rest(self):
        """Neither guard nor agent runs in circles while nobody asks anything."""
        before = {part: seconds_computed(part) for part in (self.site.guard, self.agent)}
        time.sleep(1)
        for part, computed in before.items():
            spent = seconds_computed(part) - computed
            assert spent < AT_REST, "%s computed for %.2f s in one" % (part.command[0], spent)

    def assert_nobody_panicked(self):
        """No program has said so."""
        for part in (self.site.guard, self.agent):
            assert "panicked" not in part.printed(), part.printed()

    def renewals(self):
        """How often the agent has renewed, or tried to."""
        tried = self.site.audit("renewed")
        return len(tried) + len([r for r in self.site.audit("refused")
                                 if r.get("stage") == "enrolment"])


def seconds_computed(part):
    """The processor time that a program has taken until now."""
    text = pathlib.Path("/proc/%d/stat" % part.pid).read_text(encoding="utf-8")
    fields = text.rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def clocks(machine, site):
    """Two clocks."""
    with contextlib.ExitStack() as stack:
        yield Clocks(machine, site, stack)


def test_a_guards_clock_that_jumps_ends_no_session_and_keeps_nobody_out(clocks, shown):
    """Ahead and behind, by hours and days: sessions go on and new ones are let in."""
    for offset in ("+2h", "-2h", "+0", "+3d", "-3d", "+0"):
        clocks.guard_clock.set(offset)
        clocks.assert_sessions_work()
        result = clocks.arrive()
        assert result.get("value") == 42, (offset, result)
    clocks.assert_sessions_work()
    shown.append("guard's clock moved 6 times: %d renewals" % clocks.renewals())
    assert clocks.renewals() <= 12
    clocks.asking.tell("stop")
    clocks.asking.result()
    clocks.assert_at_rest()
    clocks.assert_nobody_panicked()
    clocks.site.assert_each_session_has_its_end()


def test_a_guards_clock_that_was_months_ahead_leaves_nothing_behind(clocks, shown):
    """Meanwhile the sentence is about clocks; afterwards all works without help."""
    certificate = clocks.site.state / "guard.crt"
    before = certificate.read_bytes()
    clocks.guard_clock.set("+100d")
    clocks.assert_sessions_work()
    result = clocks.arrive()
    assert result["class"] == "PermissionError", result
    assert "the clock of this machine does not agree" in result["message"], result
    assert "hint: set the clock of this machine, or tell IT" in result["message"], result
    # The guard renews its own certificate, and what it has then is not valid by the right clock.
    harness.until("a new certificate", lambda: certificate.read_bytes() != before, HOUSEKEEPING)
    time.sleep(0.5)
    clocks.guard_clock.set("+0")
    began = time.monotonic()
    harness.until("a session", lambda: clocks.arrive().get("value") == 42, HOUSEKEEPING)
    shown.append("guard's clock right again after months: let in after %.1f s" % (
        time.monotonic() - began))
    clocks.assert_sessions_work()
    clocks.assert_nobody_panicked()


def test_the_end_of_access_follows_the_guards_clock(clocks, shown):
    """A jump over the end cuts as the end does; when the clock is right again all works."""
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    clocks.site.certs("grant", "alice", "--access-until", end.strftime("%Y-%m-%dT%H:%M:%SZ"))
    clocks.assert_sessions_work()
    with clocks.machine.artist("5.3.1", "waiting", clocks.agent.port, seconds=600) as artist:
        artist.said("ready")
        clocks.guard_clock.set("+2h")
        moved = time.monotonic()
        error = artist.result()
    took = error["monotonic"] - moved
    assert error["class"] == "PermissionError" and "ended" in error["message"], error
    shown.append("guard's clock moved over the end of access: cut after %.3f s" % took)
    assert took < CUT
    assert "access-ended" in clocks.arrive()["message"]
    clocks.guard_clock.set("+0")
    assert clocks.arrive()["value"] == 42
    clocks.assert_nobody_panicked()


def test_an_agents_clock_that_jumps_ends_no_session(clocks, shown):
    """By hours and days it works; by months the sentence is about this machine's clock."""
    for offset in ("+2h", "+3d", "+0"):
        clocks.agent_clock.set(offset)
        clocks.assert_sessions_work()
        result = clocks.arrive()
        assert result.get("value") == 42, (offset, result)
    for offset, words in (("-3d", "is probably behind"), ("+200d", "if the clock of this machine")):
        clocks.agent_clock.set(offset)
        clocks.assert_sessions_work()
        result = clocks.arrive()
        assert result["class"] == "ConnectionError", result
        assert "clock of this machine says" in result["message"], result
        assert words in result["message"], result
    clocks.agent_clock.set("+0")
    assert clocks.arrive()["value"] == 42
    clocks.assert_sessions_work()
    shown.append("agent's clock moved 6 times: %d renewals" % clocks.renewals())
    assert clocks.renewals() <= 12
    clocks.asking.tell("stop")
    clocks.asking.result()
    clocks.assert_at_rest()
    clocks.assert_nobody_panicked()
    clocks.site.assert_each_session_has_its_end()
