"""The launch files for Houdini, with stand-ins for its module and for the package.

The stand-in of the package takes real ports, as the package's own ``start_server`` does.
"""

import ast
import json
import socket
import subprocess
import sys

import pytest

import harness

HOUDINI = harness.HERE.parents[1] / "deploy" / "houdini"
HOOKS = sorted(HOUDINI.glob("python*libs/uiready.py"))
LAUNCH = HOUDINI / "scripts" / "python" / "hrpyc_guard_launch.py"

#: Runs the hook as Houdini does, and then says what it is left with.
DRIVER = """
import json, runpy, sys
hook, ports, guard = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
try:
    import hrpyc_guard_launch
    hrpyc_guard_launch.PORTS, hrpyc_guard_launch.GUARD_PORT = ports, guard
except ImportError:
    pass
runpy.run_path(hook)
module = sys.modules.get("hrpyc_guard")
print(json.dumps({"asked": module.asked if module else None,
                  "listening": bool(module and module.server and module.server.getsockname()[1])}))
"""

PACKAGE = """
import socket
asked, server = [], None
def start_server(port=18811, use_thread=True, quiet=True):
    global server
    assert use_thread and quiet
    asked.append(port)
    if server is not None:
        raise RuntimeError("this process has a server")
    server = socket.create_server(("127.0.0.1", port))
    return port
"""


class Launch:
    """What one start of a Houdini came to."""

    def __init__(self, folder, ports, guard=0, hou="True", package=PACKAGE, scripts=LAUNCH.parent):
        path = folder / "stand-ins"
        path.mkdir(exist_ok=True)
        (path / "hou.py").write_text("def isUIAvailable():\n    return %s\n" % hou, "utf-8")
        if package is not None:
            (path / "hrpyc_guard.py").write_text(package, "utf-8")
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, str(HOOKS[0]), json.dumps(ports), str(guard)],
            capture_output=True, encoding="utf-8", timeout=harness.DEADLINE, check=False,
            env={"PYTHONPATH": "%s:%s" % (path, scripts), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        # Whatever happens, Houdini starts, and nothing looks like an error of Houdini's own.
        assert done.returncode == 0 and done.stderr == "", done
        *self.said, last = done.stdout.splitlines()
        self.__dict__.update(json.loads(last))


@pytest.fixture
def ports():
    """Three ports that are free, and a function that takes some of them."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    numbers = [listener.getsockname()[1] for listener in held]

    def free(*which):
        for place in which:
            held[place].close()
        return numbers

    yield free
    for listener in held:
        listener.close()


def test_the_first_free_port_is_taken(tmp_path, ports):
    """A second Houdini takes the next one."""
    numbers = ports(0, 1, 2)
    alone = Launch(tmp_path, numbers)
    assert alone.asked == numbers[:1] and alone.listening
    assert alone.said == ["hrpyc_guard: the RPC server listens on 127.0.0.1:%d" % numbers[0]]
    with socket.create_server(("127.0.0.1", numbers[0])):
        second = Launch(tmp_path, numbers)
    assert second.asked == numbers[:2] and second.listening
    assert str(numbers[1]) in second.said[0]


def test_the_guards_own_port_is_never_taken(tmp_path, ports):
    """Also when it is free: a guard that starts later needs it."""
    numbers = ports(0, 1, 2)
    launch = Launch(tmp_path, numbers, guard=numbers[0])
    assert launch.asked == numbers[1:2] and launch.listening


def test_when_all_ports_are_taken_houdini_starts_without_a_server(tmp_path, ports):
    """Each was tried, and one line says what was the matter."""
    numbers = ports()
    launch = Launch(tmp_path, numbers)
    assert launch.asked == numbers and not launch.listening
    (said,) = launch.said
    assert "no RPC server was started" in said and "OSError" in said


@pytest.mark.parametrize("package, part", [
    (None, "ModuleNotFoundError"),
    ("raise SystemError('not for this Python')", "SystemError"),
    (PACKAGE + "\nserver = socket.create_server(('127.0.0.1', 0))", "RuntimeError"),
    ("class PanicException(BaseException):\n    pass\nraise PanicException('lost')", "PanicException"),
])
def test_what_goes_wrong_is_printed_and_houdini_starts(tmp_path, ports, package, part):
    """No package, a broken one, a second call, a native module that panics."""
    launch = Launch(tmp_path, ports(0, 1, 2), package=package)
    (said,) = launch.said
    assert "no RPC server was started" in said and part in said, said


def test_a_half_installed_package_is_printed_and_houdini_starts(tmp_path, ports):
    """The hook is there and its module is not."""
    launch = Launch(tmp_path, ports(0, 1, 2), scripts=tmp_path)
    (said,) = launch.said
    assert "no RPC server was started" in said and "hrpyc_guard_launch" in said


def test_without_a_user_interface_nothing_is_started(tmp_path, ports):
    """The package is not even loaded."""
    launch = Launch(tmp_path, ports(0, 1, 2), hou="False")
    assert launch.asked is None and launch.said == []


def test_each_python_of_houdini_has_the_same_hook(tmp_path):
    """For Houdini 19.5 (3.9), 20.0 (3.10), 20.5 and 21.0 (3.11), 22.0 (3.13)."""
    pythons = {hook.parent.name for hook in HOOKS}
    assert pythons == {"python%slibs" % v for v in ("3.9", "3.10", "3.11", "3.13")}
    assert len({hook.read_bytes() for hook in HOOKS}) == 1
    for source in (HOOKS[0], LAUNCH):
        ast.parse(source.read_text("utf-8"), feature_version=(3, 9))
    package = json.loads((HOUDINI / "hrpyc_guard.json").read_text("utf-8"))
    (variable,) = package["env"]
    assert package["hpath"] == "$" + next(iter(variable))
