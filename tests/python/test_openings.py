"""How a session begins: with a Houdini that is another than before, busy, or speaks first."""

import contextlib
import socket
import threading
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


class Front:
    """A listener that stays, and leads to whichever server is meant."""

    def __init__(self):
        self.port = None

    def __call__(self, peer):
        with socket.create_connection(("127.0.0.1", self.port)) as server:
            back = threading.Thread(target=self._carry, args=(server, peer), daemon=True)
            back.start()
            self._carry(peer, server)
            back.join()

    @staticmethod
    def _carry(source, destination):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                destination.sendall(data)
            destination.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("versions", [("4.1.0", "6.0.2"), ("6.0.2", "4.1.0")],
                         ids=lambda versions: "%s-then-%s" % versions)
def test_a_houdini_that_nobody_could_see_change_is_known_by_the_second_session(
        machine, site, versions):
    """The first one has told it something wrong, and says why it ends."""
    before, after = versions
    front = Front()
    with machine.server(before) as old, machine.server(after) as new:
        with harness.RawUpstream(front) as upstream:
            front.port = old.port
            site.start_guard(upstream.address)
            agent = site.bring_in("alice")
            assert arrive(machine, agent, "5.3.1").get("value") == 42
            front.port = new.port
            found = arrive(machine, agent, "5.3.1")
            found = dict(found, first=found.get("message"))
            why = "Houdini's rpyc is of another version than was known of it"
            assert_told(found, why, hint="connect again; the next session knows")
            closed = site.wait_for_record("closed", reason="session-protocol")
            assert closed["sentence"].startswith(why), closed
            assert arrive(machine, agent, "5.3.1").get("value") == 42


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


def test_a_session_that_waits_for_a_houdini_for_too_long_is_told(machine, site):
    """As one that is idle: of requests that were not passed on, too."""
    config = site.folder / "guard.toml"
    config.write_text("[limits]\nidle_timeout = '2s'\n", encoding="utf-8")
    with machine.server("6.0.2") as server, cooking(server):
        site.start_guard("127.0.0.1:%d" % server.port, "--config", config)
        agent = site.bring_in("alice")
        found = arrive(machine, agent, "5.3.1")
        found = dict(found, first=found.get("message"))
        assert_told(found, "nothing went through it for 2s", "session-idle")
        assert site.wait_for_record("closed")["bytes_up"] == 0


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
