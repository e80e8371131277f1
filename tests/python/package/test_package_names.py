"""Which Houdini is meant by what scripts pass, and which calls the time is copied for."""

import contextlib
import socket

import pytest

import harness
import kit

#: How many servers run on the workstation.
HOUDINIS = 3


def free_run(count):
    """The first of some consecutive ports that are free."""
    for first in range(23100, 29000, 7):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    taken = stack.enter_context(socket.socket())
                    taken.bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports")


class Workstation:
    """Several Houdinis behind one guard with a range of ports and a named upstream."""

    def __init__(self, machine, stack):
        self.first = free_run(HOUDINIS + 1)
        self.servers = [
            stack.enter_context(machine.server(kit.SERVER, self.first + number))
            for number in range(HOUDINIS)
        ]
        self.farm = stack.enter_context(machine.server(kit.SERVER))
        self.site = stack.enter_context(harness.Site(machine))
        config = self.site.folder / "guard.toml"
        config.write_text(
            'upstream = ["127.0.0.1:%d-%d", {name = "farm", address = "127.0.0.1:%d"}]\n'
            % (self.first, self.first + HOUDINIS, self.farm.port), encoding="utf-8")
        command = [machine.program("hrpyc-guard"), "--listen", "127.0.0.3:0", "--name", "ws12",
                   "--state-dir", self.site.state, "--config", config]
        self.site.guard = harness.Listener(
            command, env=self.site.env(), cwd=self.site.folder)

    def pid(self, port):
        """The process that must have answered."""
        return self.servers[port - self.first].pid


@pytest.fixture(scope="module")
def workstation(machine, package):
    """One workstation for all tests."""
    with contextlib.ExitStack() as stack:
        made = Workstation(machine, stack)
        kit.join(made.site, "alice", made.site.config("alice"))
        yield made


def imports(desk, site, calls, task="imports"):
    """What ``import_remote_module`` gives for each ``(args, kwargs)``."""
    folder = str(site.config("alice"))
    calls = [[args, dict(kwargs, config_dir=kwargs.get("config_dir", folder))]
             for args, kwargs in calls]
    return desk.result(task, calls=calls)["found"]


def test_scripts_reach_the_houdini_that_they_name(desk, workstation):
    """Every way to pass host, port and module; each server proves which it is."""
    first, second, third = range(workstation.first, workstation.first + HOUDINIS)
    calls = [
        ([], {}, first, "hou"),
        (["127.0.0.1"], {}, first, "hou"),
        (["localhost"], {}, first, "hou"),
        (["127.0.0.1", second], {}, second, "hou"),
        (["localhost", third, "hou"], {}, third, "hou"),
        (["127.0.0.1", second, "math"], {}, second, "math"),
        ([None, third], {}, third, "hou"),
        ([], {"port": second}, second, "hou"),
        ([], {"server": "127.0.0.1", "port": third, "module_name": "hou"}, third, "hou"),
        ([], {"name": "math"}, first, "math"),
        (["127.0.0.1", third], {"name": "os.path"}, third, "posixpath"),
        (["ws12"], {}, first, "hou"),
        (["ws12", second], {}, second, "hou"),
        (["ws12:ws12", third], {}, third, "hou"),
        (["127.0.0.3"], {}, first, "hou"),
        (["127.0.0.3", second], {}, second, "hou"),
        ([], {"server": "127.0.0.3", "port": third}, third, "hou"),
        ([], {"profile": "ws12"}, first, "hou"),
        (["ws12", second], {"profile": "ws12", "timeout": 20}, second, "hou"),
    ]
    found = imports(desk, workstation.site, [(args, kwargs) for args, kwargs, _, _ in calls])
    for (args, kwargs, port, module), result in zip(calls, found):
        expected = {"module": module, "pid": workstation.pid(port)}
        assert result.get("value") == expected, (args, kwargs, result)


def test_an_upstream_is_reached_by_its_configured_name(desk, workstation):
    """``port`` takes a name, too, and so does ``connect``."""
    calls = [(["ws12", "farm"], {}), ([], {"port": "farm"})]
    for found in (imports(desk, workstation.site, calls),
                  imports(desk, workstation.site, calls, "connects")):
        for result in found:
            assert result["value"]["pid"] == workstation.farm.pid, result


def test_a_port_that_is_not_there_is_refused_by_the_guard(desk, workstation):
    """Out of the range, 18811 of a guard that has no such Houdini, and one that is down."""
    down = workstation.first + HOUDINIS
    calls = [(["127.0.0.1", 1], {}), ([], {"port": 18811}), (["ws12", "nofarm"], {}),
             (["ws12", down], {})]
    found = imports(desk, workstation.site, calls)
    for result in found[:3]:
        kit.assert_error(result, "AccessDenied", "PermissionError", {"upstream-unknown"})
    error = kit.assert_error(found[3], "Unavailable", "ConnectionError", {"upstream-down"})
    assert error["hint"], error


def test_18811_is_taken_like_any_other_port(desk, machine):
    """A guard whose Houdini listens there has it, by the maker's own default."""
    try:
        server = machine.server(kit.SERVER, 18811)
    except AssertionError:
        pytest.skip("port 18811 of this machine is taken")
    with server, harness.Site(machine) as site:
        site.start_guard("127.0.0.1:18811")
        site.join("alice")
        for result in imports(desk, site, [([], {}), (["127.0.0.1", 18811, "hou"], {})]):
            assert result["value"]["pid"] == server.pid, result


def test_the_wanted_one_must_be_clear(desk, machine, workstation):
    """Two authorities in one folder: a name that fits both is refused with the choices."""
    with machine.server(kit.SERVER) as server, harness.Site(machine) as other:
        other.start_guard("127.0.0.1:%d" % server.port)
        folder = desk.folder / "both"
        kit.join(workstation.site, "bob", folder, profile="east")
        kit.join(other, "bob", folder, profile="west")
        calls = [([], {}), (["127.0.0.1"], {}), (["ws12"], {}),
                 (["east"], {}), (["west"], {}), (["east:ws12"], {}), (["west:ws12"], {}),
                 (["127.0.0.3"], {}), ([], {"profile": "west"}),
                 (["ws12"], {"profile": "west"}), (["127.0.0.1"], {"profile": "east"}),
                 (["north"], {}), (["east:ws13"], {}), ([], {"profile": "north"})]
        calls = [(args, dict(kwargs, config_dir=str(folder))) for args, kwargs in calls]
        found = imports(desk, workstation.site, calls)
        for result in found[:3]:
            error = kit.assert_error(result, "ProfileError", "LookupError")
            assert "east" in error["text"] and "west" in error["text"], error
        east, west = workstation.pid(workstation.first), server.pid
        pids = [result["value"]["pid"] if "value" in result else result for result in found[3:11]]
        assert pids == [east, west, east, west, east, west, west, east], found[3:11]
        for result in found[11:]:
            error = kit.assert_error(result, "ProfileError", "LookupError")
            assert "north" in error["text"] or "ws13" in error["text"], error
            assert "ws12" in error["text"] or "east" in error["text"], error


def test_the_signatures_are_the_promised_ones(desk):
    """Positional arguments stand where the maker has them."""
    found = desk.result("signatures")
    either, keyword = "POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY"
    assert found["import_remote_module"] == [
        ["server", either, None], ["port", either, None], ["module_name", either, "hou"],
        ["profile", keyword, None], ["config_dir", keyword, None], ["timeout", keyword, 8.0],
        ["name", keyword, None]]
    assert found["connect"] == [
        ["server", either, None], ["port", either, None], ["profile", keyword, None],
        ["config_dir", keyword, None], ["timeout", keyword, 8.0]]


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1"])
def test_exactly_the_calls_on_the_module_itself_are_bracketed(
        desk, studio, artist, houdini, version):
    """As with the maker's client; also when the call raises; of no other module."""
    desk.put(harness.HERE / "hrpyc_client.py")
    to = kit.way(studio, artist, port=houdini.port)
    through = desk.result("brackets", version, way="package", to=to)
    for name in ("function", "keyword", "fetched before", "class", "raises", "wrong arguments"):
        assert through[name][:2] == [1, 1], (name, through[name])
    assert through["raises"][2].startswith("ValueError: failed loudly")
    for name in ("only fetched", "missing", "method", "method of a parm", "method of hipFile",
                 "private", "raw module", "another module", "submodule"):
        assert through[name][:2] == [0, 0], (name, through[name])
    assert through["missing"][2].startswith("AttributeError")
    assert through["frame after the failure"] == 30.0
    assert through["frame elsewhere"] == 77.0
    assert through["another module's value"] == 3.0
    assert through == desk.result("brackets", version, way="direct", to=to)
