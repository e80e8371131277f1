"""Any stock client works against any server: 4.1.0, 4.1.5, 5.3.1 and 6.0.2, in all pairs.

Without a guard, clients and servers of 4.1 and 5 understand each other and 6 understands only
itself. Through agent and guard each goes on the same tour (``tour.py``) against each.
"""

import contextlib

import pytest

import harness

VERSIONS = ("4.1.0", "4.1.5", "5.3.1", "6.0.2")

#: What a script finds through the guard that it would not find without: the guard protects it
#: from the server, which without a guard has as much power over the script's own Python as the
#: script has over the server.
WHY = ": hrpyc-guard did not pass this on to the script: "
REFUSED = "RuntimeError" + WHY
#: Python asks by such names what an object can do, and takes this for an answer.
ABSENT = "AttributeError" + WHY
PROTECTED = {
    # The class has its name, and is not imported from a module that the server names.
    ("exceptions_of_modules", "scene_module"): "rpyc.core.vinegar/remote hou",
    ("exceptions_of_modules", "standard_is_caught"): False,
    ("reaching_back", "private"): REFUSED + "it asks for a private name",
    ("reaching_back", "globals"): ABSENT + "it asks for a private name",
    ("reaching_back", "dictionary"): ABSENT + "it asks for a private name",
    ("reaching_back", "written"): REFUSED + "it changes an attribute",
    ("reaching_back", "deleted"): REFUSED + "it changes an attribute",
    ("reaching_back", "inner"): REFUSED + "it goes on from an attribute to another",
    ("reaching_back", "obtained"): REFUSED + "it asks for a pickle",
    ("reaching_back", "asked"): REFUSED + "it asks for the service of the script's own Python",
}


def named(version):
    """The name of the upstream that serves a version."""
    return "v" + version.replace(".", "")


def understand_each_other(client, server):
    """Whether the two can do without the bridge."""
    return client.startswith("6") == server.startswith("6")


class Ways:
    """A server of each version, ways to each, and what each tour has found."""

    def __init__(self, machine, servers, guarded):
        self._machine = machine
        self._ports = {
            "direct": {version: server.port for version, server in servers.items()},
            "guarded": {version: guarded[named(version)] for version in servers},
        }
        self._found = {}

    def tour(self, way, client, server):
        """Goes on the tour, once for each way."""
        key = way, client, server
        if key not in self._found:
            port = self._ports[way][server]
            with self._machine.script(client, "tour.py", port) as script:
                self._found[key] = {
                    (stop, name): value
                    for stop, values in script.result(120).items()
                    for name, value in values.items()
                }
        return self._found[key]


@pytest.fixture(scope="module")
def ways(machine):
    """One guard in front of all servers, and one agent."""
    with contextlib.ExitStack() as stack:
        servers = {v: stack.enter_context(machine.server(v)) for v in VERSIONS}
        site = stack.enter_context(harness.Site(machine))
        file = site.folder / "guard.toml"
        upstreams = [
            '  { name = "%s", address = "127.0.0.1:%d" },' % (named(version), server.port)
            for version, server in servers.items()
        ]
        file.write_text("\n".join(["upstream = [", *upstreams, "]\n"]), encoding="utf-8")
        site.start_guard(None, "--config", file)
        site.join("alice")
        guarded = site.connect_to("alice", [named(version) for version in VERSIONS])
        yield Ways(machine, servers, guarded)


def references(ways, client, server):
    """What may be found. For a pair that needs the bridge: what either version finds with
    itself, or what is found with 5.3.1, which is the nearest to 6.0.2, in its place.
    """
    if understand_each_other(client, server):
        return [ways.tour("direct", client, server)]
    near = ["5.3.1" if version == "6.0.2" else version for version in (client, server)]
    return [ways.tour("direct", *pair) for pair in ((client,) * 2, (server,) * 2, near)]


def differences(found, references):
    """What was found, and in none of the references."""
    keys = set().union(found, *references)
    return [
        "%s.%s: %r, not %r" % (*key, found.get(key), [each.get(key) for each in references])
        for key in sorted(keys)
        if found.get(key) not in [each.get(key) for each in references]
    ]


@pytest.mark.parametrize("server", VERSIONS)
@pytest.mark.parametrize("client", VERSIONS)
def test_any_client_works_against_any_server(ways, client, server):
    """Each finding is the one without a guard, or the guard's protection of the script."""
    found = ways.tour("guarded", client, server)
    allowed = references(ways, client, server)
    for key, value in PROTECTED.items():
        assert value not in [each[key] for each in allowed], "%s.%s needs no protection" % key
    allowed = [{**each, **PROTECTED} for each in allowed]
    wrong = differences(found, allowed)
    assert not wrong, "\n".join(wrong)
