"""How a session begins: with a Houdini that is another than before, busy, or speaks first."""

import contextlib
import time

import pytest

import harness
from test_reasons import assert_told

#: Server and client; those of 6 and of another version need a translation.
PAIRS = [("4.1.0", "5.3.1"), ("4.1.0", "6.0.2"), ("6.0.2", "4.1.0"), ("6.0.2", "6.0.2")]
EACH_PAIR = pytest.mark.parametrize(
    "pair", PAIRS, ids=lambda pair: "server-%s-client-%s" % pair
)

#: Longer than anything waits for a Houdini but rpyc itself.
COOKING = 6.0


@contextlib.contextmanager
def cooking(server):
    """Listens and does nothing inside the ``with`` statement."""
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


def arrive(machine, agent, version):
    """Connects with a version of rpyc, makes one call, and gives what came of it."""
    with machine.artist(version, "arriving", agent.port) as artist:
        return artist.result()


@pytest.mark.parametrize("client", ["4.1.0", "5.3.1", "6.0.2"])
def test_a_houdini_of_another_rpyc_at_the_same_port_is_noticed_at_once(machine, site, client):
    """No session is lost by it, whichever came before and whichever comes now."""
    with machine.server("4.1.0") as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        agent = site.bring_in("alice")
        assert arrive(machine, agent, client).get("value") == 42
    for version in ("6.0.2", "5.3.1", "6.0.2"):
        with machine.server(version, server.port):
            found = arrive(machine, agent, client)
            assert found.get("value") == 42, found
    site.assert_each_session_has_its_end()
    reasons = {record["reason"] for record in site.audit("closed")}
    assert reasons <= {"client-closed", "upstream-closed"}, site.audit_text()


@EACH_PAIR
def test_a_session_waits_for_a_houdini_that_cooks_and_is_not_known(machine, site, pair):
    """It is admitted at once, and nothing that it says is put into wrong words."""
    with machine.server(pair[0]) as server, contextlib.ExitStack() as stack:
        with cooking(server):
            site.start_guard("127.0.0.1:%d" % server.port)
            agent = site.bring_in("alice")
            coming = [
                stack.enter_context(machine.artist(pair[1], "arriving", agent.port))
                for _ in range(3)
            ]
            harness.until("the sessions", lambda: len(site.audit("opened")) == len(coming))
            time.sleep(COOKING)
            assert not site.audit("closed")
        for artist in coming:
            result = artist.result()
            assert result.get("value") == 42, result
    assert not site.audit("refused")


def test_a_session_that_waits_for_a_houdini_can_be_revoked(machine, site):
    """As any other: the script is told, and Houdini never hears of it."""
    with machine.server("4.1.0") as server, cooking(server):
        site.start_guard("127.0.0.1:%d" % server.port)
        agent = site.bring_in("alice")
        with machine.artist("5.3.1", "arriving", agent.port) as artist:
            site.wait_for_record("opened")
            site.revoke("alice")
            result = artist.result(harness.DEADLINE / 2)
        assert result["class"] == "PermissionError", result
        closed = site.wait_for_record("closed")
        assert (closed["reason"], closed["bytes_up"]) == ("session-revoked", 0)


def test_a_script_that_pours_while_houdini_cooks_is_held_back(machine, site):
    """What waits for a Houdini takes a bounded place in the guard."""
    with machine.server("4.1.0") as server, cooking(server):
        site.start_guard("127.0.0.1:%d" % server.port)
        agent = site.bring_in("alice")
        before = resident(site.guard)
        with machine.script("5.3.1", "pour.py", agent.port, 256) as script:
            site.wait_for_record("opened")
            poured = script.said("held")["held"]
        assert poured < 64 << 20, poured
        assert resident(site.guard) - before < 16 << 10, "KiB"


def resident(program):
    """Memory of a program in KiB."""
    with open("/proc/%d/status" % program.pid, encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


@EACH_PAIR
def test_a_server_that_speaks_first_is_understood(machine, site, pair):
    """In whichever family it does: at the first session, and when it is known."""
    with machine.server(pair[0], service="Greeting") as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        agent = site.bring_in("alice")
        for _ in range(2):
            found = arrive(machine, agent, pair[1])
            assert found.get("value") == 42, found


@EACH_PAIR
def test_a_server_that_wants_the_scripts_python_first_is_told_of(machine, site, pair):
    """rpyc's ``ClassicService`` serves nobody without. The script does not wait in vain."""
    with machine.server(pair[0], service="ClassicService") as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        agent = site.bring_in("alice")
        found = arrive(machine, agent, pair[1])
        why = ("Houdini's server asks for the script's own Python before it serves the script, "
               "and the guard does not hand that out")
        found = dict(found, first=found.get("message"))
        assert_told(found, why, hint="run rpyc's SlaveService in Houdini")
        assert site.wait_for_record("closed")["reason"] == "session-protocol"
