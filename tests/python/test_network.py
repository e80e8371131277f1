"""The network between the two machines is cut and comes back."""

import contextlib
import time

import pytest

import harness
import network

#: For a client's machine that has vanished, as the guard is told in these tests.
PEER_TIMEOUT = 5.0

#: What the guard may take beyond it.
SLACK = 3.0

#: When the agent gives up a guard that has vanished, and what it may take to say so.
VANISHED_AFTER = 20.0
TOLD = 27.0

#: What the agent may take to tell a new client that the guard cannot be reached.
UNREACHABLE = 10.0


class Far:
    """A guard and a server on one machine, an agent and its artists on another."""

    def __init__(self, machine, stack):
        network.skip_unless_possible()
        self.wire = stack.enter_context(network.Wire())
        near, far = self.wire.inside(self.wire.near), self.wire.inside(self.wire.far)
        self.machine = machine.moved(*far)
        self.site = stack.enter_context(harness.Site(machine, near, far))
        self.server = stack.enter_context(machine.moved(*near).server("4.1.0"))
        config = self.site.folder / "guard.toml"
        config.write_text("[limits]\npeer_timeout = '%ds'\n" % PEER_TIMEOUT, encoding="utf-8")
        self.site.start_guard(
            "127.0.0.1:%d" % self.server.port, "--config", config,
            listen=self.wire.near_address + ":0",
        )
        self.agent = self.site.bring_in("alice")
        self.stack = stack

    def artist(self, task, **arguments):
        """Starts a script on the far machine."""
        artist = self.machine.artist("5.3.1", task, self.agent.port, **arguments)
        return self.stack.enter_context(artist)

    def sessions(self):
        """One session that waits for an answer, one that asks all the time, one that is idle."""
        waiting = self.artist("waiting", seconds=600)
        asking = self.artist("stubborn", count=1)
        idle = self.artist("idle")
        waiting.said("ready")
        idle.said("ready")
        harness.until("a call", lambda: any(asking.ask("report")["calls"]))
        return waiting, asking, idle


@pytest.fixture
def far(machine):
    """Two machines."""
    with contextlib.ExitStack() as stack:
        yield Far(machine, stack)


@pytest.mark.parametrize("how", ["unplugged", "swallowed"])
def test_a_short_cut_does_no_harm(far, shown, how):
    """Calls that were under way are answered when the network is there again."""
    call = far.artist("waiting", seconds=3)
    call.said("ready")
    _, asking, idle = far.sessions()
    asking.ask("report")
    far.wire.cut(how)
    time.sleep(2)
    far.wire.heal(how)
    assert call.result() == {"class": None}
    idle.tell("now")
    assert idle.result()["value"] == 42
    report = harness.until("a call after the cut", lambda: answered(asking))
    assert not report["errors"] and not far.site.audit("refused")
    reasons = {record["reason"] for record in far.site.audit("closed")}
    assert reasons <= {"client-closed", "upstream-closed"}, reasons
    shown.append("network %s for 2 s: the longest call took %.1f s" % (how, report["slowest"]))


def answered(asking):
    """The report of a script once it has got answers since the last one."""
    report = asking.ask("report")
    return report if any(report["calls"]) or report["errors"] else None


def assert_lost(error):
    """The exception says what was lost, behind which guard, and what to do."""
    assert error["class"] == "EOFError", error
    assert "the session with Houdini behind ws12 was lost" in error["text"], error
    assert "hint: connect again" in error["text"], error


def assert_both_ends_notice(far, shown, how, waiting, asking, began):
    """The guard and the agent each give up in time; gives when the agent had."""
    def lost():
        return [r for r in far.site.audit("closed") if r["reason"] == "client-lost"]

    harness.until("the ends of 3 sessions", lambda: len(lost()) >= 3, PEER_TIMEOUT + SLACK)
    noticed = time.monotonic() - began
    assert noticed > PEER_TIMEOUT / 2
    error = waiting.result(TOLD + 5)
    assert_lost(error)
    reports = harness.until("the error", lambda: asking.ask("report")["errors"])
    assert_lost(reports[0])
    told = max(error["monotonic"], reports[0]["monotonic"]) - began
    shown.append("network %s: the guard ended the sessions after %.1f s, scripts were told after "
                 "%.1f s" % (how, noticed, told))
    assert told < TOLD


def test_a_long_cut_is_noticed_at_both_ends_and_healed_by_itself(far, shown):
    """Nothing stays half open; what comes after the cut works without help."""
    waiting, asking, idle = far.sessions()
    far.wire.cut("swallowed")
    began = time.monotonic()
    # Who comes meanwhile is told soon, and of what kind it is.
    arriving = far.artist("arriving").result()
    assert arriving["class"] == "ConnectionError", arriving
    assert "guard ws12" in arriving["text"] and "cannot be reached" in arriving["text"], arriving
    assert "VPN" in arriving["text"], arriving
    assert arriving["monotonic"] - began < UNREACHABLE
    assert_both_ends_notice(far, shown, "cut for long", waiting, asking, began)
    far.wire.heal("swallowed")
    assert far.artist("arriving").result()["value"] == 42
    harness.until("a session of the script that asks", lambda: any(asking.ask("report")["calls"]))
    idle.tell("now")
    assert idle.result()["class"] == "EOFError"
    asking.tell("stop")
    asking.result()
    far.site.assert_each_session_has_its_end()


def test_a_new_address_begins_anew_and_leaves_nothing_behind(far, shown):
    """As when a VPN reconnects: new sessions at once, the old ones end at both ends."""
    waiting, asking, idle = far.sessions()
    far.wire.move_far_machine()
    began = time.monotonic()
    assert far.artist("arriving").result()["value"] == 42
    assert_both_ends_notice(far, shown, "address changed", waiting, asking, began)
    harness.until("a session of the script that asks", lambda: any(asking.ask("report")["calls"]))
    peers = {record["peer"].rsplit(":", 1)[0] for record in far.site.audit("opened")}
    assert peers == {"10.213.7.2", "10.213.7.3"}
    idle.tell("now")
    assert idle.result()["class"] == "EOFError"
    asking.tell("stop")
    asking.result()
    far.site.assert_each_session_has_its_end()


def test_a_houdini_whose_machine_vanishes_is_given_up(machine, shown):
    """Where the configuration allows a Houdini on another machine."""
    network.skip_unless_possible()
    with contextlib.ExitStack() as stack:
        wire = stack.enter_context(network.Wire())
        near, far = wire.inside(wire.near), wire.inside(wire.far)
        server = stack.enter_context(machine.moved(*far).server("4.1.0", host=wire.far_address))
        site = stack.enter_context(harness.Site(machine, near, near))
        config = site.folder / "guard.toml"
        config.write_text("[limits]\npeer_timeout = '%ds'\n" % PEER_TIMEOUT, encoding="utf-8")
        site.start_guard(
            server.address, "--config", config, "--allow-remote-upstream", wire.far_address
        )
        agent = site.bring_in("alice")
        artist = stack.enter_context(
            machine.moved(*near).artist("5.3.1", "waiting", agent.port, seconds=600)
        )
        artist.said("ready")
        wire.cut("swallowed")
        began = time.monotonic()
        error = artist.result()
        assert error["class"] == "EOFError" and "Houdini" in error["text"], error
        took = error["monotonic"] - began
        shown.append("Houdini's machine vanished: the script was told after %.1f s" % took)
        # The agent asks the guard why, which asks that Houdini once more.
        assert took < PEER_TIMEOUT + SLACK + 5
        site.wait_for_record("closed", reason="upstream-lost")
