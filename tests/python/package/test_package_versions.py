"""Through the package a script gets what it gets on plain rpyc, with every rpyc and Python."""

import json

import pytest

import harness
import kit

#: Tasks of ``artist.py``, which know nothing of the package.
TASKS = [
    ("calls", {}),
    ("scene", {}),
    ("callbacks", {}),
    ("exceptions", {}),
    ("iteration", {}),
    ("large", {"sizes": [8 << 20]}),
]


class Both:
    """What the tasks gave on plain rpyc, and through the package."""

    def __init__(self, direct, package):
        self.direct = direct
        self.package = package


@pytest.fixture(
    scope="module", params=harness.PAIRS, ids=lambda pair: "server-%s-client-%s" % pair
)
def both(request, machine, package):
    """All tasks, run twice with the same Python for one pair of versions."""
    server_version, client_version = request.param
    with machine.server(server_version) as server, harness.Site(machine) as site:
        site.start_guard("127.0.0.1:%d" % server.port)
        site.join("alice")
        with kit.Desk(package) as desk:
            for script in ("artist.py", "hrpyc_client.py"):
                desk.put(harness.HERE / script)
            desk.put(kit.SCRIPTS / "through_package.py")
            python = package.python(client_version)
            address = kit.way(site, "alice", port=server.port)

            def run(way):
                program = desk.start(python, "through_package.py", way, json.dumps(address),
                                     json.dumps(TASKS))
                assert program.wait(120) == 0, program.printed()
                kit.assert_quiet(program)
                said = [json.loads(line) for line in program.lines["out"]]
                return {line["task"]: line["result"] for line in said}

            direct = run("direct")
            assert not site.audit("opened"), "the direct run went through the guard"
            through = run("package")
            assert kit.wait_for_ends(site, "alice") == len(TASKS)
        yield Both(direct, through)


def test_calls_values_and_keyword_arguments_arrive_unchanged(both):
    """Positional and keyword arguments, all plain values, modules, ``eval``, ``obtain``."""
    assert all(both.package["calls"]["values"])
    assert both.package["calls"]["keyword"] == "bye ann () [('a', 2), ('z', 1)]"
    assert both.package["calls"]["moved"] == [1, 2, 3]
    assert both.package["calls"] == both.direct["calls"]


def test_the_wrapped_module_behaves_as_the_makers(both):
    """The manual's example, with the copies from and to the main context."""
    assert both.package["scene"]["synced"] == [1, 1]
    assert both.package["scene"]["scale"] == 2.0
    assert both.package["scene"] == both.direct["scene"]


def test_the_server_can_call_what_the_client_passed(both):
    """Callbacks while a call waits, twenty deep, and as an argument of a remote function."""
    assert both.package["callbacks"]["nested"] == 20
    assert both.package["callbacks"]["mapped"] == [0, 1, 4, 9, 16]
    assert both.package["callbacks"] == both.direct["callbacks"]


def test_exceptions_keep_class_message_and_traceback(both):
    """Those of Python, of the scene, and those of an import."""
    assert both.package["exceptions"]["key"]["class"] == "KeyError"
    assert both.package["exceptions"]["zero"]["traceback"]
    # The guard changes the module of exceptions that are not Python's own.
    found = both.package["exceptions"]
    assert "remote hou.OperationFailed" in found["operation"]["bases"]
    plain = json.loads(json.dumps(found).replace('"remote hou.', '"hou.'))
    for error in plain.values():
        if isinstance(error, dict):
            error["bases"] = sorted(error["bases"])
    assert plain == both.direct["exceptions"]


def test_iteration_and_context_managers_work(both):
    """Generators, buffered iteration, a remote file in a ``with`` statement."""
    assert both.package["iteration"]["generator"] == list(range(300))
    assert both.package["iteration"]["lines"] == ["one\n", "two\n", "three\n"]
    assert both.package["iteration"] == both.direct["iteration"]


def test_eight_megabytes_arrive_whole_in_both_directions(both):
    """Bytes that compress and bytes that do not."""
    found = both.package["large"]["found"]
    assert [(kind, length) for kind, length, _, _ in found] == [
        ("noise", 8 << 20), ("even", 8 << 20)]
    for kind, _, here, there in found:
        assert here == there, kind


def test_no_call_waits_for_a_delayed_acknowledgement(desk, studio, houdini, artist, shown):
    """rpyc sends small messages one after the other; a kernel that holds the second one back
    until the first is acknowledged would make each call 40 ms long."""
    to = kit.way(studio, artist, port=houdini.port)
    direct, through = (desk.result("paced", way=way, to=to, count=60)["taken"][30]
                       for way in ("direct", "package"))
    shown.append("a method call on loopback: %.2f ms on plain rpyc, %.2f ms through package and "
                 "guard" % (direct * 1000, through * 1000))
    assert through < 0.015, (direct, through)


@pytest.mark.parametrize("version", kit.PYTHONS)
def test_one_wheel_serves_every_python(package, desk, studio, artist, version):
    """The maker's example, threads, a fork and a pool on this Python."""
    key = "py" + version
    if not package.has(key):
        pytest.skip("there is no environment with Python %s" % version)
    to = kit.way(studio, artist)
    found = desk.result("where", key)
    assert ".".join(map(str, found["python"])) == version
    assert found["package"].startswith(str(package.installed(key))), found
    env = desk.env(XDG_CONFIG_HOME=str(desk.folder / "config"))
    (desk.folder / "config").mkdir()
    (desk.folder / "config" / "hrpyc-guard").symlink_to(studio.config(artist))
    program = desk.client("example", key, env=env)
    assert program.result() == {"scale": 2.0, "seen": [7], "listening": []}
    kit.assert_quiet(program)
    assert desk.result("shared", key, to=to, count=8) == {"wrong": []}
    program = desk.client("forks", key, to=to)
    forked = program.said("forked")["forked"]
    assert forked["code"] == 0 and forked["child"]["own"]["value"] == 42, forked
    assert forked["parent"]["value"] == 42, forked
    program.tell("go on")
    assert program.result() == {"new": 42}
    assert desk.result("leaves", key, to=to)["leaving"]
    kit.wait_for_ends(studio, artist)


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1", "6.0.2"])
def test_the_installed_package_is_the_one_that_is_tested(package, desk, version):
    """Nothing of this project's tree is imported."""
    found = desk.result("where", version)
    for part in ("package", "native"):
        assert found[part].startswith(str(package.installed(version))), found
    assert found["rpyc"].startswith(version), found
