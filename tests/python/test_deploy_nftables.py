"""The rules for nftables, tried with real connections from both sides.

Three machines of network namespaces: the workstation, a studio that may reach the guard and a
street that may not, by IPv4 and by IPv6.
"""

import contextlib
import pathlib
import re
import tempfile

import pytest

import harness
import namespaces
import needs

RULES = harness.HERE.parents[1] / "deploy" / "nftables" / "hrpyc-guard.nft"

#: The guard's user, Houdini's, and somebody else's. The rules let root through.
GUARD, HOUDINI, OTHER = 961, 1001, 1002

#: How the workstation is called in the studio and in the street.
STUDIO = {4: "10.77.1.1", 6: "fd77:1::1"}
STREET = {4: "10.77.2.1", 6: "fd77:2::1"}

VALUES = {
    "loopback_users": "{ 0, %d, %d }" % (GUARD, HOUDINI),
    "networks_ipv4": "{ 10.77.1.0/24 }",
    "networks_ipv6": "{ fd77:1::/64 }",
}

#: Takes connections by both families on each port that is named, and hangs up.
TAKES = """
import socket, sys, threading
def serve(listener):
    while True:
        listener.accept()[0].close()
for port in sys.argv[1:]:
    listener = socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True)
    threading.Thread(target=serve, args=(listener,)).start()
print("listening on [::]:" + sys.argv[1], flush=True)
"""


class Place:
    """The machines, with a guard and a Houdini's server on the workstation."""

    def __init__(self, machine, folder, stack):
        self.folder = folder
        self.workstation = stack.enter_context(namespaces.Namespace("workstation"))
        self.studio = stack.enter_context(namespaces.Namespace("studio"))
        self.street = stack.enter_context(namespaces.Namespace("street"))
        for network, machine_there in ((1, self.studio), (2, self.street)):
            ends = ["10.77.%d.%%d/24" % network, "fd77:%d::%%d/64" % network]
            namespaces.cable(
                self.workstation, [end % 1 for end in ends], machine_there, [end % 2 for end in ends]
            )
        python = machine.python("4.1.0")
        # As the maker's function does: on all addresses.
        server = [python, harness.HERE / "hrpyc_server.py", "--host", "0.0.0.0", "--port", "18811"]
        stack.enter_context(harness.Listener(self.workstation.inside(server)))
        # More Houdinis, and a service that the rules are not about.
        others = [python, "-c", TAKES, "18813", "18899", "22", "18900"]
        stack.enter_context(harness.Listener(self.workstation.inside(others)))
        self.guarded = namespaces.Workstation(machine, self.workstation, folder, GUARD)
        guard = self.guarded.start_guard("[::]:18812", "127.0.0.1:18811-18899", "--refuse-own-user")
        self.guard = stack.enter_context(guard)

    def load(self, **values):
        """Loads the rules that are shipped, with other values where they have to be set."""
        text = RULES.read_text(encoding="utf-8")
        for name, value in dict(VALUES, **values).items():
            text, count = re.subn("(?m)^define %s = .*$" % name, "define %s = %s" % (name, value), text)
            assert count == 1, name
        path = self.folder / "rules.nft"
        path.write_text(text, encoding="utf-8")
        self.workstation.run(["nft", "-f", path])

    def unload(self):
        """Takes the rules away as the file says."""
        (line,) = re.findall("(?m)^#   (nft delete .*?) +#", RULES.read_text(encoding="utf-8"))
        self.workstation.run(line.split())

    def rules(self):
        """All that is loaded."""
        return self.workstation.run(["nft", "list", "ruleset"])

    def seen(self, namespace, addresses, ports):
        """What comes of a connection to each port by each family."""
        found = {namespace.knock(host, port) for host in addresses.values() for port in ports}
        assert len(found) == 1, found
        return found.pop()

    def artist(self, namespace, name, address):
        """Somebody on that machine who has joined."""
        guard = "%s:18812" % address if "." in address else "[%s]:18812" % address
        code = self.guarded.certs("invite", name, "--role", "full", "--guard", guard)["code"]
        artist = namespaces.Artist(self.guarded, namespace, name)
        artist.join(code)
        return artist


@pytest.fixture
def place(machine):
    """The machines, before any rule is loaded: everything can be reached."""
    needs.root()
    needs.programs("nft", "ip", "nsenter", "setpriv", "bash")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hrpyc-"))
        made = Place(machine, pathlib.Path(folder), stack)
        assert made.rules() == ""
        yield made


def test_from_the_network_only_the_guard_is_reached_and_only_from_networks_that_are_named(place):
    """Each port by both families: without the rules, with them, and without them again."""
    v4 = {4: STUDIO[4]}

    def reached():
        return {
            "server": [place.seen(place.studio, v4, [18811]),
                       place.seen(place.street, {4: STREET[4]}, [18811])],
            "houdinis": [place.seen(place.studio, STUDIO, [18813, 18899]),
                         place.seen(place.street, STREET, [18813, 18899])],
            "guard": [place.seen(place.studio, STUDIO, [18812]),
                      place.seen(place.street, STREET, [18812])],
            "others": [place.seen(place.studio, STUDIO, [22, 18900]),
                       place.seen(place.street, STREET, [22, 18900])],
        }

    everything = {name: ["open", "open"] for name in ("server", "houdinis", "guard", "others")}
    assert reached() == everything
    # The server has no IPv6, so that it is not the rules which close 18811 there.
    assert place.studio.knock(STUDIO[6], 18811) == "refused"
    place.load()
    closed = ["refused", "refused"]
    expected = dict(everything, server=closed, houdinis=closed, guard=["open", "refused"])
    assert reached() == expected
    place.unload()
    assert place.rules() == ""
    assert reached() == everything


def test_an_artist_in_a_network_that_is_named_works_through_the_guard(place):
    """Real sessions by IPv4 and IPv6; whoever moves into the street gets none."""
    for name, address in (("alice", STUDIO[4]), ("bob", STUDIO[6])):
        # Joined before the rules are there, so that it is they which let in or not.
        artist = place.artist(place.studio, name, address)
        outside = place.artist(place.street, name + "-outside", STREET[4 if "." in address else 6])
        with outside.connect() as agent, outside.task("arriving", agent.port) as script:
            assert script.result()["value"] == 42
        place.load()
        with artist.connect() as agent, artist.task("arriving", agent.port) as script:
            assert script.result()["value"] == 42
        said = outside.doctor(code=1)
        assert "cannot be reached: Connection refused" in said, said
        place.unload()
    peers = {record["peer"].rsplit(":", 1)[0] for record in place.guarded.audit("opened")}
    assert peers == {"[::ffff:10.77.1.2]", "[::ffff:10.77.2.2]", "[fd77:1::2]", "[fd77:2::2]"}


def test_on_loopback_only_the_guards_and_houdinis_users_reach_houdini(place):
    """Also by the workstation's own address, and to more Houdinis by both families."""
    own = [("127.0.0.1", 18811), (STUDIO[4], 18811), ("127.0.0.1", 18813), ("::1", 18813),
           (STUDIO[6], 18899)]

    def reached(user):
        return {place.workstation.knock(host, port, user) for host, port in own}

    users = (GUARD, HOUDINI, 0, OTHER)
    assert [reached(user) for user in users] == [{"open"}] * 4
    place.load()
    assert [reached(user) for user in users] == [{"open"}] * 3 + [{"refused"}]
    # Other ports are nobody's business here.
    for port in (18812, 22, 18900):
        assert place.workstation.knock("127.0.0.1", port, OTHER) == "open"
    place.load(loopback_users="{ 0, %d }" % OTHER)
    assert [reached(user) for user in users] == [{"refused"}, {"refused"}, {"open"}, {"open"}]


def test_the_guard_reaches_houdini_as_its_own_user_and_not_as_another_one(place):
    """The guard is one of the users that the rules know, and has to be."""
    alice = place.artist(place.studio, "alice", STUDIO[4])
    place.load(loopback_users="{ 0, %d }" % HOUDINI)
    with alice.connect() as agent:
        with alice.task("arriving", agent.port) as script:
            error = script.result()
        assert error["class"] == "ConnectionError", error
        place.load()
        with alice.task("arriving", agent.port) as script:
            assert script.result()["value"] == 42


def test_loading_the_rules_again_cuts_no_session_and_leaves_one_table(place):
    """A live session goes on; what other tables hold stays as it was."""
    place.workstation.run(["nft", "add table inet studio { chain input { type filter hook input"
                           " priority filter; policy accept; tcp dport 2222 drop; }; }"])
    before = place.rules()
    place.load()
    once = place.rules()
    alice = place.artist(place.studio, "alice", STUDIO[4])
    with alice.connect() as agent, alice.task("idle", agent.port) as script:
        script.said("ready")
        for _ in range(3):
            place.load()
        script.tell("still there?")
        assert script.result()["value"] == 42
    uncounted = re.compile(r"packets \d+ bytes \d+")
    assert uncounted.sub("", place.rules()) == uncounted.sub("", once)
    place.unload()
    assert place.rules() == before
