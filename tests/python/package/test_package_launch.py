"""Houdini's launch files with the installed package: a real server, called by a real client."""

import json
import socket

import harness
import kit

HOUDINI = harness.HERE.parents[1] / "deploy" / "houdini"

#: A Houdini with a user interface that runs its hook and goes on. What it prints by itself
#: says where it listens.
DRIVER = """
import json, runpy, sys, types
sys.path.insert(0, sys.argv[1])
sys.modules["hou"] = types.SimpleNamespace(isUIAvailable=lambda: True)
import hrpyc_guard_launch
hrpyc_guard_launch.PORTS = json.loads(sys.argv[3])
runpy.run_path(sys.argv[2])
sys.stdout.flush()
sys.stdin.readline()
"""


def houdini(package, ports):
    """Starts one that may use these ports."""
    scripts, (hook, *_) = HOUDINI / "scripts" / "python", sorted(HOUDINI.glob("*libs/uiready.py"))
    python = package.python(kit.SERVER)
    return harness.Program([python, "-c", DRIVER, scripts, hook, json.dumps(ports)])


def test_each_houdini_serves_on_a_port_of_its_own_and_quits_when_it_is_told_to(machine, package):
    """Two of them; a call to each; neither is kept from quitting by its server."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [one.getsockname()[1], two.getsockname()[1]]
    with houdini(package, ports) as first:
        first.line("the RPC server listens on 127.0.0.1:%d" % ports[0])
        with houdini(package, ports) as second:
            second.line("the RPC server listens on 127.0.0.1:%d" % ports[1])
            for port in ports:
                with machine.artist(kit.CLIENT, "arriving", port) as artist:
                    assert artist.result()["value"] == 42
            with houdini(package, ports) as third:
                said = third.line("hrpyc_guard:")
                assert "no RPC server was started" in said and str(ports[1]) in said
                third.tell("quit")
                assert third.wait() == 0
            for running in (first, second):
                running.tell("quit")
                assert running.wait() == 0, running.printed()
