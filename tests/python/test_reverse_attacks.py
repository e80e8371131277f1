"""Servers that want more of an artist's machine than to answer.

Directly, each attack must succeed: otherwise it would prove nothing. Through agent and guard
under the role ``full``, each end must refuse it alone; with both open it succeeds again.
"""

import json

import pytest

import reverse_attacks
from reverse_attacks import BY_GUARD, NO_CONTROL, NOT_RPYC, READS, READS_NOTHING, works

#: Versions of the server and of the client.
PAIRS = [("4.1.0", "4.1.0"), ("4.1.5", "4.1.5"), ("5.3.1", "5.3.1"), ("6.0.2", "6.0.2"),
         ("4.1.0", "6.0.2"), ("6.0.2", "5.3.1")]

#: Where nobody translates.
ALIKE = [("4.1.0", "4.1.0"), ("4.1.5", "4.1.5"), ("5.3.1", "5.3.1"), ("6.0.2", "6.0.2")]


def named(value):
    """The name of a parameter."""
    return "server-%s-client-%s" % value if isinstance(value, tuple) else value


@pytest.fixture(scope="module", params=PAIRS, ids=named)
def guard_alone(request, machine):
    """The profile says that Houdini may ask anything, and the guard holds it back."""
    return reverse_attacks.Met(machine, request.param, reverse_calls="open")


ENDS = [(READS_NOTHING, pair) for pair in ALIKE]
ENDS += [(READS, pair) for pair in [("5.3.1", "5.3.1"), ("4.1.0", "6.0.2")]]


@pytest.fixture(
    scope="module", params=ENDS,
    ids=lambda end: "%s-%s" % ("reads" if end[0] == READS else "reads-nothing", named(end[1])))
def agent_alone(request, machine):
    """The guard lets Houdini ask anything, and the agent holds it back."""
    role, pair = request.param
    return role, reverse_attacks.Met(machine, pair, role=role)


@pytest.mark.parametrize("pair", ALIKE, ids=named)
def test_every_attack_works_without_a_guard(machine, pair):
    """Otherwise it would prove nothing."""
    attacks, _ = reverse_attacks.directly(machine, pair)
    failed = [
        line for name, line in attacks.items() if not works(line) and name not in NO_CONTROL
    ]
    assert not failed, "\n".join(map(json.dumps, failed))


def test_no_attack_works_through_the_guard_alone(guard_alone):
    """Nothing was got, nothing was made, nothing was changed."""
    guard_alone.assert_no_attack_works()


def test_no_attack_works_through_the_agent_alone(agent_alone):
    """Nothing was got, nothing was made, nothing was changed."""
    agent_alone[1].assert_no_attack_works()


def test_the_client_goes_on_and_each_refusal_is_written_down(guard_alone):
    """The client's call has its answer and the connection lives; the server gets a sentence."""
    met = guard_alone
    assert sorted(met.sessions) == sorted(met.found)
    wrong = []
    for name, line in met.found.items():
        session = met.sessions[name]
        denied = [record for record in met.calls if record["session"] == session
                  and record["direction"] == "to-client" and record["outcome"] == "denied"]
        if "names_a_module" in name:
            # The exception is raised, in another name, or has ended the session.
            good = "error" in line
        elif "error" in line:
            end = met.ends[session]
            good = end["reason"] == "session-protocol" and end.get("sentence")
        else:
            good = (line["after"] == 42 and denied and line["result"][0] == "refused"
                    and line["result"][2].startswith(BY_GUARD) and denied[0]["rule"])
        if not good:
            wrong.append("%s, denied: %d, end: %s" % (
                json.dumps(line), len(denied), met.ends[session]["reason"]))
    assert not wrong, "\n".join(wrong)


def test_the_client_goes_on_and_each_refusal_is_told(agent_alone):
    """The client's call has its answer and the connection lives; the server gets a sentence."""
    role, met = agent_alone
    # A guard that reads ends what is no rpyc by itself.
    ended = NOT_RPYC & set(met.found) if role == READS else ()
    for name in ended:
        assert "error" in met.found[name], met.found[name]
        assert met.ends[met.sessions[name]]["reason"] == "session-protocol", name
    met.assert_refused_at_the_artists_end(but=ended)


def test_what_honest_scripts_do_goes_on_working_through_the_guard(guard_alone):
    """Callbacks, event handlers, lists, dicts, streams, exceptions of Python's own."""
    guard_alone.assert_honest_scripts_work()


def test_what_honest_scripts_do_goes_on_working_through_the_agent(agent_alone):
    """Callbacks, event handlers, lists, dicts, streams, exceptions of Python's own."""
    agent_alone[1].assert_honest_scripts_work()


def assert_read(back):
    """The server's Python passes a refusal on as its own. Texts of an ``OSError`` get lost on
    that way."""
    assert back["isinstance"] == ["value", False]
    for name in ("globals", "private"):
        assert "hrpyc-guard" in back[name][1], back


def test_a_refusal_that_comes_back_to_the_script_can_be_read(guard_alone):
    """Whichever end has refused."""
    assert_read(guard_alone.back)


def test_a_refusal_of_the_agent_that_comes_back_to_the_script_can_be_read(agent_alone):
    """Whichever end has refused."""
    assert_read(agent_alone[1].back)


@pytest.mark.parametrize("pair", [("4.1.0", "4.1.0"), ("6.0.2", "6.0.2")], ids=named)
def test_with_both_ends_open_everything_passes_as_without_a_guard(machine, pair):
    """For who wants all that rpyc gives, and trusts the server with it."""
    met = reverse_attacks.Met(machine, pair, role=READS_NOTHING, reverse_calls="open")
    failed = [line for name, line in met.found.items()
              if not works(line) and name not in NO_CONTROL]
    assert not failed, "\n".join(map(json.dumps, failed))
    met.assert_honest_scripts_work()


@pytest.mark.parametrize("pair", [("5.3.1", "5.3.1"), ("4.1.0", "6.0.2")], ids=named)
def test_a_guard_that_reads_lets_all_of_rpyc_pass_when_both_ends_are_open(machine, pair):
    """Only what no rpyc writes ends the session."""
    met = reverse_attacks.Met(machine, pair, role=READS, reverse_calls="open")
    for name, line in met.without_crossing().items():
        if name in NOT_RPYC:
            assert met.ends[met.sessions[name]]["reason"] == "session-protocol", line
        else:
            assert works(line) or name in NO_CONTROL, line
    met.assert_honest_scripts_work()
