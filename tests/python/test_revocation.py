"""Revocation, and access that ends, reach live sessions within one second."""

import datetime
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import harness

#: The promise.
CUT = 1.0

#: Sessions that run at once in one wave, and waves for each of the two ways to end.
WAVE = 10
WAVES = 5

#: The codes that say that somebody was revoked, and that access is over.
REVOKED = {"grant-revoked", "certificate-revoked", "token-revoked", "session-revoked"}
ENDED = {"access-ended", "session-access-ended"}


@pytest.fixture(scope="module")
def server(machine):
    """One server for all tests."""
    with machine.server("4.1.0") as started:
        yield started


@pytest.fixture(scope="module")
def guarded(machine, server):
    """A site with a guard."""
    with harness.Site(machine) as made:
        made.start_guard("127.0.0.1:%d" % server.port)
        yield made


def bring_in(site, names):
    """Invites, joins and connects several, and gives their agents."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(site.bring_in, names))


def assert_told(error, codes, sentence):
    """The artist's call has raised the sentence with its code and a hint."""
    assert error["class"] == "PermissionError", error
    code = re.search(r"\(([a-z-]+)\)", error["message"])
    assert code and code.group(1) in codes, error
    assert re.search(sentence, error["message"]), error
    assert "hint:" in error["message"], error


def run_waves(machine, site, prefix, end_access):
    """Ends the access of ``WAVE * WAVES`` busy sessions; gives how long each lived on."""
    late = []
    for wave in range(WAVES):
        names = ["%s-%d-%d" % (prefix, wave, number) for number in range(WAVE)]
        agents = bring_in(site, names)
        ports = [agent.port for agent in agents]
        with machine.artist("5.3.1", "busy", 0, ports=ports) as artist:
            artist.said("ready")
            ends = end_access(names)
            lines = [artist.line('"number": %d,' % number) for number in range(WAVE)]
        for line in lines:
            error = harness.json.loads(line)
            assert not error["early"], error
            late.append((error, ends[error["number"]]))
        for agent in agents:
            agent.kill()
    return late


def test_a_revocation_cuts_a_busy_session_within_a_second(machine, guarded, shown):
    """50 sessions with traffic, one revocation after the other."""

    def revoke(names):
        return [guarded.revoke(name) for name in names]

    late = run_waves(machine, guarded, "revoked", revoke)
    for error, _ in late:
        assert_told(error, REVOKED, "revoked")
    worst = max(error["monotonic"] - returned for error, returned in late)
    shown.append("revoked: %d busy sessions, the worst lived on for %.3f s" % (len(late), worst))
    assert worst < CUT
    reasons = [record["reason"] for record in guarded.audit("closed")]
    assert reasons.count("session-revoked") == len(late), reasons


def test_access_that_ends_cuts_a_busy_session_within_a_second(machine, guarded, shown):
    """50 sessions with traffic, each with an end of access that is given while it runs."""

    def set_end(names):
        ends = []
        for number, name in enumerate(names):
            end = int(time.time()) + 3 + number % 3
            text = datetime.datetime.fromtimestamp(end, datetime.timezone.utc)
            guarded.certs("grant", name, "--access-until", text.strftime("%Y-%m-%dT%H:%M:%SZ"))
            ends.append(end)
        return ends

    late = run_waves(machine, guarded, "ended", set_end)
    for error, end in late:
        assert_told(error, ENDED, "ended")
        assert error["wall"] >= end, "cut before the end of access: %s" % error
    worst = max(error["wall"] - end for error, end in late)
    shown.append("access ended: %d busy sessions, the worst lived on for %.3f s" % (
        len(late), worst))
    assert worst < CUT
    reasons = [record["reason"] for record in guarded.audit("closed")]
    assert reasons.count("session-access-ended") == len(late), reasons


@pytest.mark.parametrize("version", ["4.1.0", "5.3.1", "6.0.2"])
def test_a_call_that_waits_raises_the_sentence(machine, version):
    """A single call that would take minutes is answered, with every rpyc."""
    with machine.server(version) as own, harness.Site(machine) as site:
        site.start_guard("127.0.0.1:%d" % own.port)
        agent = site.bring_in("alice")
        with machine.artist(version, "waiting", agent.port, seconds=600) as artist:
            artist.said("ready")
            returned = site.revoke("alice")
            error = artist.result()
        assert_told(error, REVOKED, "revoked")
        assert error["monotonic"] - returned < CUT
        # And so is whoever comes later.
        with machine.artist(version, "arriving", agent.port) as artist:
            assert_told(artist.result(), REVOKED, "revoked")
        refused = site.wait_for_record("refused", upstream=None)
        assert refused["code"] in REVOKED


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_revocation_cuts_a_large_transfer(machine, guarded, direction):
    """Within a second, too. Within a large object nothing can be said but the end."""
    name = "pouring-" + direction
    agent = guarded.bring_in(name)
    with machine.artist("5.3.1", "pouring", agent.port, direction=direction) as artist:
        artist.said("ready")
        returned = guarded.revoke(name)
        error = artist.result()
    assert error["class"] in ("PermissionError", "EOFError"), error
    assert error["monotonic"] - returned < CUT
    with machine.artist("5.3.1", "arriving", agent.port) as artist:
        assert_told(artist.result(), REVOKED, "revoked")


def test_revoking_one_leaves_the_others_alone(machine, guarded):
    """Another artist's idle session and another's busy one go on."""
    leaving, staying = bring_in(guarded, ["leaving", "staying"])
    with machine.artist("5.3.1", "idle", leaving.port) as cut, machine.artist(
        "5.3.1", "idle", staying.port
    ) as kept:
        cut.said("ready")
        kept.said("ready")
        guarded.revoke("leaving")
        guarded.wait_for_record(
            "closed", reason="session-revoked", identity=identity_of(guarded, "leaving")
        )
        kept.tell("now")
        assert kept.result()["value"] == 42
        # The one who was cut while idle is told at the next call.
        cut.tell("now")
        assert_told(cut.result(), REVOKED, "revoked")


def identity_of(site, name):
    """The SPIFFE ID that the audit knows somebody by."""
    found = [r["identity"] for r in site.audit("opened") if r["identity"].endswith("/" + name)]
    return found[0]


def test_a_new_invite_starts_anew_and_revives_nothing(machine, guarded):
    """After a revocation the old agent stays out, and the newly joined one gets in."""
    guarded.join("returning")
    guarded.config("returning").rename(guarded.config("returning-before"))
    old = guarded.connect("returning-before")
    with machine.artist("5.3.1", "arriving", old.port) as artist:
        assert artist.result()["value"] == 42
    guarded.revoke("returning")
    new = guarded.bring_in("returning")
    with machine.artist("5.3.1", "arriving", new.port) as artist:
        assert artist.result()["value"] == 42
    with machine.artist("5.3.1", "arriving", old.port) as artist:
        assert artist.result()["class"] == "PermissionError"
