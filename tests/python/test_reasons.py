"""A session that the guard ends itself: the calls of the script say why."""

import json

import pytest

import harness

VERSIONS = ["4.1.0", "5.3.1", "6.0.2"]

#: No frame of rpyc: with a flag that is none, and with something to look for in what is told.
MARK = b"raw-bytes-of-a-peer"
GARBAGE = (b"\0\0\0\x13\x07" + MARK + b"\n").hex()

#: Of nested calls, the script's own exceptions come in between.
AGAIN = "connect again; what the script held of that session is gone"


@pytest.fixture(params=VERSIONS)
def version(request):
    """Of client and server."""
    return request.param


class Studio:
    """A server, a guard with some settings, and alice's agent."""

    def __init__(self, machine, site, version, settings=""):
        self.site = site
        self._machine, self._version = machine, version
        self._server = machine.server(version)
        config = site.folder / "guard.toml"
        config.write_text(settings, encoding="utf-8")
        site.start_guard("127.0.0.1:%d" % self._server.port, "--config", config)
        self._agent = site.bring_in("alice")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.kill()

    def run(self, task, **arguments):
        """What becomes of a script, and the record of its session's end."""
        command = ("cut_off.py", task, self._agent.port, json.dumps(arguments))
        with self._machine.script(self._version, *command) as script:
            result = script.result()
            assert MARK.decode() not in script.printed()
        (closed,) = [r for r in self.site.audit("closed") if r["reason"] != "upstream-closed"]
        return result, closed


@pytest.fixture
def studio(machine, site, version):
    """Without settings."""
    with Studio(machine, site, version) as made:
        yield made


def assert_told(found, why, code="session-protocol", hint=AGAIN):
    """The exception of a call is a lost connection, says why, and what to do."""
    assert found.get("class") is not None, found
    assert "EOFError" in found["bases"], found
    sentence, _, told = found["first"].partition("\nhint: ")
    assert sentence == "hrpyc-guard ended the session: %s (%s)" % (why, code), found
    assert told.startswith(hint), found
    assert found["first"] in found["text"], found


FLAG = "%s sent something else than rpyc: a frame has the compressed flag 7"


def test_a_call_that_waits_says_what_houdini_did(studio):
    """The audit has the same reason; the next call finds the connection closed."""
    result, closed = studio.run("babbling", data=GARBAGE)
    assert_told(result["call"], FLAG % "Houdini")
    assert "EOFError" in result["after"]["bases"], result
    assert (closed["reason"], closed["sentence"]) == ("session-protocol", FLAG % "Houdini")


def test_calls_within_callbacks_say_it_each(studio):
    """From the innermost to the outermost."""
    result, _ = studio.run("babbling_within", data=GARBAGE)
    assert len(result["within"]) == 2, result
    for found in [*result["within"], result["call"]]:
        assert_told(found, FLAG % "Houdini")


def test_all_threads_that_wait_are_told(studio):
    """Each of them gets an answer of its own."""
    result, _ = studio.run("babbling_beside", data=GARBAGE, count=20)
    assert len(result["calls"]) == 21
    for found in result["calls"]:
        assert_told(found, FLAG % "Houdini")


def test_a_script_that_sends_garbage_itself_is_told(studio):
    """As far as a call of it waits."""
    result, closed = studio.run("garbling", data=GARBAGE)
    assert_told(result["call"], FLAG % "the client")
    assert closed["sentence"] == FLAG % "the client"


def test_a_request_that_ends_the_session_is_answered_with_the_reason(studio):
    """Although it was never passed on."""
    result, closed = studio.run("asking_oddly", handler=99, args=[1])
    why = "the client sent something else than rpyc: there is no request number 99"
    assert_told(result["call"], why)
    assert (closed["reason"], closed["sentence"]) == ("session-protocol", why)


def test_a_call_that_was_cut_off_for_idling_is_told(machine, site, version):
    """A long call may be all that there is in a session."""
    with Studio(machine, site, version, "[limits]\nidle_timeout = '2s'\n") as studio:
        result, closed = studio.run("waiting", seconds=30)
    assert_told(result["call"], "nothing went through it for 2s", "session-idle")
    assert closed["reason"] == "session-idle"


def test_calls_that_cannot_be_written_down_are_told(machine, site, version):
    """Those that were passed on, and the one that was not."""
    with Studio(machine, site, version, "[audit]\nwhen_full = 'refuse'\n") as studio:
        result, closed = studio.run("asking_much", count=1200, seconds=10)
    calls = result["calls"]
    assert len(calls) == 1200
    assert all("EOFError" in found["bases"] for found in calls), calls
    told = [found for found in calls if "hrpyc-guard ended" in found["text"]]
    # Of those that wait, the newest.
    assert len(told) == 1000
    for found in told:
        assert_told(found, "the guard cannot write its audit log now, so it refuses the call",
                    "audit-unavailable", "connect again in a minute")
    assert closed["reason"] == "audit-unavailable"


@pytest.mark.parametrize("end, why", [
    (b"!", "Houdini sent something else than rpyc: a frame does not end in a newline"),
    # What comes after it can be told: the message was whole. The call has its answer.
    (b"\n" + bytes.fromhex(GARBAGE), FLAG % "Houdini"),
], ids=["within", "behind"])
def test_nothing_is_said_in_the_middle_of_a_great_message(studio, end, why):
    """A script would take it for a part of the message."""
    result, closed = studio.run("babbling_at_length", length=2 << 20, end=end.hex())
    assert (closed["reason"], closed["sentence"]) == ("session-protocol", why)
    if end == b"!":
        assert "EOFError" in result["call"]["bases"], result
        assert "hrpyc-guard" not in result["call"]["text"], result
    else:
        assert "value" in result["call"], result["call"]["text"][:200]
