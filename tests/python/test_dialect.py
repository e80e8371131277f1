"""Clients and servers of families that do not understand each other, over the bridge."""

import pytest

import harness

#: Server and client version, and the family of the server.
PAIRS = [
    ("4.1.0", "6.0.2", "classic"),
    ("5.3.1", "6.0.2", "classic"),
    ("6.0.2", "4.1.0", "six"),
    ("6.0.2", "5.3.1", "six"),
]


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: "server-%s-client-%s" % pair[:2])
def run(request, machine):
    """Runs a task of an artist, directly or over the bridge."""
    server_version, client_version, family = request.param
    program = machine.program("examples/bridge")
    with machine.server(server_version) as server:
        with harness.Listener([program, server.address, family]) as bridge:

            def run_task(task, port=bridge.port):
                with machine.artist(client_version, task, port) as artist:
                    return artist.result()

            run_task.server = server
            yield run_task


def test_calls_and_values_arrive(run):
    """Every kind of value, there and back."""
    result = run("calls")
    assert all(result["values"])
    assert result["keyword"] == "bye ann () [('a', 2), ('z', 1)]"


def test_the_scene_is_changed_and_calls_back(run):
    """The example of the manual, and callbacks within callbacks."""
    assert run("scene")["scale"] == 2.0
    result = run("callbacks")
    assert len(result["seen"]) == 2
    assert result["nested"] == 20


def test_exceptions_and_iteration_work(run):
    """Exceptions keep their class; loops end."""
    assert run("exceptions")["zero"]["class"] == "ZeroDivisionError"
    assert run("iteration")


def test_without_the_bridge_they_do_not_understand_each_other(run):
    """So that the tests above show something."""
    with pytest.raises(AssertionError):
        run("calls", run.server.port)
