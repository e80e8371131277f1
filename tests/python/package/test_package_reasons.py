"""A session that the guard ends itself: what the package raises for each call says why."""

import json

import pytest

import harness
import kit
from test_reasons import AGAIN, FLAG, GARBAGE, MARK

VERSIONS = ["4.1.0", "5.3.1", "6.0.2"]


@pytest.fixture(params=VERSIONS)
def cut_off(request, desk, machine, site):
    """Runs a task of ``cut_off.py`` with the package, between two rpyc of one version."""
    version = request.param
    with machine.server(version) as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        site.join("alice")
        desk.put(harness.HERE / "cut_off.py")

        def run(task, **arguments):
            way, arguments = json.dumps(kit.way(site, "alice")), json.dumps(arguments)
            python = desk.package.python(version)
            program = desk.start(python, "cut_off.py", task, way, arguments)
            result = program.result()
            kit.assert_quiet(program)
            assert MARK.decode() not in program.printed()
            return result

        yield run


def assert_told(found, why, code="session-protocol"):
    """The package's own exception for a lost session, complete."""
    sentence = "hrpyc-guard ended the session: %s (%s)" % (why, code)
    error = kit.assert_error(found, "SessionLost", "EOFError", {code}, sentence)
    assert error["hint"].startswith(AGAIN), error


def test_a_call_that_waits_says_what_houdini_did(cut_off):
    """And the next one finds the session lost."""
    result = cut_off("babbling", data=GARBAGE)
    assert_told(result["call"], FLAG % "Houdini")
    assert "SessionLost" in result["after"]["bases"], result


def test_calls_within_callbacks_say_it_each(cut_off):
    """From the innermost to the outermost."""
    result = cut_off("babbling_within", data=GARBAGE)
    for found in [*result["within"], result["call"]]:
        assert_told(found, FLAG % "Houdini")


def test_a_request_that_ends_the_session_is_answered_with_the_reason(cut_off):
    """Although it was never passed on."""
    result = cut_off("asking_oddly", handler=99, args=[1])
    why = "the client sent something else than rpyc: there is no request number 99"
    assert_told(result["call"], why)


def test_a_server_that_wants_the_scripts_python_first_is_told_of(desk, machine, site):
    """While connecting: there is no session yet that could be lost."""
    with machine.server("4.1.0", service="ClassicService") as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        site.join("alice")
        (found,) = desk.result("connects", calls=[[[], kit.way(site, "alice")]])["found"]
        error = kit.assert_error(found, "Unavailable", "ConnectionError", {"session-protocol"},
                                 "asks for the script's own Python")
        assert "SlaveService" in error["hint"], error
